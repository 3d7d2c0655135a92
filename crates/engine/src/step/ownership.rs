//! Owner writes: the age of what they rely on, the budget of each object, and the check in the vendor's history.
//!
//! Between the read of the expected owner and our write lies a window of at most `owner_read_within`. Whoever chooses
//! an owner inside it is overwritten; the vendor's history tells, and they get the object back, once (FM-049).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use usher_connector::{ChangedBy, OwnerEntry, OwnerRead, Target, Write};
use usher_model::{
    ConnectionName, Effect, EffectBody, EffectKind, EffectState, ExternalId, ObjectRef, OwnerChange, SlotKind,
};
use usher_store::{ClaimedEffect, NewEffect, Owned, OwnerCheck, OwnerChecked, OwnerWrite, SlotBinding};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::step::deliver::lease;

/// How long after an owner write its history is read: long enough to do many in one call.
const CHECK_AFTER: Duration = Duration::from_secs(2);
/// How far the vendor's clock may be behind ours.
const SKEW: SignedDuration = SignedDuration::from_secs(60);
/// The topic under which status says that nobody can tell whom we overwrote.
const HISTORY: &str = "owner history";
/// The span of the write budget.
const HOUR: SignedDuration = SignedDuration::from_hours(1);

impl Engine {
    /// What a claimed write may rely on for the owner that it expects.
    pub(super) fn owner_read(&self, effect: &ClaimedEffect, now: Timestamp) -> OwnerRead {
        let within = self.write.owner_read_within;
        let known = known_at(effect).map(|at| now.duration_since(at).unsigned_abs());
        let left = known.and_then(|age| within.checked_sub(age)).filter(|left| !left.is_zero());
        OwnerRead { fresh: left.is_some(), until: Instant::now() + left.unwrap_or(within) }
    }

    /// Why each of these writes is beyond its object's budget, if it is: by position.
    pub(super) async fn beyond_budget(
        &self,
        connection: &ConnectionName,
        writes: &[Write],
        now: Timestamp,
    ) -> Result<BTreeMap<usize, String>, EngineError> {
        let budgeted = |write: &Write| match &write.body {
            EffectBody::UpdateObject {
                target: ObjectRef::Id { kind, id },
                owner: Some(OwnerChange { restores: false, .. }),
                ..
            } => Some((*kind, id.clone())),
            _ => None,
        };
        let objects: Vec<Owned> = writes.iter().filter_map(budgeted).collect();
        if objects.is_empty() {
            return Ok(BTreeMap::new());
        }
        let since = now.checked_sub(HOUR).unwrap_or(Timestamp::MIN);
        let spent = self.store.owner_writes_since(connection, &objects, since).await?;
        let most = self.write.owner_writes_per_hour;
        let beyond =
            |write: &Write| budgeted(write).and_then(|object| spent.get(&object)).is_some_and(|n| *n >= most);
        let reason = format!(
            "usher has written this record's owner {most} times within an hour, so something else seems to write it back: \
             look at the record's history and at the CRM's workflows, then `usher failed retry`"
        );
        let positions = writes.iter().enumerate().filter(|(_, write)| beyond(write));
        Ok(positions.map(|(position, _)| (position, reason.clone())).collect())
    }

    /// The owner that a write has set, to be noted.
    pub(super) fn owner_write(
        &self,
        effect: &ClaimedEffect,
        write: &Write,
        target: &dyn Target,
        sent_at: Timestamp,
    ) -> Option<OwnerWrite> {
        let EffectBody::UpdateObject { target: ObjectRef::Id { kind, id }, owner: Some(change), .. } =
            &write.body
        else {
            return None;
        };
        let checked = !change.restores && target.history_batch() > 0;
        Some(OwnerWrite {
            effect: write.key.clone(),
            connection: effect.effect.connection.clone(),
            object: (*kind, id.clone()),
            expected: change.expected.clone(),
            owner: change.to.clone(),
            at: sent_at,
            check_at: checked.then(|| self.now() + CHECK_AFTER),
        })
    }

    /// Holds owner writes of a connection against the vendor's history, one batch, and gives an object back to the human
    /// whom we overwrote. Returns how many were looked at.
    ///
    /// # Errors
    /// If the vendor or the storage fails; the checks are repeated.
    pub async fn check_owners(&self, connection: &ConnectionName) -> Result<usize, EngineError> {
        let connected = self.connection(connection)?;
        let Some(target) = connected.roles.target.clone() else { return Ok(0) };
        let limit = u32::try_from(target.history_batch()).unwrap_or(u32::MAX);
        if limit == 0 || !self.node.life().goes_on() || self.store.paused().await?.is_some() {
            return Ok(0);
        }
        let now = self.now();
        let checks = self.store.claim_owner_checks(connection, limit, now, now + lease(connected)).await?;
        if checks.is_empty() {
            return Ok(0);
        }
        let objects: Vec<Owned> = checks.iter().map(|check| check.write.object.clone()).collect();
        let histories = target.owner_history(&objects).await;
        let histories = histories.map_err(EngineError::vendor(connection, "reading who owned what"));
        let histories = self.watched(connection, HISTORY, histories).await?;
        let mut checked = Vec::with_capacity(checks.len());
        for (check, history) in checks.iter().zip(&histories) {
            let overwritten = overwritten(&check.write, history);
            let effects = match &overwritten {
                Some(theirs) => self.give_back(check, theirs.owner.clone()).await?,
                None => Vec::new(),
            };
            let told = overwritten.map(|theirs| tell(check, theirs));
            checked.push(OwnerChecked { effect: check.write.effect.clone(), overwritten: told, effects });
        }
        self.store.finish_owner_checks(checked, self.now()).await?;
        Ok(checks.len())
    }

    /// The writes that give an object back: its owner, where ours still stands, and our task closed.
    async fn give_back(
        &self,
        check: &OwnerCheck,
        owner: Option<ExternalId>,
    ) -> Result<Vec<NewEffect>, EngineError> {
        let (kind, id) = check.write.object.clone();
        let change = OwnerChange {
            expected: check.write.owner.clone(),
            to: owner,
            restores: true,
            ..OwnerChange::default()
        };
        let mut bodies = vec![EffectBody::UpdateObject {
            target: ObjectRef::Id { kind, id },
            owner: Some(change),
            fields: BTreeMap::new(),
            slot: None,
            after: None,
        }];
        // The task follows the object that carries the owner, not what got the owner beside it.
        let carries = check.write.object.0 == self.carrier();
        let story = self.store.lead_story(check.lead).await?.filter(|_| carries);
        let effects = story.map(|story| story.effects).unwrap_or_default();
        bodies.extend(effects.into_iter().filter_map(|effect| match (effect.kind, effect.state) {
            (EffectKind::CreateTask, EffectState::Done) if effect.episode == check.episode => {
                let task = ObjectRef::Id { kind: SlotKind::Task, id: effect.external_id? };
                Some(EffectBody::CloseTask { task, only_untouched: true })
            }
            _ => None,
        }));
        let now = self.now();
        let key = |ordinal: u32| {
            self.install.derive(&[
                b"give back",
                check.write.effect.as_str().as_bytes(),
                &ordinal.to_be_bytes(),
            ])
        };
        let connection = &check.write.connection;
        let plan = |(ordinal, body)| {
            let effect = Effect {
                key: key(ordinal),
                connection: connection.clone(),
                lead: check.lead,
                episode: check.episode,
                body,
            };
            NewEffect { effect, ordinal, due_at: now, observed: false }
        };
        Ok((0..).zip(bodies).map(plan).collect())
    }
}

/// The whole of a human's choice that our write replaced; `None` if it replaced none, or somebody has chosen since.
fn overwritten(write: &OwnerWrite, history: &[OwnerEntry]) -> Option<OwnerEntry> {
    let [ours, theirs, ..] = history else { return None };
    let sent = write.at.checked_sub(SKEW).unwrap_or(Timestamp::MIN);
    let is_ours = ours.by == ChangedBy::Program && ours.owner == write.owner && ours.at >= sent;
    let unseen =
        theirs.by == ChangedBy::Human && theirs.owner != write.expected && theirs.owner != write.owner;
    (is_ours && unseen).then(|| theirs.clone())
}

fn tell(check: &OwnerCheck, theirs: OwnerEntry) -> String {
    let owner = theirs.owner.map_or_else(|| "nobody".to_owned(), |owner| format!("owner {owner}"));
    tracing::warn!(lead = %check.lead, effect = %check.write.effect, "a human's choice of owner was overwritten and is restored");
    format!("a human had chosen {owner} at {} while usher wrote; their choice is restored", theirs.at)
}

/// Since when it is known that the object has the expected owner: it was read, or we created it and nobody owned it.
fn known_at(effect: &ClaimedEffect) -> Option<Timestamp> {
    let EffectBody::UpdateObject { target, owner: Some(change), .. } = &effect.effect.body else {
        return None;
    };
    let created = |binding: &SlotBinding| match target {
        ObjectRef::Slot { slot } if binding.slot == *slot && change.expected.is_none() => binding.created_at,
        _ => None,
    };
    change.seen_at.max(effect.bindings.iter().find_map(created))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_341_600 + second).unwrap()
    }

    fn entry(owner: &str, second: i64, by: ChangedBy) -> OwnerEntry {
        let owner = (owner != "-").then(|| owner.into());
        OwnerEntry { owner, at: at(second), by }
    }

    fn write(expected: &str, owner: &str) -> OwnerWrite {
        let some = |id: &str| (id != "-").then(|| id.into());
        OwnerWrite {
            effect: usher_model::EffectKey::new("k"),
            connection: "crm".into(),
            object: (SlotKind::Person, "7".into()),
            expected: some(expected),
            owner: some(owner),
            at: at(100),
            check_at: None,
        }
    }

    #[test]
    fn fm_049_only_a_human_whom_the_decision_never_saw_counts_as_overwritten() {
        use ChangedBy::{Human, Program};
        let ours = entry("ana", 101, Program);
        let cases = [
            ("somebody chose inside the window", vec![ours.clone(), entry("ben", 100, Human)], Some("ben")),
            ("somebody took the owner away", vec![ours.clone(), entry("-", 100, Human)], Some("-")),
            ("it was what the decision saw", vec![ours.clone(), entry("old", 50, Human)], None),
            ("a workflow chose", vec![ours.clone(), entry("ben", 100, Program)], None),
            (
                "a human chose since",
                vec![entry("ben", 102, Human), ours.clone(), entry("eve", 100, Human)],
                None,
            ),
            ("our write was not needed", vec![entry("ana", 20, Program), entry("ben", 10, Human)], None),
            ("a human chose the same", vec![entry("ana", 100, Human), entry("old", 50, Human)], None),
            ("nothing before", vec![ours], None),
            ("gone", vec![], None),
        ];
        for (what, history, wanted) in cases {
            let found = overwritten(&write("old", "ana"), &history);
            let found = found.map(|entry| entry.owner.map_or("-".to_owned(), |owner| owner.to_string()));
            assert_eq!(found.as_deref(), wanted, "{what}");
        }
    }
}
