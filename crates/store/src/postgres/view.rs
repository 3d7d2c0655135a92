//! What the decider sees: persons, links, open leads, slots, accounts and balances, a query each.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgConnection;
use usher_model::{Account, Balance, ExternalId, IdentityKey, Mode, RepKey, Slot, SlotKind};

use super::column;
use crate::codec::{ms, text};
use crate::deciding::{DecisionView, KnownPerson, LinkKey, LinkRow, OpenLead, ViewAsk};
use crate::fault::Fault;
use crate::stored_lead::lead_columns;
use crate::view_rows;

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
        view.slots = slots(conn, SlotKind::Person, &persons).await?;
    }
    if !ask.accounts.is_empty() {
        view.accounts = accounts(conn, &accounts_asked).await?;
        view.slots.extend(slots(conn, SlotKind::Company, &accounts_asked).await?);
    }
    if let Some((kind, leads)) = ask.inquiries.filter(|(_, leads)| !leads.is_empty()) {
        view.slots.extend(slots(conn, kind, &column(&leads, ToString::to_string)).await?);
    }
    if !ask.domains.is_empty() {
        view.gone_companies = gone_companies(conn, &ask.domains).await?;
    }
    if let Some(mode) = ask.mode {
        view.balances = balances(conn, mode).await?;
    }
    Ok(view)
}

async fn links(conn: &mut PgConnection, keys: &[LinkKey]) -> Result<Vec<LinkRow>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query_as(
        "SELECT DISTINCT connection, object, external_id, person, enrolled, ours, seen FROM link \
         JOIN unnest($1::text[], $2::text[], $3::text[]) AS v (connection, object, external_id) \
         USING (connection, object, external_id)",
    )
    .bind(column(keys, |key| text(&key.connection)))
    .bind(column(keys, |key| text(&key.object)))
    .bind(column(keys, |key| text(&key.external_id)))
    .fetch_all(conn)
    .await?;
    view_rows::links(rows)
}

async fn persons_by_keys(conn: &mut PgConnection, keys: &[IdentityKey]) -> Result<Vec<String>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let query = sqlx::query_scalar(
        "SELECT person FROM identity_key JOIN unnest($1::text[], $2::text[]) AS v (kind, value) USING (kind, value)",
    )
    .bind(column(keys, |key| key.kind.as_str()))
    .bind(column(keys, |key| text(&key.value)))
    ;
    Ok(query.fetch_all(conn).await?)
}

async fn known_persons(conn: &mut PgConnection, persons: &[String]) -> Result<Vec<KnownPerson>, Fault> {
    let keys = sqlx::query_as(
        "SELECT person, kind, value FROM identity_key WHERE person = ANY($1) ORDER BY person, kind, value",
    )
    .bind(persons)
    .fetch_all(&mut *conn)
    .await?;
    let names =
        sqlx::query_as("SELECT DISTINCT person, name FROM lead WHERE person = ANY($1) AND name != ''")
            .bind(persons)
            .fetch_all(&mut *conn)
            .await?;
    let being_written = being_written(conn, persons).await?;
    view_rows::known_persons(persons, keys, names, being_written)
}

/// Persons whose slot an unfinished write will bind, at whichever connection.
async fn being_written(conn: &mut PgConnection, persons: &[String]) -> Result<Vec<String>, Fault> {
    let query = sqlx::query_scalar(
        "SELECT DISTINCT split_part(binds, '/', 2) FROM effect WHERE split_part(binds, '/', 2) = ANY($1) \
         AND kind = 'ensure_person' AND state IN ('blocked', 'planned', 'sending', 'unknown')",
    )
    .bind(persons);
    Ok(query.fetch_all(conn).await?)
}

async fn open_leads(conn: &mut PgConnection, persons: &[String], since: i64) -> Result<Vec<OpenLead>, Fault> {
    let rows = sqlx::query_as(concat!(
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
    Ok(view_rows::open_leads(rows))
}

async fn slots(
    conn: &mut PgConnection,
    kind: SlotKind,
    of: &[String],
) -> Result<Vec<(Slot, ExternalId)>, Fault> {
    let rows =
        sqlx::query_as("SELECT connection, of, external_id FROM slot WHERE kind = $1 AND of = ANY($2)")
            .bind(kind.as_str())
            .bind(of)
            .fetch_all(conn)
            .await?;
    Ok(view_rows::slots(kind, rows))
}

async fn accounts(conn: &mut PgConnection, ids: &[String]) -> Result<Vec<Account>, Fault> {
    let rows = sqlx::query_as(
        "SELECT id, connection, external_id, name, owner, country FROM account WHERE id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    view_rows::accounts(rows)
}

async fn gone_companies(conn: &mut PgConnection, domains: &[String]) -> Result<Vec<String>, Fault> {
    let query = sqlx::query_scalar(
        "SELECT DISTINCT s.of FROM slot s JOIN account a ON a.connection = s.connection \
         AND a.external_id = s.external_id AND a.gone WHERE s.kind = 'company' AND s.of = ANY($1)",
    )
    .bind(column(domains, text));
    Ok(query.fetch_all(conn).await?)
}

async fn balances(
    conn: &mut PgConnection,
    mode: Mode,
) -> Result<BTreeMap<String, BTreeMap<RepKey, Balance>>, Fault> {
    let rows = sqlx::query_as("SELECT pool, rep, entitled, taken FROM balance WHERE mode = $1")
        .bind(mode.as_str())
        .fetch_all(conn)
        .await?;
    Ok(view_rows::balances(rows))
}
