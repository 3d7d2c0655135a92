//! The one transaction of a fold over the ready leads.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use sqlx::SqliteConnection;
use usher_model::{CloseReason, Decision, EpisodeId, Fields, Lead, LeadId, Mode};

use super::bulk::Bulk;
use super::codec::{ids, json, ms, text};
use super::fault::Fault;
use super::{doubt, operation, plan, settle, slots};
use crate::deciding::{BalanceDelta, DecisionCommit, IdentityBinding, LinkBinding, NewLead, RecordEnd};
use crate::ended::Binding;
use crate::lead_row::{Context, Standing, called, given_to};

static RECORD: Bulk = Bulk::over(
    "WITH v (id, state, reason, lead, detail, ended_at)",
    6,
    "UPDATE record SET state = v.state, reason = v.reason, lead = v.lead, detail = v.detail, ended_at = v.ended_at \
     FROM v WHERE record.id = v.id AND +record.state = 'mapped'",
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
    records(conn, &commit.records, now).await?;
    PERSON.run(conn, &commit.persons, |query, person| query.bind(person.to_string()).bind(ms(now))).await?;
    identity(conn, &commit.identity).await?;
    links(conn, &commit.links).await?;
    let mut unsettled = leads(conn, &commit, now).await?;
    completed(conn, &commit.completed).await?;
    decisions(conn, &commit.decisions).await?;
    ledger(conn, &commit).await?;
    let known = commit.slots.iter().map(|(slot, id, origin)| Binding {
        slot: slot.clone(),
        id: id.clone(),
        origin: *origin,
        object: None,
        made_at: None,
        effect: String::new(),
    });
    slots::bind(conn, &known.collect::<Vec<_>>(), now).await?;
    for (lead, episode) in &commit.supersedes {
        supersede(conn, *lead, *episode, now).await?;
    }
    for (lead, reason) in commit.suppressed {
        operation::suppress(conn, lead, text(reason), now).await?;
        settled(conn, lead).await?;
    }
    unsettled.extend(plan::effects(conn, &commit.effects, &commit.opened, now).await?);
    doubt::mark(conn, &commit.effects).await?;
    settle::close_leads(conn, &unsettled, now).await?;
    INCUMBENT
        .run(conn, &commit.incumbents, |query, (lead, owner, at)| {
            query.bind(lead.to_string()).bind(text(owner)).bind(ms(*at))
        })
        .await?;
    Ok(())
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

/// A compare-and-set over several rows holds if it met every one of them.
fn all(met: u64, wanted: usize) -> Result<(), Fault> {
    if met == wanted as u64 { Ok(()) } else { Err(Fault::Stale) }
}

async fn records(conn: &mut SqliteConnection, ends: &[RecordEnd], now: Timestamp) -> Result<(), Fault> {
    if ends.is_empty() {
        return Ok(());
    }
    let met = RECORD
        .run(conn, ends, |query, end| {
            query
                .bind(end.record.to_string())
                .bind(end.state.as_str())
                .bind(end.reason.map(usher_model::IgnoreReason::as_str))
                .bind(end.lead.map(|lead| lead.to_string()))
                .bind(end.detail.as_ref().map(text))
                .bind(ms(now))
        })
        .await?;
    all(met, ends.len())?;
    sqlx::query(
        "DELETE FROM draft WHERE record IN (SELECT r.seq FROM json_each(?) j CROSS JOIN record r ON r.id = j.value)",
    )
    .bind(ids(ends.iter().map(|end| end.record)))
    .execute(conn)
    .await?;
    Ok(())
}

async fn identity(conn: &mut SqliteConnection, bindings: &[IdentityBinding]) -> Result<(), Fault> {
    IDENTITY
        .run(conn, bindings, |query, binding| {
            query
                .bind(binding.key.kind.as_str())
                .bind(text(&binding.key.value))
                .bind(binding.person.to_string())
        })
        .await?;
    Ok(())
}

async fn links(conn: &mut SqliteConnection, bindings: &[LinkBinding]) -> Result<(), Fault> {
    let met = LINK
        .run(conn, bindings, |query, binding| {
            query
                .bind(text(&binding.key.connection))
                .bind(text(&binding.key.object))
                .bind(text(&binding.key.external_id))
                .bind(binding.person.to_string())
                .bind(binding.enrolled)
                .bind(false)
                .bind(binding.seen.as_ref().map(text))
        })
        .await?;
    all(met, bindings.len())
}

/// Stores where the leads stand. Returns those that were open or closed before and got another episode.
async fn leads(
    conn: &mut SqliteConnection,
    commit: &DecisionCommit,
    now: Timestamp,
) -> Result<BTreeSet<String>, Fault> {
    let context = Context::of(commit, now);
    open(conn, &commit.opened, &context).await?;
    let modes: HashMap<LeadId, Mode> =
        commit.decisions.iter().map(|decision| (decision.lead, decision.mode)).collect();
    let mut moved = Vec::with_capacity(commit.moved.len());
    for (lead, state, reason, detail) in &commit.moved {
        let known = (*lead, modes.get(lead).copied());
        moved.push((*lead, context.standing(known, *state, *reason, detail.clone())?));
    }
    let met = MOVED
        .run(conn, &moved, |query, (lead, standing)| {
            query
                .bind(lead.to_string())
                .bind(standing.state.as_str())
                .bind(standing.reason.map(CloseReason::as_str))
                .bind(standing.detail.as_ref().map(text))
                .bind(standing.closed_at)
                .bind(standing.episode.clone())
                .bind(standing.wait.clone())
                .bind(standing.wait_until)
        })
        .await?;
    all(met, moved.len())?;
    let placed: HashSet<LeadId> =
        commit.opened.iter().map(|new| new.lead.id).chain(moved.iter().map(|m| m.0)).collect();
    let others: Vec<_> = context.episodes.iter().filter(|(lead, _)| !placed.contains(lead)).collect();
    let met = EPISODE
        .run(conn, &others, |query, (lead, episode)| query.bind(lead.to_string()).bind(episode.to_string()))
        .await?;
    all(met, others.len())?;
    Ok(others.into_iter().map(|(lead, _)| lead.to_string()).collect())
}

async fn open(conn: &mut SqliteConnection, opened: &[NewLead], context: &Context<'_>) -> Result<(), Fault> {
    let mut rows: Vec<(&NewLead, Standing, String)> = Vec::with_capacity(opened.len());
    for new in opened {
        let Lead { id, mode, state, close_reason, detail, fields, .. } = &new.lead;
        let standing = context.standing((*id, Some(*mode)), *state, *close_reason, detail.clone())?;
        rows.push((new, standing, json(fields)?));
    }
    LEAD.run(conn, &rows, |query, (new, standing, fields)| {
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
            .bind(fields.clone())
    })
    .await?;
    Ok(())
}

async fn completed(conn: &mut SqliteConnection, completed: &[(LeadId, Fields)]) -> Result<(), Fault> {
    // A lead that was completed twice in one fold keeps the later fields.
    let last: HashMap<LeadId, &Fields> = completed.iter().map(|(lead, fields)| (*lead, fields)).collect();
    let mut rows = Vec::with_capacity(last.len());
    for (lead, fields) in last {
        rows.push((lead.to_string(), called(fields), json(fields)?));
    }
    let met = COMPLETED
        .run(conn, &rows, |query, (lead, name, fields)| {
            query.bind(lead.clone()).bind(name.clone()).bind(fields.clone())
        })
        .await?;
    all(met, rows.len())
}

async fn decisions(conn: &mut SqliteConnection, decisions: &[Decision]) -> Result<(), Fault> {
    let mut rows = Vec::with_capacity(decisions.len());
    for decision in decisions {
        let (rep, owner) = given_to(decision);
        rows.push((decision, rep, owner, json(decision)?));
    }
    DECISION
        .run(conn, &rows, |query, (decision, rep, owner, body)| {
            query
                .bind(decision.id.to_string())
                .bind(decision.lead.to_string())
                .bind(text(&decision.path))
                .bind(rep.clone())
                .bind(owner.clone())
                .bind(ms(decision.at))
                .bind(body.clone())
        })
        .await?;
    Ok(())
}

async fn ledger(conn: &mut SqliteConnection, commit: &DecisionCommit) -> Result<(), Fault> {
    let mut lines = Vec::with_capacity(commit.turns.len());
    for turn in &commit.turns {
        lines.push((turn, json(&turn.shares)?));
    }
    TURN.run(conn, &lines, |query, (turn, shares)| {
        query
            .bind(text(&turn.pool))
            .bind(turn.mode.as_str())
            .bind(turn.decision.to_string())
            .bind(ms(turn.at))
            .bind(text(&turn.rep))
            .bind(turn.count)
            .bind(text(&turn.reason))
            .bind(shares.clone())
    })
    .await?;
    // One fold runs in one mode: the lines' mode is the balances'.
    let mode = commit.turns.first().map_or(Mode::Live, |turn| turn.mode);
    BALANCE
        .run(conn, &commit.balances, |query, BalanceDelta { pool, rep, add }| {
            query.bind(mode.as_str()).bind(text(pool)).bind(text(rep)).bind(add.entitled).bind(add.taken)
        })
        .await?;
    Ok(())
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
