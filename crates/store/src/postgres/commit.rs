//! The one transaction of a fold over the ready leads.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use usher_model::{CloseReason, Decision, EpisodeId, Fields, LeadId, Mode};

use super::{column, doubt, lock, nodes, operation, plan, settle, slots};
use crate::codec::{ms, text};
use crate::deciding::{DecisionCommit, IdentityBinding, LinkBinding, NewLead, RecordEnd};
use crate::ended::Binding;
use crate::fault::Fault;
use crate::lead_row::{self, Leads, Standing, called};

/// Stores the fold, or nothing and [`Fault::Stale`] or [`Fault::Fenced`].
pub(super) async fn store(
    conn: &mut PgConnection,
    commit: DecisionCommit,
    now: Timestamp,
) -> Result<(), Fault> {
    lock::graph(conn).await?;
    nodes::check_fence(conn, commit.fence).await?;
    records(conn, &commit.records, now).await?;
    people(conn, &commit, now).await?;
    links(conn, &commit.links).await?;
    let mut unsettled = leads(conn, &commit, now).await?;
    completed(conn, &commit.completed).await?;
    decisions(conn, &commit.decisions).await?;
    ledger(conn, &commit).await?;
    let known =
        commit.slots.iter().map(|(slot, id, origin)| Binding::known(slot.clone(), id.clone(), *origin));
    slots::bind(conn, &known.collect::<Vec<_>>(), now).await?;
    supersede(conn, &commit.supersedes, now).await?;
    for (lead, reason) in &commit.suppressed {
        operation::suppress(conn, *lead, text(reason), now).await?;
        settled(conn, *lead).await?;
    }
    unsettled.extend(plan::effects(conn, &commit.effects, now).await?);
    doubt::mark(conn, &commit.effects).await?;
    settle::close_leads(conn, &unsettled, true, now).await?;
    incumbents(conn, &commit).await
}

/// What is on its way would happen after all: whoever takes the lead back has to look again.
async fn settled(conn: &mut PgConnection, lead: LeadId) -> Result<(), Fault> {
    let (moving,): (bool,) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM effect WHERE lead = $1 AND state IN ('sending', 'unknown'))",
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

async fn records(conn: &mut PgConnection, ends: &[RecordEnd], now: Timestamp) -> Result<(), Fault> {
    if ends.is_empty() {
        return Ok(());
    }
    let met: Vec<(i64,)> = sqlx::query_as(
        "UPDATE record r SET state = v.state, reason = v.reason, lead = v.lead, detail = v.detail, ended_at = $6 \
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS v (id, state, reason, lead, detail) \
         WHERE r.id = v.id AND r.state = 'mapped' RETURNING r.seq",
    )
    .bind(column(ends, |end| end.record.to_string()))
    .bind(column(ends, |end| end.state.as_str()))
    .bind(column(ends, |end| end.reason.map(usher_model::IgnoreReason::as_str)))
    .bind(column(ends, |end| end.lead.map(|lead| lead.to_string())))
    .bind(column(ends, |end| end.detail.as_ref().map(text)))
    .bind(ms(now))
    .fetch_all(&mut *conn)
    .await?;
    all(met.len() as u64, ends.len())?;
    sqlx::query("DELETE FROM draft WHERE record = ANY($1)")
        .bind(column(&met, |record| record.0))
        .execute(conn)
        .await?;
    Ok(())
}

async fn people(conn: &mut PgConnection, commit: &DecisionCommit, now: Timestamp) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO person (id, created_at) SELECT v, $2 FROM unnest($1::text[]) AS v ON CONFLICT DO NOTHING",
    )
    .bind(column(&commit.persons, ToString::to_string))
    .bind(ms(now))
    .execute(&mut *conn)
    .await?;
    let bindings: &[IdentityBinding] = &commit.identity;
    sqlx::query(
        "INSERT INTO identity_key (kind, value, person) SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) \
         ON CONFLICT DO NOTHING",
    )
    .bind(column(bindings, |binding| binding.key.kind.as_str()))
    .bind(column(bindings, |binding| text(&binding.key.value)))
    .bind(column(bindings, |binding| binding.person.to_string()))
    .execute(conn)
    .await?;
    Ok(())
}

struct Tie {
    person: String,
    enrolled: bool,
    seen: Option<String>,
}

/// Another person's object is left alone and missed by the count.
async fn links(conn: &mut PgConnection, bindings: &[LinkBinding]) -> Result<(), Fault> {
    // One object may be named twice in a fold, and Postgres updates a row once in a statement.
    let mut rows: BTreeMap<[String; 3], Tie> = BTreeMap::new();
    for LinkBinding { key, person, enrolled, seen } in bindings {
        let name = [text(&key.connection), text(&key.object), text(&key.external_id)];
        let new = || Tie { person: person.to_string(), enrolled: false, seen: None };
        let tie = rows.entry(name).or_insert_with(new);
        if tie.person != person.to_string() {
            return Err(Fault::Stale);
        }
        tie.enrolled |= *enrolled;
        tie.seen = seen.as_ref().map(text).or(tie.seen.take());
    }
    if rows.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = rows.into_iter().collect();
    let met = sqlx::query(
        "INSERT INTO link (connection, object, external_id, person, enrolled, seen, ours) SELECT v.*, FALSE \
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::text[]) AS v \
         ON CONFLICT (connection, object, external_id) DO UPDATE SET enrolled = link.enrolled OR excluded.enrolled, \
         seen = coalesce(excluded.seen, link.seen) \
         WHERE link.person = excluded.person",
    )
    .bind(column(&rows, |(name, _)| name[0].as_str()))
    .bind(column(&rows, |(name, _)| name[1].as_str()))
    .bind(column(&rows, |(name, _)| name[2].as_str()))
    .bind(column(&rows, |(_, tie)| tie.person.as_str()))
    .bind(column(&rows, |(_, tie)| tie.enrolled))
    .bind(column(&rows, |(_, tie)| tie.seen.as_deref()))
    .execute(conn)
    .await?;
    all(met.rows_affected(), rows.len())
}

/// Stores where the leads stand. Returns those that were open or closed before and got another episode.
async fn leads(
    conn: &mut PgConnection,
    commit: &DecisionCommit,
    now: Timestamp,
) -> Result<BTreeSet<String>, Fault> {
    let Leads { opened, moved, again } = Leads::of(commit, now)?;
    if !opened.is_empty() {
        open(conn, &opened).await?;
    }
    if !moved.is_empty() {
        advance(conn, &moved).await?;
    }
    if !again.is_empty() {
        begin_episodes(conn, &again).await?;
    }
    Ok(again.into_iter().map(|(lead, _)| lead.to_string()).collect())
}

async fn advance(conn: &mut PgConnection, moved: &[(LeadId, Standing)]) -> Result<(), Fault> {
    let met = sqlx::query(
        "UPDATE lead l SET state = v.state, close_reason = v.close_reason, detail = v.detail, closed_at = v.closed_at, \
         episode = coalesce(v.episode, l.episode), wait = v.wait, wait_until = v.wait_until FROM unnest($1::text[], \
         $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::bigint[]) AS v (id, state, \
         close_reason, detail, closed_at, episode, wait, wait_until) WHERE l.id = v.id AND l.state = 'waiting'",
    )
    .bind(column(moved, |(lead, _)| lead.to_string()))
    .bind(column(moved, |(_, standing)| standing.state.as_str()))
    .bind(column(moved, |(_, standing)| standing.reason.map(CloseReason::as_str)))
    .bind(column(moved, |(_, standing)| standing.detail.as_ref().map(text)))
    .bind(column(moved, |(_, standing)| standing.closed_at))
    .bind(column(moved, |(_, standing)| standing.episode.as_deref()))
    .bind(column(moved, |(_, standing)| standing.wait.as_deref()))
    .bind(column(moved, |(_, standing)| standing.wait_until))
    .execute(conn)
    .await?;
    all(met.rows_affected(), moved.len())
}

/// A further episode reopens a lead; one that waits has to be moved instead.
async fn begin_episodes(conn: &mut PgConnection, others: &[(LeadId, EpisodeId)]) -> Result<(), Fault> {
    let met = sqlx::query(
        "UPDATE lead l SET episode = v.episode, state = 'decided', close_reason = NULL, detail = NULL, closed_at = NULL \
         FROM unnest($1::text[], $2::text[]) AS v (id, episode) WHERE l.id = v.id AND l.state != 'waiting'",
    )
    .bind(column(others, |(lead, _)| lead.to_string()))
    .bind(column(others, |(_, episode)| episode.to_string()))
    .execute(conn)
    .await?;
    all(met.rows_affected(), others.len())
}

async fn open(conn: &mut PgConnection, rows: &[(&NewLead, Standing, String)]) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO lead (id, person, account, state, close_reason, detail, mode, connection, received_at, opened_at, \
         closed_at, episode, wait, wait_until, crm_owner, name, fields) SELECT id, person, account, state, close_reason, \
         detail, mode, connection, received_at, opened_at, closed_at, episode, wait, wait_until, crm_owner, name, fields \
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], \
         $9::bigint[], $10::bigint[], $11::bigint[], $12::text[], $13::text[], $14::bigint[], $15::text[], $16::text[], \
         $17::text[]) WITH ORDINALITY AS v (id, person, account, state, close_reason, detail, mode, connection, received_at, \
         opened_at, closed_at, episode, wait, wait_until, crm_owner, name, fields, n) ORDER BY n",
    )
    .bind(column(rows, |(new, _, _)| new.lead.id.to_string()))
    .bind(column(rows, |(new, _, _)| new.lead.person.to_string()))
    .bind(column(rows, |(new, _, _)| new.lead.account.map(|account| account.to_string())))
    .bind(column(rows, |(_, standing, _)| standing.state.as_str()))
    .bind(column(rows, |(_, standing, _)| standing.reason.map(CloseReason::as_str)))
    .bind(column(rows, |(_, standing, _)| standing.detail.as_ref().map(text)))
    .bind(column(rows, |(new, _, _)| new.lead.mode.as_str()))
    .bind(column(rows, |(new, _, _)| text(&new.lead.connection)))
    .bind(column(rows, |(new, _, _)| ms(new.lead.received_at)))
    .bind(column(rows, |(new, _, _)| ms(new.lead.opened_at)))
    .bind(column(rows, |(_, standing, _)| standing.closed_at))
    .bind(column(rows, |(_, standing, _)| standing.episode.as_deref()))
    .bind(column(rows, |(_, standing, _)| standing.wait.as_deref()))
    .bind(column(rows, |(_, standing, _)| standing.wait_until))
    .bind(column(rows, |(new, _, _)| new.crm_owner.as_ref().map(text)))
    .bind(column(rows, |(new, _, _)| called(&new.lead.fields)))
    .bind(column(rows, |(_, _, fields)| fields.as_str()))
    .execute(conn)
    .await?;
    Ok(())
}

async fn completed(conn: &mut PgConnection, completed: &[(LeadId, Fields)]) -> Result<(), Fault> {
    let rows = lead_row::completed(completed)?;
    if rows.is_empty() {
        return Ok(());
    }
    let met = sqlx::query(
        "UPDATE lead l SET name = v.name, fields = v.fields FROM unnest($1::text[], $2::text[], $3::text[]) \
         AS v (id, name, fields) WHERE l.id = v.id",
    )
    .bind(column(&rows, |row| row[0].as_str()))
    .bind(column(&rows, |row| row[1].as_str()))
    .bind(column(&rows, |row| row[2].as_str()))
    .execute(conn)
    .await?;
    all(met.rows_affected(), rows.len())
}

async fn decisions(conn: &mut PgConnection, decisions: &[Decision]) -> Result<(), Fault> {
    let rows = lead_row::decisions(decisions)?;
    sqlx::query(
        "INSERT INTO decision (id, lead, path, rep, owner, at, body) SELECT id, lead, path, rep, owner, at, body \
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[]) WITH ORDINALITY \
         AS v (id, lead, path, rep, owner, at, body, n) ORDER BY n",
    )
    .bind(column(&rows, |(decision, ..)| decision.id.to_string()))
    .bind(column(&rows, |(decision, ..)| decision.lead.to_string()))
    .bind(column(&rows, |(decision, ..)| text(&decision.path)))
    .bind(column(&rows, |(_, rep, ..)| rep.as_deref()))
    .bind(column(&rows, |(_, _, owner, _)| owner.as_deref()))
    .bind(column(&rows, |(decision, ..)| ms(decision.at)))
    .bind(column(&rows, |(.., body)| body.as_str()))
    .execute(conn)
    .await?;
    Ok(())
}

async fn ledger(conn: &mut PgConnection, commit: &DecisionCommit) -> Result<(), Fault> {
    let lines = lead_row::turns(&commit.turns)?;
    sqlx::query(
        "INSERT INTO turn (pool, mode, decision, at, rep, count, reason, shares) SELECT pool, mode, decision, at, rep, count, \
         reason, shares FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], \
         $8::text[]) WITH ORDINALITY AS v (pool, mode, decision, at, rep, count, reason, shares, n) ORDER BY n",
    )
    .bind(column(&lines, |(turn, _)| text(&turn.pool)))
    .bind(column(&lines, |(turn, _)| turn.mode.as_str()))
    .bind(column(&lines, |(turn, _)| turn.decision.to_string()))
    .bind(column(&lines, |(turn, _)| ms(turn.at)))
    .bind(column(&lines, |(turn, _)| text(&turn.rep)))
    .bind(column(&lines, |(turn, _)| i64::from(turn.count)))
    .bind(column(&lines, |(turn, _)| text(&turn.reason)))
    .bind(column(&lines, |(_, shares)| shares.as_str()))
    .execute(&mut *conn)
    .await?;
    // One fold runs in one mode: the lines' mode is the balances'. A rep may gain several times in a fold.
    let mode = commit.turns.first().map_or(Mode::Live, |turn| turn.mode);
    sqlx::query(
        "INSERT INTO balance (mode, pool, rep, entitled, taken) SELECT $1, pool, rep, sum(entitled), sum(taken) \
         FROM unnest($2::text[], $3::text[], $4::float8[], $5::float8[]) AS v (pool, rep, entitled, taken) \
         GROUP BY pool, rep ON CONFLICT (mode, pool, rep) DO UPDATE SET entitled = balance.entitled + excluded.entitled, \
         taken = balance.taken + excluded.taken",
    )
    .bind(mode.as_str())
    .bind(column(&commit.balances, |delta| text(&delta.pool)))
    .bind(column(&commit.balances, |delta| text(&delta.rep)))
    .bind(column(&commit.balances, |delta| delta.add.entitled))
    .bind(column(&commit.balances, |delta| delta.add.taken))
    .execute(conn)
    .await?;
    Ok(())
}

/// Cancels what earlier episodes planned and did not send. What ensures a person or a company stays: its key names no
/// episode, and others may wait for it.
async fn supersede(
    conn: &mut PgConnection,
    supersedes: &[(LeadId, EpisodeId)],
    now: Timestamp,
) -> Result<(), Fault> {
    if supersedes.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE effect e SET state = 'cancelled', cancelled = 'superseded', ended_at = $3, \
         problem = 'a later decision replaced it' FROM unnest($1::text[], $2::text[]) AS v (lead, episode) \
         WHERE e.lead = v.lead AND e.episode != v.episode AND e.state IN ('blocked', 'planned') \
         AND e.kind NOT IN ('ensure_person', 'ensure_company')",
    )
    .bind(column(supersedes, |(lead, _)| lead.to_string()))
    .bind(column(supersedes, |(_, episode)| episode.to_string()))
    .bind(ms(now))
    .execute(conn)
    .await?;
    Ok(())
}

async fn incumbents(conn: &mut PgConnection, commit: &DecisionCommit) -> Result<(), Fault> {
    if commit.incumbents.is_empty() {
        return Ok(());
    }
    // Several versions of one object may have shown several owners: the last one counts.
    sqlx::query(
        "UPDATE lead l SET incumbent = v.owner, incumbent_at = v.at FROM (SELECT DISTINCT ON (id) id, owner, at \
         FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS v (id, owner, at, n) \
         ORDER BY id, at DESC, n DESC) v WHERE l.id = v.id AND coalesce(l.incumbent_at, v.at) <= v.at",
    )
    .bind(column(&commit.incumbents, |(lead, _, _)| lead.to_string()))
    .bind(column(&commit.incumbents, |(_, owner, _)| text(owner)))
    .bind(column(&commit.incumbents, |(_, _, at)| ms(*at)))
    .execute(conn)
    .await?;
    Ok(())
}
