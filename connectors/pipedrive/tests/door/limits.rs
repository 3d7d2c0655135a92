//! What calls cost, and what happens to those who are refused.

use usher_connector::{FaultClass, SendFailure};
use usher_model::Lane;
use usher_sandbox::PipedrivePlan;

use super::*;

#[tokio::test]
async fn fm_063_every_call_is_counted_at_the_vendors_price() {
    let door = Door::open(Some(PipedriveLimits::default())).await;
    let (source, directory) =
        (door.connection.source.clone().unwrap(), door.connection.directory.clone().unwrap());
    let start = door.now();
    let person = door.person(&json!({ "name": "Ben", "emails": emails("ben@acme.example") }));
    let same =
        |what: &str| assert_eq!(u64::from(door.used("tokens").unwrap()), door.sim().tokens_spent(), "{what}");
    source.pull(&door.pull(Lane::Live, None, start)).await.unwrap();
    source.pull(&door.pull(Lane::Backfill, None, start)).await.unwrap();
    source.fetch(&"persons".into(), &[person.to_string().into(), "99".into()]).await.unwrap();
    same("the source");
    directory.owners().await.unwrap();
    directory.accounts(None, start).await.unwrap();
    let key = |value: &str| IdentityKey { kind: IdentityKind::Email, value: value.to_owned() };
    directory.people(&[key("ben@acme.example"), key("nobody@acme.example")]).await.unwrap();
    same("the directory");
    let ana =
        ensure("a1", &json!({ "email": "ana@acme.example", "full_name": "Ana Cruz", "message": "hello" }));
    let made = door.send(&ana).await.unwrap().id.unwrap().as_str().parse().unwrap();
    door.send(&give(made, None, Some(11))).await.unwrap();
    door.send(&task("t1", known(SlotKind::Person, made), start)).await.unwrap();
    door.target().verify(&ana, start).await.unwrap();
    door.target().owner_history(&[(SlotKind::Person, made.to_string().into())]).await.unwrap();
    same("the target");
    door.target()
        .send(&[write("x", EffectBody::ArchiveObject { target: known(SlotKind::Person, made) })])
        .await;
    same("all");
    // Poll, history, definitions, two singles; users, organizations; two searches, a hit, the latest changes; a search, the
    // latest changes, a create; me, a look, an owner; a task; the changes; a changelog; a deletion.
    let prices = [10, 10, 10, 2, 20, 10, 40, 1, 10, 20, 10, 5, 2, 1, 5, 5, 10, 20, 3];
    assert_eq!(door.sim().tokens_spent(), prices.iter().sum::<u64>());
    let requests = door.sim().summary().requests;
    assert!(!requests.contains_key("pipedrive 429"), "{requests:?}");
}

#[tokio::test]
async fn fm_064_a_burst_of_look_ups_meets_no_429() {
    let door = Door::open(Some(PipedriveLimits::default())).await;
    let directory = door.connection.directory.clone().unwrap();
    let keys: Vec<IdentityKey> = (0..15)
        .map(|number| IdentityKey { kind: IdentityKind::Email, value: format!("p{number}@acme.example") })
        .collect();
    let people = directory.people(&keys).await.unwrap();
    assert_eq!(people.len(), 15);
    let requests = door.sim().summary().requests;
    assert_eq!(requests.get("pipedrive search"), Some(&15));
    assert!(!requests.contains_key("pipedrive 429"), "{requests:?}");
}

#[tokio::test]
async fn fm_064_a_larger_plan_is_learned_and_a_spent_day_blocks_the_budget_alone() {
    let plan = PipedriveLimits { plan: PipedrivePlan::Growth, ..PipedriveLimits::default() };
    let door = Door::open(Some(plan)).await;
    let directory = door.connection.directory.clone().unwrap();
    let nobody = [IdentityKey { kind: IdentityKind::Email, value: "nobody@acme.example".to_owned() }];
    for _ in 0..3 {
        directory.people(&nobody).await.unwrap();
    }
    let units = |name: &str| door.http.limits().into_iter().find(|limit| limit.name == name).unwrap().units;
    assert_eq!((units("burst"), units("search"), units("tokens")), (40, 10, 60_000));
    // Another integration of the company has spent the rest.
    door.sim().exhaust_tokens();
    let fault = directory.people(&nobody).await.unwrap_err();
    let FaultClass::Throttled { limit, retry_after } = fault.class() else { panic!("{fault:?}") };
    assert!(limit == "tokens" && retry_after.is_some_and(|wait| wait.as_secs() > 10), "{fault:?}");
    let blocked =
        |name: &str| door.http.limits().into_iter().find(|limit| limit.name == name).unwrap().blocked_for;
    assert!(blocked("tokens").is_some() && blocked("burst").is_none());
}

#[tokio::test]
async fn fm_064_a_403_page_rests_everything_and_a_write_is_proven_unsent() {
    let door = Door::open(Some(PipedriveLimits::default())).await;
    let person = door.person(&json!({ "name": "Ben" }));
    door.target().verify(&give(person, None, None), door.now()).await.unwrap();
    door.set(|faults| (faults.blocked, faults.only_paths) = (1.0, vec!["/api/v2/activities".to_owned()]));
    let sent = door.send(&task("t1", known(SlotKind::Person, person), door.now())).await;
    let Err(SendFailure::Fault(fault)) = sent else { panic!("{sent:?}") };
    assert!(matches!(fault.class(), FaultClass::Throttled { limit: "burst", .. }), "{fault:?}");
    assert_eq!(door.sim().count("activities"), 0);
    let rests = door.http.limits().into_iter().find(|limit| limit.name == "burst").unwrap().blocked_for;
    assert!(rests.is_some_and(|pause| pause > Duration::from_secs(50)), "{rests:?}");
}
