//! Writing where nothing is unique and everybody writes.

use usher_connector::{ChangedBy, SendFailure, Verdict};
use usher_model::SlotOrigin;

use super::*;

#[tokio::test]
async fn fm_004_who_was_made_a_moment_ago_is_found_though_no_index_shows_them() {
    let door = Door::open(None).await;
    door.set(|faults| faults.search_lag_ms = Span(3_600_000, 3_600_000));
    let person = door.person(&json!({ "name": "Ana", "emails": emails("Ana@Acme.example") }));
    let found = door.send(&ensure("a1", &json!({ "email": "ana@acme.example" }))).await.unwrap();
    assert_eq!((found.id.unwrap().as_str(), found.origin), (person.to_string().as_str(), SlotOrigin::Found));
    assert_eq!(door.sim().count("persons"), 1);
}

#[tokio::test]
async fn without_an_address_only_number_and_name_together_tell() {
    let door = Door::open(None).await;
    let phones = json!([{ "value": "+49 30 901820", "primary": true, "label": "work" }]);
    door.person(&json!({ "name": "Front Desk", "phones": phones }));
    let ana = |key| ensure(key, &json!({ "full_name": "Ana Cruz", "phone": "+4930901820" }));
    assert_eq!(
        door.send(&ana("a1")).await.unwrap().origin,
        SlotOrigin::Created,
        "a company's number is everybody's"
    );
    assert_eq!(door.send(&ana("a2")).await.unwrap().origin, SlotOrigin::Found);
    assert_eq!(door.sim().count("persons"), 2);
}

#[tokio::test]
async fn fm_055_a_number_in_another_spelling_is_the_same_number_behind_500_newer_persons() {
    let door = Door::open(None).await;
    let phones = json!([{ "value": "+49 (30) 901-820", "primary": true, "label": "work" }]);
    let ana = door.person(&json!({ "name": "Ana Cruz", "phones": phones }));
    let other = json!([{ "value": "+49 40 1", "primary": true, "label": "work" }]);
    door.person(&json!({ "name": "Ana Cruz", "phones": other }));
    for number in 0..505 {
        door.person(&json!({ "name": format!("P{number}") }));
    }
    let again = ensure("a1", &json!({ "full_name": "ana cruz", "phone": "+4930901820" }));
    let found = door.send(&again).await.unwrap();
    assert_eq!((found.id.unwrap().as_str(), found.origin), (ana.to_string().as_str(), SlotOrigin::Found));
}

#[tokio::test]
async fn fm_039_the_marked_person_is_ours_though_somebody_made_the_same_one_first() {
    let door = Door::open(None).await;
    door.set(|faults| (faults.lost_response, faults.times) = (1.0, Some(1)));
    let since = door.now();
    let ana = ensure("a1", &json!({ "email": "ana@acme.example", "full_name": "Ana" }));
    assert!(door.send(&ana).await.is_err());
    let ours = door.sim().ids("persons")[0];
    let twin = json!({ "object": "persons", "fields": { "name": "Ana", "emails": emails("ana@acme.example") },
                       "update_time": since });
    door.sim().seed(&twin.to_string()).unwrap();
    let Verdict::Found(found) = door.target().verify(&ana, since).await.unwrap() else {
        panic!("it is there")
    };
    assert_eq!((found.id, found.origin), (Some(ours.to_string().into()), SlotOrigin::Created));
    // Of a write that made nobody the other one is found.
    let another = ensure("b2", &json!({ "email": "ana@acme.example", "full_name": "Ana" }));
    let Verdict::Found(found) = door.target().verify(&another, since).await.unwrap() else {
        panic!("it is there")
    };
    assert_eq!(found.origin, SlotOrigin::Found);
}

#[tokio::test]
async fn fm_039_a_lost_create_is_known_as_ours_by_its_marker_and_as_found_without() {
    let door = Door::open(None).await;
    door.set(|faults| {
        faults.search_lag_ms = Span(3_600_000, 3_600_000);
        (faults.lost_response, faults.times) = (1.0, Some(1));
    });
    let since = door.now();
    let ana = ensure("a1", &json!({ "email": "ana@acme.example", "full_name": "Ana" }));
    assert!(door.send(&ana).await.is_err());
    let Verdict::Found(found) = door.target().verify(&ana, since).await.unwrap() else {
        panic!("it is there")
    };
    assert_eq!(found.origin, SlotOrigin::Created);
    let another = ensure("b2", &json!({ "email": "ana@acme.example", "full_name": "Ana" }));
    let Verdict::Found(found) = door.target().verify(&another, since).await.unwrap() else {
        panic!("it is there")
    };
    assert_eq!(found.origin, SlotOrigin::Found, "another write's marker");
    // What is nowhere among the changes was not made.
    let never = ensure("c3", &json!({ "email": "zoe@acme.example" }));
    assert_eq!(door.target().verify(&never, since).await.unwrap(), Verdict::Absent);
}

#[tokio::test]
async fn the_tokens_user_owns_for_nobody() {
    let door = Door::open(None).await;
    let made = door.send(&ensure("a1", &json!({ "email": "ana@acme.example" }))).await.unwrap();
    let person: u64 = made.id.unwrap().as_str().parse().unwrap();
    let owner = || door.sim().read("persons", person).unwrap()["owner_id"].as_u64();
    assert_eq!(owner(), Some(1), "whoever makes something owns it");
    door.send(&give(person, None, Some(11))).await.unwrap();
    assert_eq!(owner(), Some(11));
    door.send(&give(person, Some(11), None)).await.unwrap();
    assert_eq!(owner(), Some(1), "nobody is the token's user");
}

#[tokio::test]
async fn fm_049_a_humans_choice_stands_and_one_that_was_overwritten_is_in_the_changelog() {
    let door = Door::open(None).await;
    let person = door.person(&json!({ "name": "Ana" }));
    door.sim().assign_as_human("persons", person, 12).unwrap();
    let sent = door.send(&give(person, None, Some(11))).await;
    assert!(
        matches!(&sent, Err(SendFailure::HumanWon { owner: Some(owner) }) if owner.as_str() == "12"),
        "{sent:?}"
    );
    // Somebody chooses in the instant between our look and our write.
    door.set(|faults| faults.human_first = 1.0);
    let mut persons = Vec::new();
    for _ in 0..10 {
        let other = door.person(&json!({ "name": "Ben" }));
        door.send(&give(other, None, Some(11))).await.unwrap();
        persons.push((SlotKind::Person, ExternalId::new(other.to_string())));
    }
    let histories = door.target().owner_history(&persons).await.unwrap();
    // Some of them chose whom we chose too.
    let overwritten: Vec<_> = histories.iter().filter(|history| history.len() == 2).collect();
    assert!(!overwritten.is_empty(), "{histories:?}");
    for history in overwritten {
        assert_eq!((history[0].by, history[1].by), (ChangedBy::Program, ChangedBy::Human));
        assert_eq!(
            (history[0].owner.clone(), history[1].owner.clone()),
            (Some("11".into()), Some("12".into()))
        );
    }
}

#[tokio::test]
async fn fm_049_an_overwritten_choice_is_found_behind_a_page_of_other_changes() {
    let door = Door::open(None).await;
    let person = door.person(&json!({ "name": "Ana" }));
    let deal = door.make("deals", &json!({ "title": "SEO", "person_id": person }));
    for (object, kind, field, id) in
        [("persons", SlotKind::Person, "name", person), ("deals", SlotKind::Deal, "title", deal)]
    {
        door.sim().assign_as_human(object, id, 12).unwrap();
        door.send(&give_it(known(kind, id), Some(12), Some(11))).await.unwrap();
        for number in 0..700 {
            let other = json!({ field: format!("Ana{number}") });
            door.sim().update(object, id, other.as_object().unwrap(), Actor::Human).unwrap();
        }
        let history = door.target().owner_history(&[(kind, id.to_string().into())]).await.unwrap().remove(0);
        let seen: Vec<_> = history.into_iter().map(|entry| (entry.owner, entry.by)).collect();
        assert_eq!(
            seen,
            [(Some("11".into()), ChangedBy::Program), (Some("12".into()), ChangedBy::Human)],
            "{object}"
        );
    }
}

#[tokio::test]
async fn fm_057_ids_are_numbers_and_an_owner_who_left_is_told_apart() {
    let door = Door::open(None).await;
    let person = door.person(&json!({ "name": "Ana" }));
    let sent = door.send(&give(person, None, Some(13))).await;
    assert!(matches!(sent, Err(SendFailure::OwnerRejected { .. })), "{sent:?}");
    let odd = OwnerChange { to: Some("ana".into()), ..OwnerChange::default() };
    let body = EffectBody::UpdateObject {
        target: known(SlotKind::Person, person),
        owner: Some(odd),
        fields: BTreeMap::new(),
        slot: None,
        after: None,
    };
    assert!(matches!(door.send(&write("o", body)).await, Err(SendFailure::Fault(_))));
    let gone = door.send(&give(998, None, Some(11))).await;
    assert!(matches!(gone, Err(SendFailure::Gone)), "{gone:?}");
}

#[tokio::test]
async fn fm_041_an_activity_is_found_by_its_marker_among_the_persons_and_closed_once() {
    let door = Door::open(None).await;
    let person = door.person(&json!({ "name": "Ana" }));
    let write_it = task("t1", known(SlotKind::Person, person), door.now());
    door.set(|faults| (faults.lost_response, faults.times) = (1.0, Some(1)));
    assert!(door.send(&write_it).await.is_err());
    let Verdict::Found(found) = door.target().verify(&write_it, door.now()).await.unwrap() else {
        panic!("it is there")
    };
    let id: u64 = found.id.unwrap().as_str().parse().unwrap();
    let note = door.sim().read("activities", id).unwrap()["note"].as_str().unwrap().to_owned();
    assert!(note.starts_with("SEO &lt;b&gt;now&lt;/b&gt;<br>please") && note.ends_with("usher:t1"), "{note}");
    let other = task("t2", known(SlotKind::Person, person), door.now());
    assert_eq!(door.target().verify(&other, door.now()).await.unwrap(), Verdict::Absent);
    // A person's empty list proves nothing once the person is gone.
    let heir = door.person(&json!({ "name": "Ana A" }));
    door.sim().merge("persons", heir, person).unwrap();
    assert_eq!(door.target().verify(&other, door.now()).await.unwrap(), Verdict::Unsure);

    let close = |only_untouched| {
        write("c", EffectBody::CloseTask { task: known(SlotKind::Task, id), only_untouched })
    };
    door.sim().mark_done(id, true).unwrap();
    assert!(matches!(door.send(&close(true)).await, Err(SendFailure::Touched)));
    door.sim().mark_done(id, false).unwrap();
    door.send(&close(true)).await.unwrap();
    assert_eq!(door.sim().read("activities", id).unwrap()["done"], true);
}

#[tokio::test]
async fn a_company_is_one_by_name_unless_its_website_speaks_against_it() {
    let door = Door::open(None).await;
    let somebody = door.person(&json!({ "name": "Eva" }));
    let company = |domain: &str| {
        let (name, person) = ("Acme GmbH".to_owned(), known(SlotKind::Person, somebody));
        let domain = (!domain.is_empty()).then(|| domain.to_owned());
        write("o", EffectBody::EnsureCompany { slot: slot(SlotKind::Company), name, domain, person })
    };
    let mut made = Vec::new();
    for domain in ["acme.example", "acme.example", "", "acme-other.example"] {
        made.push(door.send(&company(domain)).await.unwrap().origin);
    }
    assert_eq!(made, [SlotOrigin::Created, SlotOrigin::Found, SlotOrigin::Found, SlotOrigin::Created]);
    // Somebody's choice of organization stays, and is the one that counts.
    let ids = door.sim().ids("organizations");
    let person = door.person(&json!({ "name": "Ana", "org_id": ids[1] }));
    let mut own = company("acme.example");
    if let EffectBody::EnsureCompany { person: belongs, .. } = &mut own.body {
        *belongs = known(SlotKind::Person, person);
    }
    assert_eq!(door.send(&own).await.unwrap().id, Some(ids[1].to_string().into()));
    let (from, to) = (known(SlotKind::Person, person), known(SlotKind::Company, ids[0]));
    let sent = door.send(&write("a", EffectBody::Associate { from, to })).await.unwrap();
    assert!(sent.note.is_some());
    assert_eq!(door.sim().read("persons", person).unwrap()["org_id"], ids[1]);
}
