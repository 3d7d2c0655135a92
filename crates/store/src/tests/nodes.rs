//! Several nodes on one Postgres database: claims, the fence, the leader, deaths, restarts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use usher_model::{EffectBody, EffectKind, EffectState, Mode, PersonId, Slot, SlotKind};

use super::Backend;
use super::cluster::Cluster;
use super::fixture::{
    at, claim, create_task, crm, decided, done, form, mapped, new_record, opening, planned, standing, states,
};
use super::postgres::{PostgresDatabase, node};
use crate::postgres::{PostgresOptions, PostgresStore};
use crate::{Fence, PullCommit, Store, StoreError};

use EffectState::{Blocked, Planned, Sending, Unknown};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

/// An empty database with two nodes on it.
async fn two_nodes() -> Option<(PostgresDatabase, Arc<dyn Store>, Arc<dyn Store>)> {
    let database = PostgresDatabase::start().await?;
    let two: Arc<dyn Store> = Arc::new(node(database.url(), "two").await.unwrap());
    let one = database.store();
    Some((database, one, two))
}

/// Asks until the lease of another node has lapsed.
async fn lead(store: &dyn Store, ttl: Duration) -> Fence {
    loop {
        if let Some(fence) = store.lead(ttl).await.unwrap() {
            return fence;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fm_077_two_nodes_never_hold_one_claim() {
    let Some((_database, one, two)) = two_nodes().await else { return };
    for n in 1..=60 {
        decided(&one, n).await;
    }
    one.store_records((100..160).map(new_record).collect()).await.unwrap();
    let claims = async |store: &Arc<dyn Store>| {
        let (mut effects, mut records) = (Vec::new(), Vec::new());
        loop {
            let some =
                store.claim_effects(&crm(), EffectKind::EnsurePerson, 3, at(999), at(9_999)).await.unwrap();
            let more = store.claim_records(3, at(999), at(9_999)).await.unwrap();
            if some.is_empty() && more.is_empty() {
                return (effects, records);
            }
            effects.extend(some.into_iter().map(|claim| claim.effect.key.as_str().to_owned()));
            records.extend(more.into_iter().map(|record| record.id.to_string()));
        }
    };
    let (first, second) = tokio::join!(claims(&one), claims(&two));
    for (mine, theirs) in [(first.0, second.0), (first.1, second.1)] {
        assert_eq!(mine.len() + theirs.len(), 60);
        assert_eq!(mine.into_iter().chain(theirs).collect::<BTreeSet<_>>().len(), 60);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fm_077_a_replaced_leader_commits_nothing() {
    let Some((_database, one, two)) = two_nodes().await else { return };
    let record = mapped(&one, new_record(1), at(1)).await;
    let mut fold = opening(record, 1, PersonId::new(at(1)), Mode::Live, at(2));
    fold.commit.fence = one.lead(Duration::from_millis(1)).await.unwrap();
    let taken = Some(lead(&*two, LONG).await);
    assert!(taken > fold.commit.fence);
    assert_eq!(one.lead(LONG).await.unwrap(), None, "the other one leads");

    // Node one slept meanwhile, and believes that it leads.
    let error = one.commit_decisions(fold.commit.clone(), at(2)).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced), "{error:?}");
    assert_eq!(one.ready(9, at(9)).await.unwrap().drafts.len(), 1, "nothing was stored");
    two.commit_decisions(crate::DecisionCommit { fence: taken, ..fold.commit }, at(2)).await.unwrap();

    two.leave().await.unwrap();
    assert!(one.lead(LONG).await.unwrap() > taken, "who leaves in good order is not waited for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_leads_and_keeps_its_fence() {
    let Some((_database, one, two)) = two_nodes().await else { return };
    let (first, second) = tokio::join!(one.lead(LONG), two.lead(LONG));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(usize::from(first.is_some()) + usize::from(second.is_some()), 1, "{first:?} {second:?}");
    let (leader, fence) = match first {
        Some(fence) => (&one, fence),
        None => (&two, second.unwrap()),
    };
    assert_eq!(leader.lead(LONG).await.unwrap(), Some(fence));

    one.beat(LONG).await.unwrap();
    two.beat(LONG).await.unwrap();
    let nodes = one.nodes().await.unwrap();
    assert_eq!(nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert!(nodes.iter().all(|node| node.alive));
    assert_eq!(nodes.iter().filter(|node| node.leads).count(), 1);
    leader.leave().await.unwrap();
    assert_eq!(one.nodes().await.unwrap().iter().filter(|node| node.alive).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fm_079_a_start_takes_nothing_from_the_living_and_everything_from_the_dead() {
    let Some((_database, one, two)) = two_nodes().await else { return };
    let ana = decided(&one, 1).await;
    one.store_records(vec![new_record(2)]).await.unwrap();
    one.beat(LONG).await.unwrap();
    let sent = claim(&one, EffectKind::EnsurePerson, 5).await;
    assert_eq!(one.claim_records(9, at(5), at(99)).await.unwrap().len(), 1);

    two.take_over(at(6)).await.unwrap();
    two.beat(LONG).await.unwrap();
    assert_eq!(states(&two, ana.lead).await, [Sending, Blocked, Blocked]);
    assert!(two.claim_records(9, at(6), at(99)).await.unwrap().is_empty());

    // Its last sign of life lapses at once.
    one.beat(Duration::ZERO).await.unwrap();
    two.beat(LONG).await.unwrap();
    assert_eq!(states(&two, ana.lead).await, [Unknown, Blocked, Blocked], "never planned again unseen");
    let now = jiff::Timestamp::now();
    assert_eq!(two.claim_records(9, now, now).await.unwrap().len(), 1);
    // It was alive after all, and nobody looked yet: what it says counts.
    one.finish_effects(vec![done(&sent[0], "c1")], at(7)).await.unwrap();
    assert_eq!(states(&two, ana.lead).await, [EffectState::Done, Planned, Planned]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fm_081_leases_are_measured_by_the_clock_of_the_database() {
    let Some(database) = PostgresDatabase::start().await else { return };
    let (right, fast) =
        (node_by_its_clock(&database, "right").await, node_by_its_clock(&database, "fast").await);
    let record = mapped(&right, new_record(1), at(1)).await;
    let ana = opening(record, 1, PersonId::new(at(1)), Mode::Live, at(1));
    right.commit_decisions(ana.commit, at(1)).await.unwrap();
    right.store_records(vec![new_record(2)]).await.unwrap();
    let now = jiff::Timestamp::now();
    let ahead = now + Duration::from_secs(24 * 3600);
    let minute = Duration::from_secs(60);
    let kind = EffectKind::EnsurePerson;
    assert_eq!(right.claim_effects(&crm(), kind, 9, now, now + minute).await.unwrap().len(), 1);
    assert_eq!(right.claim_records(9, now, now + minute).await.unwrap().len(), 1);
    // For a node whose clock is a day ahead these claims would have lapsed long ago.
    assert_eq!(fast.recover_effects(ahead).await.unwrap(), 0);
    assert!(fast.claim_records(9, ahead, ahead + minute).await.unwrap().is_empty());
}

async fn node_by_its_clock(database: &PostgresDatabase, name: &str) -> Arc<dyn Store> {
    Arc::new(PostgresStore::open(PostgresOptions::new(database.url(), name).unwrap()).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fm_008_of_two_pulls_from_one_cursor_one_is_stored() {
    let Some((_database, one, two)) = two_nodes().await else { return };
    let pull = |previous: Option<i64>, n: i64| PullCommit {
        connection: form(),
        stream: "responses/live".to_owned(),
        previous: previous.map(|at| json!({ "at": at })),
        cursor: json!({ "at": n }),
        records: vec![new_record(n)],
        now: at(n),
    };
    let mut cursor = None;
    for round in 0..20 {
        let (mine, theirs) = (round * 10 + 1, round * 10 + 2);
        let (first, second) =
            tokio::join!(one.commit_pull(pull(cursor, mine)), two.commit_pull(pull(cursor, theirs)));
        assert_eq!(usize::from(first.is_ok()) + usize::from(second.is_ok()), 1, "round {round}");
        cursor = Some(if first.is_ok() { mine } else { theirs });
    }
    assert_eq!(one.counts().await.unwrap().records["fetched"], 20);
}

/// A task that waits for the person and for the confirmed owner, whose writes end at two nodes at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_of_two_slots_frees_what_waits_for_both() {
    let Some((database, one, two)) = two_nodes().await else { return };
    for round in 1..=5 {
        let record = mapped(&one, new_record(round), at(1)).await;
        let mut ana = opening(record, round, PersonId::new(at(round)), Mode::Live, at(1));
        let confirmed = Slot { connection: crm(), kind: SlotKind::Owner, of: ana.episode.to_string() };
        let mut task = create_task(ana.lead, ana.episode, ana.person);
        if let EffectBody::CreateTask { after, .. } = &mut task.body {
            *after = Some(confirmed.clone());
        }
        let mut update = ana.commit.effects.remove(1);
        if let EffectBody::UpdateObject { slot, target, .. } = &mut update.effect.body {
            *slot = Some(confirmed);
            *target = usher_model::ObjectRef::Id { kind: SlotKind::Person, id: "known".into() };
        }
        ana.commit.effects.truncate(1);
        ana.commit.effects.push(update);
        ana.commit.effects.extend(planned(vec![task], at(1)));
        one.commit_decisions(ana.commit, at(1)).await.unwrap();
        let person = claim(&one, EffectKind::EnsurePerson, 5).await;
        let owner = claim(&two, EffectKind::UpdateObject, 5).await;
        assert_eq!((person.len(), owner.len()), (1, 1));
        // Held up at the same place, and let go together.
        let gate = database.hold("need").await;
        let ends = async {
            tokio::join!(
                one.finish_effects(vec![done(&person[0], &format!("c{round}"))], at(6)),
                two.finish_effects(vec![done(&owner[0], "501")], at(6)),
            )
        };
        let (ends, ()) = tokio::join!(ends, gate.open_for(2));
        ends.0.unwrap();
        ends.1.unwrap();
        assert_eq!(claim(&one, EffectKind::CreateTask, 7).await.len(), 1, "round {round}");
        assert_eq!(standing(&one, ana.lead).await, "decided");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fm_080_a_store_outlives_the_crash_of_its_database() {
    let Some(cluster) = tokio::task::block_in_place(Cluster::start) else { return };
    let url = tokio::task::block_in_place(|| cluster.database());
    let store: Arc<dyn Store> = Arc::new(node(&url, "one").await.unwrap());
    let ana = decided(&store, 1).await;
    let before = store.counts().await.unwrap();
    tokio::task::block_in_place(|| cluster.crash());
    let error = store.counts().await.unwrap_err();
    assert!(matches!(error, StoreError::Away { .. }), "{error:?}");
    let (counts, ()) = tokio::join!(
        // Asked while it is down, answered once it is up again.
        async {
            loop {
                if let Ok(counts) = store.counts().await {
                    return counts;
                }
            }
        },
        async { tokio::task::block_in_place(|| cluster.up()) }
    );
    assert_eq!(counts, before);
    assert_eq!(claim(&store, EffectKind::EnsurePerson, 5).await.len(), 1);
    assert_eq!(states(&store, ana.lead).await[0], Sending);
}

/// Sessions that were open when the network lost its middle never answer again; new ones do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fm_080_sessions_that_fell_silent_are_given_up() {
    let Some(database) = PostgresDatabase::start().await else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = listener.local_addr().unwrap().port();
    let far = database.port();
    let silence = Arc::new(watch::Sender::new(0));
    tokio::spawn(carry_all(listener, far, Arc::clone(&silence)));
    let url = database.url().replace(&format!(":{far}/"), &format!(":{near}/"));
    let options = PostgresOptions::new(&url, "one").unwrap().longest(Duration::from_millis(400));
    let store: Arc<dyn Store> = Arc::new(PostgresStore::open(options).await.unwrap());
    store.lead(LONG).await.unwrap().unwrap();
    futures::future::join_all((0..10).map(|_| store.counts())).await;

    silence.send_modify(|times| *times += 1);
    assert!(matches!(store.lead(LONG).await, Err(StoreError::Away { .. })));
    let unanswered = futures::future::join_all((0..10).map(|_| store.counts())).await;
    assert!(unanswered.iter().any(|answer| matches!(answer, Err(StoreError::Away { .. }))));
    while store.lead(LONG).await.is_err() {}
    while store.counts().await.is_err() {}
}

async fn carry_all(listener: TcpListener, far: u16, silence: Arc<watch::Sender<u32>>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let mut far = TcpStream::connect(("127.0.0.1", far)).await.unwrap();
        let mut silence = silence.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                _ = silence.changed() => std::future::pending().await,
            }
        });
    }
}
