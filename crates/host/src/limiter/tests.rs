//! The limiter on a paused clock: order, limits, pauses, patience, cancellation.

#![allow(clippy::unwrap_used)]

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const LONG: Duration = Duration::from_secs(100_000);

fn spec(name: &'static str, calls: u32, per: Duration) -> LimitSpec {
    LimitSpec::calls(name, calls, per)
}

fn limiter(specs: &[LimitSpec]) -> Arc<Limiter> {
    Arc::new(Limiter::new(specs, &LimiterSettings::all(Allowance::Share(Share::ALL)), DAY).unwrap())
}

fn left(name: &'static str, remaining: u32) -> LimitReport {
    LimitReport { name, units: None, per: None, remaining: Some(remaining) }
}

/// An answer to a call that counts nowhere.
async fn hear(limiter: &Arc<Limiter>, reports: &[LimitReport]) {
    limiter.acquire(&[], 1, CallLane::Pull, Duration::ZERO).await.unwrap().report(reports);
}

/// Lets every spawned task run until it waits.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

fn throttled(fault: &Fault) -> (&'static str, i64) {
    match fault.class() {
        FaultClass::Throttled { limit, retry_after } => (limit, retry_after.unwrap().as_secs()),
        other => panic!("not throttled: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn fm_064_many_waiters_never_exceed_any_window() {
    let limiter = limiter(&[spec("burst", 30, 10 * SECOND), spec("search", 5, SECOND)]);
    let times = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..400_usize {
        let (limiter, times) = (Arc::clone(&limiter), Arc::clone(&times));
        let names: &[&'static str] = if index % 2 == 0 { &["burst"] } else { &["burst", "search"] };
        tasks.spawn(async move {
            let permit = limiter.acquire(names, 1, CallLane::Pull, LONG).await.unwrap();
            times.lock().unwrap().push((limiter.now(), names.len() == 2));
            drop(permit);
        });
    }
    tasks.join_all().await;
    let times = times.lock().unwrap();
    assert_eq!(times.len(), 400);
    for (at, _) in times.iter() {
        let burst = times.iter().filter(|(t, _)| *t >= *at && *t - *at <= 10 * SECOND).count();
        let search = times.iter().filter(|(t, search)| *search && *t >= *at && *t - *at <= SECOND).count();
        assert!(burst <= 30 && search <= 5, "{burst} {search}");
    }
}

#[tokio::test(start_paused = true)]
async fn better_lanes_overtake_and_a_lane_keeps_its_order() {
    let limiter = limiter(&[spec("second", 1, SECOND)]);
    drop(limiter.acquire(&["second"], 1, CallLane::Pull, LONG).await.unwrap());
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    let lanes = [
        CallLane::Backfill,
        CallLane::Backfill,
        CallLane::Pull,
        CallLane::Verify,
        CallLane::Write,
        CallLane::Write,
    ];
    for (index, lane) in lanes.into_iter().enumerate() {
        let (limiter, order) = (Arc::clone(&limiter), Arc::clone(&order));
        tasks.spawn(async move {
            let _permit = limiter.acquire(&["second"], 1, lane, LONG).await.unwrap();
            order.lock().unwrap().push((lane, index));
        });
    }
    settle().await;
    assert_eq!(limiter.snapshot()[0].waiting, 6);
    tasks.join_all().await;
    let order = order.lock().unwrap();
    let expected = [4, 5, 3, 2, 0, 1].map(|index| (lanes[index], index));
    assert_eq!(*order, expected);
}

#[tokio::test(start_paused = true)]
async fn a_full_limit_does_not_hold_up_others() {
    let limiter = limiter(&[spec("search", 1, 60 * SECOND), spec("burst", 100, SECOND)]);
    drop(limiter.acquire(&["search"], 1, CallLane::Write, LONG).await.unwrap());
    let blocked = tokio::spawn({
        let limiter = Arc::clone(&limiter);
        async move { limiter.acquire(&["search"], 1, CallLane::Write, LONG).await.map(drop) }
    });
    settle().await;
    let start = limiter.now();
    drop(limiter.acquire(&["burst"], 1, CallLane::Backfill, LONG).await.unwrap());
    assert_eq!(limiter.now(), start);
    blocked.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_gives_up_takes_nothing_and_lets_the_next_one_pass() {
    let limiter = limiter(&[spec("second", 1, SECOND)]);
    drop(limiter.acquire(&["second"], 1, CallLane::Pull, LONG).await.unwrap());
    let first = tokio::spawn({
        let limiter = Arc::clone(&limiter);
        async move { limiter.acquire(&["second"], 1, CallLane::Write, LONG).await.map(drop) }
    });
    settle().await;
    let second = tokio::spawn({
        let limiter = Arc::clone(&limiter);
        async move { limiter.acquire(&["second"], 1, CallLane::Write, 2 * SECOND).await.map(drop) }
    });
    settle().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    second.await.unwrap().unwrap();
    assert!(limiter.now() < 2 * SECOND);
    let status = &limiter.snapshot()[0];
    assert_eq!((status.waiting, status.in_flight), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn i9_no_call_precedes_a_retry_after() {
    let limiter = limiter(&[spec("burst", 100, SECOND)]);
    let waiter = tokio::spawn({
        let limiter = Arc::clone(&limiter);
        assert_eq!(limiter.block("burst", Some(7 * SECOND)), Some(7 * SECOND));
        async move { limiter.acquire(&["burst"], 1, CallLane::Write, LONG).await.map(|_| limiter.now()) }
    });
    settle().await;
    assert_eq!(limiter.snapshot()[0].blocked_for, Some(7 * SECOND));
    // A later, shorter word does not cut the pause, a longer one extends it for those who wait already.
    limiter.block("burst", Some(SECOND));
    limiter.block("burst", Some(9 * SECOND));
    assert!(waiter.await.unwrap().unwrap() >= 9 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn fm_065_absurd_pauses_are_cut_and_missing_ones_filled() {
    let limiter = limiter(&[spec("burst", 100, 10 * SECOND), spec("daily", 1000, 86_400 * SECOND)]);
    assert_eq!(limiter.block("burst", Some(Duration::MAX)), Some(3600 * SECOND));
    assert_eq!(limiter.block("daily", Some(Duration::MAX)), Some(86_400 * SECOND));
    assert_eq!(limiter.block("other", None), None);
}

#[tokio::test(start_paused = true)]
async fn fm_064_an_exhausted_day_is_probed_by_one_call_at_growing_pauses() {
    let limiter = limiter(&[spec("daily", 1000, 86_400 * SECOND)]);
    let mut pauses = Vec::new();
    for _ in 0..7 {
        let permit = limiter.acquire(&["daily"], 1, CallLane::Write, LONG).await.unwrap();
        let asked = limiter.now();
        // A second call would be refused as well: it waits for the first one's answer.
        let fault = limiter.acquire(&["daily"], 1, CallLane::Write, Duration::ZERO).await.map(drop);
        assert_eq!(fault.is_err(), !pauses.is_empty());
        pauses.push(limiter.block("daily", None).unwrap().as_secs());
        // Calls that were under way together count once.
        assert!(limiter.block("daily", None).unwrap().as_secs() <= pauses[pauses.len() - 1]);
        limiter.passed(&["daily"]);
        drop(permit);
        let next = limiter.acquire(&["daily"], 1, CallLane::Write, LONG).await.unwrap();
        assert!(limiter.now() - asked >= Duration::from_secs(pauses[pauses.len() - 1]));
        drop(next);
    }
    assert_eq!(pauses, [56, 112, 225, 450, 900, 900, 900]);

    let probe = limiter.acquire(&["daily"], 1, CallLane::Write, LONG).await.unwrap();
    let waiting = tokio::spawn({
        let limiter = Arc::clone(&limiter);
        async move { limiter.acquire(&["daily"], 1, CallLane::Write, LONG).await.map(|_| limiter.now()) }
    });
    settle().await;
    assert!(!waiting.is_finished());
    let passed = limiter.now();
    limiter.passed(&["daily"]);
    assert_eq!(waiting.await.unwrap().unwrap(), passed);
    drop(probe);
    assert_eq!(limiter.block("daily", None).unwrap().as_secs(), 56);
}

#[tokio::test(start_paused = true)]
async fn fm_064_a_wait_beyond_patience_is_refused_at_once() {
    let limiter = limiter(&[spec("daily", 10, 86_400 * SECOND)]);
    limiter.block("daily", Some(600 * SECOND));
    let start = limiter.now();
    let fault = limiter.acquire(&["daily"], 1, CallLane::Write, 30 * SECOND).await.unwrap_err();
    assert_eq!(throttled(&fault), ("daily", 600));
    assert_eq!(limiter.now(), start);
    assert_eq!(limiter.snapshot()[0].waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn patience_ends_behind_others_too() {
    let limiter = limiter(&[spec("second", 1, SECOND)]);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let limiter = Arc::clone(&limiter);
        tasks.spawn(async move { limiter.acquire(&["second"], 1, CallLane::Write, LONG).await.map(drop) });
    }
    settle().await;
    let fault = limiter.acquire(&["second"], 1, CallLane::Pull, 3 * SECOND).await.unwrap_err();
    assert_eq!(throttled(&fault).0, "second");
    assert_eq!(limiter.now(), 3 * SECOND);
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn a_daily_budget_leaves_the_last_part_to_writes() {
    let limiter = limiter(&[spec("daily", 100, 86_400 * SECOND)]);
    let call = async |lane| limiter.acquire(&["daily"], 1, lane, SECOND).await.map(drop);
    for _ in 0..80 {
        call(CallLane::Backfill).await.unwrap();
    }
    assert!(call(CallLane::Backfill).await.is_err());
    for _ in 0..15 {
        call(CallLane::Pull).await.unwrap();
    }
    assert!(call(CallLane::Pull).await.is_err());
    for _ in 0..5 {
        call(CallLane::Write).await.unwrap();
    }
    assert_eq!(throttled(&call(CallLane::Write).await.unwrap_err()).0, "daily");
    assert_eq!(limiter.snapshot()[0].used, Some(100));
}

#[tokio::test(start_paused = true)]
async fn limits_are_learned_but_only_our_share_is_used() {
    let specs = [spec("burst", 100, 10 * SECOND)];
    let limiter = Arc::new(Limiter::new(&specs, &LimiterSettings::default(), DAY).unwrap());
    assert_eq!(limiter.snapshot()[0].allowed, Some(50));
    let told = |calls| LimitReport { name: "burst", units: Some(calls), per: None, remaining: None };
    hear(&limiter, &[told(190), LimitReport { name: "unknown", ..told(1) }]).await;
    assert_eq!(limiter.snapshot()[0].allowed, Some(95));
    hear(&limiter, &[told(0)]).await;
    assert_eq!(limiter.snapshot()[0].allowed, Some(95));
    hear(&limiter, &[LimitReport { per: Some(86_400 * SECOND), ..told(9) }]).await;
    assert_eq!((limiter.snapshot()[0].units, limiter.snapshot()[0].per), (190, 10 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn nothing_left_pauses_until_the_vendor_says_otherwise() {
    let limiter = limiter(&[spec("burst", 100, 10 * SECOND)]);
    let permit = limiter.acquire(&["burst"], 1, CallLane::Pull, LONG).await.unwrap();
    permit.report(&[left("burst", 0)]);
    drop(permit);
    let waiter = tokio::spawn({
        let limiter = Arc::clone(&limiter);
        async move { limiter.acquire(&["burst"], 1, CallLane::Write, LONG).await.map(|_| limiter.now()) }
    });
    settle().await;
    assert!(!waiter.is_finished());
    hear(&limiter, &[left("burst", 60)]).await;
    assert_eq!(waiter.await.unwrap().unwrap(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn unlimited_still_obeys_the_vendors_pauses() {
    let settings = LimiterSettings::all(Allowance::Unlimited);
    let limiter = Arc::new(Limiter::new(&[spec("burst", 1, 60 * SECOND)], &settings, DAY).unwrap());
    for _ in 0..1000 {
        drop(limiter.acquire(&["burst"], 1, CallLane::Pull, Duration::ZERO).await.unwrap());
    }
    hear(&limiter, &[left("burst", 0)]).await;
    drop(limiter.acquire(&["burst"], 1, CallLane::Pull, Duration::ZERO).await.unwrap());
    limiter.block("burst", Some(5 * SECOND));
    assert!(limiter.acquire(&["burst"], 1, CallLane::Pull, SECOND).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn unknown_and_double_names_are_defects() {
    let limiter = limiter(&[spec("burst", 1, SECOND)]);
    let fault = limiter.acquire(&["brust"], 1, CallLane::Pull, LONG).await.unwrap_err();
    assert_eq!(fault.class(), FaultClass::Defect);
    let twice = [spec("burst", 1, SECOND), spec("burst", 2, SECOND)];
    assert_eq!(
        Limiter::new(&twice, &LimiterSettings::default(), DAY).unwrap_err().class(),
        FaultClass::Defect
    );
    drop(limiter.acquire(&[], 1, CallLane::Pull, Duration::ZERO).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn fm_066_others_on_the_quota_leave_backfill_waiting_and_writes_going() {
    let limiter = limiter(&[spec("burst", 100, 10 * SECOND)]);
    let call = async |lane| limiter.acquire(&["burst"], 1, lane, Duration::ZERO).await.map(drop);
    call(CallLane::Write).await.unwrap();
    // One call is ours: the other apps of the account made 82.
    hear(&limiter, &[left("burst", 17)]).await;
    assert!(call(CallLane::Backfill).await.is_err());
    for _ in 0..10 {
        tokio::time::advance(SECOND / 10).await;
        call(CallLane::Write).await.unwrap();
    }
    assert!(call(CallLane::Pull).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn fm_064_what_is_spent_and_what_is_blocked_outlive_the_process() {
    let specs = [spec("burst", 100, 10 * SECOND), spec("daily", 10, 86_400 * SECOND)];
    let before = limiter(&specs);
    for _ in 0..8 {
        drop(before.acquire(&["daily"], 1, CallLane::Write, LONG).await.unwrap());
    }
    before.block("burst", Some(90 * SECOND));
    before.block("daily", None);
    let standing = before.standing();
    let after = limiter(&specs);
    after.resume(&standing);
    assert_eq!(after.snapshot()[1].used, Some(8));
    assert_eq!(after.snapshot()[0].blocked_for, Some(90 * SECOND));
    assert_eq!(after.standing(), standing);
    tokio::time::advance(2_000 * SECOND).await;
    // It was refused, so one call asks before the others go.
    let probe = after.acquire(&["daily"], 1, CallLane::Write, Duration::ZERO).await.unwrap();
    assert!(after.acquire(&["daily"], 1, CallLane::Write, Duration::ZERO).await.is_err());
    after.passed(&["daily"]);
    drop(after.acquire(&["daily"], 1, CallLane::Write, Duration::ZERO).await.unwrap());
    drop(probe);
    assert!(
        after.acquire(&["daily"], 1, CallLane::Write, Duration::ZERO).await.is_err(),
        "the day's ten are spent"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_told_for_the_limits_that_a_lane_last_counted_against() {
    let limiter = limiter(&[spec("burst", 1, 10 * SECOND), spec("search", 1, SECOND)]);
    assert_eq!(limiter.wait(CallLane::Write), Duration::ZERO);
    drop(limiter.acquire(&["burst"], 1, CallLane::Write, LONG).await.unwrap());
    drop(limiter.acquire(&["search"], 1, CallLane::Pull, LONG).await.unwrap());
    assert!(limiter.wait(CallLane::Write) > 9 * SECOND);
    assert!(limiter.wait(CallLane::Pull) <= SECOND + Duration::from_nanos(1));
}

#[tokio::test(start_paused = true)]
async fn fm_063_a_day_is_spent_by_what_calls_cost_and_ends_at_midnight() {
    let specs = [spec("burst", 100, SECOND), LimitSpec::daily_cost("tokens", 100)];
    let settings = LimiterSettings::all(Allowance::Share(Share::ALL));
    let before = Arc::new(Limiter::new(&specs, &settings, 10 * SECOND).unwrap());
    let call = async |limiter: &Arc<Limiter>, cost, lane| {
        limiter.acquire(&["burst", "tokens"], cost, lane, SECOND).await.map(drop)
    };
    for _ in 0..4 {
        call(&before, 20, CallLane::Backfill).await.unwrap();
    }
    assert_eq!(throttled(&call(&before, 1, CallLane::Backfill).await.unwrap_err()).0, "tokens");
    call(&before, 5, CallLane::Write).await.unwrap();
    assert_eq!((before.snapshot()[0].in_flight, before.snapshot()[1].used), (0, Some(85)));
    assert!(call(&before, 20, CallLane::Write).await.is_err(), "15 are left");
    assert!(before.wait(CallLane::Write) > SECOND, "the last call of its lane would have cost 20");

    let after = Arc::new(Limiter::new(&specs, &settings, 10 * SECOND).unwrap());
    after.resume(&before.standing());
    assert_eq!(after.snapshot()[1].used, Some(85));
    assert!(call(&after, 20, CallLane::Write).await.is_err(), "a restart gives nothing back");
    tokio::time::advance(10 * SECOND).await;
    call(&after, 20, CallLane::Write).await.unwrap();
    assert_eq!(after.snapshot()[1].used, Some(20));
}

#[tokio::test(start_paused = true)]
async fn fm_066_what_others_spend_of_the_day_is_heard_by_cost() {
    let limiter = limiter(&[LimitSpec::daily_cost("tokens", 30_000)]);
    let permit = limiter.acquire(&["tokens"], 20, CallLane::Write, LONG).await.unwrap();
    let told = LimitReport { units: Some(60_000), ..left("tokens", 30) };
    permit.report(&[told]);
    drop(permit);
    assert_eq!((limiter.snapshot()[0].units, limiter.snapshot()[0].allowed), (60_000, Some(60_000)));
    let call =
        async |cost| limiter.acquire(&["tokens"], cost, CallLane::Write, Duration::ZERO).await.map(drop);
    call(20).await.unwrap();
    assert!(call(20).await.is_err(), "10 are left");
    call(10).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn fm_063_answers_that_overtake_each_other_forget_no_cost() {
    let limiter = limiter(&[LimitSpec::daily_cost("tokens", 1_000)]);
    let call = async || limiter.acquire(&["tokens"], 20, CallLane::Write, Duration::ZERO).await.unwrap();
    let (first, second) = (call().await, call().await);
    // The vendor counted the first before the second, and its answer comes last.
    second.report(&[left("tokens", 960)]);
    drop(second);
    first.report(&[left("tokens", 980)]);
    drop(first);
    assert_eq!(limiter.snapshot()[0].used, Some(40));
    let third = call().await;
    third.report(&[left("tokens", 940)]);
    drop(third);
    assert_eq!(limiter.snapshot()[0].used, Some(60));
    // Its next day has begun, by the word of a call that left after all others had ended.
    let fourth = call().await;
    fourth.report(&[left("tokens", 980)]);
    drop(fourth);
    assert_eq!(limiter.snapshot()[0].used, Some(20));
}

#[tokio::test(start_paused = true)]
async fn fm_063_a_restart_knows_the_plan_that_was_learned() {
    let specs = [LimitSpec::daily_cost("tokens", 30_000)];
    let settings = LimiterSettings::default();
    let before = Arc::new(Limiter::new(&specs, &settings, DAY).unwrap());
    let call = async |limiter: &Arc<Limiter>, cost| {
        limiter.acquire(&["tokens"], cost, CallLane::Write, Duration::ZERO).await
    };
    let permit = call(&before, 10).await.unwrap();
    permit.report(&[LimitReport { units: Some(60_000), ..left("tokens", 59_990) }]);
    drop(permit);
    drop(call(&before, 16_000).await.unwrap());
    let after = Arc::new(Limiter::new(&specs, &settings, DAY).unwrap());
    after.resume(&before.standing());
    assert_eq!(after.standing(), before.standing());
    assert_eq!((after.snapshot()[0].allowed, after.snapshot()[0].used), (Some(30_000), Some(16_010)));
    drop(call(&after, 10).await.unwrap());
}
