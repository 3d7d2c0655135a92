//! The one transaction of a fold over the ready leads.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sqlx::SqliteConnection;
use usher_model::{CloseReason, EpisodeId, ExternalId, LeadId, Mode, Slot, Turn};

use super::bulk::{Bound, Bulk, Script};
use super::codec::{ms, text};
use super::fault::Fault;
use super::{doubt, operation, plan, settle, slots};
use crate::deciding::{BalanceDelta, DecisionCommit, IdentityBinding, LinkBinding, NewLead, RecordEnd};
use crate::ended::Binding;
use crate::lead_row::{Leads, Standing, called, completed, decisions, turns};

static RECORD: Bulk = Bulk::over(
    "WITH v (id, state, reason, lead, detail, ended_at)",
    6,
    "UPDATE record SET state = v.state, reason = v.reason, lead = v.lead, detail = v.detail, ended_at = v.ended_at \
     FROM v WHERE record.id = v.id AND +record.state = 'mapped'",
);
static DRAFT_GONE: Bulk = Bulk::over(
    "WITH v (id)",
    1,
    "DELETE FROM draft WHERE record IN (SELECT r.seq FROM v CROSS JOIN record r ON r.id = v.id)",
);
static PERSON: Bulk = Bulk::insert("INSERT INTO person (id, created_at)", 2, "ON CONFLICT DO NOTHING");
static IDENTITY: Bulk =
    Bulk::insert("INSERT INTO identity_key (kind, value, person)", 3, "ON CONFLICT DO NOTHING");
/// Counts the objects that are this person's afterwards, new or known; another person's are left alone, not counted.
static LINK: Bulk = Bulk::insert(
    "INSERT INTO link (connection, object, external_id, person, enrolled, ours, seen)",
    7,
    "ON CONFLICT DO UPDATE SET enrolled = max(enrolled, excluded.enrolled), seen = coalesce(excluded.seen, seen) \
     WHERE person = excluded.person",
);
static LEAD: Bulk = Bulk::insert(
    "INSERT INTO lead (id, person, account, state, close_reason, detail, mode, connection, received_at, opened_at, \
     closed_at, episode, wait, wait_until, crm_owner, name, fields)",
    17,
    "",
);
static COMPLETED: Bulk = Bulk::over(
    "WITH v (id, name, fields)",
    3,
    "UPDATE lead SET name = v.name, fields = v.fields FROM v WHERE lead.id = v.id",
);
static MOVED: Bulk = Bulk::over(
    "WITH v (id, state, close_reason, detail, closed_at, episode, wait, wait_until)",
    8,
    "UPDATE lead SET state = v.state, close_reason = v.close_reason, detail = v.detail, closed_at = v.closed_at, \
     episode = coalesce(v.episode, lead.episode), wait = v.wait, wait_until = v.wait_until \
     FROM v WHERE lead.id = v.id AND +lead.state = 'waiting'",
);
/// A further episode reopens a lead; one that waits has to be moved instead.
static EPISODE: Bulk = Bulk::over(
    "WITH v (id, episode)",
    2,
    "UPDATE lead SET episode = v.episode, state = 'decided', close_reason = NULL, detail = NULL, closed_at = NULL \
     FROM v WHERE lead.id = v.id AND +lead.state != 'waiting'",
);
static DECISION: Bulk = Bulk::insert("INSERT INTO decision (id, lead, path, rep, owner, at, body)", 7, "");
static TURN: Bulk =
    Bulk::insert("INSERT INTO turn (pool, mode, decision, at, rep, count, reason, shares)", 8, "");
static BALANCE: Bulk = Bulk::insert(
    "INSERT INTO balance (mode, pool, rep, entitled, taken)",
    5,
    "ON CONFLICT DO UPDATE SET entitled = entitled + excluded.entitled, taken = taken + excluded.taken",
);
static INCUMBENT: Bulk = Bulk::over(
    "WITH v (id, owner, at)",
    3,
    "UPDATE lead SET incumbent = v.owner, incumbent_at = v.at FROM v WHERE lead.id = v.id \
     AND coalesce(lead.incumbent_at, v.at) <= v.at",
);

/// Stores the fold, or nothing and [`Fault::Stale`].
pub(super) async fn store(
    conn: &mut SqliteConnection,
    commit: DecisionCommit,
    now: Timestamp,
) -> Result<(), Fault> {
    let mut unsettled = rows(conn, &commit, now).await?;
    for (lead, episode) in &commit.supersedes {
        supersede(conn, *lead, *episode, now).await?;
    }
    for (lead, reason) in commit.suppressed {
        operation::suppress(conn, lead, text(reason), now).await?;
        settled(conn, lead).await?;
    }
    unsettled.extend(plan::effects(conn, &commit.effects, &commit.opened, now).await?);
    doubt::mark(conn, &commit.effects).await?;
    settle::close_leads(conn, &unsettled, true, now).await
}

/// Stores everything but effects. Returns the leads that were open or closed before and got another episode.
async fn rows(
    conn: &mut SqliteConnection,
    commit: &DecisionCommit,
    now: Timestamp,
) -> Result<BTreeSet<String>, Fault> {
    let leads = Leads::of(commit, now)?;
    let completed = completed(&commit.completed)?;
    let decisions = decisions(&commit.decisions)?;
    let turns = turns(&commit.turns)?;
    // One fold runs in one mode: the lines' mode is the balances'.
    let mode = commit.turns.first().map_or(Mode::Live, |turn| turn.mode);
    let known =
        |(slot, id, origin): &(Slot, ExternalId, _)| Binding::known(slot.clone(), id.clone(), *origin);
    let slots: Vec<Binding> = commit.slots.iter().map(known).collect();
    // Statements that compare what they change with what the fold has seen have to meet all of their rows, records first:
    // whoever comes too late must not trip over what the other one has stored.
    let script = Script::new()
        .then(&RECORD, &commit.records, |query, end| record(query, end, now))
        .then(&DRAFT_GONE, &commit.records, |query, end| query.bind(end.record.to_string()))
        .then(&PERSON, &commit.persons, |query, person| query.bind(person.to_string()).bind(ms(now)))
        .then(&IDENTITY, &commit.identity, identity)
        .then(&LINK, &commit.links, link);
    all_met(&script.run(conn).await?, [(0, commit.records.len()), (4, commit.links.len())])?;
    let script = Script::new()
        .then(&LEAD, &leads.opened, |query, (new, standing, fields)| opened(query, new, standing, fields))
        .then(&MOVED, &leads.moved, |query, (lead, standing)| moved(query, *lead, standing))
        .then(&EPISODE, &leads.again, |query, (lead, episode)| {
            query.bind(lead.to_string()).bind(episode.to_string())
        })
        .then(&COMPLETED, &completed, |query, [lead, name, fields]| {
            query.bind(lead.clone()).bind(name.clone()).bind(fields.clone())
        })
        .then(&DECISION, &decisions, |query, (decision, rep, owner, body)| {
            query
                .bind(decision.id.to_string())
                .bind(decision.lead.to_string())
                .bind(text(&decision.path))
                .bind(rep.clone())
                .bind(owner.clone())
                .bind(ms(decision.at))
                .bind(body.clone())
        })
        .then(&TURN, &turns, |query, (turn, shares)| line(query, turn, shares))
        .then(&BALANCE, &commit.balances, |query, BalanceDelta { pool, rep, add }| {
            query.bind(mode.as_str()).bind(text(pool)).bind(text(rep)).bind(add.entitled).bind(add.taken)
        })
        .then(&INCUMBENT, &commit.incumbents, |query, (lead, owner, at)| {
            query.bind(lead.to_string()).bind(text(owner)).bind(ms(*at))
        });
    let changed = slots::bind(conn, script, &slots, now).await?;
    all_met(&changed, [(1, leads.moved.len()), (2, leads.again.len()), (3, completed.len())])?;
    Ok(leads.again.into_iter().map(|(lead, _)| lead.to_string()).collect())
}

/// What is on its way would happen after all: whoever takes the lead back has to look again.
async fn settled(conn: &mut SqliteConnection, lead: LeadId) -> Result<(), Fault> {
    let (moving,): (bool,) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM effect WHERE lead = ? AND +state IN ('sending', 'unknown'))",
    )
    .bind(lead.to_string())
    .fetch_one(conn)
    .await?;
    if moving { Err(Fault::Stale) } else { Ok(()) }
}

/// Whether the statements at these places of a script met so many rows.
fn all_met<const N: usize>(changed: &[u64], wanted: [(usize, usize); N]) -> Result<(), Fault> {
    let met = |(place, wanted): (usize, usize)| changed.get(place).is_some_and(|met| *met == wanted as u64);
    if wanted.into_iter().all(met) { Ok(()) } else { Err(Fault::Stale) }
}

fn record(query: Bound, end: &RecordEnd, now: Timestamp) -> Bound {
    query
        .bind(end.record.to_string())
        .bind(end.state.as_str())
        .bind(end.reason.map(usher_model::IgnoreReason::as_str))
        .bind(end.lead.map(|lead| lead.to_string()))
        .bind(end.detail.as_ref().map(text))
        .bind(ms(now))
}

fn link(query: Bound, binding: &LinkBinding) -> Bound {
    query
        .bind(text(&binding.key.connection))
        .bind(text(&binding.key.object))
        .bind(text(&binding.key.external_id))
        .bind(binding.person.to_string())
        .bind(binding.enrolled)
        .bind(false)
        .bind(binding.seen.as_ref().map(text))
}

fn identity(query: Bound, binding: &IdentityBinding) -> Bound {
    query.bind(binding.key.kind.as_str()).bind(text(&binding.key.value)).bind(binding.person.to_string())
}

fn moved(query: Bound, lead: LeadId, standing: &Standing) -> Bound {
    query
        .bind(lead.to_string())
        .bind(standing.state.as_str())
        .bind(standing.reason.map(CloseReason::as_str))
        .bind(standing.detail.as_ref().map(text))
        .bind(standing.closed_at)
        .bind(standing.episode.clone())
        .bind(standing.wait.clone())
        .bind(standing.wait_until)
}

fn opened(query: Bound, new: &NewLead, standing: &Standing, fields: &str) -> Bound {
    let lead = &new.lead;
    query
        .bind(lead.id.to_string())
        .bind(lead.person.to_string())
        .bind(lead.account.map(|account| account.to_string()))
        .bind(standing.state.as_str())
        .bind(standing.reason.map(CloseReason::as_str))
        .bind(standing.detail.as_ref().map(text))
        .bind(lead.mode.as_str())
        .bind(text(&lead.connection))
        .bind(ms(lead.received_at))
        .bind(ms(lead.opened_at))
        .bind(standing.closed_at)
        .bind(standing.episode.clone())
        .bind(standing.wait.clone())
        .bind(standing.wait_until)
        .bind(new.crm_owner.as_ref().map(text))
        .bind(called(&lead.fields))
        .bind(fields.to_owned())
}

fn line(query: Bound, turn: &Turn, shares: &str) -> Bound {
    query
        .bind(text(&turn.pool))
        .bind(turn.mode.as_str())
        .bind(turn.decision.to_string())
        .bind(ms(turn.at))
        .bind(text(&turn.rep))
        .bind(turn.count)
        .bind(text(&turn.reason))
        .bind(shares.to_owned())
}

/// Cancels what earlier episodes planned and did not send. What ensures a person or a company stays: its key names no
/// episode, and others may wait for it.
async fn supersede(
    conn: &mut SqliteConnection,
    lead: LeadId,
    episode: EpisodeId,
    now: Timestamp,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE effect SET state = 'cancelled', cancelled = 'superseded', ended_at = ?3, \
         problem = 'a later decision replaced it' WHERE lead = ?1 AND episode != ?2 \
         AND +state IN ('blocked', 'planned') AND kind NOT IN ('ensure_person', 'ensure_company')",
    )
    .bind(lead.to_string())
    .bind(episode.to_string())
    .bind(ms(now))
    .execute(conn)
    .await?;
    Ok(())
}
