//! Intake: what polls and webhooks miss, and what happens at the vendor meanwhile.

use jiff::{SignedDuration, Timestamp};
use usher_connector::FaultClass;
use usher_model::{ExternalId, Lane, LeadState};
use usher_store::LeadFilter;

use super::vendor::{World, call, name, object, start};
use crate::Received;

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

#[tokio::test]
async fn fm_005_the_daily_reconcile_finds_and_stores_all_that_was_committed_late() {
    let world = World::new().await;
    // 1 in 10 of two days' contacts becomes visible only after every poll and sweep has gone past it.
    for id in 1..=96 {
        world.wait(HOUR / 2);
        world.vendor.add(id, world.now() - SECOND, id % 10 == 0);
        world.poll().await;
        world.engine.pull(&name(), &object(), Lane::Sweep, 10).await.unwrap();
    }
    assert_eq!(world.engine.reconcile_due().await.unwrap(), 1, "a first time is due after a day");
    world.vendor.show_all();
    world.poll().await;
    world.engine.pull(&name(), &object(), Lane::Sweep, 10).await.unwrap();
    world.settle().await;
    assert_eq!(world.records("opened").await, 87, "polls are past what they missed");
    assert_eq!(world.engine.reconcile_due().await.unwrap(), 0, "once a day");
    world.wait(DAY);
    assert_eq!(world.engine.reconcile_due().await.unwrap(), 1);
    world.settle().await;
    assert_eq!(world.records("opened").await, 96);
    let recounts = world.store.recounts().await.unwrap();
    assert_eq!(
        (recounts[0].stream.as_str(), recounts[0].seen, recounts[0].missed),
        ("contacts/reconcile", 96, 9)
    );
    world.wait(DAY);
    world.engine.reconcile_due().await.unwrap();
    assert_eq!(world.store.recounts().await.unwrap()[0].missed, 0, "what is repaired is not missed again");
}

#[tokio::test]
async fn who_is_made_in_the_second_of_the_first_connect_counts_and_the_second_before_does_not() {
    let world = World::new().await;
    // The vendor stamps whole seconds.
    let second = Timestamp::from_second(start().as_second()).unwrap();
    assert!(second < start());
    for (id, at) in [(1, second), (2, second - SECOND)] {
        world.vendor.add(id, at, false);
        let signature = format!("s{id}");
        world.engine.receive(&name(), &call(Some(&signature)), id.to_string().into()).await.unwrap();
        world.settle().await;
    }
    assert_eq!((world.records("opened").await, world.records("ignored").await), (1, 1));
    let ignored = world.store.counts().await.unwrap().ignored;
    assert_eq!(ignored.keys().collect::<Vec<_>>(), ["before_start"]);
}

#[tokio::test]
async fn fm_011_a_feed_that_forgot_is_listed_whole_before_it_goes_on() {
    let mut world = World::new().await;
    *world.vendor.horizon.lock().unwrap() = Some(DAY * 30);
    world.vendor.add(1, world.now() + SECOND, false);
    world.wait(HOUR);
    world.poll().await;
    // The daemon is off for 45 days; a contact of the first of them is in the feed no more.
    world.vendor.add(2, world.now() + HOUR, false);
    world.vendor.add(3, world.now() + DAY * 44, false);
    world.wait(DAY * 45);
    world.restart().await;
    world.poll().await;
    assert_eq!(world.records("opened").await, 3);
    let recounts = world.store.recounts().await.unwrap();
    assert_eq!((recounts[0].stream.as_str(), recounts[0].missed), ("contacts/relist", 2));
    let listed = world.vendor.pulls.lock().unwrap().iter().filter(|lane| **lane == Lane::Backfill).count();
    world.wait(HOUR);
    world.poll().await;
    assert_eq!(
        world.vendor.pulls.lock().unwrap().iter().filter(|lane| **lane == Lane::Backfill).count(),
        listed
    );
    assert!(world.store.troubles().await.unwrap().is_empty());
}

#[tokio::test]
async fn fm_011_a_listing_that_fails_is_said_and_tried_again() {
    let world = World::new().await;
    *world.vendor.horizon.lock().unwrap() = Some(DAY * 30);
    world.poll().await;
    world.vendor.add(2, world.now() + HOUR, false);
    world.wait(DAY * 45);
    *world.vendor.fault.lock().unwrap() = Some(FaultClass::Transient);
    world.engine.pull(&name(), &object(), Lane::Live, 10).await.unwrap_err();
    let troubles = world.store.troubles().await.unwrap();
    assert!(troubles[0].problem.contains("30 days"), "{troubles:?}");
    *world.vendor.fault.lock().unwrap() = None;
    world.poll().await;
    assert_eq!(world.records("opened").await, 1);
}

#[tokio::test]
async fn fm_018_a_stream_without_its_scope_is_degraded_until_it_reads_again() {
    let mut world = World::new().await;
    world.poll().await;
    *world.vendor.fault.lock().unwrap() = Some(FaultClass::Misconfigured);
    for _ in 0..3 {
        world.engine.pull(&name(), &object(), Lane::Live, 10).await.unwrap_err();
        world.wait(SECOND);
    }
    let troubles = world.store.troubles().await.unwrap();
    assert_eq!(troubles.len(), 1);
    assert_eq!((troubles[0].topic.as_str(), troubles[0].since), ("contacts/live", start()));
    assert!(troubles[0].problem.contains("contacts.read"));
    *world.vendor.fault.lock().unwrap() = None;
    world.restart().await;
    world.poll().await;
    assert!(world.store.troubles().await.unwrap().is_empty(), "also if another process had said it");
}

#[tokio::test]
async fn fm_019_a_contact_that_vanished_without_a_trace_ends_its_lead_at_the_next_reconcile() {
    let world = World::new().await;
    for id in 1..=5 {
        world.vendor.add(id, world.now(), false);
    }
    world.poll().await;
    assert_eq!(world.leads("decided").await + world.leads("waiting").await, 5);
    world.vendor.delete(2);
    world.vendor.delete(5);
    world.wait(DAY);
    world.engine.reconcile_due().await.unwrap();
    world.settle().await;
    assert_eq!(world.store.recounts().await.unwrap()[0].gone, 2);
    assert_eq!((world.leads("closed:suppressed").await, world.records("ignored").await), (2, 2));
    let closed = LeadFilter { state: Some(LeadState::Closed), limit: 9, ..LeadFilter::default() };
    let closed = world.store.leads(&closed).await.unwrap();
    assert!(closed.iter().all(|each| each.lead.detail.as_deref() == Some("it was deleted in crm")));
}

#[tokio::test]
async fn fm_019_a_deletion_told_by_webhook_ends_the_lead_at_once() {
    let world = World::new().await;
    world.vendor.add(1, world.now(), false);
    world.poll().await;
    world.vendor.delete(1);
    let told = world.engine.receive(&name(), &call(Some("s1")), b"1".to_vec()).await.unwrap();
    assert_eq!(told, Received::Stored);
    world.settle().await;
    assert_eq!(world.leads("closed:suppressed").await, 1);
}

#[tokio::test]
async fn fm_020_a_merge_by_poll_opens_no_second_lead_and_leaves_one() {
    let world = World::new().await;
    world.vendor.add(1, world.now(), false);
    world.vendor.add(2, world.now(), false);
    world.poll().await;
    assert_eq!(world.records("opened").await, 2);
    // The merged contact has an id and a time of creation of its own, and an e-mail address that nobody knows.
    world.wait(HOUR);
    world.vendor.merge([1, 2], 10, world.now());
    world.poll().await;
    assert_eq!(world.records("opened").await, 2);
    assert_eq!(world.leads("closed:merged").await, 1);
    world.wait(DAY * 3);
    world.vendor.merge([10, 2], 11, world.now());
    world.poll().await;
    assert_eq!(world.records("opened").await, 2, "nor later, through a chain");
}

#[tokio::test]
async fn fm_020_halves_of_a_merge_that_arrive_after_it_are_routed_once() {
    let world = World::new().await;
    world.vendor.add(1, world.now(), false);
    world.vendor.add(2, world.now(), false);
    let read = world.engine.pull(&name(), &object(), Lane::Live, 10).await.unwrap();
    assert_eq!(read.new, 2);
    // Both halves are stored and not understood yet when the merge is told by webhook.
    world.vendor.merge([1, 2], 10, world.now());
    world.engine.receive(&name(), &call(Some("s1")), b"2".to_vec()).await.unwrap();
    world.engine.split().await.unwrap();
    world.engine.fetch(&name()).await.unwrap();
    world.wait(HOUR);
    world.poll().await;
    assert_eq!(world.records("opened").await, 1, "{:?}", world.store.counts().await.unwrap());
}

#[tokio::test]
async fn fm_028_every_order_of_five_events_comes_to_the_same_end() {
    let world = World::new().await;
    let mut id = 0;
    for deleted in [false, true] {
        for order in orders(5) {
            id += 1;
            world.vendor.add(id, world.now(), true);
            if deleted {
                world.vendor.delete(id);
            }
            // Created, three changes, deleted or restored: each is told by a call of its own, some twice.
            for event in order {
                for copy in 0..=usize::from(event == 2) {
                    let signature = format!("{id}-{event}-{copy}");
                    let body = id.to_string().into_bytes();
                    world.engine.receive(&name(), &call(Some(&signature)), body).await.unwrap();
                    if event % 2 == 0 {
                        world.engine.split().await.unwrap();
                        world.engine.fetch(&name()).await.unwrap();
                    }
                }
            }
        }
        world.settle().await;
    }
    assert_eq!((world.records("opened").await, world.records("ignored").await), (120, 120));
}

fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let insert = |order: Vec<usize>| {
        (0..count).map(move |place| {
            let mut order = order.clone();
            order.insert(place, count - 1);
            order
        })
    };
    orders(count - 1).into_iter().flat_map(insert).collect()
}

#[tokio::test]
async fn fm_032_webhooks_that_fall_silent_while_polls_find_news_are_said() {
    let world = World::new().await;
    let trouble = async || world.store.troubles().await.unwrap().pop().map(|trouble| trouble.problem);
    world.engine.subscribe(Some("https://usher.example")).await.unwrap();
    assert_eq!(trouble().await, None, "no news, no silence");
    world.wait(HOUR * 3);
    world.vendor.add(1, world.now(), false);
    world.poll().await;
    world.engine.subscribe(Some("https://usher.example")).await.unwrap();
    let said = trouble().await.unwrap();
    assert!(said.contains("no webhook for 180 minutes") && said.contains("the poll covers it"), "{said}");
    assert_eq!(world.records("opened").await, 1);
    world.engine.receive(&name(), &call(Some("s1")), b"1".to_vec()).await.unwrap();
    world.engine.subscribe(Some("https://usher.example")).await.unwrap();
    assert_eq!(trouble().await, None);
    // A subscription that can not be kept is said too.
    *world.vendor.fault.lock().unwrap() = Some(FaultClass::Misconfigured);
    world.engine.subscribe(Some("https://usher.example")).await.unwrap_err();
    assert_eq!(trouble().await.as_deref(), Some("the token may not keep webhooks"));
}

#[tokio::test]
async fn fm_031_without_a_public_address_nothing_is_subscribed() {
    let world = World::new().await;
    world.engine.subscribe(None).await.unwrap();
    assert!(world.vendor.subscriptions.lock().unwrap().is_empty());
    world.engine.subscribe(Some("https://usher.example")).await.unwrap();
    let wanted = world.vendor.subscriptions.lock().unwrap().pop().unwrap();
    assert_eq!(wanted.url, "https://usher.example/hooks/crm");
    assert_eq!(wanted.wanted, [wanted.url]);
    assert!(wanted.marker.starts_with("usher-") && wanted.marker.len() == 14, "{}", wanted.marker);
}

#[tokio::test]
async fn fm_035_a_replay_is_answered_and_not_stored_again() {
    let mut world = World::new().await;
    for (signature, body) in [("s1", "1"), ("s1", "1"), ("s2", "1"), ("s1", "2")] {
        let answer = world.engine.receive(&name(), &call(Some(signature)), body.as_bytes().to_vec()).await;
        assert_eq!(answer.unwrap(), Received::Stored);
    }
    assert_eq!(world.store.deliveries_to_split(9).await.unwrap().len(), 3);
    // Also after what it held was worked off, by another process, and long after a signature holds.
    world.settle().await;
    world.wait(DAY * 30);
    world.restart().await;
    world.engine.receive(&name(), &call(Some("s1")), b"1".to_vec()).await.unwrap();
    assert!(world.store.deliveries_to_split(9).await.unwrap().is_empty());
}

#[tokio::test]
async fn fm_030_refused_signatures_are_counted_for_status() {
    let world = World::new().await;
    for _ in 0..3 {
        let answer = world.engine.receive(&name(), &call(None), b"1".to_vec()).await.unwrap();
        assert!(matches!(answer, Received::Refused(refusal) if refusal.status == 401));
    }
    world.engine.store_tallies().await.unwrap();
    world.engine.store_tallies().await.unwrap();
    let (connection, tally) = world.store.hook_tallies().await.unwrap().pop().unwrap();
    assert_eq!((connection, tally.refused, tally.heard_at), (name(), 3, None));
    assert_eq!(tally.last_refused.unwrap().1, "the signature is missing");
}

#[tokio::test]
async fn fm_012_a_hint_is_followed_by_reading_the_whole_object() {
    let world = World::new().await;
    world.vendor.add(7, world.now(), true);
    world.engine.receive(&name(), &call(Some("s1")), b"7".to_vec()).await.unwrap();
    world.settle().await;
    let ask = LeadFilter { external_id: Some(ExternalId::new("7")), limit: 1, ..LeadFilter::default() };
    let lead = world.store.leads(&ask).await.unwrap().pop().unwrap().lead;
    assert_eq!(lead.fields.text("full_name"), Some("Person 7"), "the event said no name");
}
