//! `enroll:`: which versions of an object open a lead.

use usher_document::{Cursor, Decode};
use usher_model::Enrollment;

use crate::condition::{Condition, Values};

/// When a record opens a lead.
#[derive(Debug, Clone)]
pub(crate) struct Enroll {
    pub(crate) on: Enrollment,
    when: Option<Condition>,
}

impl Enroll {
    /// The rule of a file without `enroll:`.
    pub(crate) fn created() -> Self {
        Self { on: Enrollment::Created, when: None }
    }

    pub(crate) fn has_condition(&self) -> bool {
        self.when.is_some()
    }

    /// Whether this version enrolls, and why.
    pub(crate) fn judge(&self, values: Option<&Values<'_>>) -> Result<(bool, String), String> {
        let (Some(when), Some(values)) = (&self.when, values) else {
            let why = match self.on {
                Enrollment::Created => "every new object opens a lead",
                Enrollment::BecomesTrue | Enrollment::EveryTime => "every version opens a lead",
            };
            return Ok((true, why.to_owned()));
        };
        let judged = when.holds(values).and_then(|holds| Ok((holds, when.explain(values)?)));
        judged.map_err(|error| format!("the condition of `enroll` can not be judged: {error}"))
    }
}

impl Decode for Enroll {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        let options = [
            ("created", Enrollment::Created),
            ("becomes_true", Enrollment::BecomesTrue),
            ("every_time", Enrollment::EveryTime),
        ];
        let mut map = at.map()?;
        let on = map.required_at("on").and_then(|at| at.choice(&options));
        let when_at = map.optional_at("when");
        let when = when_at.as_ref().and_then(Cursor::read::<Condition>);
        match (on, &when_at) {
            (Some(Enrollment::BecomesTrue), None) => {
                at.error("missing-key", "`becomes_true` needs a `when`")
                    .hint("write `enroll: { on: becomes_true, when: 'lead.lifecycle == \"mql\"' }`")
                    .report();
            }
            (Some(Enrollment::Created | Enrollment::EveryTime), Some(when)) => {
                when.error("one-of", "`when` goes with `on: becomes_true` only")
                    .hint("to turn records away, use `reject:`")
                    .report();
            }
            _ => {}
        }
        map.finish();
        Some(Self { on: on?, when })
    }
}
