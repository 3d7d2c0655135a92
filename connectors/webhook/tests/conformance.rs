//! The connector proves itself against the conformance suite.

use usher_testkit::{conformance, rigs};

#[tokio::test]
async fn conformance() {
    let report = conformance::run(rigs::hooks(usher_webhook::Webhook)).await;
    assert_eq!(
        report.passed_over(),
        [
            "source",
            "cap",
            "fetch",
            "hook and pull",
            "source calls",
            "calls",
            "directory",
            "target",
            "batches",
            "activity"
        ]
    );
}
