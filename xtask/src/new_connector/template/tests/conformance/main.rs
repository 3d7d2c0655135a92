//! The connector proves itself against the conformance suite, at a small vendor of its own.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "directory")]
mod directory;
#[cfg(feature = "inbound")]
mod inbound;
#[cfg(feature = "source")]
mod source;
#[cfg(feature = "target")]
mod target;
mod vendor;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
#[cfg(feature = "directory")]
use usher_testkit::conformance::DirectoryWorld;
#[cfg(feature = "inbound")]
use usher_testkit::conformance::InboundWorld;
#[cfg(feature = "source")]
use usher_testkit::conformance::SourceWorld;
#[cfg(feature = "target")]
use usher_testkit::conformance::TargetWorld;
use usher_testkit::conformance::{self, Rig, Said, World};

use crate::vendor::Vendor;

/// What the suite finds nothing of here, so that a check that stops running is noticed.
const PASSED_OVER: &[&str] = &[
    #[cfg(not(feature = "source"))]
    "source",
    "cap",
    #[cfg(not(feature = "source"))]
    "fetch",
    #[cfg(not(all(feature = "source", feature = "inbound")))]
    "hook and pull",
    #[cfg(not(feature = "source"))]
    "source calls",
    #[cfg(not(feature = "calls"))]
    "calls",
    #[cfg(not(feature = "inbound"))]
    "inbound",
    #[cfg(not(feature = "inbound"))]
    "signed time",
    #[cfg(not(feature = "directory"))]
    "directory",
    #[cfg(not(feature = "target"))]
    "target",
    "batches",
    "activity",
];

#[tokio::test]
async fn conformance() {
    let vendor = Arc::new(Vendor::default());
    #[cfg(feature = "calls")]
    let url = {
        let vendor = vendor.clone();
        usher_testkit::serve(move |asked| vendor.answer(asked)).await.unwrap()
    };
    let rig = Rig {
        connector: Box::new(usher_skeleton::Skeleton),
        settings: SETTINGS,
        wrong: WRONG,
        #[cfg(feature = "inbound")]
        secrets: vec![("HOOK_SECRET", inbound::SECRET.to_owned())],
        #[cfg(not(feature = "inbound"))]
        secrets: Vec::new(),
        #[cfg(feature = "calls")]
        vendor: Some((url, vendor::TOKEN.to_owned())),
        #[cfg(not(feature = "calls"))]
        vendor: None,
        folder: std::env::temp_dir(),
        world: vendor,
    };
    assert_eq!(conformance::run(rig).await.passed_over(), PASSED_OVER);
}

#[cfg(all(feature = "calls", feature = "inbound"))]
const SETTINGS: &str =
    "connector: skeleton\nauth: { token: { env: TOKEN } }\ninbound: { secret: { env: HOOK_SECRET } }\n";
#[cfg(all(feature = "calls", not(feature = "inbound")))]
const SETTINGS: &str = "connector: skeleton\nauth: { token: { env: TOKEN } }\n";
#[cfg(not(feature = "calls"))]
const SETTINGS: &str = "connector: skeleton\ninbound: { secret: { env: HOOK_SECRET } }\n";

/// Wrong settings, each with a word that its problem must have; all are told at once.
const WRONG: &[(&str, &str)] = &[
    #[cfg(feature = "calls")]
    ("pull: { overlap: 2w, pages: 5 }", "overlap"),
    #[cfg(feature = "calls")]
    ("# and in `pull`:", "pages"),
    #[cfg(feature = "inbound")]
    ("inbound: { secret: hunter2 }", "a secret must not stand"),
    ("colour: red", "colour"),
];

impl World for Vendor {
    fn now(&self) -> Timestamp {
        self.state().now
    }

    fn advance(&self, by: Duration) {
        self.state().now += by;
    }

    fn calm(&self) {
        let mut state = self.state();
        state.forbidden = None;
        state.drops_owners = false;
    }

    fn forbid(&self, scope: &str) -> Option<Said> {
        self.state().forbidden = Some(scope.to_owned());
        None
    }

    #[cfg(feature = "source")]
    fn source(&self) -> Option<&dyn SourceWorld> {
        Some(self)
    }

    #[cfg(feature = "inbound")]
    fn inbound(&self) -> Option<&dyn InboundWorld> {
        Some(self)
    }

    #[cfg(feature = "directory")]
    fn directory(&self) -> Option<&dyn DirectoryWorld> {
        Some(self)
    }

    #[cfg(feature = "target")]
    fn target(&self) -> Option<&dyn TargetWorld> {
        Some(self)
    }
}
