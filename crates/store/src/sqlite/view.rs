//! What the decider sees: persons, links, open leads, slots, accounts and balances, a query each.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::SqliteConnection;
use usher_model::{Account, Balance, ExternalId, IdentityKey, Mode, RepKey, Slot, SlotKind};

use super::codec::{clean, ids, json, list, ms};
use super::fault::Fault;
use crate::deciding::{DecisionView, KnownPerson, LinkKey, LinkRow, OpenLead, ViewAsk};
use crate::stored_lead::lead_columns;
use crate::view_rows;

pub(super) async fn read(conn: &mut SqliteConnection, ask: ViewAsk) -> Result<DecisionView, Fault> {
    let links = links(conn, &ask.links).await?;
    let mut persons: BTreeSet<String> = ask.persons.iter().map(ToString::to_string).collect();
    persons.extend(links.iter().map(|link| link.person.to_string()));
    persons.extend(persons_by_keys(conn, &ask.keys).await?);
    let persons_json = ids(&persons);
    let accounts_json = ids(&ask.accounts);
    let mut view = DecisionView { links, ..DecisionView::default() };
    if !persons.is_empty() {
        view.persons = known_persons(conn, &persons, &persons_json).await?;
        view.open_leads = open_leads(conn, &persons_json, ask.open_since.map_or(i64::MIN, ms)).await?;
        view.slots = slots(conn, SlotKind::Person, &persons_json).await?;
    }
    if !ask.accounts.is_empty() {
        view.accounts = accounts(conn, &accounts_json).await?;
        view.slots.extend(slots(conn, SlotKind::Company, &accounts_json).await?);
    }
    if let Some((kind, leads)) = ask.inquiries.filter(|(_, leads)| !leads.is_empty()) {
        view.slots.extend(slots(conn, kind, &ids(&leads)).await?);
    }
    if !ask.domains.is_empty() {
        view.gone_companies = gone_companies(conn, &ask.domains).await?;
    }
    if let Some(mode) = ask.mode {
        view.balances = balances(conn, mode).await?;
    }
    Ok(view)
}

async fn links(conn: &mut SqliteConnection, keys: &[LinkKey]) -> Result<Vec<LinkRow>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let asked: Vec<[_; 3]> = keys
        .iter()
        .map(|key| {
            [clean(key.connection.as_str()), clean(key.object.as_str()), clean(key.external_id.as_str())]
        })
        .collect();
    let rows = sqlx::query_as(
        "SELECT DISTINCT l.connection, l.object, l.external_id, l.person, l.enrolled, l.ours, l.seen FROM json_each(?) j \
         CROSS JOIN link l ON l.connection = j.value ->> 0 AND l.object = j.value ->> 1 \
         AND l.external_id = j.value ->> 2",
    )
    .bind(json(&asked)?)
    .fetch_all(conn)
    .await?;
    view_rows::links(rows)
}

async fn persons_by_keys(conn: &mut SqliteConnection, keys: &[IdentityKey]) -> Result<Vec<String>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let asked: Vec<_> = keys.iter().map(|key| [key.kind.as_str().into(), clean(&key.value)]).collect();
    let query = sqlx::query_scalar(
        "SELECT k.person FROM json_each(?) j CROSS JOIN identity_key k ON k.kind = j.value ->> 0 \
         AND k.value = j.value ->> 1",
    )
    .bind(json(&asked)?);
    Ok(query.fetch_all(conn).await?)
}

async fn known_persons(
    conn: &mut SqliteConnection,
    persons: &BTreeSet<String>,
    persons_json: &str,
) -> Result<Vec<KnownPerson>, Fault> {
    let keys = sqlx::query_as(
        "SELECT k.person, k.kind, k.value FROM json_each(?) j CROSS JOIN identity_key k ON k.person = j.value",
    )
    .bind(persons_json.to_owned())
    .fetch_all(&mut *conn)
    .await?;
    let names = sqlx::query_as(
        "SELECT DISTINCT l.person, l.name FROM json_each(?) j CROSS JOIN lead l ON l.person = j.value \
         WHERE l.name != ''",
    )
    .bind(persons_json.to_owned())
    .fetch_all(&mut *conn)
    .await?;
    let being_written = being_written(conn, persons_json).await?;
    view_rows::known_persons(persons, keys, names, being_written)
}

/// Persons whose slot an unfinished write will bind, at whichever connection. `0` follows `/`, so the range holds the
/// slots of one person.
async fn being_written(conn: &mut SqliteConnection, persons_json: &str) -> Result<Vec<String>, Fault> {
    let query = sqlx::query_scalar(
        "SELECT DISTINCT j.value FROM json_each(?) j CROSS JOIN effect e \
         ON e.binds > 'person/' || j.value || '/' AND e.binds < 'person/' || j.value || '0' \
         WHERE e.kind = 'ensure_person' AND e.state IN ('blocked', 'planned', 'sending', 'unknown')",
    )
    .bind(persons_json.to_owned());
    Ok(query.fetch_all(conn).await?)
}

async fn open_leads(
    conn: &mut SqliteConnection,
    persons_json: &str,
    since: i64,
) -> Result<Vec<OpenLead>, Fault> {
    let rows = sqlx::query_as(concat!(
        "SELECT ",
        lead_columns!(),
        ", (SELECT d.owner FROM decision d WHERE d.lead = l.id ORDER BY d.seq DESC LIMIT 1) \
         FROM json_each(?1) j CROSS JOIN lead l ON l.seq = (SELECT seq FROM lead WHERE person = j.value \
         AND ((opened_at >= ?2 AND close_reason NOT IN ('suppressed', 'merged')) OR state != 'closed') \
         ORDER BY opened_at DESC, seq DESC LIMIT 1)"
    ))
    .bind(persons_json.to_owned())
    .bind(since)
    .fetch_all(conn)
    .await?;
    Ok(view_rows::open_leads(rows))
}

async fn slots(
    conn: &mut SqliteConnection,
    kind: SlotKind,
    of_json: &str,
) -> Result<Vec<(Slot, ExternalId)>, Fault> {
    let rows = sqlx::query_as(
        "SELECT s.connection, s.of, s.external_id FROM json_each(?1) j CROSS JOIN slot s \
         ON s.name > ?2 || '/' || j.value || '/' AND s.name < ?2 || '/' || j.value || '0'",
    )
    .bind(of_json.to_owned())
    .bind(kind.as_str())
    .fetch_all(conn)
    .await?;
    Ok(view_rows::slots(kind, rows))
}

async fn accounts(conn: &mut SqliteConnection, ids_json: &str) -> Result<Vec<Account>, Fault> {
    let rows = sqlx::query_as(
        "SELECT a.id, a.connection, a.external_id, a.name, a.owner, a.country FROM json_each(?) j \
         CROSS JOIN account a ON a.id = j.value",
    )
    .bind(ids_json.to_owned())
    .fetch_all(conn)
    .await?;
    view_rows::accounts(rows)
}

async fn gone_companies(conn: &mut SqliteConnection, domains: &[String]) -> Result<Vec<String>, Fault> {
    let query = sqlx::query_scalar(
        "SELECT DISTINCT s.of FROM json_each(?1) j CROSS JOIN slot s \
         ON s.name > 'company/' || j.value || '/' AND s.name < 'company/' || j.value || '0' \
         CROSS JOIN account a ON a.connection = s.connection AND a.external_id = s.external_id AND a.gone",
    )
    .bind(list(domains)?);
    Ok(query.fetch_all(conn).await?)
}

async fn balances(
    conn: &mut SqliteConnection,
    mode: Mode,
) -> Result<BTreeMap<String, BTreeMap<RepKey, Balance>>, Fault> {
    let rows = sqlx::query_as("SELECT pool, rep, entitled, taken FROM balance WHERE mode = ?")
        .bind(mode.as_str())
        .fetch_all(conn)
        .await?;
    Ok(view_rows::balances(rows))
}
