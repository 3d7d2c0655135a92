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
    /// An owner is overwritten only if a read at most so old shows the expected one.
    pub owner_read_within: Duration,
    /// Owner writes that one object may get from us within an hour; a further one fails, because somebody else seems to
    /// write the owner back each time.
    pub owner_writes_per_hour: u64,
    /// A person who asks again within this time is still asking the same.
    pub same_inquiry_within: Duration,
    /// How long after the decision the task is due.
    pub task_due: Duration,
    /// Make the company of a lead that belongs to no account, if its domain is a company's.
    pub create_company: bool,
    /// What else gets the owner, if nobody owns it.
    pub also_set_owner: Vec<AlsoOwned>,
}

/// An object beside the one that carries owner and task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlsoOwned {
    /// The person, where a lead or deal carries the owner.
    Person,
    /// The company that the lead was matched to.
    Company,
    /// The person's open deal, where the CRM knows exactly one.
    OpenDeal,
}

impl Default for WriteSettings {
    fn default() -> Self {
        Self {
            treat_as_unowned: Vec::new(),
            max_leads_per_hour: Some(500),
            // Twice the request timeout of 30 s, and as much again for a vendor that commits late (FM-042).
            settle: Duration::from_secs(90),
            owner_read_within: Duration::from_secs(10),
            owner_writes_per_hour: 3,
            same_inquiry_within: Duration::from_secs(24 * 3600),
            task_due: Duration::from_secs(3600),
            create_company: false,
            also_set_owner: Vec::new(),
        }
    }
}

impl Decode for WriteSettings {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        let default = Self::default();
        let mut map = at.map()?;
        let _ = map.choice("create", &[("if_missing", ())]);
        let create_company = map
            .optional_at("create_company")
            .map_or(Some(false), |at| at.choice(&[("never", false), ("if_missing", true)]));
        let treat_as_unowned = map.optional::<Vec<String>>("treat_as_unowned").unwrap_or_default();
        let guard = map.optional_at("guard").map_or(Some(default.max_leads_per_hour), |at| guard(&at));
        let settle = map.or("settle", default.settle);
        let owner_read_within = map
            .optional_at("owner_read_within")
            .map_or(Some(default.owner_read_within), |at| owner_read_within(&at));
        let budget = map.optional_at("owner_writes_per_hour");
        let owner_writes_per_hour =
            budget.map_or(Some(default.owner_writes_per_hour), |at| at_least_one(&at, "one owner write"));
        let same_inquiry_within = map.or("same_inquiry_within", default.same_inquiry_within);
        let task_due = map.or("task_due", default.task_due);
        let also = map.optional_at("also_set_owner").map_or(Some(Vec::new()), |at| also_owned(&at));
        map.finish();
        Some(Self {
            treat_as_unowned: treat_as_unowned.iter().map(|email| email.trim().to_lowercase()).collect(),
            max_leads_per_hour: guard?,
            settle,
            owner_read_within: owner_read_within?,
            owner_writes_per_hour: owner_writes_per_hour?,
            same_inquiry_within,
            task_due,
            create_company: create_company?,
            also_set_owner: also?,
        })
    }
}

/// Shorter than a second, and a comparison would be too old before its write can leave.
fn owner_read_within(at: &Cursor<'_>) -> Option<Duration> {
    let within = at.duration()?;
    if within < Duration::from_secs(1) {
        at.error("range", "an owner's read must be good for at least 1s")
            .found(at.raw())
            .hint("write `owner_read_within: 10s`")
            .report();
        return None;
    }
    Some(within)
}

fn also_owned(at: &Cursor<'_>) -> Option<Vec<AlsoOwned>> {
    let choices =
        [("person", AlsoOwned::Person), ("company", AlsoOwned::Company), ("open_deal", AlsoOwned::OpenDeal)];
    let all: Vec<Option<AlsoOwned>> = at.list()?.iter().map(|each| each.choice(&choices)).collect();
    all.into_iter().collect()
}

fn guard(at: &Cursor<'_>) -> Option<Option<u64>> {
    if at.is_scalar() {
        return at.choice(&[("off", ())]).map(|()| None);
    }
    let mut map = at.map()?;
    let max =
        map.required_at("max_per_hour").and_then(|at| at_least_one(&at, "one lead, or say `guard: off`"));
    map.finish();
    max.map(Some)
}

fn at_least_one(at: &Cursor<'_>, of: &str) -> Option<u64> {
    let number: i64 = at.read()?;
    u64::try_from(number).ok().filter(|number| *number > 0).or_else(|| {
        at.error("range", format!("this must allow at least {of}"))
            .found(number.to_string())
            .hint("write a number from 1 on")
            .report();
        None
    })
}
