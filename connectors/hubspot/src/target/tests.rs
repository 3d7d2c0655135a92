//! The target role against scripted vendors.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::{Value, json};
use usher_connector::{Access, CallLane, KeyState, OwnerRead};
use usher_model::{EffectKey, IdentityKey, IdentityKind, OwnerChange, Slot};

mod inquiries;

use super::*;
use crate::testing::{at, ids, seen, vendor};
use usher_testkit::{Script, asked};

fn target(script: &Arc<Script>) -> HubSpotTarget {
    HubSpotTarget::new(script.clone(), Keys::default(), Carrier::default())
}

fn slot(kind: SlotKind) -> Slot {
    Slot { connection: "hubspot-main".into(), kind, of: "x".to_owned() }
}

fn object(kind: SlotKind, id: &str) -> ObjectRef {
    ObjectRef::Id { kind, id: id.into() }
}

fn write(key: &str, body: EffectBody) -> Write {
    let owner_read = OwnerRead { fresh: false, until: Instant::now() };
    Write { key: EffectKey::new(key), body, owner_read, owner: None }
}

fn person(key: &str, email: Option<&str>) -> Write {
    let keys = email.map(|email| IdentityKey { kind: IdentityKind::Email, value: email.to_owned() });
    let mut fields = BTreeMap::from([("first_name".to_owned(), json!("Ana"))]);
    fields.extend(email.map(|email| ("email".to_owned(), json!(email))));
    write(
        key,
        EffectBody::EnsurePerson { slot: slot(SlotKind::Person), keys: keys.into_iter().collect(), fields },
    )
}

fn owner(key: &str, id: &str, expected: Option<&str>, to: &str) -> Write {
    let change =
        OwnerChange { expected: expected.map(Into::into), to: Some(to.into()), ..OwnerChange::default() };
    let target = object(SlotKind::Person, id);
    let body = EffectBody::UpdateObject {
        target,
        owner: Some(change),
        fields: BTreeMap::new(),
        slot: Some(slot(SlotKind::Owner)),
        after: None,
    };
    write(key, body)
}

fn task(key: &str, contact: &str) -> Write {
    write(
        key,
        EffectBody::CreateTask {
            slot: slot(SlotKind::Task),
            subject: "Call Ana".to_owned(),
            body: "SEO <b>now</b>\n& more".to_owned(),
            due: at(0),
            owner: "71".into(),
            after: None,
            about: vec![object(SlotKind::Person, contact), object(SlotKind::Company, "500")],
        },
    )
}

/// Every outcome in one word, with the id where there is one.
fn words(outcomes: &[Sent]) -> Vec<String> {
    let word = |outcome: &Sent| match outcome {
        Ok(Written { id, origin, .. }) => {
            format!("{} {}", origin.as_str(), id.as_ref().map_or("-", ExternalId::as_str))
        }
        Err(SendFailure::Fault(fault)) => fault.class().as_str().to_owned(),
        Err(SendFailure::HumanWon { owner }) => {
            format!("human {}", owner.as_ref().map_or("-", ExternalId::as_str))
        }
        Err(SendFailure::OwnerRejected { .. }) => "owner rejected".to_owned(),
        Err(SendFailure::Gone) => "gone".to_owned(),
        Err(SendFailure::Lost { kind, id }) => format!("lost {} {id}", kind.as_str()),
        Err(SendFailure::Touched) => "touched".to_owned(),
    };
    outcomes.iter().map(word).collect()
}

fn inputs(request: &Request) -> Vec<Value> {
    asked(request)["inputs"].as_array().unwrap().clone()
}

/// Creates every input as given; ids count from 1000. `echo` says whether the answer repeats the trace id.
fn create_all(request: &Request, echo: bool) -> (u16, Value) {
    let rows = inputs(request).into_iter().enumerate().map(|(at, input)| {
        let mut row = json!({ "id": (1000 + at).to_string(), "properties": input["properties"] });
        if echo {
            row["objectWriteTraceId"] = input["objectWriteTraceId"].clone();
        }
        row
    });
    // Out of order, so that position can not stand in for identity.
    let rows: Vec<Value> = rows.rev().collect();
    (201, json!({ "status": "COMPLETE", "results": rows }))
}

/// A contact is made by the vendor's answer to the create, whatever that does with the owner.
#[tokio::test]
async fn fm_049_only_who_is_made_gets_the_owner_along() {
    let owned = |person: Write| Write { owner: Some("71".into()), ..person };
    for (answer, wanted) in [
        ("takes", "created 1000 owned"),
        ("drops", "created 1000"),
        ("refuses", "transient"),
        // May have been made: it must be looked for before the next try.
        ("INTERNAL_ERROR", "outcome_unknown"),
        ("RATE_LIMITS", "throttled"),
    ] {
        let script = vendor(move |request| match request.path.as_str() {
            "/crm/objects/2026-09/contacts/batch/read" => (
                207,
                json!({ "results": [{ "id": "7", "properties": { "email": "known@acme.example", "hubspot_owner_id": null } }],
                    "errors": [{ "category": "OBJECT_NOT_FOUND", "context": { "ids": ["new@acme.example"] } }] }),
            ),
            _ if answer == "refuses" => (
                400,
                json!({ "status": "error", "category": "VALIDATION_ERROR", "message": "no such owner",
                    "errors": [{ "code": "INVALID_OPTION", "context": { "propertyName": ["hubspot_owner_id"] } }] }),
            ),
            _ if answer.contains('_') => {
                let trace = inputs(request)[0]["objectWriteTraceId"].clone();
                let error = json!({ "category": answer, "context": { "objectWriteTraceId": [trace] } });
                (207, json!({ "results": [], "numErrors": 1, "errors": [error] }))
            }
            _ => {
                let (status, mut rows) = create_all(request, true);
                if answer == "drops" {
                    rows["results"][0]["properties"].as_object_mut().unwrap().remove("hubspot_owner_id");
                }
                (status, rows)
            }
        });
        let writes =
            [owned(person("k1", Some("known@acme.example"))), owned(person("k2", Some("new@acme.example")))];
        let outcomes = target(&script).send(&writes).await;
        let told: Vec<String> = words(&outcomes)
            .into_iter()
            .zip(&outcomes)
            .map(|(word, outcome)| match outcome {
                Ok(written) if written.owned => format!("{word} owned"),
                _ => word,
            })
            .collect();
        assert_eq!(told, ["found 7", wanted]);
        let requests = seen(&script);
        let create = requests.iter().find(|request| request.path.ends_with("/create")).unwrap();
        assert_eq!(inputs(create)[0]["properties"]["hubspot_owner_id"], "71");
    }
}

#[tokio::test]
async fn persons_are_read_by_email_first_and_only_the_missing_are_created() {
    for echo in [true, false] {
        let script = vendor(move |request| match request.path.as_str() {
            "/crm/objects/2026-09/contacts/batch/read" => (
                207,
                json!({ "results": [{ "id": "7", "properties": { "email": "known@acme.example", "hubspot_owner_id": null } }],
                    "errors": [{ "category": "OBJECT_NOT_FOUND", "context": { "ids": ["new@acme.example"] } }] }),
            ),
            _ => create_all(request, echo),
        });
        let writes = [
            person("k1", Some("known@acme.example")),
            person("k2", Some("New@acme.example")),
            person("k3", Some("anew@acme.example")),
            person("k4", None),
        ];
        let outcomes = target(&script).send(&writes).await;
        let created: BTreeSet<String> = words(&outcomes)[1..3].iter().cloned().collect();
        assert_eq!(words(&outcomes)[0], "found 7");
        assert_eq!(created, BTreeSet::from(["created 1000".to_owned(), "created 1001".to_owned()]));
        assert_eq!(words(&outcomes)[3], "created 1000", "alone in its call");
        let sizes: Vec<usize> = script.writes().iter().map(|request| inputs(request).len()).collect();
        assert_eq!(sizes, [2, 1]);
        let first = &inputs(&script.writes()[0])[0];
        assert_eq!(first["properties"], json!({ "email": "new@acme.example", "firstname": "Ana" }));
        assert_eq!(first["objectWriteTraceId"], "k2");
        // The second input of "anew" must not be taken for "new", which it contains.
        let id_of = |at: usize| words(&outcomes)[at].clone();
        assert_eq!(
            (id_of(1), id_of(2)),
            ("created 1000".to_owned(), "created 1001".to_owned()),
            "echo {echo}"
        );
    }
}

#[tokio::test]
async fn fm_056_a_conflict_becomes_the_contact_that_exists() {
    let script = vendor(|request| match (request.path.ends_with("/read"), inputs(request).len()) {
        (true, _) => (200, json!({ "results": [] })),
        // One row of three by trace id, in a success status.
        (false, 3) => (
            207,
            json!({ "results": [{ "id": "1", "objectWriteTraceId": "a" }], "numErrors": 2, "errors": [
            { "category": "CONFLICT", "message": "Contact already exists. Existing ID: 4711", "context": { "objectWriteTraceId": ["b"] } },
            { "category": "VALIDATION_ERROR", "message": "bad c@acme", "context": { "objectWriteTraceId": ["c"] },
              "errors": [{ "code": "INVALID_EMAIL", "context": { "propertyName": ["email"] } }] } ] }),
        ),
        // The whole call.
        _ => (
            409,
            json!({ "status": "error", "category": "CONFLICT", "message": "Contact already exists. Existing ID: 99" }),
        ),
    });
    let three = ["a", "b", "c"].map(|key| person(key, Some(&format!("{key}@acme.example"))));
    let outcomes = target(&script).send(&three).await;
    assert_eq!(words(&outcomes), ["created 1", "found 4711", "rejected"]);
    let Err(SendFailure::Fault(fault)) = &outcomes[2] else { panic!() };
    assert!(
        fault.to_string().contains("INVALID_EMAIL at property email")
            && !fault.to_string().contains("c@acme")
    );
    assert_eq!(words(&target(&script).send(&three[..1]).await), ["found 99"]);
}

#[tokio::test]
async fn two_writes_for_one_address_make_one_contact() {
    let script = vendor(|request| match request.path.ends_with("/read") {
        true => (200, json!({ "results": [] })),
        false => create_all(request, true),
    });
    let owned = |person: Write, by: &str| Write { owner: Some(by.into()), ..person };
    let writes = [
        owned(person("a", Some("ana@acme.example")), "71"),
        owned(person("b", Some("Ana@Acme.example")), "72"),
    ];
    let outcomes = target(&script).send(&writes).await;
    assert_eq!(words(&outcomes), ["created 1000", "found 1000"]);
    let owned = outcomes.into_iter().map(|outcome| outcome.unwrap().owned).collect::<Vec<_>>();
    assert_eq!(owned, [true, false], "it has the first one's owner");
    assert_eq!(script.writes().iter().map(|request| inputs(request).len()).sum::<usize>(), 1);
}

#[tokio::test]
async fn fm_041_no_search_decides_that_a_person_is_missing() {
    let script = vendor(|request| match request.path.ends_with("/read") {
        true => (503, json!({})),
        false => create_all(request, true),
    });
    let outcomes = target(&script).send(&[person("a", Some("ana@acme.example"))]).await;
    assert_eq!(words(&outcomes), ["transient"]);
    assert!(
        script.writes().is_empty() && seen(&script).iter().all(|request| !request.path.contains("search"))
    );
}

/// Contact id → owner, as a vendor that reads and updates in batches.
fn contacts(owners: &[(&str, Option<&str>)]) -> Arc<Script> {
    let mut owners: BTreeMap<String, Option<String>> =
        owners.iter().map(|(id, owner)| ((*id).to_owned(), owner.map(str::to_owned))).collect();
    vendor(move |request| {
        let (mut results, mut missing) = (Vec::new(), Vec::new());
        for input in inputs(request) {
            let id = input["id"].as_str().unwrap().to_owned();
            let Some(owner) = owners.get_mut(&id) else {
                missing.push(id);
                continue;
            };
            if request.access == Access::Write {
                *owner = input["properties"]["hubspot_owner_id"].as_str().map(str::to_owned);
            }
            results.push(json!({ "id": id, "properties": { "hubspot_owner_id": owner } }));
        }
        (
            200,
            json!({ "results": results, "errors": [{ "category": "OBJECT_NOT_FOUND", "context": { "ids": missing } }] }),
        )
    })
}

#[tokio::test]
async fn fm_049_an_owner_is_written_only_over_the_expected_one() {
    let script =
        contacts(&[("1", None), ("2", Some("50")), ("3", Some("60")), ("4", Some("71")), ("5", Some(""))]);
    let writes = [
        owner("a", "1", None, "71"),
        owner("b", "2", Some("50"), "71"),
        owner("c", "3", Some("50"), "71"),
        owner("d", "4", Some("50"), "71"),
        owner("e", "5", None, "71"),
        owner("f", "6", None, "71"),
    ];
    let outcomes = target(&script).send(&writes).await;
    assert_eq!(words(&outcomes), ["found 71", "found 71", "human 60", "found 71", "found 71", "gone"]);
    assert_eq!(ids(&script.writes()[0]), ["1", "2", "4", "5"]);
    assert_eq!(seen(&script)[0].lane, CallLane::Write);
}

#[tokio::test]
async fn fm_044_every_mix_of_done_refused_and_unmentioned_rows() {
    for status in [200, 207] {
        let script = vendor(move |request| {
            if request.access == Access::Read {
                let row = |id: &String| json!({ "id": id, "properties": { "hubspot_owner_id": null } });
                let rows: Vec<Value> = ids(request).iter().map(row).collect();
                return (200, json!({ "results": rows }));
            }
            let (mut results, mut errors) = (Vec::new(), Vec::new());
            for id in ids(request).into_iter().rev() {
                match id.parse::<u32>().unwrap() % 4 {
                    0 => results.push(json!({ "id": id, "properties": { "hubspot_owner_id": "71" } })),
                    1 => errors.push(json!({ "category": "OBJECT_NOT_FOUND", "context": { "ids": [id] } })),
                    2 => errors.push(json!({ "category": "VALIDATION_ERROR", "context": { "ids": [id] },
                        "errors": [{ "code": "INVALID_OWNER_ID", "context": { "propertyName": ["hubspot_owner_id"] } }] })),
                    _ => {}
                }
            }
            (status, json!({ "results": results, "numErrors": errors.len(), "errors": errors }))
        });
        let writes: Vec<Write> =
            (0..100).map(|id| owner(&format!("k{id}"), &id.to_string(), None, "71")).collect();
        let outcomes = words(&target(&script).send(&writes).await);
        for (id, outcome) in outcomes.iter().enumerate() {
            let expected = ["found 71", "gone", "owner rejected", "outcome_unknown"][id % 4];
            assert_eq!(outcome, expected, "row {id}, status {status}");
        }
    }
}

#[tokio::test]
async fn fm_045_bad_rows_are_found_by_halving_and_the_others_written() {
    let script = vendor(|request| {
        if request.access == Access::Read {
            let row = |id: &String| json!({ "id": id, "properties": { "hubspot_owner_id": null } });
            let rows: Vec<Value> = ids(request).iter().map(row).collect();
            return (200, json!({ "results": rows }));
        }
        if ids(request).iter().any(|id| ["13", "14", "77"].contains(&id.as_str())) {
            return (400, json!({ "status": "error", "category": "VALIDATION_ERROR", "message": "no" }));
        }
        let owned = json!({ "hubspot_owner_id": "71" });
        let rows: Vec<Value> =
            ids(request).iter().map(|id| json!({ "id": id, "properties": owned })).collect();
        (200, json!({ "results": rows }))
    });
    let writes: Vec<Write> =
        (0..100).map(|id| owner(&format!("k{id}"), &id.to_string(), None, "71")).collect();
    let outcomes = words(&target(&script).send(&writes).await);
    let bad: Vec<usize> = (0..100).filter(|id| outcomes[*id] == "rejected").collect();
    assert_eq!(bad, [13, 14, 77]);
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "found 71").count(), 97);
    assert!(script.writes().len() <= 1 + 2 * 3 * 7, "{} calls", script.writes().len());
    assert_compared_right_before(&script);
    assert_eq!(seen(&script).len(), 2 * script.writes().len(), "one look for each call, no more");
}

#[tokio::test]
async fn fm_046_an_owner_that_the_answer_does_not_show_is_looked_at_again() {
    for (then, word) in [
        (Some(json!("71")), "found 71"),
        (Some(json!("50")), "rejected"),
        (Some(Value::Null), "rejected"),
        (Some(json!("60")), "human 60"),
        (None, "gone"),
    ] {
        let mut reads = 0;
        let script = vendor(move |request| {
            let row = |owner: &Value| json!({ "id": "1", "properties": { "hubspot_owner_id": owner } });
            if request.access == Access::Write {
                return (200, json!({ "results": [{ "id": "1", "properties": {} }] }));
            }
            reads += 1;
            let seen = if reads == 1 { Some(json!("50")) } else { then.clone() };
            (200, json!({ "results": seen.iter().map(row).collect::<Vec<_>>() }))
        });
        assert_eq!(words(&target(&script).send(&[owner("a", "1", Some("50"), "71")]).await), [word]);
    }
}

#[tokio::test]
async fn fm_049_an_owner_who_is_not_shown_is_not_overwritten() {
    let script = vendor(|_| (200, json!({ "results": [{ "id": "1", "properties": {} }] })));
    assert_eq!(words(&target(&script).send(&[owner("a", "1", None, "71")]).await), ["transient"]);
    assert_eq!(script.writes().len(), 0);
}

#[tokio::test]
async fn two_updates_of_one_object_never_share_a_call() {
    let script = contacts(&[("1", None)]);
    let fields = |key: &str| {
        let target = object(SlotKind::Person, "1");
        let fields = BTreeMap::from([("first_name".to_owned(), json!(key))]);
        write(key, EffectBody::UpdateObject { target, owner: None, fields, slot: None, after: None })
    };
    assert_eq!(words(&target(&script).send(&[fields("a"), fields("b")]).await), ["found -", "found -"]);
    assert_eq!(script.writes().len(), 2);
}

#[tokio::test]
async fn fm_049_a_second_owner_change_of_one_object_waits_and_looks_again() {
    for (second, word) in [(None, "human 71"), (Some("71"), "found 72")] {
        let script = contacts(&[("1", None), ("2", None)]);
        let writes =
            [owner("a", "1", None, "71"), owner("b", "1", second, "72"), owner("c", "2", None, "71")];
        let outcomes = target(&script).send(&writes).await;
        assert_eq!(words(&outcomes), ["found 71", "transient", "found 71"]);
        assert_eq!(script.writes().len(), 1, "the second change was not sent");
        assert_eq!(words(&target(&script).send(&writes[1..2]).await), [word]);
    }
}

/// Before each call that writes owners, the last call read the owners of the same objects.
fn assert_compared_right_before(script: &Script) {
    let seen = seen(script);
    for (at, request) in seen.iter().enumerate().filter(|(_, request)| request.access == Access::Write) {
        let before = at.checked_sub(1).and_then(|at| seen.get(at)).unwrap();
        assert_eq!(before.access, Access::Read, "call {at}");
        let read: BTreeSet<String> = ids(before).into_iter().collect();
        assert!(ids(request).iter().all(|id| read.contains(id)), "call {at}");
    }
}

#[tokio::test]
async fn fm_049_halves_of_a_refused_batch_are_compared_again() {
    let mut owners = BTreeMap::from(["1", "2", "3", "4"].map(|id| (id.to_owned(), Value::Null)));
    let script = vendor(move |request| {
        if request.access == Access::Write && ids(request).contains(&"1".to_owned()) {
            // While we look for the culprit, a human takes contact 3 and contact 4 is deleted.
            owners.insert("3".to_owned(), json!("60"));
            owners.remove("4");
            return (400, json!({ "status": "error", "category": "VALIDATION_ERROR" }));
        }
        if request.access == Access::Write {
            owners.extend(ids(request).into_iter().map(|id| (id, json!("71"))));
        }
        let rows: Vec<Value> = ids(request)
            .iter()
            .filter_map(|id| Some(json!({ "id": id, "properties": { "hubspot_owner_id": owners.get(id)? } })))
            .collect();
        (200, json!({ "results": rows }))
    });
    let writes = ["1", "2", "3", "4"].map(|id| owner(id, id, None, "71"));
    let outcomes = target(&script).send(&writes).await;
    assert_eq!(words(&outcomes), ["rejected", "found 71", "human 60", "gone"]);
    assert_compared_right_before(&script);
    assert!(script.writes().iter().skip(1).all(|call| !ids(call).contains(&"3".to_owned())));
}

/// As [`owner`], its owner read a moment ago.
fn fresh(key: &str, id: &str, to: &str) -> Write {
    let owner_read = OwnerRead { fresh: true, until: Instant::now() + std::time::Duration::from_secs(5) };
    Write { owner_read, ..owner(key, id, None, to) }
}

#[tokio::test]
async fn fm_049_a_young_read_saves_the_comparison_for_one_call_only() {
    let script = contacts(&[("1", None), ("2", None)]);
    let writes = [fresh("k1", "1", "71"), fresh("k2", "2", "71")];
    assert_eq!(words(&target(&script).send(&writes).await), ["found 71", "found 71"]);
    let seen = seen(&script);
    assert_eq!(seen.len(), 1, "no comparison");
    assert_eq!(seen[0].before, Some(writes[0].owner_read.until), "and not later than the read is young");

    // One old read in the call, and everything is compared: nobody knows how long that takes.
    let script = contacts(&[("1", None), ("2", Some("9"))]);
    let writes = [owner("k1", "1", None, "71"), fresh("k2", "2", "71")];
    assert_eq!(words(&target(&script).send(&writes).await), ["found 71", "human 9"]);

    // The halves of a refused call are compared.
    let mut refused = false;
    let script = vendor(move |request| {
        if request.path.ends_with("batch/update") && !std::mem::replace(&mut refused, true) {
            return (400, json!({ "status": "error", "category": "VALIDATION_ERROR", "message": "no" }));
        }
        let rows: Vec<Value> = ids(request)
            .iter()
            .map(|id| json!({ "id": id, "properties": { "hubspot_owner_id": "9" } }))
            .collect();
        (200, json!({ "results": rows }))
    });
    let writes = [fresh("k1", "1", "71"), fresh("k2", "2", "71")];
    assert_eq!(words(&target(&script).send(&writes).await), ["human 9", "human 9"]);
    assert_eq!(script.writes().len(), 1, "nothing was overwritten");
}

#[tokio::test]
async fn an_owner_can_be_taken_away_again() {
    let script = contacts(&[("1", Some("71"))]);
    let mut write = owner("k1", "1", Some("71"), "71");
    let EffectBody::UpdateObject { owner: Some(change), .. } = &mut write.body else { panic!("no update") };
    change.to = None;
    assert_eq!(words(&target(&script).send(&[write]).await), ["found -"]);
    assert_eq!(inputs(&script.writes()[0])[0]["properties"], json!({ "hubspot_owner_id": "" }));
}

#[tokio::test]
async fn an_untouched_task_is_closed_and_a_touched_one_left_alone() {
    let script = vendor(|request| {
        let status = |id: &str| if id == "2" { "IN_PROGRESS" } else { "NOT_STARTED" };
        let rows: Vec<Value> = ids(request)
            .iter()
            .filter(|id| *id != "3")
            .map(|id| json!({ "id": id, "properties": { "hs_task_status": status(id) } }))
            .collect();
        (200, json!({ "results": rows }))
    });
    let close = |key: &str, id: &str, only_untouched| {
        write(key, EffectBody::CloseTask { task: object(SlotKind::Task, id), only_untouched })
    };
    let writes =
        [close("a", "1", true), close("b", "2", true), close("c", "3", true), close("d", "2", false)];
    assert_eq!(words(&target(&script).send(&writes).await), ["found -", "touched", "gone", "found -"]);
    let written: Vec<String> = script.writes().iter().flat_map(ids).collect();
    assert_eq!(written, ["1", "2"]);
}

#[tokio::test]
async fn fm_049_objects_of_two_types_are_compared_each_before_their_own_call() {
    let script = contacts(&[("1", None), ("2", None)]);
    let mut company = owner("b", "2", None, "71");
    if let EffectBody::UpdateObject { target, .. } = &mut company.body {
        *target = object(SlotKind::Company, "2");
    }
    let outcomes = target(&script).send(&[owner("a", "1", None, "71"), company]).await;
    assert_eq!(words(&outcomes), ["found 71", "found 71"]);
    assert_compared_right_before(&script);
}

#[tokio::test]
async fn fm_039_a_write_without_a_readable_answer_is_unknown() {
    for (status, answer) in
        [(500, json!({})), (200, json!("<html>")), (200, json!({ "results": 5 })), (200, json!({ "x": 1 }))]
    {
        let given = answer.clone();
        let script = vendor(move |_| (status, given.clone()));
        assert_eq!(
            words(&target(&script).send(&[task("k", "1")]).await),
            ["outcome_unknown"],
            "{status} {answer}"
        );
        assert_eq!(seen(&script).len(), 1, "never repeated");
    }
}

#[tokio::test]
async fn tasks_carry_associations_owner_marker_and_no_markup_of_strangers() {
    for echo in [true, false] {
        let script = vendor(move |request| create_all(request, echo));
        let outcomes = target(&script).send(&[task("aaa", "1"), task("bbb", "2")]).await;
        assert_eq!(words(&outcomes), ["created 1000", "created 1001"]);
        let input = &inputs(&script.writes()[0])[0];
        assert_eq!(
            input["properties"]["hs_task_body"],
            "SEO &lt;b&gt;now&lt;/b&gt;<br>&amp; more<br><br>usher:aaa"
        );
        assert_eq!(input["properties"]["hubspot_owner_id"], "71");
        assert_eq!(input["properties"]["hs_timestamp"], "2026-11-22T10:00:00Z");
        let types: Vec<&Value> = input["associations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|a| &a["types"][0]["associationTypeId"])
            .collect();
        assert_eq!(types, [204, 192]);
        assert_eq!(input["associations"][0]["to"]["id"], "1");
        assert_eq!(seen(&script).len(), 1, "the answer shows the owner: nothing to read back");
    }
}

/// Creates tasks without their owner. `then` is the owner that tasks show before and after it is set once more.
fn dropping(then: [Option<Value>; 2], update: u16) -> Arc<Script> {
    let mut set = 0;
    vendor(move |request| {
        if request.path.ends_with("/create") {
            let (status, mut answer) = create_all(request, true);
            for row in answer["results"].as_array_mut().unwrap() {
                row["properties"].as_object_mut().unwrap().remove("hubspot_owner_id");
            }
            return (status, answer);
        }
        if request.access == Access::Write {
            set = 1;
            return (update, json!({ "status": "error", "category": "VALIDATION_ERROR", "results": [] }));
        }
        let row = |owner: &Value| json!({ "id": "1000", "properties": { "hubspot_owner_id": owner } });
        let rows: Vec<Value> = then[set].iter().map(row).collect();
        (200, json!({ "results": rows }))
    })
}

#[tokio::test]
async fn fm_046_a_task_whose_owner_was_dropped_gets_it_once_more_or_parks() {
    let (none, ours, other) = (Some(Value::Null), Some(json!("71")), Some(json!("60")));
    for (then, update, word, sets) in [
        // There after all.
        ([ours.clone(), None], 200, "created 1000", 0),
        // Set by the second call, whatever that one answers.
        ([none.clone(), ours.clone()], 200, "created 1000", 1),
        ([none.clone(), ours], 500, "created 1000", 1),
        // Dropped again, refused, taken by somebody, gone: the task exists, so it must never be "rejected".
        ([none.clone(), none.clone()], 200, "defect", 1),
        ([none.clone(), none], 400, "defect", 1),
        ([other, None], 200, "defect", 0),
        ([None, None], 200, "defect", 0),
    ] {
        let script = dropping(then.clone(), update);
        let outcomes = target(&script).send(&[task("aaa", "1")]).await;
        assert_eq!(words(&outcomes), [word], "{then:?}, {update}");
        let calls = script.writes();
        assert_eq!(calls.len(), 1 + sets, "{then:?}, {update}");
        if let Some(set) = calls.get(1) {
            let input = json!({ "id": "1000", "properties": { "hubspot_owner_id": "71" } });
            assert_eq!(
                (set.path.as_str(), inputs(set)),
                ("/crm/objects/2026-09/tasks/batch/update", vec![input])
            );
        }
        if let Err(SendFailure::Fault(fault)) = &outcomes[0] {
            let text = fault.to_string();
            assert!(text.contains("task 1000") && text.contains("usher failed retry"), "{text}");
        }
    }
}

#[tokio::test]
async fn fm_047_an_owner_that_hubspot_refuses_is_told_apart() {
    let script = vendor(|_| {
        (
            400,
            json!({ "status": "error", "category": "VALIDATION_ERROR", "message":
            "Property values were not valid: [{\"isValid\":false,\"message\":\"71 was not one of the allowed options\",\"error\":\"INVALID_OPTION\",\"name\":\"hubspot_owner_id\"}]" }),
        )
    });
    assert_eq!(words(&target(&script).send(&[task("k", "1")]).await), ["owner rejected"]);
}

#[tokio::test]
async fn companies_are_proposed_by_search_and_confirmed_by_a_strong_read() {
    let company = |key: &str, domain: &str| {
        write(
            key,
            EffectBody::EnsureCompany {
                slot: slot(SlotKind::Company),
                name: "Acme".to_owned(),
                domain: Some(domain.to_owned()),
                person: object(SlotKind::Person, "7"),
            },
        )
    };
    let script = vendor(|request| match request.path.rsplit('/').next().unwrap() {
        "search" => (200, json!({ "results": [{ "id": "100" }, { "id": "20" }, { "id": "3" }] })),
        // The index was behind: company 3 has another domain by now.
        "read" => (
            200,
            json!({ "results": [
            { "id": "100", "properties": { "domain": "acme.example" } },
            { "id": "20", "properties": { "domain": "acme.example" } },
            { "id": "3", "properties": { "domain": "moved.example" } } ] }),
        ),
        _ => create_all(request, true),
    });
    let writes = [company("a", "Acme.example"), company("b", "other.example")];
    assert_eq!(words(&target(&script).send(&writes).await), ["found 20", "created 1000"]);
    assert_eq!(
        inputs(&script.writes()[0])[0]["properties"],
        json!({ "name": "Acme", "domain": "other.example" })
    );
    let search = seen(&script).iter().find(|r| r.path.ends_with("/search")).unwrap().clone();
    let most: Vec<Write> =
        (0..companies::MOST).map(|n| company("x", &format!("{n}{}.example", "a".repeat(200)))).collect();
    target(&script).send(&most).await;
    let longest =
        seen(&script).iter().filter(|r| r.path == search.path).map(|r| asked(r).to_string().len()).max();
    assert!(longest < Some(api::SEARCH_BODY), "{longest:?}");
    assert_eq!(target(&script).verify(&writes[1], Timestamp::MIN).await.unwrap(), Verdict::Absent);
}

fn small_writes() -> Vec<Write> {
    vec![
        write(
            "a",
            EffectBody::Associate { from: object(SlotKind::Person, "1"), to: object(SlotKind::Company, "2") },
        ),
        write("b", EffectBody::CloseTask { only_untouched: false, task: object(SlotKind::Task, "3") }),
        write("c", EffectBody::ReassignTask { task: object(SlotKind::Task, "4"), to: "71".into() }),
        write("d", EffectBody::ArchiveObject { target: object(SlotKind::Task, "5") }),
    ]
}

#[tokio::test]
async fn the_smaller_writes_and_their_verification() {
    let script = vendor(|request| match request.path.as_str() {
        "/crm/associations/2026-09/contacts/companies/batch/associate/default" => (
            200,
            json!({ "results": [{ "from": { "id": "2" }, "to": { "id": "1" } }, { "from": { "id": "1" }, "to": { "id": 2 } }] }),
        ),
        "/crm/objects/2026-09/tasks/batch/update" => {
            let rows: Vec<Value> = inputs(request)
                .iter()
                .map(|input| json!({ "id": input["id"], "properties": input["properties"] }))
                .collect();
            (200, json!({ "results": rows }))
        }
        "/crm/objects/2026-09/tasks/batch/archive" => (204, Value::Null),
        "/crm/associations/2026-09/contacts/companies/batch/read" => {
            match asked(request)["inputs"][0]["after"].as_str() {
                None => (
                    200,
                    json!({ "results": [{ "to": [{ "toObjectId": 9 }], "paging": { "next": { "after": "9" } } }] }),
                ),
                Some(_) => (200, json!({ "results": [{ "to": [{ "toObjectId": 2 }] }] })),
            }
        }
        "/crm/objects/2026-09/tasks/batch/read" => match ids(request)[0].as_str() {
            "3" => {
                (200, json!({ "results": [{ "id": "3", "properties": { "hs_task_status": "COMPLETED" } }] }))
            }
            "4" => (200, json!({ "results": [{ "id": "4", "properties": { "hubspot_owner_id": "70" } }] })),
            _ => (207, json!({ "results": [], "errors": [{ "category": "OBJECT_NOT_FOUND" }] })),
        },
        other => panic!("{other}"),
    });
    let mut verdicts = Vec::new();
    for item in small_writes() {
        assert_eq!(
            words(&target(&script).send(std::slice::from_ref(&item)).await),
            ["found -"],
            "{:?}",
            item.body.kind()
        );
        verdicts
            .push(matches!(target(&script).verify(&item, Timestamp::MIN).await.unwrap(), Verdict::Found(_)));
    }
    assert_eq!(verdicts, [true, true, false, true]);
}

#[tokio::test]
async fn fm_020_the_empty_list_of_a_merged_or_archived_contact_proves_nothing() {
    for contact in [json!({ "results": [{ "id": "77", "properties": {} }] }), json!({ "results": [] })] {
        let script = vendor(move |request| match request.path.as_str() {
            "/crm/associations/2026-09/contacts/tasks/batch/read" => (200, json!({ "results": [] })),
            _ => (200, contact.clone()),
        });
        assert_eq!(target(&script).verify(&task("aaa", "1"), Timestamp::MIN).await.unwrap(), Verdict::Unsure);
    }
}

#[tokio::test]
async fn fm_040_a_task_is_verified_by_its_marker_among_the_contacts_tasks() {
    let script = vendor(|request| match request.path.as_str() {
        "/crm/associations/2026-09/contacts/tasks/batch/read" => match ids(request)[0].as_str() {
            "1" => (
                200,
                json!({ "results": [{ "from": { "id": "1" }, "to": (0..150).map(|n| json!({ "toObjectId": 5_000 + n })).collect::<Vec<_>>() }] }),
            ),
            _ => (
                207,
                json!({ "results": [], "errors": [{ "category": "OBJECT_NOT_FOUND", "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND" }] }),
            ),
        },
        _ => {
            let rows: Vec<Value> = ids(request)
                .iter()
                .map(|id| {
                    let marker = if id == "5003" { "usher:aaa" } else { "usher:aab" };
                    let body = format!("why<br><br>{marker}");
                    json!({ "id": id, "properties": { "hs_task_body": body, "hubspot_owner_id": "60" } })
                })
                .collect();
            (200, json!({ "results": rows }))
        }
    });
    let hubspot = target(&script);
    let created = Written::whole(Some("5003".into()), SlotOrigin::Created);
    assert_eq!(hubspot.verify(&task("aaa", "1"), Timestamp::MIN).await.unwrap(), Verdict::Found(created));
    assert_eq!(hubspot.verify(&task("zzz", "1"), Timestamp::MIN).await.unwrap(), Verdict::Absent);
    assert_eq!(hubspot.verify(&task("aaa", "2"), Timestamp::MIN).await.unwrap(), Verdict::Absent);
    assert!(
        script
            .seen()
            .iter()
            .all(|request| request.lane == CallLane::Verify && !request.path.contains("search"))
    );
    let broken = vendor(|_| (207, json!({ "results": [], "errors": [{ "category": "INTERNAL_ERROR" }] })));
    assert!(
        target(&broken).verify(&task("aaa", "1"), Timestamp::MIN).await.is_err(),
        "a failed read proves no absence"
    );
    for item in small_writes() {
        assert!(target(&broken).verify(&item, Timestamp::MIN).await.is_err(), "{:?}", item.body.kind());
    }
    for answer in [
        json!({ "results": [], "errors": [{ "category": "INTERNAL_ERROR", "context": { "ids": ["5"] } }] }),
        json!({ "results": [] }),
    ] {
        let half = vendor(move |request| {
            match request.path.ends_with("tasks/batch/read") && !request.path.contains("associations") {
                true => (207, answer.clone()),
                false => (200, json!({ "results": [{ "to": [{ "toObjectId": 5 }] }] })),
            }
        });
        assert!(
            target(&half).verify(&task("aaa", "1"), Timestamp::MIN).await.is_err(),
            "a task that was not read proves no absence"
        );
    }
}

#[tokio::test]
async fn fm_046_what_a_lost_answer_made_without_its_owner_is_not_called_done() {
    for (owner, found) in [(json!("71"), true), (json!("60"), true), (Value::Null, false)] {
        let script = vendor(move |request| match request.path.contains("associations") {
            true => (200, json!({ "results": [{ "to": [{ "toObjectId": 5 }] }] })),
            false => {
                let properties = json!({ "hs_task_body": "usher:aaa", "hubspot_owner_id": owner });
                (200, json!({ "results": [{ "id": "5", "properties": properties }] }))
            }
        });
        let verdict = target(&script).verify(&task("aaa", "1"), Timestamp::MIN).await;
        match verdict {
            Ok(verdict) => assert!(found && matches!(verdict, Verdict::Found(_)), "{verdict:?}"),
            Err(fault) => assert!(!found && fault.class() == FaultClass::Defect, "{fault}"),
        }
        assert!(script.writes().is_empty());
    }
}

/// A target whose contacts and tasks carry keys.
fn keyed(script: &Arc<Script>) -> HubSpotTarget {
    let key = || Some("usher_key".to_owned());
    let keys = Keys { contacts: key(), leads: key(), tasks: key(), ..Keys::default() };
    HubSpotTarget::new(script.clone(), keys, Carrier::default())
}

/// A vendor with one task and one contact, which carry the key `k1` and refuse it to others.
fn taken() -> Arc<Script> {
    vendor(|request| {
        let row = |id: &str| json!({ "id": id, "properties": { "usher_key": "k1" } });
        let by_key = asked(request)["idProperty"] == "usher_key";
        let k1 = ids(request).contains(&"k1".to_owned());
        match request.path.rsplit('/').next() {
            Some("create") => (
                400,
                json!({ "status": "error", "category": "VALIDATION_ERROR",
                    "message": "Property values were not valid: [{\"isValid\":false,\"message\":\"taken\",\"error\":\"CONFLICTING_UNIQUE_VALUE\",\"name\":\"usher_key\"}]" }),
            ),
            _ if by_key && k1 && request.path.contains("tasks") => (200, json!({ "results": [row("900")] })),
            _ if by_key && k1 => (200, json!({ "results": [row("7")] })),
            _ => {
                (207, json!({ "results": [], "errors": [{ "category": "OBJECT_NOT_FOUND", "context": {} }] }))
            }
        }
    })
}

#[tokio::test]
async fn fm_040_a_keyed_create_that_was_done_before_leads_to_what_it_made() {
    let script = taken();
    assert_eq!(words(&keyed(&script).send(&[task("k1", "7")]).await), ["created 900"]);
    let create = &inputs(&script.writes()[0])[0];
    assert_eq!(create["properties"]["usher_key"], "k1");
    assert_eq!(create["associations"].as_array().unwrap().len(), 2, "in the same call");
    assert_eq!(words(&keyed(&script).send(&[person("k1", Some("ana@acme.example"))]).await), ["created 7"]);

    let found = |verdict| match verdict {
        Verdict::Found(Written { id, origin, .. }) => format!("{} {}", origin.as_str(), id.unwrap()),
        other => format!("{other:?}"),
    };
    let verify = async |write: Write| found(keyed(&script).verify(&write, Timestamp::MIN).await.unwrap());
    assert_eq!(verify(task("k1", "7")).await, "created 900");
    assert_eq!(verify(task("k2", "7")).await, "Absent");
    assert_eq!(verify(person("k1", Some("ana@acme.example"))).await, "created 7", "the key proves it ours");
    assert_eq!(verify(person("k2", Some("ana@acme.example"))).await, "Absent");
    let listed = seen(&script).iter().any(|request| request.path.contains("associations"));
    assert!(!listed, "one read by key replaces the listing of the contact's tasks");
}

#[tokio::test]
async fn fm_052_a_task_about_something_that_is_gone_names_it() {
    const ALL: [&str; 3] = ["deals", "contacts", "companies"];
    for (status, gone, word) in [
        (400, None, "rejected"),
        (404, None, "gone"),
        (400, Some("deals"), "lost deal 3"),
        (404, Some("deals"), "lost deal 3"),
        (400, Some("contacts"), "lost person 7"),
        (404, Some("contacts"), "lost person 7"),
        (400, Some("companies"), "rejected"),
    ] {
        let script = vendor(move |request| {
            if request.path.ends_with("create") {
                let category = if status == 404 { "OBJECT_NOT_FOUND" } else { "VALIDATION_ERROR" };
                return (status, json!({ "status": "error", "category": category, "message": "no" }));
            }
            let object = ALL.into_iter().find(|object| request.path.contains(object));
            match object == gone {
                false => {
                    let owned = json!({ "hubspot_owner_id": "71" });
                    (200, json!({ "results": [{ "id": ids(request)[0], "properties": owned }] }))
                }
                true => {
                    let error = json!({ "category": "OBJECT_NOT_FOUND", "context": {} });
                    (207, json!({ "results": [], "errors": [error] }))
                }
            }
        });
        let mut item = task("k1", "7");
        let EffectBody::CreateTask { about, .. } = &mut item.body else { panic!() };
        about.insert(0, object(SlotKind::Deal, "3"));
        let outcomes = target(&script).send(&[item]).await;
        assert_eq!(words(&outcomes), [word], "{status} {gone:?}");
        if let (Some("companies"), Err(SendFailure::Fault(fault))) = (gone, &outcomes[0]) {
            assert!(fault.to_string().contains("company 500"), "{fault}");
        }
    }
}

#[tokio::test]
async fn a_key_property_is_made_if_it_is_missing_and_read_back() {
    let mut defined: Vec<Value> =
        vec![json!({ "name": "usher_key", "hasUniqueValue": false, "of": "tasks" })];
    let script = vendor(move |request| {
        let object = if request.path.contains("contacts") { "contacts" } else { "tasks" };
        if request.access == Access::Write {
            let mut made = asked(request);
            assert_eq!(made["hasUniqueValue"], true);
            made["of"] = json!(object);
            defined.push(made);
            return (201, json!({}));
        }
        if request.path.ends_with("/groups") {
            return (200, json!({ "results": [{ "name": "information" }] }));
        }
        let of = defined.iter().filter(|property| property["of"] == object);
        (200, json!({ "results": of.collect::<Vec<_>>() }))
    });
    let states = async |create| {
        let properties = target(&script).key_properties(create).await.unwrap();
        properties.iter().map(|property| (property.object, property.state)).collect::<Vec<_>>()
    };
    let (missing, plain) = (("contacts", KeyState::Missing), ("tasks", KeyState::NotUnique));
    assert_eq!(states(false).await, [missing, plain]);
    assert_eq!(states(true).await, [("contacts", KeyState::Ready), plain], "what is there is left as it is");
}

#[tokio::test]
async fn persons_and_owners_are_verified_by_key_and_id() {
    let script = contacts(&[("1", Some("71")), ("2", Some("50"))]);
    let found = |id: &str| Verdict::Found(Written::whole(Some(id.into()), SlotOrigin::Found));
    assert_eq!(
        target(&script).verify(&owner("a", "1", None, "71"), Timestamp::MIN).await.unwrap(),
        found("71")
    );
    assert_eq!(
        target(&script).verify(&owner("a", "2", None, "71"), Timestamp::MIN).await.unwrap(),
        Verdict::Absent
    );
    let script = vendor(|_| {
        (
            200,
            json!({ "results": [{ "id": "9", "properties": { "email": "ana@acme.example", "hubspot_owner_id": null } }] }),
        )
    });
    assert_eq!(
        target(&script).verify(&person("a", Some("ana@acme.example")), Timestamp::MIN).await.unwrap(),
        found("9")
    );
    assert_eq!(
        target(&script).verify(&person("a", Some("ben@acme.example")), Timestamp::MIN).await.unwrap(),
        Verdict::Absent
    );
    assert_eq!(target(&script).verify(&person("a", None), Timestamp::MIN).await.unwrap(), Verdict::Unsure);
}

#[tokio::test]
async fn a_dry_run_shows_the_requests_that_are_sent() {
    let company = EffectBody::EnsureCompany {
        slot: slot(SlotKind::Company),
        name: "Acme".to_owned(),
        domain: Some("acme.example".to_owned()),
        person: object(SlotKind::Person, "7"),
    };
    let mut kinds = vec![
        vec![person("a", Some("ana@acme.example")), person("b", None), person("c", Some("ben@acme.example"))],
        vec![write("a", company)],
        vec![owner("a", "1", None, "71"), owner("b", "2", None, "71"), owner("c", "1", None, "72")],
        vec![task("a", "1"), task("b", "2")],
    ];
    kinds.extend(small_writes().into_iter().map(|item| vec![item]));
    for writes in kinds {
        let script = vendor(|request| match request.access {
            Access::Read
                if request.path.contains("search")
                    || request.path.contains("contacts/batch/read")
                        && asked(request)["idProperty"] == "email" =>
            {
                (200, json!({ "results": [] }))
            }
            Access::Read => {
                let row = |id: &String| json!({ "id": id, "properties": { "hubspot_owner_id": null } });
                let rows: Vec<Value> = ids(request).iter().map(row).collect();
                (200, json!({ "results": rows }))
            }
            Access::Write => (200, json!({ "results": [] })),
        });
        let hubspot = target(&script);
        let described = hubspot.describe(&writes).unwrap();
        hubspot.send(&writes).await;
        assert_eq!(script.writes(), described, "{:?}", writes[0].body.kind());
        assert!(!described.is_empty());
    }
}

#[tokio::test]
async fn every_kind_is_a_capability_and_nothing_panics_on_odd_input() {
    let script = vendor(|_| (200, json!({ "results": [] })));
    let hubspot = target(&script);
    let kinds = |hubspot: &HubSpotTarget| -> BTreeSet<EffectKind> {
        hubspot.capabilities().iter().map(|can| can.kind).collect()
    };
    let mut all: BTreeSet<EffectKind> = EffectKind::ALL.into_iter().collect();
    assert_eq!(kinds(&inquiries::carried(&script, SlotKind::Deal)), all);
    all.remove(&EffectKind::EnsureInquiry);
    assert_eq!(kinds(&hubspot), all, "what carries owners is a setting");
    assert!(hubspot.send(&[]).await.is_empty());
    let unbound = write(
        "a",
        EffectBody::CloseTask { only_untouched: false, task: ObjectRef::Slot { slot: slot(SlotKind::Task) } },
    );
    assert_eq!(words(&hubspot.send(std::slice::from_ref(&unbound)).await), ["defect"]);
    assert!(hubspot.verify(&unbound, Timestamp::MIN).await.is_err());
    assert_eq!(seen(&script).len(), 0);
}
