//! Endpoints of single records of v2, and what people and workflows do after a client's write.

use serde_json::json;

use super::call::{Answer, By, Call, ok};
use super::change::{Given, check_deal};
use super::errors::Problem;
use super::kinds::Kind;
use super::later::Later;
use super::list::want;
use super::shape::{Changes, check};
use super::show::{Want, v2};
use super::state::Drive;
use crate::oracle::Actor;

fn show(drive: &Drive, kind: Kind, id: u64, want: &Want) -> Answer {
    let row = drive.table(kind).rows.get(&id).ok_or_else(|| Problem::not_found(kind.singular()))?;
    ok(&json!({"success": true, "data": v2(drive, kind, row, want)}))
}

/// For so long a deleted record can still be read, with `is_deleted` (v2 document, deletePerson).
const KEPT: i64 = 30 * 86_400_000;

/// `GET /v2/{object}/{id}`: a deleted record too, which is the unkind reading.
pub(crate) fn read(drive: &mut Drive, call: &Call<'_>, kind: Kind) -> Answer {
    let (id, want) = (call.number()?, want(call)?);
    let gone =
        drive.table(kind).rows.get(&id).is_none_or(|row| !row.lives() && row.deleted + KEPT <= call.by.at);
    if gone {
        return Err(Problem::not_found(kind.singular()));
    }
    show(drive, kind, id, &want)
}

/// `POST /v2/{object}`: 200, and never a word about a record that is there already (API-FACTS Pipedrive).
pub(crate) fn create(drive: &mut Drive, call: &Call<'_>, kind: Kind) -> Answer {
    let mut changes = check(drive, kind, call.object()?, None)?;
    if kind == Kind::Deal {
        check_deal(&changes, None)?;
    }
    drive.before_write(kind, None, &mut changes, call.by);
    let owned = changes.fields.contains_key("owner_id");
    if kind == Kind::Deal
        && drive.fires(drive.faults.other_origin, "other_origin", call.by.at, call.by.correlation)
    {
        changes.fields.insert("origin".to_owned(), "Marketplace app".into());
    }
    let id = drive.create(kind, changes, call.by, Given::default());
    drive.aftermath(kind, id, owned.then_some(0), call.by);
    show(drive, kind, id, &Want::default())
}

/// `PATCH /v2/{object}/{id}`.
pub(crate) fn patch(drive: &mut Drive, call: &Call<'_>, kind: Kind) -> Answer {
    let id = call.number()?;
    let row = drive.living(kind, id).ok_or_else(|| Problem::not_found(kind.singular()))?;
    if row.flag("is_archived") {
        // API-FACTS Pipedrive: Archived leads and deals cannot be edited through the API.
        return Err(Problem::new(400, format!("{} is archived and cannot be changed", kind.singular())));
    }
    let before = row.owner();
    let mut changes = check(drive, kind, call.object()?, Some(row))?;
    if kind == Kind::Deal {
        check_deal(&changes, Some(row))?;
    }
    drive.before_write(kind, Some(id), &mut changes, call.by);
    let owned = changes.fields.contains_key("owner_id");
    drive.update(kind, id, changes, call.by);
    drive.aftermath(kind, id, owned.then_some(before), call.by);
    show(drive, kind, id, &Want::default())
}

/// `DELETE /v2/{object}/{id}`.
pub(crate) fn delete(drive: &mut Drive, call: &Call<'_>, kind: Kind) -> Answer {
    let id = call.number()?;
    if !drive.delete(kind, id, call.by) {
        return Err(Problem::not_found(kind.singular()));
    }
    ok(&json!({"success": true, "data": {"id": id}}))
}

impl Drive {
    /// The switches that act before a write: an owner is dropped without a word, a person is faster.
    pub(crate) fn before_write(&mut self, kind: Kind, id: Option<u64>, changes: &mut Changes, by: By) {
        let faults = self.faults.clone();
        if !changes.fields.contains_key("owner_id") {
            return;
        }
        if self.fires(faults.drop_owner, "drop_owner", by.at, by.correlation) {
            changes.fields.shift_remove("owner_id");
        }
        if let Some(id) = id.filter(|_| kind != Kind::Activity)
            && self.fires(faults.human_first, "human_first", by.at, by.correlation)
        {
            self.other_owner(kind, id, By { actor: Actor::Human, correlation: 0, ..by });
        }
    }

    /// What people and workflows do to a record that a client has just written; `owner` is the one before.
    pub(crate) fn aftermath(&mut self, kind: Kind, id: u64, owner: Option<u64>, by: By) {
        if kind == Kind::Activity {
            return;
        }
        let faults = self.faults.clone();
        let mut happenings = Vec::new();
        if kind == Kind::Person {
            happenings.push((faults.archive, "archive", Later::Delete { kind, id }));
            happenings.push((faults.merge, "merge", Later::Merge { kind, id }));
        }
        if let Some(owner) = owner {
            happenings.push((faults.human_edit, "human_edit", Later::HumanOwner { kind, id }));
            happenings.push((
                faults.peer_automation,
                "peer_automation",
                Later::OwnerBack { kind, id, owner },
            ));
        }
        for (rate, name, what) in happenings {
            if self.fires(rate, name, by.at, by.correlation) {
                let due = self.after(by.at, faults.aftermath_ms);
                self.schedule(due, what);
            }
        }
    }
}
