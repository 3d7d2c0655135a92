//! `bench start`: how soon a daemon on a large database takes webhooks, while the CRM is too slow for it to decide.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use usher_sandbox::{Faults, Options, Sandbox, Span, typeform};
use usher_store::{OpenOptions, Operation, SqliteStore};

use crate::field::installation::{HOOK_SECRET, Installation, Tuning};
use crate::process::Usage;
use crate::report::{print, progress, round};

const PATIENCE: Duration = Duration::from_secs(300);

const ROUTING: &str = "version: 1
reps: { ana: { email: ana@agency.example } }
pools: { all: { members: [ana], strategy: round_robin, if_nobody: { wait: 30m, then: { rep: ana } } } }
rules: [ { name: All, when: 'true', assign: { pool: all } } ]
fallback: { rep: ana }
";

/// How soon a daemon on a large database takes webhooks
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// How many leads the database holds, written and closed
    #[arg(long, default_value_t = 1_000_000)]
    leads: u64,
    /// Where the database is made, or was made by an earlier run
    #[arg(long)]
    folder: PathBuf,
}

pub(crate) async fn run(args: &Start) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.folder)?;
    let options = Options { limits: None, typeform_per_second: None, ..Options::default() };
    let sandbox = Sandbox::start(options.clone()).await?;
    // Every answer takes so long that owners and companies can not be read: deciding waits.
    sandbox.set_faults(Faults { latency_ms: Span(25_000, 25_000), ..Faults::default() });
    let mut usher = Installation::write(&args.folder, &sandbox, &options, ROUTING, Tuning::default())?;
    let database = usher.database();
    if !database.exists() {
        progress(&format!("making {} leads", args.leads));
        make(&database, args.leads).await?;
    }
    let bytes = std::fs::metadata(&database)?.len();
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut starts = Vec::new();
    for round in 0..3 {
        progress(&format!("start {round}"));
        starts.push(start(&mut usher, &client, round).await?);
    }
    let calls = calls(&database).await?;
    let report = json!({
        "leads": args.leads, "database_mib": bytes / (1 << 20), "starts": starts, "calls": calls,
        "cpu_s_of_this_process": round(Usage::own().cpu()),
    });
    print(&report, None)
}

/// One start: seconds until the port answers, a webhook is stored, and readiness is told.
async fn start(usher: &mut Installation, client: &reqwest::Client, number: u32) -> anyhow::Result<Value> {
    let began = Instant::now();
    usher.start()?;
    let body = json!({ "event_id": format!("e{number}"), "event_type": "form_response",
        "form_response": { "form_id": "hooked1", "token": format!("start-{number}"), "landed_at": "2026-11-22T12:00:00Z",
            "submitted_at": "2026-11-22T12:00:01Z", "hidden": {}, "answers": [],
            "definition": { "id": "hooked1", "title": "Start", "fields": [] } } })
    .to_string();
    let signature = typeform::sign(HOOK_SECRET, body.as_bytes());
    let hook = format!("{}/hooks/hooked-form", usher.address);
    let mut answered = None;
    loop {
        anyhow::ensure!(began.elapsed() < PATIENCE, "no webhook was taken; see {}", usher.log().display());
        let post = client.post(&hook).header("Typeform-Signature", &signature);
        let post = post.header("content-type", "application/json").body(body.clone());
        if let Ok(answer) = post.send().await {
            answered.get_or_insert(began.elapsed());
            match answer.status().as_u16() {
                200 => break,
                503 => {}
                other => anyhow::bail!("the webhook was answered with {other}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let stored = began.elapsed();
    let ready = client.get(format!("{}/readyz", usher.address)).send().await?.status().as_u16();
    let (status, stop) = usher.stop(Duration::from_secs(30))?;
    Ok(json!({
        "first_answer_s": answered.map(|at| round(at.as_secs_f64())), "webhook_stored_s": round(stored.as_secs_f64()),
        "readyz": ready, "stop_s": round(stop.as_secs_f64()), "exit": status.code(),
    }))
}

/// Milliseconds of the calls that the watchdog and `usher status` make.
async fn calls(database: &Path) -> anyhow::Result<Value> {
    use usher_store::{Cutoffs, Inspection, Pruned, Upkeep};
    let store = SqliteStore::open(&database.display().to_string(), OpenOptions::daemon()).await?;
    let now = jiff::Timestamp::now();
    let ms = |since: Instant| round(since.elapsed().as_secs_f64() * 1000.0);
    let mut times = serde_json::Map::new();
    for call in ["vitals_cold_ms", "vitals_ms"] {
        let began = Instant::now();
        store.vitals(now, now).await?;
        times.insert(call.to_owned(), json!(ms(began)));
    }
    let began = Instant::now();
    store.counts().await?;
    times.insert("counts_ms".to_owned(), json!(ms(began)));
    let began = Instant::now();
    let found = store.discrepancies().await?;
    times.insert("discrepancies_ms".to_owned(), json!(ms(began)));
    anyhow::ensure!(found.is_empty(), "the made-up database does not add up: {found:?}");
    let began = Instant::now();
    store.take_over(now).await?;
    times.insert("take_over_ms".to_owned(), json!(ms(began)));
    let keep = Cutoffs { payloads: now, deliveries: now, attempts: now };
    let (mut pruned, mut longest, mut slices) = (Pruned::default(), 0.0_f64, 0);
    while slices < 200 && !pruned.done {
        let began = Instant::now();
        pruned = store.prune(keep, pruned).await?;
        longest = longest.max(ms(began));
        slices += 1;
    }
    times.insert("prune_slice_longest_ms".to_owned(), json!(longest));
    store.close().await?;
    Ok(Value::Object(times))
}

/// Rows as a lead leaves them that was written long ago, of about the size that real ones have.
const ROWS: [&str; 11] = [
    "INSERT INTO record (seq, id, connection, object, external_id, revision, lane, created_at, imported, gone, received_at, \
     state, due_at, lead, ended_at) SELECT n, printf('%032x', n), 'hooked-form', 'responses', printf('r%d', n), '1', 0, \
     1795000000000 + n, 0, 0, 1795000000000 + n, 'opened', 1795000000000 + n, printf('%032x', n), 1795000000000 + n FROM n",
    "INSERT INTO payload SELECT n, json_object('answers', printf('%.*c', 300, 'x')) FROM n",
    "INSERT INTO person SELECT printf('%032x', n), 1795000000000 + n FROM n",
    "INSERT INTO identity_key SELECT 'email', printf('p%d@acme%d.example', n, n % 50000), printf('%032x', n) FROM n",
    "INSERT INTO link SELECT 'hooked-form', 'responses', printf('r%d', n), printf('%032x', n), 1, 0 FROM n",
    "INSERT INTO lead (seq, id, person, state, close_reason, mode, connection, received_at, opened_at, closed_at, episode, \
     name, fields) SELECT n, printf('%032x', n), printf('%032x', n), 'closed', 'written', \
     CASE WHEN n % 10 THEN 'live' ELSE 'observe' END, 'hooked-form', 1795000000000 + n, 1795000000000 + n, \
     1795000000000 + n, printf('%032x', n), printf('Person %d', n), json_object('message', printf('%.*c', 300, 'x')) FROM n",
    "INSERT INTO decision (seq, id, lead, path, rep, owner, body) SELECT n, printf('%032x', n), printf('%032x', n), \
     'all', 'ana', '101', json_object('trace', printf('%.*c', 700, 'x')) FROM n",
    "INSERT INTO turn SELECT n, 'all', 'live', printf('%032x', n), 1795000000000 + n, 'ana', 1, 'assigned', '{\"ana\":1.0}' FROM n",
    "INSERT INTO slot SELECT printf('person/%032x/hubspot-main', n), 'hubspot-main', 'person', printf('%032x', n), \
     printf('%d', n), 'created', 'contacts', 1795000000000 + n FROM n",
    "INSERT INTO effect (seq, key, connection, kind, lead, episode, ordinal, binds, state, due_at, attempts, sent_at, \
     planned_at, ended_at, external_id, body) SELECT n * 3 + k, printf('%032x', n * 3 + k), 'hubspot-main', \
     CASE k WHEN 0 THEN 'ensure_person' WHEN 1 THEN 'update_object' ELSE 'create_task' END, printf('%032x', n), \
     printf('%032x', n), k, CASE k WHEN 0 THEN printf('person/%032x/hubspot-main', n) END, 'done', 1795000000000 + n, 1, \
     1795000000000 + n, 1795000000000 + n, 1795000000000 + n, printf('%d', n), json_object('body', printf('%.*c', 200, 'x')) \
     FROM n, (SELECT 0 AS k UNION SELECT 1 UNION SELECT 2)",
    "INSERT INTO attempt SELECT n * 3 + k, 1, 1795000000000 + n, 'done', NULL \
     FROM n, (SELECT 0 AS k UNION SELECT 1 UNION SELECT 2)",
];

async fn make(database: &Path, leads: u64) -> anyhow::Result<()> {
    let store = SqliteStore::open(&database.display().to_string(), OpenOptions::daemon()).await?;
    store.close().await?;
    let options = SqliteConnectOptions::new()
        .filename(database)
        .pragma("journal_mode", "OFF")
        .pragma("synchronous", "OFF")
        .pragma("cache_size", "-2000000")
        .disable_statement_logging();
    let mut conn = options.connect().await?;
    for rows in ROWS {
        insert(&mut conn, rows, leads).await.with_context(|| rows.chars().take(40).collect::<String>())?;
    }
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut conn).await?;
    conn.close().await?;
    Ok(())
}

async fn insert(conn: &mut SqliteConnection, rows: &'static str, leads: u64) -> anyhow::Result<()> {
    let numbers = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?)";
    let statement = sqlx::AssertSqlSafe(format!("{numbers} {rows}"));
    sqlx::query(statement).bind(i64::try_from(leads)?).execute(conn).await?;
    Ok(())
}
