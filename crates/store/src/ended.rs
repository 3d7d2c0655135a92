//! What became of claimed effects: what each backend stores in the same way.

use std::collections::HashMap;

use jiff::Timestamp;
use usher_model::{
    EffectBody, EffectKey, EffectState, ExternalId, ObjectRef, OwnerChange, Slot, SlotKind, SlotOrigin,
};

use crate::codec::{effect_state, from_json, json, ms, slot_name, text};
use crate::deciding::NewEffect;
use crate::delivering::{EffectEnd, EffectOutcome, MOST_LAPSES, OwnerAlong};
use crate::fault::Fault;

/// An id that arrived for a slot.
pub(crate) struct Binding {
    pub(crate) slot: Slot,
    pub(crate) id: ExternalId,
    pub(crate) origin: SlotOrigin,
    pub(crate) object: Option<String>,
    /// Whose object it is, where it belongs to somebody.
    pub(crate) person: Option<String>,
    /// When its create was sent, if its first try was answered with it.
    pub(crate) made_at: Option<i64>,
    /// The effect that brought it; empty where it was known from the start.
    pub(crate) effect: String,
}

impl Binding {
    /// An id that no effect brought.
    pub(crate) fn known(slot: Slot, id: ExternalId, origin: SlotOrigin) -> Self {
        Self { slot, id, origin, object: None, person: None, made_at: None, effect: String::new() }
    }

    /// A person's slots as stored for another one: (connection, id, origin) each.
    pub(crate) fn of_person(person: &str, stored: Vec<(String, String, String)>) -> Vec<Self> {
        let binding = |(connection, id, origin): (String, String, String)| {
            let slot = Slot { connection: connection.into(), kind: SlotKind::Person, of: person.to_owned() };
            let created = origin == SlotOrigin::Created.as_str();
            Self::known(slot, id.into(), if created { SlotOrigin::Created } else { SlotOrigin::Found })
        };
        stored.into_iter().map(binding).collect()
    }
}

/// The bindings that tell which object is a person's, each with that object and the person.
pub(crate) fn ties(bindings: &[Binding]) -> Vec<(&Binding, &str, &str)> {
    let all = bindings.iter();
    all.filter_map(|binding| Some((binding, binding.object.as_deref()?, binding.person.as_deref()?)))
        .collect()
}

/// What a write met that found its object gone.
pub(crate) struct Gone {
    pub(crate) reason: String,
    pub(crate) lost: (Slot, ExternalId),
    pub(crate) again: Option<Box<NewEffect>>,
}

/// What a write that needs a slot can do: be sent, wait for what fills it, or nothing.
pub(crate) fn can_do(bound: bool, awaited: bool) -> EffectState {
    match (bound, awaited) {
        (true, _) => EffectState::Planned,
        (false, true) => EffectState::Blocked,
        (false, false) => EffectState::Cancelled,
    }
}

/// A stored write as it goes to the object that is made anew, which is owned by nobody, whatever was expected of the lost
/// one.
pub(crate) fn made_anew(body: &str) -> Result<String, Fault> {
    let mut body: EffectBody = from_json("effect", body)?;
    if let EffectBody::UpdateObject { owner: Some(change), .. } = &mut body {
        (change.expected, change.seen_at) = (None, None);
    }
    json(&body)
}

/// Why an owner's write is done that was never sent.
pub(crate) const MADE_WITH_IT: &str = "the object was made with this owner";

/// What goes along with the creates, by the slots that they fill, of the writes that wait for these alone: (slot, key,
/// body) each. Nothing, where several writes want to be first.
pub(crate) fn along(waiting: Vec<(String, String, String)>) -> Result<HashMap<String, OwnerAlong>, Fault> {
    let mut found: HashMap<String, Option<OwnerAlong>> = HashMap::new();
    for (name, key, body) in waiting {
        let along = match from_json("effect", &body)? {
            EffectBody::UpdateObject {
                target: ObjectRef::Slot { slot: target },
                owner: Some(OwnerChange { expected: None, to: Some(owner), restores: false, .. }),
                fields,
                slot: Some(slot),
                after: None,
            } if fields.is_empty() && slot_name(&target) == name => {
                Some(OwnerAlong { key: EffectKey::new(key), slot, owner })
            }
            _ => None,
        };
        found.entry(name).and_modify(|first| *first = None).or_insert(along);
    }
    Ok(found.into_iter().filter_map(|(name, along)| Some((name, along?))).collect())
}

/// A claimed effect's row: number, key, attempts, lapses, state, when it was sent, lead, and the slot that it binds.
pub(crate) type HeldRow = (i64, String, i64, i64, String, Option<i64>, String, Option<String>);

/// An effect whose claim still holds, with its outcome.
pub(crate) struct Ended {
    pub(crate) seq: i64,
    pub(crate) attempt: u32,
    pub(crate) was: EffectState,
    sent_at: Option<i64>,
    pub(crate) lead: String,
    pub(crate) binds: Option<String>,
    slot: Option<Slot>,
    person: Option<String>,
    pub(crate) along: Option<OwnerAlong>,
    key: String,
    pub(crate) state: EffectState,
    pub(crate) due_at: Option<i64>,
    pub(crate) problem: Option<String>,
    /// Whoever held it panicked.
    pub(crate) lapsed: bool,
    /// To be settled before it is stored.
    pub(crate) gone: Option<Gone>,
    pub(crate) bound: Option<(String, SlotOrigin, Option<String>)>,
}

impl Ended {
    /// Compares each outcome with its row: a claim that was taken over is left alone, and so is an effect without a row,
    /// which ended meanwhile.
    pub(crate) fn of(rows: Vec<HeldRow>, outcomes: Vec<EffectOutcome>) -> Result<Vec<Self>, Fault> {
        let mut held: HashMap<String, HeldRow> = rows.into_iter().map(|row| (row.1.clone(), row)).collect();
        let mut ended = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            // Removed, so that a second outcome for one claim finds nothing.
            let Some((seq, key, attempts, lapses, was, sent_at, lead, binds)) =
                held.remove(outcome.key.as_str())
            else {
                continue;
            };
            if attempts != i64::from(outcome.attempt) {
                tracing::info!(%key, "an outcome came after its claim was taken over; it is not stored");
                continue;
            }
            let was = effect_state(&was)?;
            let mut end = Self {
                seq,
                attempt: outcome.attempt,
                was,
                sent_at,
                lead,
                binds,
                slot: outcome.binds,
                person: outcome.person,
                along: outcome.along,
                key,
                state: EffectState::Done,
                due_at: None,
                problem: None,
                lapsed: matches!(outcome.end, EffectEnd::Crashed { .. }),
                gone: None,
                bound: None,
            };
            end.apply(outcome.end, outcome.confirms, lapses);
            ended.push(end);
        }
        Ok(ended)
    }

    /// It found its object gone, and that was settled.
    pub(crate) fn settled(&mut self, (state, problem): (EffectState, String), now: Timestamp) {
        (self.state, self.problem, self.due_at) = (state, Some(text(problem)), Some(ms(now)));
    }

    /// It was looked for and is in doubt still.
    pub(crate) fn in_vain(&self) -> bool {
        self.was == EffectState::Unknown && self.state == EffectState::Unknown
    }

    /// Its first try did it, without a word to add: its own row says all that a row of that try would.
    pub(crate) fn done_at_once(&self) -> bool {
        self.attempt == 1 && self.state == EffectState::Done && self.problem.is_none()
    }

    /// It is to be sent, now or later.
    pub(crate) fn waits(&self) -> bool {
        matches!(self.state, EffectState::Planned | EffectState::Blocked)
    }

    /// The slot that it binds by what it brought.
    pub(crate) fn binding(&self) -> Option<Binding> {
        let (id, origin, object) = self.bound.as_ref()?;
        let slot = self.slot.clone()?;
        let person = self.person.clone();
        let (id, effect) = (id.as_str().into(), self.key.clone());
        // A later try may have met what an earlier one made, and somebody else may own by now. An inquiry's object is made
        // with an owner.
        let first = self.attempt == 1
            && self.was == EffectState::Sending
            && *origin == SlotOrigin::Created
            && slot.kind == SlotKind::Person;
        let made_at = self.sent_at.filter(|_| first && self.along.is_none());
        Some(Binding { slot, id, origin: *origin, object: object.clone(), person, made_at, effect })
    }

    /// The owner's slot, where the object was made with its owner.
    pub(crate) fn owner_along(&self) -> Option<Binding> {
        let along = self.along.as_ref().filter(|_| self.state == EffectState::Done)?;
        let known = Binding::known(along.slot.clone(), along.owner.clone(), SlotOrigin::Created);
        Some(Binding { effect: text(along.key.as_str()), ..known })
    }

    fn apply(&mut self, outcome: EffectEnd, confirms: Option<ExternalId>, lapses: i64) {
        let (state, due_at, problem) = match outcome {
            EffectEnd::Done { id: Some(id), origin, object, note } => {
                self.bound = Some((text(&id), origin, object.map(text)));
                (EffectState::Done, None, note)
            }
            EffectEnd::Done { id: None, origin, note, .. } if confirms.is_some() => {
                self.bound = confirms.map(|id| (text(&id), origin, None));
                (EffectState::Done, None, note)
            }
            // Whatever waits for the slot would wait for ever.
            EffectEnd::Done { id: None, .. } if self.binds.is_some() => {
                let problem =
                    "the connector reported success without the id of the object; look at the vendor";
                (EffectState::Parked, None, Some(problem.to_owned()))
            }
            EffectEnd::Done { note, .. } => (EffectState::Done, None, note),
            EffectEnd::Planned { due_at, reason } => (EffectState::Planned, Some(due_at), Some(reason)),
            EffectEnd::Unknown { due_at, reason } => (EffectState::Unknown, Some(due_at), Some(reason)),
            EffectEnd::Crashed { reason, .. } if lapses + 1 >= i64::from(MOST_LAPSES) => {
                (EffectState::Parked, None, Some(reason))
            }
            EffectEnd::Crashed { due_at, reason } => (EffectState::Unknown, Some(due_at), Some(reason)),
            EffectEnd::Gone { reason, lost, again } => {
                self.gone = Some(Gone { reason, lost, again });
                (EffectState::Rejected, None, None)
            }
            EffectEnd::Rejected { reason } => (EffectState::Rejected, None, Some(reason)),
            EffectEnd::Parked { reason } => (EffectState::Parked, None, Some(reason)),
            EffectEnd::Cancelled { reason } => (EffectState::Cancelled, None, Some(reason)),
        };
        self.state = state;
        self.due_at = due_at.map(ms);
        self.problem = problem.map(text);
    }
}

/// What an effect's end means to the others.
pub(crate) struct Fate {
    pub(crate) seq: i64,
    pub(crate) lead: String,
    pub(crate) binds: Option<String>,
    /// Why what needs its slot is cancelled, if it is.
    pub(crate) cancels: Option<&'static str>,
    pub(crate) problem: Option<String>,
}

impl Fate {
    /// It ends without an answer, and what needs its slot is cancelled.
    pub(crate) fn refused(
        seq: i64,
        (lead, binds): (String, Option<String>),
        problem: Option<String>,
    ) -> Self {
        Self { seq, lead, binds, cancels: Some("refused"), problem }
    }
}

impl From<Ended> for Fate {
    fn from(end: Ended) -> Self {
        let cancels = match end.state {
            EffectState::Rejected | EffectState::Parked => Some("refused"),
            EffectState::Cancelled => Some("vendor"),
            _ => None,
        };
        Self { seq: end.seq, lead: end.lead, binds: end.binds, cancels, problem: end.problem }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn fm_052_an_object_that_is_made_anew_is_expected_to_be_owned_by_nobody() {
        let body = |expected: Option<&str>, seen_at| EffectBody::UpdateObject {
            target: ObjectRef::Id { kind: SlotKind::Person, id: "c1".into() },
            owner: Some(OwnerChange {
                expected: expected.map(Into::into),
                to: Some("501".into()),
                seen_at,
                ..OwnerChange::default()
            }),
            fields: [].into(),
            slot: None,
            after: None,
        };
        let lost = json(&body(Some("400"), Some(Timestamp::UNIX_EPOCH))).unwrap();
        let anew: EffectBody = from_json("effect", &made_anew(&lost).unwrap()).unwrap();
        assert_eq!(anew, body(None, None));
    }
}
