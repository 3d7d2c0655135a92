//! What the decider sees, as both backends read it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use usher_model::{
    Account, Balance, ExternalId, IdentityKey, IdentityKind, RepKey, Slot, SlotKind, WaitReason,
};

use crate::codec::{from_json, id};
use crate::deciding::{KnownPerson, LinkKey, LinkRow, OpenLead, Ready, WaitingLead};
use crate::fault::Fault;
use crate::stored_lead::StoredLead;

/// From drafts with their records, and waiting leads with why they wait and whom the CRM showed.
pub(crate) fn ready(
    drafts: Vec<(String, String)>,
    waiting: Vec<StoredLead<2>>,
    now: Timestamp,
) -> Result<Ready, Fault> {
    let mut ready = Ready::default();
    for (record, body) in drafts {
        match from_json("draft", &body) {
            Ok(draft) => ready.drafts.push(draft),
            Err(fault) => ready.unreadable.push((id(&record)?, fault.of_row())),
        }
    }
    for StoredLead { id: lead, read } in waiting {
        let read = read.and_then(|(lead, [wait, crm_owner])| {
            let wait = match wait {
                Some(wait) => from_json("wait reason", &wait)?,
                None => WaitReason { because: "nobody said why".to_owned(), until: now, gives_up_at: now },
            };
            Ok(WaitingLead { lead, wait, excluded: Vec::new(), crm_owner: crm_owner.map(Into::into) })
        });
        match read {
            Ok(waiting) => ready.waiting.push(waiting),
            Err(fault) => ready.unreadable_leads.push((id(&lead)?, fault.of_row())),
        }
    }
    Ok(ready)
}

/// A link: connection, object, id, person, enrolled, ours, seen.
pub(crate) type Link = (String, String, String, String, bool, bool, Option<String>);

pub(crate) fn links(rows: Vec<Link>) -> Result<Vec<LinkRow>, Fault> {
    let link = |(connection, object, external_id, person, enrolled, ours, seen): Link| {
        let (connection, object, external_id) = (connection.into(), object.into(), external_id.into());
        let key = LinkKey { connection, object, external_id };
        Ok(LinkRow { key, person: id(&person)?, enrolled, ours, seen })
    };
    rows.into_iter().map(link).collect()
}

/// Persons with their keys (person, kind, value) and names; of some, a write is under way.
pub(crate) fn known_persons<'a>(
    persons: impl IntoIterator<Item = &'a String>,
    keys: Vec<(String, String, String)>,
    names: Vec<(String, String)>,
    being_written: Vec<String>,
) -> Result<Vec<KnownPerson>, Fault> {
    let mut known: BTreeMap<&str, KnownPerson> = BTreeMap::new();
    for person in persons {
        let id = id(person)?;
        known.insert(person, KnownPerson { id, keys: Vec::new(), names: Vec::new(), being_written: false });
    }
    for (person, kind, value) in keys {
        if let Some(entry) = known.get_mut(person.as_str()) {
            let kind = if kind == "email" { IdentityKind::Email } else { IdentityKind::Phone };
            entry.keys.push(IdentityKey { kind, value });
        }
    }
    for (person, name) in names {
        if let Some(entry) = known.get_mut(person.as_str()) {
            entry.names.push(name);
        }
    }
    for person in being_written {
        if let Some(entry) = known.get_mut(person.as_str()) {
            entry.being_written = true;
        }
    }
    Ok(known.into_values().collect())
}

/// Leads with the owner of their last decision.
pub(crate) fn open_leads(rows: Vec<StoredLead<1>>) -> Vec<OpenLead> {
    let mut open = Vec::with_capacity(rows.len());
    for StoredLead { id, read } in rows {
        match read {
            Ok((lead, [owner])) => open.push(OpenLead { lead, owner: owner.map(Into::into) }),
            // Worth a second lead of the person, not a halt for everybody.
            Err(fault) => tracing::error!(
                lead = id,
                problem = fault.of_row(),
                "a stored lead can not be read and counts as none"
            ),
        }
    }
    open
}

/// Slots: connection, whose, id.
pub(crate) fn slots(kind: SlotKind, rows: Vec<(String, String, String)>) -> Vec<(Slot, ExternalId)> {
    let slot = |(connection, of, id): (String, _, String)| {
        (Slot { connection: connection.into(), kind, of }, id.into())
    };
    rows.into_iter().map(slot).collect()
}

/// An account: id, connection, the vendor's id, name, owner, country.
pub(crate) type AccountFound = (String, String, String, String, Option<String>, Option<String>);

pub(crate) fn accounts(rows: Vec<AccountFound>) -> Result<Vec<Account>, Fault> {
    let account = |(account, connection, external_id, name, owner, country): AccountFound| {
        let (connection, external_id) = (connection.into(), external_id.into());
        let (id, owner) = (id(&account)?, owner.map(Into::into));
        Ok(Account { id, connection, external_id, name, owner, country })
    };
    rows.into_iter().map(account).collect()
}

/// Balances: pool, rep, entitled, taken.
pub(crate) fn balances(rows: Vec<(String, String, f64, f64)>) -> BTreeMap<String, BTreeMap<RepKey, Balance>> {
    let mut balances: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
    for (pool, rep, entitled, taken) in rows {
        balances.entry(pool).or_default().insert(rep.into(), Balance { entitled, taken });
    }
    balances
}
