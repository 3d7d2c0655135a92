//! The connector proves itself against the conformance suite.

use usher_testkit::{conformance, rigs};

#[tokio::test]
async fn conformance() {
    let report = conformance::run(rigs::hubspot(usher_hubspot::HubSpot).await).await;
    assert_eq!(report.passed_over(), ["activity"]);
}

#[tokio::test]
async fn fm_040_conformance_with_keys() {
    let report = conformance::run(rigs::hubspot_keyed(usher_hubspot::HubSpot).await).await;
    assert_eq!(report.passed_over(), ["activity"]);
}

#[tokio::test]
async fn conformance_with_deals() {
    let report = conformance::run(rigs::hubspot_deals(usher_hubspot::HubSpot).await).await;
    assert_eq!(report.passed_over(), ["activity"]);
}

#[tokio::test]
async fn fm_040_conformance_with_keyed_leads() {
    let report = conformance::run(rigs::hubspot_leads(usher_hubspot::HubSpot).await).await;
    assert_eq!(report.passed_over(), ["activity"]);
}
