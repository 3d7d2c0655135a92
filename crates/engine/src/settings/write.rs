//! How and what to write: the flood guard, the settle window, who counts as nobody.

use std::time::Duration;

use usher_document::{Cursor, Decode};

/// How and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteSettings {
    /// E-mail addresses of CRM owners that stand for nobody, as an integration's user.
    pub treat_as_unowned: Vec<String>,
    /// A connection that opens more leads in an hour is held until an operator looks; `None` for no guard.
    pub max_leads_per_hour: Option<u64>,
    /// How long an unclear write may still land at the vendor. Only after it may an absent write be sent again.
    pub settle: Duration,
    /// A person who asks again within this time is still asking the same.
    pub same_inquiry_within: Duration,
    /// How long after the decision the task is due.
    pub task_due: Duration,
}

impl Default for WriteSettings {
    fn default() -> Self {
        Self {
            treat_as_unowned: Vec::new(),
            max_leads_per_hour: Some(500),
            // Twice the request timeout of 30 s, and as much again for a vendor that commits late (FM-042).
            settle: Duration::from_secs(90),
            same_inquiry_within: Duration::from_secs(24 * 3600),
            task_due: Duration::from_secs(3600),
        }
    }
}

impl Decode for WriteSettings {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        let default = Self::default();
        let mut map = at.map()?;
        let _ = map.choice("create", &[("if_missing", ())]);
        let treat_as_unowned = map.optional::<Vec<String>>("treat_as_unowned").unwrap_or_default();
        let guard = map.optional_at("guard").map_or(Some(default.max_leads_per_hour), |at| guard(&at));
        let settle = map.or("settle", default.settle);
        let same_inquiry_within = map.or("same_inquiry_within", default.same_inquiry_within);
        let task_due = map.or("task_due", default.task_due);
        map.not_in_this_version(&["also_set_owner"]);
        map.finish();
        Some(Self {
            treat_as_unowned: treat_as_unowned.iter().map(|email| email.trim().to_lowercase()).collect(),
            max_leads_per_hour: guard?,
            settle,
            same_inquiry_within,
            task_due,
        })
    }
}

fn guard(at: &Cursor<'_>) -> Option<Option<u64>> {
    if at.is_scalar() {
        return at.choice(&[("off", ())]).map(|()| None);
    }
    let mut map = at.map()?;
    let max = map.required_at("max_per_hour").and_then(|at| {
        let max: i64 = at.read()?;
        u64::try_from(max).ok().filter(|max| *max > 0).or_else(|| {
            at.error("range", "the guard must let at least one lead pass")
                .found(max.to_string())
                .hint("write a number from 1 on, or `guard: off`")
                .report();
            None
        })
    });
    map.finish();
    max.map(Some)
}
