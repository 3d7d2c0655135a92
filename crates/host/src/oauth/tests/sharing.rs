//! Many callers, several processes, one refresh.

use futures::future::join_all;
use usher_connector::FaultClass;

use super::*;

/// Lets every caller ask for a token at once; returns what each got.
async fn all(
    keepers: &[Arc<TokenKeeper>],
    each: usize,
    patience: Duration,
) -> Vec<Result<(), usher_connector::Fault>> {
    let ask = |keeper: &Arc<TokenKeeper>| {
        let keeper = Arc::clone(keeper);
        tokio::spawn(async move { keeper.current(patience).await.map(drop) })
    };
    let tasks: Vec<_> = keepers.iter().flat_map(|keeper| (0..each).map(move |_| ask(keeper))).collect();
    join_all(tasks).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fm_058_sixty_four_callers_on_two_nodes_make_one_refresh() {
    let rig = Rig::start([granted("2", ""), granted("3", "")]).await;
    let nodes = [rig.keeper(), rig.keeper()];
    for expiry in 1..=2 {
        assert!(all(&nodes, 32, PATIENT).await.iter().all(Result::is_ok));
        assert_eq!(rig.vendor.requests().len(), expiry, "one refresh each");
        assert_eq!(rig.store.row().version, 1 + expiry as u64);
        rig.clock.advance(Duration::from_secs(LIFETIME));
    }
    let spent: Vec<bool> =
        rig.vendor.requests().iter().zip(["r1", "r2"]).map(|(sent, token)| sent.contains(token)).collect();
    assert_eq!(spent, [true, true], "each refresh spends what the one before brought");
    assert_eq!(rig.stored(), ("canary-a3".to_owned(), "canary-r3".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fm_060_five_hundred_who_wait_for_another_node_are_told_nothing_of_credentials() {
    let rig = Rig::start([]).await;
    let (now, far) = (rig.clock.now(), rig.clock.now() + Duration::from_secs(60));
    assert!(rig.store.lease(&crm(), 1, "another node", now, far).await.unwrap());
    for outcome in all(&[rig.keeper()], 500, Duration::from_millis(120)).await {
        assert_eq!(outcome.unwrap_err().class(), FaultClass::Transient);
    }
    let keeper = rig.keeper();
    let waiting = tokio::spawn(async move { all(&[keeper], 500, PATIENT).await });
    let row = TokenRow { version: 1, ..rig.grant("2") };
    assert!(rig.store.put(&row).await.unwrap());
    assert!(waiting.await.unwrap().iter().all(Result::is_ok));
    assert_eq!(rig.vendor.requests().len(), 0, "the other node's token was used");
}

#[tokio::test]
async fn fm_058_a_dead_nodes_lease_is_taken_over() {
    let rig = Rig::start([granted("2", "")]).await;
    let now = rig.clock.now();
    assert!(rig.store.lease(&crm(), 1, "dead", now, now + Duration::from_secs(20)).await.unwrap());
    rig.clock.advance(Duration::from_secs(20));
    rig.keeper().current(PATIENT).await.unwrap();
    assert_eq!(rig.stored().0, "canary-a2");
}

#[tokio::test]
async fn fm_058_who_lost_the_race_uses_the_winners_token() {
    // This node spends r1 while another one has connected again: the refusal says nothing about the new grant.
    let rig = Rig::start([refused("invalid_grant")]).await;
    let keeper = rig.keeper();
    let asking = keeper.current(PATIENT);
    let row = rig.grant("9");
    let reconnect = async {
        while rig.vendor.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(rig.store.put(&TokenRow { version: 1, ..row }).await.unwrap());
    };
    let (token, ()) = tokio::join!(asking, reconnect);
    assert!(token.is_ok() || rig.store.row().trouble.is_none());
    assert!(keeper.current(PATIENT).await.is_ok());
    assert_eq!((rig.vendor.requests().len(), rig.stored().0.as_str()), (1, "canary-a9"));
}

#[tokio::test]
async fn fm_059_a_caller_that_goes_away_takes_no_token_with_it() {
    let rig = Rig::start([granted("2", "")]).await;
    let go_on = Arc::new(Notify::new());
    *rig.store.go_on.lock().unwrap() = Some(Arc::clone(&go_on));
    let keeper = rig.keeper();
    rig.store.putting.notified().await;
    tokio::select! {
        _ = keeper.current(PATIENT) => panic!("nothing is stored yet"),
        () = rig.store.putting.notified() => {}
    }
    go_on.notify_one();
    while rig.store.row().version == 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.stored().1, "canary-r2");
}

#[tokio::test]
async fn fm_059_no_token_is_used_before_it_is_stored() {
    let rig = Rig::start([granted("2", "")]).await;
    let keeper = rig.keeper();
    let go_on = Arc::new(Notify::new());
    *rig.store.go_on.lock().unwrap() = Some(Arc::clone(&go_on));
    let full = async {
        rig.store.putting.notified().await;
        rig.store.putting.notified().await;
        rig.store.full.store(true, Ordering::Relaxed);
        go_on.notify_one();
    };
    let (outcome, ()) = tokio::join!(keeper.current(PATIENT), full);
    assert_eq!(outcome.unwrap_err().class(), FaultClass::Transient);
    *rig.store.go_on.lock().unwrap() = None;
    assert!(keeper.current(PATIENT).await.is_err(), "the disk is still full");
    rig.store.full.store(false, Ordering::Relaxed);
    keeper.current(PATIENT).await.unwrap();
    assert_eq!(rig.vendor.requests().len(), 1, "the token that was in hand is stored, no other asked for");
    assert_eq!(rig.stored().0, "canary-a2");
}

#[tokio::test]
async fn fm_098_a_rotation_waits_for_a_refresh_and_then_seals_its_tokens() {
    let rig = Rig::start([granted("2", "")]).await;
    let old = std::fs::read(&rig.key).unwrap();
    let go_on = Arc::new(Notify::new());
    *rig.store.go_on.lock().unwrap() = Some(Arc::clone(&go_on));
    let keeper = rig.keeper();
    rig.store.putting.notified().await;
    let refreshing = tokio::spawn(async move { keeper.current(PATIENT).await.map(drop) });
    rig.store.putting.notified().await;
    // The refresh has sealed with the old key and is about to store; now a rotation begins.
    let new = new_key();
    write_key(&rig.key, &[&new, &Secret::new(old)]);
    let keys = rig.keys().read().unwrap();
    let (store, clock) = (Arc::clone(&rig.store), Arc::clone(&rig.clock));
    let rotation = tokio::spawn(async move { reseal(&*store, &crm(), &keys, &*clock).await });
    *rig.store.go_on.lock().unwrap() = None;
    go_on.notify_one();
    refreshing.await.unwrap().unwrap();
    assert!(rotation.await.unwrap().unwrap());
    write_key(&rig.key, &[&new]);
    assert_eq!(rig.stored(), ("canary-a2".to_owned(), "canary-r2".to_owned()));
    let keys = rig.keys().read().unwrap();
    assert!(!reseal(&*rig.store, &crm(), &keys, &*rig.clock).await.unwrap(), "nothing is left to do");
}
