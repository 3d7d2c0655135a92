//! Leads and deals that carry owner and task: made once, whatever becomes of the answer.

use usher_connector::{ChangedBy, FaultClass, SendFailure, Verdict};
use usher_model::{EffectKind, SlotOrigin};
use usher_sandbox::lead_uuid;

use super::*;

const LEADS: &str = "connector: pipedrive\nobject: leads\n";
const DEALS: &str = "connector: pipedrive\nobject: deals\n";
const MARKED: &str = "connector: pipedrive\nobject: deals\ndeals: { marker: Usher key }\n";

/// What carries owners, its slot, and the settings.
const CARRIERS: [(&str, SlotKind, &str); 3] =
    [("leads", SlotKind::Lead, LEADS), ("deals", SlotKind::Deal, MARKED), ("deals", SlotKind::Deal, DEALS)];

fn inquiry(key: &str, kind: SlotKind, person: u64, owner: u64) -> Write {
    let body = EffectBody::EnsureInquiry {
        slot: slot(kind),
        title: "Ana Cruz (Acme)".to_owned(),
        person: known(SlotKind::Person, person),
        company: None,
        owner: owner.to_string().into(),
        entered_since: None,
    };
    write(key, body)
}

/// The object as a write names it.
fn carrier(kind: SlotKind, number: u64) -> ObjectRef {
    match kind {
        SlotKind::Lead => ObjectRef::Id { kind, id: lead_uuid(number).into() },
        _ => known(kind, number),
    }
}

fn is_found(verdict: &Verdict) -> Option<SlotOrigin> {
    match verdict {
        Verdict::Found(written) => Some(written.origin),
        _ => None,
    }
}

#[tokio::test]
async fn a_lead_or_deal_is_made_with_owner_ties_and_key() {
    for (object, kind, settings) in CARRIERS {
        let door = Door::with(settings, None).await;
        assert_eq!(door.target().carrier(), kind);
        let org = door.make("organizations", &json!({ "name": "Acme" }));
        let person = door.person(&json!({ "name": "Ana Cruz" }));
        let mut write_it = inquiry("c0f0", kind, person, 11);
        if let EffectBody::EnsureInquiry { company, .. } = &mut write_it.body {
            *company = Some(known(SlotKind::Company, org));
        }
        let made = door.send(&write_it).await.unwrap();
        assert_eq!((made.origin, made.note), (SlotOrigin::Created, None));
        let number = door.sim().ids(object)[0];
        let shown = door.sim().read(object, number).unwrap();
        assert_eq!(made.id.unwrap().as_str(), shown["id"].as_str().map_or(number.to_string(), str::to_owned));
        let tied = if object == "leads" { "organization_id" } else { "org_id" };
        assert_eq!(
            (&shown["title"], &shown["owner_id"], &shown["person_id"], &shown[tied]),
            (&json!("Ana Cruz (Acme)"), &json!(11), &json!(person), &json!(org))
        );
        let custom: Vec<&Value> =
            shown["custom_fields"].as_object().into_iter().flat_map(Map::values).collect();
        match settings {
            LEADS => assert_eq!(shown["origin_id"], "c0f0"),
            MARKED => assert_eq!(custom, [&json!("c0f0")]),
            _ => assert_eq!(custom, [&Value::Null]),
        }
    }
}

#[tokio::test]
async fn fm_040_a_lost_answer_makes_no_second_lead_or_deal() {
    for (object, kind, settings) in CARRIERS {
        for archived in [false, true] {
            let door = Door::with(settings, None).await;
            let person = door.person(&json!({ "name": "Ana Cruz" }));
            let write_it = inquiry("c0f1", kind, person, 11);
            let since = door.now();
            // Which origin a program's deal bears, nobody promises.
            let odd = archived && object == "deals";
            door.set(|faults| {
                (faults.lost_response, faults.other_origin) = (1.0, if odd { 1.0 } else { 0.0 });
                faults.times = Some(1 + u64::from(odd));
            });
            let sent = door.send(&write_it).await;
            let Err(SendFailure::Fault(fault)) = sent else { panic!("{sent:?}") };
            assert_eq!(fault.class(), FaultClass::OutcomeUnknown);
            let number = door.sim().ids(object)[0];
            // Somebody was quick, and gave it another name where that hides nothing.
            if settings != DEALS {
                let renamed = json!({ "title": "Cruz" });
                door.sim().update(object, number, renamed.as_object().unwrap(), Actor::Human).unwrap();
            }
            door.sim().archive(object, number, archived).unwrap();
            let found = door.target().verify(&write_it, since).await.unwrap();
            let origin = if settings == DEALS { SlotOrigin::Found } else { SlotOrigin::Created };
            assert_eq!(is_found(&found), Some(origin), "{settings} {archived} {found:?}");
            // Another inquiry of the same person is another one.
            let other = inquiry("c0f2", kind, person, 11);
            let other = door.target().verify(&other, since).await.unwrap();
            if settings != DEALS {
                assert_eq!(other, Verdict::Absent, "{settings}");
            }
        }
    }
}

#[tokio::test]
async fn fm_041_what_was_never_made_is_absent_and_of_who_is_gone_nothing_is_proven() {
    for (object, kind, settings) in CARRIERS {
        let door = Door::with(settings, None).await;
        let person = door.person(&json!({ "name": "Ana Cruz" }));
        let since = door.now();
        // What a human makes under the same name is not ours.
        door.make(object, &json!({ "title": "Ana Cruz (Acme)", "person_id": person }));
        let write_it = inquiry("c0f3", kind, person, 11);
        assert_eq!(door.target().verify(&write_it, since).await.unwrap(), Verdict::Absent, "{settings}");
        let heir = door.person(&json!({ "name": "Ana C" }));
        door.sim().merge("persons", heir, person).unwrap();
        assert_eq!(door.target().verify(&write_it, since).await.unwrap(), Verdict::Unsure, "{settings}");
    }
}

#[tokio::test]
async fn fm_049_a_human_wins_on_a_lead_and_a_deal() {
    for (object, kind, settings) in [CARRIERS[0], CARRIERS[1]] {
        let door = Door::with(settings, None).await;
        let person = door.person(&json!({ "name": "Ana" }));
        let number = door.make(object, &json!({ "title": "SEO", "person_id": person }));
        let owner = || door.sim().read(object, number).unwrap()["owner_id"].as_u64();
        let give = |expected, to| give_it(carrier(kind, number), expected, to);
        // Whoever enters it without a word owns it for nobody.
        door.send(&give(None, Some(11))).await.unwrap();
        assert_eq!(owner(), Some(11));
        let verdict = door.target().verify(&give(None, Some(11)), door.now()).await.unwrap();
        assert_eq!(is_found(&verdict), Some(SlotOrigin::Found));
        door.sim().assign_as_human(object, number, 12).unwrap();
        let sent = door.send(&give(Some(11), Some(11))).await;
        assert!(
            matches!(&sent, Err(SendFailure::HumanWon { owner: Some(owner) }) if owner.as_str() == "12"),
            "{sent:?}"
        );
        assert_eq!(owner(), Some(12));
        let verdict = door.target().verify(&give(Some(11), Some(11)), door.now()).await.unwrap();
        assert_eq!(verdict, Verdict::Absent);
        // Pipedrive keeps a changelog of deals, and none of leads.
        let id = ExternalId::new(if kind == SlotKind::Lead { lead_uuid(number) } else { number.to_string() });
        let history = door.target().owner_history(&[(kind, id)]).await.unwrap().remove(0);
        if kind == SlotKind::Lead {
            assert_eq!(history.len(), 0);
        } else {
            let entries: Vec<_> = history.into_iter().map(|entry| (entry.owner, entry.by)).collect();
            assert_eq!(
                entries,
                [(Some("12".into()), ChangedBy::Human), (Some("11".into()), ChangedBy::Program)]
            );
        }
        let left = door.send(&give(Some(12), Some(13))).await;
        assert!(matches!(left, Err(SendFailure::OwnerRejected { .. })), "{left:?}");
    }
}

#[tokio::test]
async fn fm_052_what_is_deleted_or_archived_is_gone_and_so_is_who_it_would_be_about() {
    for (object, kind, settings) in [CARRIERS[0], CARRIERS[1]] {
        let door = Door::with(settings, None).await;
        let person = door.person(&json!({ "name": "Ana" }));
        for archive in [true, false] {
            let number = door.make(object, &json!({ "title": "SEO", "person_id": person }));
            if archive {
                door.sim().archive(object, number, true).unwrap();
            } else {
                door.sim().delete(object, number).unwrap();
            }
            let sent = door.send(&give_it(carrier(kind, number), None, Some(11))).await;
            assert!(matches!(sent, Err(SendFailure::Gone)), "{sent:?}");
        }
        // Of those that a task is about, the one that is gone is named, and no other.
        let about = |number: u64, person: u64| {
            let mut item = task("t1", carrier(kind, number), door.now());
            if let EffectBody::CreateTask { about, .. } = &mut item.body {
                about.push(known(SlotKind::Person, person));
            }
            item
        };
        let lost = |sent: Result<Written, SendFailure>| match sent {
            Err(SendFailure::Lost { kind, id }) => (kind, id.to_string()),
            other => panic!("{other:?}"),
        };
        let number = door.make(object, &json!({ "title": "SEO", "person_id": person }));
        let other = door.person(&json!({ "name": "Eva" }));
        door.sim().delete("persons", other).unwrap();
        assert_eq!(lost(door.send(&about(number, other)).await), (SlotKind::Person, other.to_string()));
        door.sim().delete(object, number).unwrap();
        let ObjectRef::Id { id, .. } = carrier(kind, number) else { panic!() };
        assert_eq!(lost(door.send(&about(number, person)).await), (kind, id.to_string()));
        // The directory shows a deleted organization for up to a day.
        let organization = door.make("organizations", &json!({ "name": "Acme" }));
        door.sim().delete("organizations", organization).unwrap();
        let with_company = |item: Write| {
            let company = known(SlotKind::Company, organization);
            let mut item = item;
            match &mut item.body {
                EffectBody::EnsureInquiry { company: to, .. } => *to = Some(company),
                EffectBody::CreateTask { about, .. } => about.push(company),
                _ => panic!(),
            }
            item
        };
        let number = door.make(object, &json!({ "title": "PPC", "person_id": person }));
        for item in [inquiry("c0f3", kind, person, 11), about(number, person)] {
            let written = door.send(&with_company(item)).await.unwrap();
            assert!(written.note.unwrap().contains(&format!("organization {organization}")));
        }
        door.sim().delete("persons", person).unwrap();
        let sent = door.send(&with_company(inquiry("c0f4", kind, person, 11))).await;
        assert_eq!(lost(sent), (SlotKind::Person, person.to_string()));
    }
}

#[tokio::test]
async fn what_a_lost_answer_made_without_its_owner_is_not_done() {
    for (object, kind, settings) in [CARRIERS[0], CARRIERS[1]] {
        let door = Door::with(settings, None).await;
        let person = door.person(&json!({ "name": "Ana" }));
        let number = door.make(object, &json!({ "title": "SEO", "person_id": person }));
        let about_it = task("c0f9", carrier(kind, number), door.now());
        for (write_it, objects, wanted) in
            [(inquiry("c0f8", kind, person, 11), object, 11), (about_it, "activities", 7)]
        {
            let since = door.now();
            door.set(|faults| (faults.lost_response, faults.drop_owner, faults.times) = (1.0, 1.0, Some(2)));
            assert!(door.send(&write_it).await.is_err());
            door.set(|faults| (faults.lost_response, faults.drop_owner) = (0.0, 0.0));
            let fault = door.target().verify(&write_it, since).await.unwrap_err();
            assert_eq!(fault.class(), FaultClass::Defect, "{objects}: {fault}");
            let made = *door.sim().ids(objects).last().unwrap();
            // Whoever is chosen afterwards is somebody's choice.
            let chosen = json!({ "owner_id": wanted + 1 });
            door.sim().update(objects, made, chosen.as_object().unwrap(), Actor::Human).unwrap();
            let found = door.target().verify(&write_it, since).await.unwrap();
            assert_eq!(
                is_found(&found),
                Some(if settings == DEALS && objects == object {
                    SlotOrigin::Found
                } else {
                    SlotOrigin::Created
                })
            );
        }
    }
}

#[tokio::test]
async fn an_owner_who_is_dropped_from_a_create_is_set_once() {
    for (object, kind, settings) in [CARRIERS[0], CARRIERS[1]] {
        let door = Door::with(settings, None).await;
        let person = door.person(&json!({ "name": "Ana" }));
        door.set(|faults| (faults.drop_owner, faults.times) = (1.0, Some(1)));
        door.send(&inquiry("c0f5", kind, person, 11)).await.unwrap();
        let owner = || door.sim().read(object, door.sim().ids(object)[0]).unwrap()["owner_id"].as_u64();
        assert_eq!(owner(), Some(11));
        door.set(|faults| (faults.drop_owner, faults.times) = (1.0, Some(2)));
        let sent = door.send(&inquiry("c0f6", kind, person, 12)).await;
        let Err(SendFailure::Fault(fault)) = sent else { panic!("{sent:?}") };
        assert_eq!(fault.class(), FaultClass::Defect, "refused, it would be made again");
        assert_eq!(door.sim().count(object), 2);
    }
}

#[tokio::test]
async fn fm_041_an_activity_about_a_lead_or_deal_is_found_there_closed_and_handed_over() {
    for (object, kind, settings) in [CARRIERS[0], CARRIERS[1]] {
        let door = Door::with(settings, None).await;
        let person = door.person(&json!({ "name": "Ana" }));
        let number = door.make(object, &json!({ "title": "SEO", "person_id": person }));
        let mut write_it = task("t1", carrier(kind, number), door.now());
        if let EffectBody::CreateTask { about, .. } = &mut write_it.body {
            about.push(known(SlotKind::Person, person));
        }
        door.set(|faults| (faults.lost_response, faults.times) = (1.0, Some(1)));
        assert!(door.send(&write_it).await.is_err());
        let Verdict::Found(found) = door.target().verify(&write_it, door.now()).await.unwrap() else {
            panic!("it is there")
        };
        let id: u64 = found.id.unwrap().as_str().parse().unwrap();
        let activity = || door.sim().read("activities", id).unwrap();
        let about = if kind == SlotKind::Lead { json!(lead_uuid(number)) } else { json!(number) };
        assert_eq!(activity()[format!("{}_id", object.trim_end_matches('s'))], about);
        assert_eq!(activity()["participants"], json!([{ "person_id": person, "primary": true }]));
        let since = door.now() - jiff::SignedDuration::from_mins(1);
        assert_eq!(door.target().ours_since(&write_it, since).await.unwrap().len(), 1);
        let known_task = known(SlotKind::Task, id);
        door.send(&write("r", EffectBody::ReassignTask { task: known_task.clone(), to: "12".into() }))
            .await
            .unwrap();
        door.send(&write("c", EffectBody::CloseTask { task: known_task, only_untouched: true }))
            .await
            .unwrap();
        assert_eq!((&activity()["owner_id"], &activity()["done"]), (&json!(12), &json!(true)));
        // What became of a lead that is gone can not be told by its activities.
        let other = task("t2", carrier(kind, number), door.now());
        assert_eq!(door.target().verify(&other, door.now()).await.unwrap(), Verdict::Absent);
        door.send(&write("a", EffectBody::ArchiveObject { target: carrier(kind, number) })).await.unwrap();
        assert_eq!(door.sim().count(object), 0);
        assert_eq!(door.target().verify(&other, door.now()).await.unwrap(), Verdict::Unsure);
    }
}

#[tokio::test]
async fn deals_begin_where_the_settings_say_and_a_wrong_stage_is_told() {
    let door = Door::with("connector: pipedrive\nobject: deals\ndeals: { stage: 3 }\n", None).await;
    let person = door.person(&json!({ "name": "Ana" }));
    door.send(&inquiry("c0f7", SlotKind::Deal, person, 11)).await.unwrap();
    assert_eq!(door.sim().read("deals", door.sim().ids("deals")[0]).unwrap()["stage_id"], 3);
    let door = Door::with("connector: pipedrive\nobject: deals\ndeals: { stage: 99 }\n", None).await;
    let person = door.person(&json!({ "name": "Ana" }));
    let sent = door.send(&inquiry("c0f8", SlotKind::Deal, person, 11)).await;
    let Err(SendFailure::Fault(fault)) = sent else { panic!("{sent:?}") };
    assert_eq!(fault.class(), FaultClass::Rejected);
    assert!(fault.to_string().contains("stage"), "{fault}");
    // A marker field that is not there is told, and costs nothing else.
    let door =
        Door::with("connector: pipedrive\nobject: deals\ndeals: { marker: Key of ours }\n", None).await;
    let person = door.person(&json!({ "name": "Ana" }));
    let made = door.send(&inquiry("c0f9", SlotKind::Deal, person, 11)).await.unwrap();
    assert_eq!(made.note.as_deref(), Some("left out: Key of ours (Pipedrive has no such field)"));
}

#[tokio::test]
async fn capabilities_name_what_carries_owners() {
    for (object, _, settings) in CARRIERS {
        let door = Door::with(settings, None).await;
        let of = |kind| {
            let all = door.target().capabilities();
            all.into_iter().find(|can| can.kind == kind).map(|can| can.object)
        };
        assert_eq!(of(EffectKind::EnsureInquiry), Some(object));
        assert_eq!(of(EffectKind::UpdateObject), Some(object));
    }
    let door = Door::open(None).await;
    assert!(door.target().capabilities().iter().all(|can| can.kind != EffectKind::EnsureInquiry));
}
