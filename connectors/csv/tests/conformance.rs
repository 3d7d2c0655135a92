//! The connector proves itself against the conformance suite.

use usher_testkit::{conformance, rigs};

#[tokio::test]
async fn conformance() {
    let report = conformance::run(rigs::files(usher_csv::Csv)).await;
    assert_eq!(
        report.passed_over(),
        [
            "cap",
            "fetch",
            "hook and pull",
            "source calls",
            "calls",
            "inbound",
            "signed time",
            "directory",
            "target",
            "batches",
            "activity"
        ]
    );
}
