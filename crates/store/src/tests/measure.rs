//! What the hot calls cost, printed. Run with
//! `cargo test --release -p usher-store measure -- --ignored --nocapture --test-threads 1`.
#![allow(clippy::print_stdout)]

use std::sync::Arc;

use serde_json::value::RawValue;
use usher_model::{EffectKind, Lane, Mode, PersonId, Step};

use super::Backend;
use super::fixture::{at, crm, done, draft, form, new_record, opening};
use super::sqlite::SqliteFile;
use crate::{DecisionCommit, NewRecord, Prepared, PullCommit, Store, Verdict};

/// CPU milliseconds of this process so far, user and system.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    // The main thread alone is of no use: sum over all threads.
    let tasks = std::fs::read_dir("/proc/self/task").map(|tasks| {
        tasks
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
            .filter_map(|text| text.split(' ').next()?.parse::<f64>().ok())
            .sum::<f64>()
    });
    tasks.unwrap_or_else(|_| stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0.0)) / 1e6
}

struct Cost {
    name: &'static str,
    started: f64,
    clock: std::time::Instant,
}

impl Cost {
    fn of(name: &'static str) -> Self {
        Self { name, started: cpu_ms(), clock: std::time::Instant::now() }
    }

    fn over(self, rounds: u32) {
        let (cpu, wall) = (cpu_ms() - self.started, self.clock.elapsed().as_secs_f64() * 1e3);
        let rounds = f64::from(rounds);
        println!("{:<28} {:>8.3} ms CPU, {:>8.3} ms wall each", self.name, cpu / rounds, wall / rounds);
    }
}

fn sized(n: i64) -> NewRecord {
    let properties: String = (0..20).map(|k| format!("\"property_{k}\":\"{}\",", "v".repeat(55))).collect();
    let payload = format!("{{\"id\":\"{n}\",\"properties\":{{{properties}\"x\":null}}}}");
    let mut new = new_record(n);
    new.record.payload = RawValue::from_string(payload).unwrap();
    new.lane = Lane::Live;
    new
}

async fn measure_pull(store: &Arc<dyn Store>, rounds: u32) {
    let pages: Vec<PullCommit> = (0..i64::from(rounds))
        .map(|page| PullCommit {
            connection: form(),
            stream: "contacts/live".to_owned(),
            previous: (page > 0).then(|| serde_json::json!({ "page": page - 1 })),
            cursor: serde_json::json!({ "page": page }),
            records: (page * 100..page * 100 + 100).map(sized).collect(),
            now: at(page),
        })
        .collect();
    let mut again = pages.clone();
    again.iter_mut().for_each(|page| page.stream = "contacts/sweep".to_owned());
    let cost = Cost::of("commit_pull 100");
    for page in pages {
        store.commit_pull(page).await.unwrap();
    }
    cost.over(rounds);
    let cost = Cost::of("commit_pull 100 repeated");
    for page in again {
        store.commit_pull(page).await.unwrap();
    }
    cost.over(rounds);
}

fn fold(first: i64, ready: &[usher_model::Draft]) -> DecisionCommit {
    let mut whole = DecisionCommit::default();
    for (n, draft) in (first..).zip(ready) {
        let mut one = opening(draft.record, n, PersonId::new(at(n)), Mode::Live, at(n)).commit;
        let step = |rule| Step::Rule {
            name: format!("rule {rule}"),
            held: false,
            why: "lead.country = \"DE\"".to_owned(),
        };
        one.decisions[0].trace.steps = (0..12).map(step).collect();
        whole.records.append(&mut one.records);
        whole.persons.append(&mut one.persons);
        whole.identity.append(&mut one.identity);
        whole.links.append(&mut one.links);
        whole.opened.append(&mut one.opened);
        whole.decisions.append(&mut one.decisions);
        whole.effects.append(&mut one.effects);
    }
    whole
}

async fn measure_prepare(store: &Arc<dyn Store>, rounds: u32) {
    let cost = Cost::of("claim + commit_prepared 256");
    for _ in 0..rounds {
        let claimed = store.claim_records(256, at(1_000_000), at(1_000_060)).await.unwrap();
        let prepared = claimed.iter().map(|record| {
            let draft = Box::new(draft(record.id, record.external_id.as_str().parse().unwrap()));
            Prepared { record: record.id, verdict: Verdict::Mapped { draft, ready_at: at(0) } }
        });
        store.commit_prepared(prepared.collect(), at(1_000_000)).await.unwrap();
    }
    cost.over(rounds);
}

async fn measure_decide(store: &Arc<dyn Store>, rounds: u32) {
    let mut next = 0;
    for name in ["commit_decisions 256 first", "commit_decisions 256"] {
        let mut commits = Vec::new();
        // Folds are built beforehand: what is measured is the store.
        let ready = store.ready(256 * rounds / 2, at(2_000_000)).await.unwrap().drafts;
        for chunk in ready.chunks(256) {
            commits.push(fold(next, chunk));
            next += 256;
        }
        let count = u32::try_from(commits.len()).unwrap();
        let cost = Cost::of(name);
        for commit in commits {
            store.commit_decisions(commit, at(2_000_000)).await.unwrap();
        }
        cost.over(count);
    }
    let cost = Cost::of("ready 256");
    for _ in 0..10 {
        store.ready(256, at(2_000_000)).await.unwrap();
    }
    cost.over(10);
}

async fn measure_deliver(store: &Arc<dyn Store>, rounds: u32) {
    for kind in [EffectKind::EnsurePerson, EffectKind::UpdateObject, EffectKind::CreateTask] {
        let cost = Cost::of(kind.as_str());
        for round in 0..rounds {
            let now = at(3_000_000 + i64::from(round));
            let claimed = store.claim_effects(&crm(), kind, 100, now, at(4_000_000)).await.unwrap();
            assert_eq!(claimed.len(), 100);
            let outcome = |claim| done(claim, "1");
            store.finish_effects(claimed.iter().map(outcome).collect(), now).await.unwrap();
        }
        cost.over(rounds);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints measurements"]
async fn measure_intake() {
    let backend = SqliteFile::start().await.unwrap();
    measure_pull(&backend.store(), 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints measurements"]
async fn measure_the_way() {
    let backend = SqliteFile::start().await.unwrap();
    let store = backend.store();
    measure_pull(&store, 100).await;
    measure_prepare(&store, 32).await;
    measure_decide(&store, 16).await;
    measure_deliver(&store, 16).await;
    let cost = Cost::of("counts");
    store.counts().await.unwrap();
    cost.over(1);
}
