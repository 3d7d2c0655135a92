//! The connector proves itself against the conformance suite.

use usher_testkit::{conformance, rigs};

/// No result cap, no signed time, one write per call.
const NOT_OURS: [&str; 3] = ["cap", "signed time", "batches"];

#[tokio::test]
async fn conformance() {
    let report = conformance::run(rigs::pipedrive(usher_pipedrive::Pipedrive).await).await;
    assert_eq!(report.passed_over(), NOT_OURS);
}

#[tokio::test]
async fn fm_040_conformance_with_a_marker() {
    let report = conformance::run(rigs::pipedrive_marked(usher_pipedrive::Pipedrive).await).await;
    assert_eq!(report.passed_over(), NOT_OURS);
}

#[tokio::test]
async fn conformance_with_leads() {
    let report = conformance::run(rigs::pipedrive_leads(usher_pipedrive::Pipedrive).await).await;
    assert_eq!(report.passed_over(), NOT_OURS);
}

#[tokio::test]
async fn fm_040_conformance_with_marked_deals() {
    let report = conformance::run(rigs::pipedrive_deals(usher_pipedrive::Pipedrive).await).await;
    assert_eq!(report.passed_over(), NOT_OURS);
}
