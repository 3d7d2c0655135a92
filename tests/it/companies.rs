//! Companies that the CRM lacks: made once for a domain, and tied to who belongs there.

use serde_json::json;
use usher_sandbox::{Actor, Change, Faults, Span, Submission};

use crate::installation::{Installation, object, until};
use crate::pipedrive;

/// Two people of one company, one of another, and one who may be anybody's.
const PEOPLE: [&str; 4] = ["ann@acme.example", "bob@acme.example", "eva@beta.example", "joe@gmail.com"];

fn ask(installation: &Installation, email: &str) {
    let answers = object(json!({ "name": "Ann Example", "email": email, "need": "SEO" }));
    let submission = Submission { form: "demo".to_owned(), answers, ..Submission::default() };
    installation.sandbox.typeform().submit(&submission).unwrap();
}

fn make_them(installation: &Installation) {
    installation.edit("usher.yaml", "write: {", "write: { create_company: if_missing,");
}

/// Each company is made once although answers are lost, and everybody is tied to theirs.
async fn made_once(installation: &Installation) {
    make_them(installation);
    let crm = installation.sandbox.hubspot();
    let only_paths = vec!["companies/batch/create".to_owned()];
    installation.sandbox.set_faults(Faults {
        lost_response: 1.0,
        times: Some(2),
        only_paths,
        ..Faults::default()
    });
    let daemon = installation.start().await;
    PEOPLE.iter().for_each(|email| ask(installation, email));
    installation.drained(4).await;
    assert!(crm.fired().iter().any(|fired| fired.fault == "lost_response"), "no answer was lost");
    // Who comes later is tied to what was made.
    ask(installation, "zoe@acme.example");
    installation.drained(5).await;
    let created = |of: &str| {
        let events = crm.events(0).into_iter();
        let by_us = events.filter(|event| event.object() == of && event.change == Change::Create);
        by_us.filter(|event| matches!(event.actor, Actor::Api(_))).map(|event| event.id).collect::<Vec<u64>>()
    };
    let mut domains: Vec<String> = Vec::new();
    for id in created("companies") {
        let company = crm.read("companies", id).unwrap();
        domains.push(company["properties"]["domain"].as_str().unwrap().to_owned());
    }
    domains.sort_unstable();
    assert_eq!(domains, ["acme.example", "beta.example"]);
    for contact in created("contacts") {
        let email =
            crm.read("contacts", contact).unwrap()["properties"]["email"].as_str().unwrap().to_owned();
        let companies = crm.associated("contacts", contact, "companies");
        let own: Vec<_> = companies
            .into_iter()
            .map(|id| crm.read("companies", id).unwrap()["properties"]["domain"].clone())
            .collect();
        let (_, domain) = email.split_once('@').unwrap();
        assert_eq!(own, if domain == "gmail.com" { vec![] } else { vec![json!(domain)] }, "{email}");
    }
    let status = installation.json(&["status"]).await;
    assert_eq!(status["leads"]["closed:written"], json!(5), "{status}");
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_040_a_lost_answer_makes_no_second_company() {
    made_once(&Installation::with("live", "write: { settle: 6s }").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_040_a_lost_answer_makes_no_second_company_on_postgres() {
    let Some((_, _, installation)) = crate::postgres::installation().await else { return };
    made_once(&installation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_054_a_company_that_the_crm_makes_meanwhile_is_the_one_that_is_tied() {
    let installation = Installation::with("live", "write: { settle: 6s }").await;
    make_them(&installation);
    let faults = Faults { auto_company: 1.0, aftermath_ms: Span(500, 3_000), ..Faults::default() };
    installation.sandbox.set_faults(faults);
    let crm = installation.sandbox.hubspot();
    let daemon = installation.start().await;
    PEOPLE.iter().for_each(|email| ask(&installation, email));
    installation.drained(4).await;
    until("the CRM has made its companies", async || crm.summary().pending == 0).await;
    assert_eq!(crm.count("companies"), 2);
    installation.assert_invariants().await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_040_a_lost_answer_makes_no_second_organization() {
    let installation = pipedrive::carried("object: leads").await;
    make_them(&installation);
    let crm = installation.sandbox.pipedrive();
    installation.sandbox.set_faults(Faults {
        search_lag_ms: Span(3_600_000, 3_600_000),
        lost_response: 1.0,
        times: Some(2),
        only_paths: vec!["/api/v2/organizations".to_owned()],
        ..Faults::default()
    });
    let daemon = installation.start().await;
    PEOPLE.iter().for_each(|email| ask(&installation, email));
    installation.drained(4).await;
    assert!(crm.summary().faults.get("lost_response").copied().unwrap_or_default() > 0);
    let organizations: Vec<_> =
        crm.ids("organizations").into_iter().filter_map(|id| crm.read("organizations", id)).collect();
    let mut domains: Vec<&str> = organizations.iter().filter_map(|row| row["website"].as_str()).collect();
    domains.sort_unstable();
    assert_eq!(domains, ["acme.example", "beta.example"]);
    for (of, field) in [("persons", "org_id"), ("leads", "organization_id")] {
        let rows = crm.ids(of).into_iter().filter_map(|id| crm.read(of, id));
        let tied = rows.filter(|row| !row[field].is_null()).count();
        assert_eq!(tied, 3, "{of}");
    }
    let status = installation.json(&["status"]).await;
    assert_eq!(status["leads"]["closed:written"], json!(4), "{status}");
    assert_eq!(daemon.stop(), Some(0));
}
