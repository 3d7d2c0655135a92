//! Tests of the whole crate: the file, the roster, the decisions, the fairness of turns.
#![allow(clippy::unwrap_used)]

mod decisions;
mod fairness;
mod loading;
mod rosters;

use jiff::Timestamp;
use usher_document::{Diagnostic, Diagnostics, SourceFile};
use usher_model::{
    Account, AccountId, CrmOwner, ExternalId, Fields, OwnerAvailability, RepKey, Trigger, WaitReason,
};

use crate::{Input, Outcome, Policy, Roster, State, decide};

/// Ana and Ben work in Berlin; Carla is always there.
const AGENCY: &str = r#"version: 1
reps:
  ana:   { email: Ana@Agency.example, hours: berlin }
  ben:   { email: ben@agency.example, hours: berlin }
  carla: { email: carla@agency.example }
calendars:
  berlin: { time_zone: Europe/Berlin, hours: { mon-thu: "09:00-17:30", fri: "09:00-15:00" } }
pools:
  dach-seo:
    members: { ana: 2, ben: 1 }
    strategy: weighted_round_robin
    if_nobody: { wait: 30m, then: { rep: carla } }
  everyone: { members: [ana, ben, carla] }
rules:
  - name: Tests
    when: 'lead.email == "test@agency.example"'
    assign: { drop: a test submission }
  - name: Customers keep their owner
    when: 'account.owner != null'
    assign: { to: account.owner, if_unavailable: { rep: carla } }
  - name: SEO in DACH
    when: 'lead.service_line == "seo" && lead.country in ["DE", "AT", "CH"]'
    assign: { pool: dach-seo }
  - name: Large
    when: 'lead.budget >= 20000'
    assign: { rep: ana }
fallback: { rep: carla }
"#;

fn load(text: &str) -> Result<Policy, Vec<Diagnostic>> {
    let diagnostics = Diagnostics::default();
    let policy = Policy::load(&SourceFile::new("routing.yaml", text), &diagnostics);
    policy.ok_or_else(|| diagnostics.into_sorted())
}

fn agency() -> Policy {
    load(AGENCY).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Friday, 2026-11-20, 10:00 in Berlin.
fn friday() -> Timestamp {
    at("2026-11-20T10:00:00+01:00")
}

/// Saturday, 2026-11-21, 12:00 in Berlin.
fn saturday() -> Timestamp {
    at("2026-11-21T12:00:00+01:00")
}

fn owner(id: &str, email: &str, name: &str) -> CrmOwner {
    CrmOwner {
        id: id.into(),
        email: email.to_owned(),
        name: name.to_owned(),
        active: true,
        availability: None,
    }
}

fn owners() -> Vec<CrmOwner> {
    vec![
        owner("1", "ana@agency.example", "Ana"),
        owner("2", "BEN@agency.example", "Ben"),
        owner("3", "carla@agency.example", "Carla"),
        owner("4", "dora@agency.example", "Dora"),
        owner("9", "integrations@agency.example", "Integrations"),
    ]
}

fn away(mut owner: CrmOwner) -> CrmOwner {
    owner.availability = Some(OwnerAvailability { away: true, ..OwnerAvailability::default() });
    owner
}

fn fields(pairs: &[(&str, serde_json::Value)]) -> Fields {
    let values = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Fields { values, ..Fields::default() }
}

fn seo() -> Fields {
    fields(&[("service_line", "seo".into()), ("country", "DE".into())])
}

fn acme(owner: Option<&str>) -> Account {
    Account {
        id: AccountId::new(friday()),
        connection: "hubspot-main".into(),
        external_id: "77".into(),
        name: "Acme".to_owned(),
        owner: owner.map(ExternalId::from),
        country: None,
    }
}

fn input(fields: &Fields) -> Input<'_> {
    Input {
        fields,
        account: None,
        account_reason: None,
        crm_owner: None,
        treat_as_unowned: &[],
        trigger: Trigger::Arrived,
        received_at: friday(),
        waiting: None,
        excluded: &[],
    }
}

/// With the agency, its owners and an empty ledger.
fn route(input: &Input<'_>, now: Timestamp) -> Outcome {
    route_with(&owners(), input, now)
}

fn route_with(owners: &[CrmOwner], input: &Input<'_>, now: Timestamp) -> Outcome {
    let policy = agency();
    decide(&policy, &Roster::new(&policy, owners), input, &State::default(), now, 7)
}

fn assigned(outcome: &Outcome) -> &str {
    match &outcome.resolution {
        usher_model::Resolution::Assigned { rep, .. } => rep.as_str(),
        other => panic!("expected an assignment, found {other:?}"),
    }
}

fn waits(outcome: &Outcome) -> &WaitReason {
    match &outcome.resolution {
        usher_model::Resolution::Waiting(reason) => reason,
        other => panic!("expected a wait, found {other:?}"),
    }
}

fn key(rep: &str) -> RepKey {
    RepKey::from(rep)
}
