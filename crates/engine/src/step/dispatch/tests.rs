//! Dispatch against a CRM that hangs, dies and allows few calls.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use usher_connector::{Capability, FaultClass, VerifyBy};
use usher_model::EffectKind;
use usher_store::DueEffects;

use super::{has_place, next};

use crate::tests::world::{Act, World, until, within_limits};
use crate::wake::Step;

#[tokio::test(flavor = "multi_thread")]
async fn fm_068_a_batch_that_hangs_holds_up_no_other_lead() {
    let world = World::new().await;
    let release = Arc::new(Notify::new());
    world.crm.next.lock().unwrap().push_back(Act::Hang(Arc::clone(&release)));
    world.inquire("slow").await;
    world.decide().await;
    let engine = Arc::clone(&world.engine);
    let pass = tokio::spawn(async move { engine.deliver(engine.crm()).await.unwrap() });
    until("the first batch hangs", async || world.crm.calls.lock().unwrap().len() == 1).await;
    for name in ["ann", "bob", "cy"] {
        world.inquire(name).await;
        world.decide().await;
    }
    until("the others are written", async || world.written().await == 3).await;
    assert!(!pass.is_finished());
    release.notify_one();
    assert_eq!(pass.await.unwrap().done, 4 * 3);
    assert_eq!(world.written().await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_lead_waits_for_no_company() {
    let world = World::new().await;
    world.inquire("ann").await;
    world.decide().await;
    assert_eq!(world.deliver().await, 3);
    for kind in [EffectKind::EnsurePerson, EffectKind::UpdateObject, EffectKind::CreateTask] {
        assert_eq!(world.crm.sizes(kind), [1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_limits_are_short_every_call_is_full() {
    let world = World::new().await;
    for n in 0..1_000 {
        world.inquire(&format!("p{n}")).await;
    }
    world.decide().await;
    let sent = within_limits(&world.crm, world.deliver()).await;
    assert_eq!((sent, world.written().await), (3_000, 1_000));
    let calls = world.crm.calls.lock().unwrap().len();
    assert!(calls <= 32, "{calls} calls for 3 times 10 full batches");
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_that_come_while_the_limits_are_short_go_together() {
    let world = World::new().await;
    *world.crm.room.lock().unwrap() = Some(0);
    world.inquire("first").await;
    world.decide().await;
    let engine = Arc::clone(&world.engine);
    let pass = tokio::spawn(async move { engine.deliver(engine.crm()).await.unwrap() });
    for n in 0..150 {
        world.inquire(&format!("p{n}")).await;
        world.decide().await;
    }
    within_limits(&world.crm, pass).await.unwrap();
    assert_eq!(world.written().await, 151);
    let sizes = world.crm.sizes(EffectKind::EnsurePerson);
    assert!(sizes.len() <= 3, "none was taken up before there was room for it: {sizes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_071_a_fresh_lead_overtakes_the_backlog_of_an_outage() {
    let world = World::new().await;
    for n in 0..1_500 {
        world.inquire(&format!("old{n}")).await;
    }
    // Half of the backlog was decided before the CRM went away, half was not even prepared.
    while world.engine.prepare().await.unwrap() > 0 && world.engine.decide().await.unwrap() > 0 {
        if world.engine.store().counts().await.unwrap().leads["decided"] >= 750 {
            break;
        }
    }
    world.clock.advance(6 * 3600);
    world.inquire("fresh").await;
    let engine = Arc::clone(&world.engine);
    let way = async {
        // One slice of each step is enough for it, however much waits before it.
        engine.prepare().await.unwrap();
        engine.decide().await.unwrap();
        world.deliver().await
    };
    within_limits(&world.crm, way).await;
    let calls = world.crm.calls.lock().unwrap();
    let hers = |writes: &[String]| writes.iter().any(|write| write.contains("fresh"));
    let task = calls.iter().rposition(|(_, writes)| hers(writes)).unwrap();
    assert!(task <= 5, "its task went with call {task} of {}", calls.len());
    assert!(calls.len() >= 25, "the backlog was written as well: {} calls", calls.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_070_a_dead_crm_rests_across_a_restart_and_is_written_to_once_it_is_well() {
    let mut world = World::new().await;
    *world.crm.always.lock().unwrap() = Some(Act::Fail(FaultClass::Transient));
    for n in 0..30 {
        world.inquire(&format!("p{n}")).await;
        world.decide().await;
        world.deliver().await;
        world.clock.advance(1);
    }
    let calls = |world: &World| world.crm.calls.lock().unwrap().len();
    assert_eq!(calls(&world), 10, "then it rests");
    let resting = world.engine.store().resting().await.unwrap();
    assert_eq!((resting.len(), resting[0].problem.as_str()), (1, "out of order"));
    let alarm = [("crm".into(), "writing".to_owned(), "out of order".to_owned())];
    assert_eq!(world.engine.signs().troubles(), alarm);

    world = world.restarted().await;
    assert_eq!(world.engine.signs().troubles(), alarm);
    for _ in 0..120 {
        world.deliver().await;
        world.engine.verify(world.engine.crm()).await.unwrap();
        world.clock.advance(1);
    }
    assert!((13..=14).contains(&calls(&world)), "one call in thirty seconds: {}", calls(&world));
    assert!(world.crm.calls.lock().unwrap()[10..].iter().all(|(_, writes)| writes.len() == 1));
    assert!(world.engine.signs().idle(Step::Deliver).is_some(), "a rest is no standstill of ours");

    *world.crm.always.lock().unwrap() = None;
    for _ in 0..90 {
        world.deliver().await;
        world.clock.advance(1);
    }
    assert_eq!(world.written().await, 30);
    assert!(world.engine.store().resting().await.unwrap().is_empty());
    assert!(world.engine.signs().troubles().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_070_a_look_up_finds_out_that_the_crm_is_well() {
    let world = World::new().await;
    *world.crm.always.lock().unwrap() = Some(Act::Fail(FaultClass::OutcomeUnknown));
    for n in 0..10 {
        world.inquire(&format!("p{n}")).await;
        world.decide().await;
        world.deliver().await;
    }
    assert_eq!(world.engine.store().resting().await.unwrap().len(), 1);
    *world.crm.always.lock().unwrap() = None;
    for _ in 0..40 {
        world.clock.advance(1);
        world.engine.verify(world.engine.crm()).await.unwrap();
    }
    assert!(world.engine.store().resting().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_064_a_used_up_day_holds_no_step_up() {
    let world = World::new().await;
    *world.crm.room.lock().unwrap() = Some(0);
    *world.crm.pause.lock().unwrap() = Duration::from_secs(3_600);
    world.inquire("ann").await;
    world.decide().await;
    let pass = tokio::time::timeout(Duration::from_secs(60), world.deliver()).await;
    assert_eq!(pass.expect("the pass waits for the vendor's day to end"), 0);
    assert!(world.engine.signs().idle(Step::Deliver).is_some(), "a wait is no standstill of ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_064_one_stray_429_rests_a_write_for_a_second() {
    let world = World::new().await;
    let retry_after = Some(jiff::SignedDuration::from_secs(1));
    let throttled = FaultClass::Throttled { limit: "burst", retry_after };
    world.crm.next.lock().unwrap().push_back(Act::Fail(throttled));
    world.inquire("ann").await;
    world.decide().await;
    assert_eq!(world.deliver().await, 1);
    world.clock.advance(1);
    assert_eq!(world.deliver().await, 3);
    assert!(world.story().await.effects.iter().all(|effect| effect.state.is_final()));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_068_records_pass_a_look_up_that_hangs() {
    let world = World::new().await;
    let release = Arc::new(Notify::new());
    *world.crm.silent.lock().unwrap() = Some(Arc::clone(&release));
    world.inquire("slow").await;
    let engine = Arc::clone(&world.engine);
    let hung = tokio::spawn(async move { engine.prepare().await.unwrap() });
    until("the look-up hangs", async || world.crm.asked.lock().unwrap().len() == 1).await;
    for name in ["ann", "bob", "cy"] {
        world.inquire(name).await;
    }
    // Not at once: what comes within a moment is asked about together.
    until("another slice begins", async || world.engine.prepare().await.unwrap() == 3).await;
    assert!(!hung.is_finished());
    assert_eq!(*world.crm.asked.lock().unwrap(), [1, 3]);
    release.notify_one();
    assert_eq!(hung.await.unwrap(), 1);
}

#[test]
fn fm_071_while_the_limits_are_short_a_fresh_lead_goes_first_but_never_at_the_price_of_all_others() {
    const MOST: u32 = 100;
    let due = |kind, count, fresh| {
        let (max_batch, verify) = (MOST as usize, VerifyBy::Id);
        let capability = Capability { kind, object: "contacts", max_batch, keyed: false, verify };
        (capability, DueEffects { kind, count, fresh })
    };
    let chosen =
        |ready: &[(Capability, DueEffects)], short, turn| next(ready, short, turn).map(|each| each.kind);
    let (task, person) = (EffectKind::CreateTask, EffectKind::EnsurePerson);
    // The backlog fills the call of the fresh lead: nobody loses by it.
    let filled = [due(task, MOST, false), due(person, MOST, true)];
    assert_eq!([true, false].map(|turn| chosen(&filled, true, turn)), [Some(person); 2]);
    // The fresh lead's call would go nearly empty.
    let lone = [due(task, MOST, false), due(person, 1, true)];
    assert_eq!([true, false].map(|turn| chosen(&lone, true, turn)), [Some(person), Some(task)]);
    // Somebody fresh may come to any step soon: a full call of each waits for that.
    let deep = [due(task, MOST, false), due(person, 2 * MOST, false)];
    assert_eq!([true, false].map(|turn| chosen(&deep, true, turn)), [Some(person); 2]);
    let both = [due(task, 2 * MOST, false), due(person, 2 * MOST, false)];
    assert_eq!(chosen(&both, true, false), Some(task));
    assert_eq!(chosen(&[due(task, 9, false), due(person, 8, false)], true, false), Some(task));
    // With room for every call, what has begun is finished first.
    assert_eq!([&filled, &lone, &deep].map(|ready| chosen(ready, false, true)), [Some(task); 3]);
    assert_eq!([true, false].map(|short| chosen(&[], short, true)), [None; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_071_while_the_limits_are_short_no_fresh_lead_waits_for_a_second_look_up() {
    let world = World::new().await;
    for n in 0..400 {
        world.inquire(&format!("p{n}")).await;
    }
    *world.crm.room.lock().unwrap() = Some(0);
    assert_eq!(world.engine.prepare().await.unwrap(), 100);
    *world.crm.room.lock().unwrap() = None;
    assert_eq!(world.engine.prepare().await.unwrap(), 250);
    assert_eq!(*world.crm.asked.lock().unwrap(), [100, 50, 100, 100]);
}

#[test]
fn behind_one_that_waits_there_is_a_place_for_a_full_call_and_for_one_that_was_overtaken() {
    assert!(has_place(1, false, true) && has_place(1, true, false));
    assert!(!has_place(1, false, false), "it would go with fewer others");
    assert!(!has_place(0, true, true) && !has_place(2, true, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_071_no_more_than_one_call_is_put_behind_those_that_wait() {
    let world = World::new().await;
    *world.crm.room.lock().unwrap() = Some(0);
    *world.crm.waiting.lock().unwrap() = 2;
    world.inquire("ann").await;
    world.decide().await;
    let engine = Arc::clone(&world.engine);
    let pass = tokio::spawn(async move { engine.deliver(engine.crm()).await.unwrap() });
    let claimed = async |world: &World| {
        let now = world.engine.now();
        world.engine.store().due_effects(world.engine.crm(), 9, now).await.unwrap().is_empty()
    };
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(!claimed(&world).await);
    }
    *world.crm.waiting.lock().unwrap() = 1;
    until("it takes the place behind the one that waits", async || claimed(&world).await).await;
    *world.crm.waiting.lock().unwrap() = 0;
    assert_eq!(within_limits(&world.crm, pass).await.unwrap().done, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_071_what_was_put_off_goes_on_as_soon_as_the_crm_is_well() {
    let world = World::new().await;
    *world.crm.mute.lock().unwrap() = true;
    for n in 0..30 {
        world.inquire(&format!("p{n}")).await;
        world.engine.prepare().await.unwrap();
    }
    // After an hour it is asked in vain, and rests; who has waited so long looks again in two minutes.
    for seconds in [3_600, 16] {
        world.clock.advance(seconds);
        while world.engine.prepare().await.unwrap() > 0 {}
    }
    *world.crm.mute.lock().unwrap() = false;
    world.clock.advance(31);
    world.inquire("new").await;
    world.decide().await;
    assert_eq!(world.deliver().await, 31 * 3);
    assert_eq!(world.written().await, 31);
}
