//! What is yet to happen: index lag, late commits, webhooks and their retries, people and workflows at work.

use serde_json::Value;

use super::call::By;
use super::hooks::Parcel;
use super::http::{LateCall, commit_late};
use super::kinds::Kind;
use super::row::Row;
use super::shape::Changes;
use super::state::Drive;
use super::users::PipedriveUser;
use crate::clock::Millis;
use crate::oracle::Actor;

/// One thing that happens at its time.
#[derive(Debug)]
pub(crate) enum Later {
    /// A change reaches the search index.
    Index { kind: Kind, id: u64 },
    /// A webhook leaves.
    Hook(Box<Parcel>),
    /// A person chooses another owner.
    HumanOwner { kind: Kind, id: u64 },
    /// A workflow puts the former owner back; 0 is nobody, which this vendor does not know, so nothing happens.
    OwnerBack { kind: Kind, id: u64, owner: u64 },
    /// A person deletes the record.
    Delete { kind: Kind, id: u64 },
    /// A person merges the record with another.
    Merge { kind: Kind, id: u64 },
    /// A request is committed whose client is long gone.
    Commit(Box<LateCall>),
}

/// Somebody other than a client, in the name of the account's first user.
pub(crate) fn other(actor: Actor, at: Millis) -> By {
    By { at, actor, user: 1, correlation: 0 }
}

impl Drive {
    /// Lets everything happen that is due.
    pub(crate) fn tick(&mut self, now: Millis) {
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ((at, _), what) = entry.remove_entry();
            self.happen(at, what);
        }
    }

    fn happen(&mut self, at: Millis, what: Later) {
        match what {
            Later::Index { kind, id } => self.reindex(kind, id),
            Later::Hook(parcel) => self.send(*parcel, at),
            Later::HumanOwner { kind, id } => self.other_owner(kind, id, other(Actor::Human, at)),
            Later::OwnerBack { kind, id, owner } => {
                if owner != 0 {
                    self.give(kind, id, owner, other(Actor::Workflow, at));
                }
            }
            Later::Delete { kind, id } => {
                let id = self.table(kind).resolve(id);
                self.delete(kind, id, other(Actor::Human, at));
            }
            Later::Merge { kind, id } => {
                let id = self.table(kind).resolve(id);
                let others: Vec<u64> =
                    self.table(kind).all_living().map(|row| row.id).filter(|one| *one != id).collect();
                if let Some(pick) = self.dice.pick(others.len()) {
                    self.merge(kind, others[pick], id, other(Actor::Human, at));
                }
            }
            Later::Commit(late) => commit_late(self, at, &late),
        }
    }

    /// Gives a living record to an owner.
    pub(crate) fn give(&mut self, kind: Kind, id: u64, owner: u64, by: By) -> bool {
        let id = self.table(kind).resolve(id);
        let mut changes = Changes::default();
        changes.fields.insert("owner_id".to_owned(), Value::from(owner));
        self.update(kind, id, changes, by)
    }

    pub(crate) fn other_owner(&mut self, kind: Kind, id: u64, by: By) {
        let id = self.table(kind).resolve(id);
        let Some(present) = self.living(kind, id).map(Row::owner) else { return };
        let can = self.users.values().filter(|user| PipedriveUser::can_own(user));
        let others: Vec<u64> = can.map(|user| user.id).filter(|id| *id != present).collect();
        if let Some(pick) = self.dice.pick(others.len()) {
            self.give(kind, id, others[pick], by);
        }
    }
}
