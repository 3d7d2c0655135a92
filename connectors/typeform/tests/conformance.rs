//! The connector proves itself against the conformance suite.

use usher_testkit::{conformance, rigs};

#[tokio::test]
async fn conformance() {
    let report = conformance::run(rigs::typeform(usher_typeform::Typeform).await).await;
    assert_eq!(
        report.passed_over(),
        ["cap", "fetch", "signed time", "directory", "target", "batches", "activity"]
    );
}
