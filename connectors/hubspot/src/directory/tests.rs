//! The directory role against a scripted vendor.
#![allow(clippy::unwrap_used)]

use jiff::SignedDuration;
use serde_json::{Value, json};
use usher_connector::window::Window;
use usher_connector::{FaultClass, Request};

use super::*;
use crate::testing::{at, vendor};
use usher_testkit::{Script, asked};

fn directory(script: &Arc<Script>, availability: bool) -> HubSpotDirectory {
    let grain = SignedDuration::from_millis(1);
    let live = Window { overlap: SignedDuration::from_mins(2), hold_back: SignedDuration::ZERO, grain };
    let windows = Windows { live, sweep: Window { hold_back: SignedDuration::from_hours(1), ..live } };
    HubSpotDirectory::new(script.clone(), availability, windows)
}

fn query<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.query.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
}

fn people(request: &Request) -> (u16, Value) {
    match (request.path.as_str(), query(request, "archived"), query(request, "after")) {
        ("/crm/owners/2026-09", Some("false"), None) => (
            200,
            json!({
            "results": [{ "id": "71", "email": "Ana@Agency.example", "firstName": "Ana", "lastName": "Ruiz", "userId": 900, "archived": false }],
            "paging": { "next": { "after": "p2" } } }),
        ),
        ("/crm/owners/2026-09", Some("false"), Some("p2")) => (
            200,
            json!({
            "results": [{ "id": "72", "email": "ben@agency.example", "userId": null }] }),
        ),
        ("/crm/owners/2026-09", Some("true"), None) => (
            200,
            json!({
            "results": [{ "id": "900", "email": "old@agency.example", "firstName": "Old", "userId": null, "archived": true }] }),
        ),
        ("/crm/objects/2026-09/users", ..) => (
            200,
            json!({ "results": [
            { "id": "5", "properties": { "hs_internal_user_id": "900", "hs_email": "ana.login@agency.example",
                "hs_availability_status": "away", "hs_standard_time_zone": "Europe/Berlin",
                "hs_out_of_office_hours": "[{\"startTimestamp\":1795341600000,\"endTimestamp\":1795341660000},{\"startTimestamp\":2,\"endTimestamp\":1}]",
                "hs_working_hours": "[{\"days\":\"MONDAY_TO_FRIDAY\",\"startMinute\":540,\"endMinute\":1020},{\"days\":\"SATURDAY\",\"startMinute\":600,\"endMinute\":720}]" } },
            { "id": "6", "properties": { "hs_email": "BEN@agency.example", "hs_working_hours": "future form" } } ] }),
        ),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn fm_048_owners_and_users_are_joined_by_the_users_id_and_archived_owners_are_inactive() {
    let script = vendor(people);
    let owners = directory(&script, true).owners().await.unwrap();
    let [ana, ben, old] = &owners[..] else { panic!("{owners:?}") };
    assert_eq!(
        (ana.id.as_str(), ana.email.as_str(), ana.name.as_str()),
        ("71", "ana@agency.example", "Ana Ruiz")
    );
    assert!(ana.active && ben.active && !old.active);
    let hours = ana.availability.as_ref().unwrap();
    assert!(hours.away);
    assert_eq!((hours.out_of_office.len(), hours.out_of_office[0].until), (1, at(60_000)));
    assert_eq!(hours.hours[0].days, [1, 2, 3, 4, 5]);
    assert_eq!((hours.hours[1].start_minute, hours.hours[1].end_minute), (600, 720));
    assert_eq!(ben.availability.as_ref().map(|a| a.away), Some(false), "joined by e-mail");
    assert_eq!(ben.name, "ben@agency.example");
    assert_eq!(old.availability, None, "owner id 900 is not user id 900");
}

#[tokio::test]
async fn fm_018_a_missing_users_scope_is_said_and_can_be_configured_away() {
    let answer = |request: &Request| match request.path.as_str() {
        "/crm/objects/2026-09/users" => (403, json!({ "category": "MISSING_SCOPES" })),
        _ => people(request),
    };
    let fault = directory(&vendor(answer), true).owners().await.unwrap_err();
    assert_eq!(fault.class(), FaultClass::Misconfigured);
    assert!(fault.to_string().contains("`availability: false`"), "{fault}");
    let owners = directory(&vendor(answer), false).owners().await.unwrap();
    assert!(owners.iter().all(|owner| owner.availability.is_none()));
}

#[tokio::test]
async fn companies_are_listed_then_followed_live_and_behind_the_horizon() {
    let company = |id: &str, modified: &str| {
        json!({ "id": id, "properties": { "name": "Acme", "domain": "acme.example", "website": "https://www.acme.example/x",
            "hs_additional_domains": "acme.de;", "hubspot_owner_id": "71", "country": null, "hs_lastmodifieddate": modified } })
    };
    let script = vendor(move |request| {
        let row = company("1", "2026-11-22T10:00:01Z");
        match (request.path.ends_with("/search"), query(request, "archived"), query(request, "after")) {
            (true, ..) => (200, json!({ "results": [company("2", "2026-11-22T10:01:00Z")] })),
            (_, Some("false"), None) => {
                (200, json!({ "results": [row], "paging": { "next": { "after": "1" } } }))
            }
            (_, Some("false"), _) => (200, json!({ "results": [row] })),
            _ => (
                200,
                json!({ "results": [{ "id": "3", "properties": { "name": "Gone" }, "archived": true }] }),
            ),
        }
    });
    let hubspot = directory(&script, true);
    let mut cursor: Option<Cursor> = None;
    let mut steps = Vec::new();
    let mut accounts = Vec::new();
    for _ in 0..5 {
        let batch = hubspot.accounts(cursor.as_ref(), at(0)).await.unwrap();
        steps.push((batch.accounts.len(), batch.done));
        accounts.extend(batch.accounts);
        cursor = Some(batch.next);
    }
    assert_eq!(steps, [(1, false), (1, false), (1, false), (1, false), (0, true)]);
    assert_eq!(accounts[0].websites, ["acme.example", "acme.de", "https://www.acme.example/x"]);
    assert_eq!(accounts[0].owner, Some("71".into()));
    assert_eq!(accounts.iter().map(|account| account.gone).collect::<Vec<_>>(), [false, false, true, false]);
    // Seven hours later: live, sweep, and the archived ones again.
    let mut later = Vec::new();
    for _ in 0..3 {
        let batch = hubspot.accounts(cursor.as_ref(), at(7 * 3_600_000)).await.unwrap();
        later.push((batch.accounts.iter().any(|account| account.gone), batch.done));
        cursor = Some(batch.next);
    }
    assert_eq!(later, [(false, false), (false, true), (true, false)]);
    let search = script.seen().into_iter().find(|request| request.path.ends_with("/search")).unwrap();
    assert_eq!(asked(&search)["sorts"][0]["propertyName"], "hs_lastmodifieddate");
    assert_eq!(search.lane, CallLane::Refresh);
}

#[tokio::test]
async fn fm_041_people_are_looked_up_by_strong_reads_only() {
    let script = vendor(|request| {
        assert_eq!(asked(request)["idProperty"], "email");
        (
            207,
            json!({ "results": [
            { "id": "1", "properties": { "email": "ana@acme.example", "hubspot_owner_id": "71" } },
            { "id": "2", "properties": { "email": "main@acme.example", "hs_additional_emails": "second@acme.example;x@y.example", "hubspot_owner_id": "" } },
        ], "errors": [{ "category": "OBJECT_NOT_FOUND", "context": { "ids": ["nobody@acme.example"] } }] }),
        )
    });
    let key = |kind, value: &str| IdentityKey { kind, value: value.to_owned() };
    let keys = [
        key(IdentityKind::Email, "nobody@acme.example"),
        key(IdentityKind::Email, "second@acme.example"),
        key(IdentityKind::Phone, "+4930123"),
        key(IdentityKind::Email, "ana@acme.example"),
    ];
    let found = directory(&script, true).people(&keys).await.unwrap();
    let ids: Vec<_> =
        found.iter().map(|p| p.as_ref().map(|p| (p.external_id.to_string(), p.owner.is_some()))).collect();
    assert_eq!(ids, [None, Some(("2".to_owned(), false)), None, Some(("1".to_owned(), true))]);
    assert!(script.seen().iter().all(|request| !request.path.contains("search")));
}

#[tokio::test]
async fn a_person_who_could_not_be_read_is_not_reported_as_unknown() {
    let script = vendor(|_| {
        (
            207,
            json!({ "results": [{ "id": "1", "properties": { "email": "ana@acme.example" } }], "errors": [
                { "category": "INTERNAL_ERROR", "message": "ben@acme.example", "context": { "ids": ["ben@acme.example"] } }] }),
        )
    });
    let key = |value: &str| IdentityKey { kind: IdentityKind::Email, value: value.to_owned() };
    let asked = directory(&script, true).people(&[key("ana@acme.example"), key("ben@acme.example")]).await;
    let fault = asked.unwrap_err();
    assert_eq!(fault.class(), FaultClass::Transient);
    assert!(!format!("{fault:?}").contains("ben@"), "{fault:?}");
}

#[tokio::test]
async fn whose_owner_is_not_shown_is_not_taken_for_nobodys() {
    let page =
        json!({ "results": [{ "id": "1", "properties": { "email": "ana@acme.example", "name": "Acme" } }] });
    let script = vendor(move |_| (200, page.clone()));
    let key = IdentityKey { kind: IdentityKind::Email, value: "ana@acme.example".to_owned() };
    let directory = directory(&script, true);
    assert_eq!(directory.people(&[key]).await.unwrap_err().class(), FaultClass::Transient);
    assert_eq!(directory.accounts(None, at(0)).await.unwrap_err().class(), FaultClass::Transient);
}

#[tokio::test]
async fn rows_of_an_unexpected_shape_are_not_quoted() {
    for answer in [
        json!({ "results": [{ "id": "1", "properties": "ana@acme.example", "archived": "ana@acme.example" }] }),
        json!({ "results": "ana@acme.example" }),
    ] {
        let script = vendor(move |_| (200, answer.clone()));
        let hubspot = directory(&script, true);
        for fault in [hubspot.owners().await.err(), hubspot.accounts(None, at(0)).await.err()] {
            let fault = fault.unwrap();
            assert!(std::error::Error::source(&fault).is_some(), "the cause is kept");
            assert!(!format!("{fault:?}").contains("ana@"), "{fault:?}");
        }
    }
}

#[tokio::test]
async fn the_one_open_deal_of_a_contact_is_told_and_none_where_there_are_several() {
    let script = vendor(|request| {
        if request.path.contains("associations") {
            let row = |from: &str, deals: &[u64]| {
                let ends: Vec<Value> = deals.iter().map(|id| json!({ "toObjectId": id })).collect();
                json!({ "from": { "id": from }, "to": ends })
            };
            let rows = [row("1", &[501, 502]), row("2", &[503, 504]), row("3", &[502])];
            let none = json!({ "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND" });
            return (207, json!({ "results": rows, "errors": [none] }));
        }
        let deal = |id: &str, closed: &str, owner: Option<&str>| json!({ "id": id, "properties": { "hs_is_closed": closed, "hubspot_owner_id": owner } });
        let open = [deal("501", "false", Some("71")), deal("503", "false", None), deal("504", "", None)];
        let all: Vec<Value> = open.into_iter().chain([deal("502", "true", None)]).collect();
        (200, json!({ "results": all }))
    });
    let contacts = ["1", "2", "3", "4"].map(ExternalId::new);
    let told = directory(&script, true).open_deals(&contacts).await.unwrap();
    let only = OwnedObject { id: "501".into(), owner: Some("71".into()) };
    assert_eq!(told, [Some(only), None, None, None]);
    assert_eq!(script.seen().len(), 2, "two calls for all of them");
    assert!(script.seen().iter().all(|request| !request.path.ends_with("search")));
}
