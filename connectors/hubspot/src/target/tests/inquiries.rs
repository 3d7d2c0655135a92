//! Leads and deals that stand for inquiries, against scripted vendors.

use super::*;

const KEY: &str = "0123456789abcdef01234567deadbeef";

/// A target with leads or deals that carry owners.
pub(super) fn carried(script: &Arc<Script>, kind: SlotKind) -> HubSpotTarget {
    let place = |name: &str| (kind == SlotKind::Deal).then(|| name.to_owned());
    let carrier = Carrier { kind, pipeline: place("default"), stage: place("appointmentscheduled") };
    HubSpotTarget::new(script.clone(), Keys::default(), carrier)
}

fn inquiry(kind: SlotKind, key: &str) -> Write {
    let body = EffectBody::EnsureInquiry {
        slot: slot(kind),
        title: "Ana Sol (Acme)".to_owned(),
        person: object(SlotKind::Person, "7"),
        company: Some(object(SlotKind::Company, "8")),
        owner: "71".into(),
        entered_since: None,
    };
    write(key, body)
}

#[tokio::test]
async fn a_deal_begins_in_its_stage_with_owner_and_ties_in_one_call() {
    let script = vendor(|request| create_all(request, true));
    let sent = carried(&script, SlotKind::Deal).send(&[inquiry(SlotKind::Deal, KEY)]).await;
    assert!(sent[0].is_ok(), "{sent:?}");
    let calls = script.writes();
    assert_eq!((calls.len(), calls[0].path.as_str()), (1, "/crm/objects/2026-09/deals/batch/create"));
    let tie = |id: &str, kind: u32| {
        json!({ "to": { "id": id },
            "types": [{ "associationCategory": "HUBSPOT_DEFINED", "associationTypeId": kind }] })
    };
    let expected = json!({
        "properties": {
            "dealname": "Ana Sol (Acme) [usher:deadbeef]",
            "pipeline": "default",
            "dealstage": "appointmentscheduled",
            "hubspot_owner_id": "71",
        },
        "associations": [tie("7", 3), tie("8", 341)],
        "objectWriteTraceId": KEY,
    });
    assert_eq!(inputs(&calls[0]), [expected]);
}

#[tokio::test]
async fn a_lead_has_a_primary_contact_and_begins_where_hubspot_lets_it() {
    let script = vendor(|request| create_all(request, true));
    carried(&script, SlotKind::Lead).send(&[inquiry(SlotKind::Lead, KEY)]).await;
    let row = &inputs(&script.writes()[0])[0];
    let properties = row["properties"].as_object().unwrap();
    let names: Vec<&str> = properties.keys().map(String::as_str).collect();
    assert_eq!(names, ["hs_lead_name", "hubspot_owner_id"]);
    assert_eq!(row["associations"][0]["types"][0]["associationTypeId"], 578);
}

#[tokio::test]
async fn what_was_planned_before_the_settings_changed_is_made_as_planned() {
    let script = vendor(|request| create_all(request, true));
    let both = [inquiry(SlotKind::Lead, "a"), inquiry(SlotKind::Deal, "b")];
    let sent = carried(&script, SlotKind::Deal).send(&both).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    let paths: Vec<String> = script.writes().into_iter().map(|call| call.path).collect();
    assert_eq!(paths, ["leads", "deals"].map(|object| format!("/crm/objects/2026-09/{object}/batch/create")));
}

/// A contact with two deals; the younger one was ours, and somebody renamed it.
fn renamed(history: &'static str) -> Arc<Script> {
    vendor(move |request| {
        if request.path.contains("associations") {
            let ends = json!([{ "toObjectId": 501 }, { "toObjectId": 502 }]);
            return (200, json!({ "results": [{ "from": { "id": "7" }, "to": ends }] }));
        }
        if request.path.contains("contacts") {
            return (200, json!({ "results": [{ "id": "7", "properties": {} }] }));
        }
        let row = |id: &str, was: &str| {
            json!({ "id": id, "properties": { "dealname": "Big one", "hubspot_owner_id": "71" }, "createdAt": "2026-11-22T10:00:00Z",
                "propertiesWithHistory": { "dealname": [
                    { "value": "Big one", "timestamp": "2026-11-22T11:00:00Z" },
                    { "value": was, "timestamp": "2026-11-22T10:00:00Z" } ] } })
        };
        (200, json!({ "results": [row("501", "Another [usher:00000000]"), row("502", history)] }))
    })
}

#[tokio::test]
async fn fm_040_whoever_renames_a_deal_does_not_hide_it_from_us() {
    let item = inquiry(SlotKind::Deal, KEY);
    let script = renamed("Ana Sol (Acme) [usher:deadbeef]");
    let created = Written::whole(Some("502".into()), SlotOrigin::Created);
    assert_eq!(
        carried(&script, SlotKind::Deal).verify(&item, Timestamp::MIN).await.unwrap(),
        Verdict::Found(created),
        "among the contact's deals"
    );
    assert!(
        script.seen().iter().all(|request| !request.path.ends_with("search")),
        "no search proves absence"
    );
    let script = renamed("Ana Sol (Acme)");
    assert_eq!(
        carried(&script, SlotKind::Deal).verify(&item, Timestamp::MIN).await.unwrap(),
        Verdict::Absent
    );
}

#[tokio::test]
async fn fm_104_a_forgotten_deal_is_known_as_ours_by_its_marker_and_age() {
    let script = renamed("Ana Sol (Acme) [usher:deadbeef]");
    let hubspot = carried(&script, SlotKind::Deal);
    let since = |text: &str| text.parse().unwrap();
    let item = inquiry(SlotKind::Deal, "an other key");
    let found = hubspot.ours_since(&item, since("2026-11-22T09:00:00Z")).await.unwrap();
    assert_eq!(found, ["501".into(), "502".into()]);
    assert!(hubspot.ours_since(&item, since("2026-11-22T10:30:00Z")).await.unwrap().is_empty());
}
