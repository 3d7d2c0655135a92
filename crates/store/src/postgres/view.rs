//! What the decider sees: persons, links, open leads, slots, accounts and balances, a query each.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row;
use sqlx::postgres::PgConnection;
use usher_model::{Account, Balance, ExternalId, IdentityKey, IdentityKind, Mode, Slot, SlotKind};

use super::column;
use super::leads::{LEAD_WIDTH, lead, lead_columns};
use crate::codec::{id, ms, text};
use crate::deciding::{DecisionView, KnownPerson, LinkKey, LinkRow, OpenLead, ViewAsk};
use crate::fault::Fault;

pub(super) async fn read(conn: &mut PgConnection, ask: ViewAsk) -> Result<DecisionView, Fault> {
    let links = links(conn, &ask.links).await?;
    let mut persons: BTreeSet<String> = ask.persons.iter().map(ToString::to_string).collect();
    persons.extend(links.iter().map(|link| link.person.to_string()));
    persons.extend(persons_by_keys(conn, &ask.keys).await?);
    let persons: Vec<String> = persons.into_iter().collect();
    let accounts_asked = column(&ask.accounts, ToString::to_string);
    let mut view = DecisionView { links, ..DecisionView::default() };
    if !persons.is_empty() {
        view.persons = known_persons(conn, &persons).await?;
        view.open_leads = open_leads(conn, &persons, ask.open_since.map_or(i64::MIN, ms)).await?;
        view.slots = slots(conn, "person", &persons).await?;
    }
    if !ask.accounts.is_empty() {
        view.accounts = accounts(conn, &accounts_asked).await?;
        view.slots.extend(slots(conn, "company", &accounts_asked).await?);
    }
    if let Some(mode) = ask.mode {
        view.balances = balances(conn, mode).await?;
    }
    Ok(view)
}

type LinkFound = (String, String, String, String, bool, bool, Option<String>);

async fn links(conn: &mut PgConnection, keys: &[LinkKey]) -> Result<Vec<LinkRow>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<LinkFound> = sqlx::query_as(
        "SELECT DISTINCT connection, object, external_id, person, enrolled, ours, seen FROM link \
         JOIN unnest($1::text[], $2::text[], $3::text[]) AS v (connection, object, external_id) \
         USING (connection, object, external_id)",
    )
    .bind(column(keys, |key| text(&key.connection)))
    .bind(column(keys, |key| text(&key.object)))
    .bind(column(keys, |key| text(&key.external_id)))
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(connection, object, external_id, person, enrolled, ours, seen)| {
            let key = LinkKey {
                connection: connection.into(),
                object: object.into(),
                external_id: external_id.into(),
            };
            Ok(LinkRow { key, person: id(&person)?, enrolled, ours, seen })
        })
        .collect()
}

async fn persons_by_keys(conn: &mut PgConnection, keys: &[IdentityKey]) -> Result<Vec<String>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT person FROM identity_key JOIN unnest($1::text[], $2::text[]) AS v (kind, value) USING (kind, value)",
    )
    .bind(column(keys, |key| key.kind.as_str()))
    .bind(column(keys, |key| text(&key.value)))
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(person,)| person).collect())
}

async fn known_persons(conn: &mut PgConnection, persons: &[String]) -> Result<Vec<KnownPerson>, Fault> {
    let mut known: BTreeMap<&str, KnownPerson> = BTreeMap::new();
    for person in persons {
        let id = id(person)?;
        known.insert(person, KnownPerson { id, keys: Vec::new(), names: Vec::new(), being_written: false });
    }
    let keys: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT person, kind, value FROM identity_key WHERE person = ANY($1) ORDER BY person, kind, value",
    )
    .bind(persons)
    .fetch_all(&mut *conn)
    .await?;
    for (person, kind, value) in keys {
        if let Some(entry) = known.get_mut(person.as_str()) {
            let kind = if kind == "email" { IdentityKind::Email } else { IdentityKind::Phone };
            entry.keys.push(IdentityKey { kind, value });
        }
    }
    let names: Vec<(String, String)> =
        sqlx::query_as("SELECT DISTINCT person, name FROM lead WHERE person = ANY($1) AND name != ''")
            .bind(persons)
            .fetch_all(&mut *conn)
            .await?;
    for (person, name) in names {
        if let Some(entry) = known.get_mut(person.as_str()) {
            entry.names.push(name);
        }
    }
    for person in being_written(conn, persons).await? {
        if let Some(entry) = known.get_mut(person.as_str()) {
            entry.being_written = true;
        }
    }
    Ok(known.into_values().collect())
}

/// Persons whose slot an unfinished write will bind, at whichever connection.
async fn being_written(conn: &mut PgConnection, persons: &[String]) -> Result<Vec<String>, Fault> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT DISTINCT split_part(binds, '/', 2) FROM effect WHERE split_part(binds, '/', 2) = ANY($1) \
         AND kind = 'ensure_person' AND state IN ('blocked', 'planned', 'sending', 'unknown')",
    )
    .bind(persons)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(person,)| person).collect())
}

async fn open_leads(conn: &mut PgConnection, persons: &[String], since: i64) -> Result<Vec<OpenLead>, Fault> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        lead_columns!(),
        ", (SELECT d.owner FROM decision d WHERE d.lead = l.id ORDER BY d.seq DESC LIMIT 1) \
         FROM unnest($1::text[]) AS v (person) CROSS JOIN LATERAL (SELECT * FROM lead WHERE lead.person = v.person \
         AND ((opened_at >= $2 AND close_reason NOT IN ('suppressed', 'merged')) OR state != 'closed') \
         ORDER BY opened_at DESC, seq DESC LIMIT 1) l"
    ))
    .bind(persons)
    .bind(since)
    .fetch_all(conn)
    .await?;
    let mut open = Vec::with_capacity(rows.len());
    for row in &rows {
        match lead(row) {
            Ok(lead) => {
                let owner: Option<String> = row.try_get(LEAD_WIDTH)?;
                open.push(OpenLead { lead, owner: owner.map(Into::into) });
            }
            // Worth a second lead of the person, not a halt for everybody.
            Err(fault) => tracing::error!(
                lead = row.try_get::<&str, _>(0)?,
                problem = fault.of_row(),
                "a stored lead can not be read and counts as none"
            ),
        }
    }
    Ok(open)
}

async fn slots(
    conn: &mut PgConnection,
    kind: &'static str,
    of: &[String],
) -> Result<Vec<(Slot, ExternalId)>, Fault> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("SELECT connection, of, external_id FROM slot WHERE kind = $1 AND of = ANY($2)")
            .bind(kind)
            .bind(of)
            .fetch_all(conn)
            .await?;
    let kind = if kind == "person" { SlotKind::Person } else { SlotKind::Company };
    Ok(rows
        .into_iter()
        .map(|(connection, of, id)| (Slot { connection: connection.into(), kind, of }, id.into()))
        .collect())
}

async fn accounts(conn: &mut PgConnection, ids: &[String]) -> Result<Vec<Account>, Fault> {
    type Found = (String, String, String, String, Option<String>, Option<String>);
    let rows: Vec<Found> = sqlx::query_as(
        "SELECT id, connection, external_id, name, owner, country FROM account WHERE id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|(account, connection, external_id, name, owner, country)| {
            let (connection, external_id) = (connection.into(), external_id.into());
            Ok(Account {
                id: id(&account)?,
                connection,
                external_id,
                name,
                owner: owner.map(Into::into),
                country,
            })
        })
        .collect()
}

async fn balances(
    conn: &mut PgConnection,
    mode: Mode,
) -> Result<BTreeMap<String, BTreeMap<usher_model::RepKey, Balance>>, Fault> {
    let rows: Vec<(String, String, f64, f64)> =
        sqlx::query_as("SELECT pool, rep, entitled, taken FROM balance WHERE mode = $1")
            .bind(mode.as_str())
            .fetch_all(conn)
            .await?;
    let mut balances: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
    for (pool, rep, entitled, taken) in rows {
        balances.entry(pool).or_default().insert(rep.into(), Balance { entitled, taken });
    }
    Ok(balances)
}
