//! People that are read.

use std::time::Duration;

use serde_json::json;
use usher_model::{ExternalId, ObjectType};
use usher_testkit::conformance::{CANARY, SourceWorld, When};

use crate::vendor::{Vendor, is};

impl SourceWorld for Vendor {
    fn page(&self) -> usize {
        100
    }

    fn add(&self, _object: &ObjectType, count: usize, when: When) -> Vec<ExternalId> {
        let mut state = self.state();
        let mut add = |index| {
            let at = match when {
                When::At(at) => at,
                When::From(from) => from + Duration::from_secs(index),
            };
            let person = json!({ "email": format!("{CANARY}.{at}.{index}@acme.example"), "owner": null });
            let person = state.stamped(person, at);
            let id = ExternalId::new(person["id"].to_string());
            state.people.push(person);
            id
        };
        (0..count as u64).map(&mut add).collect()
    }

    fn cap(&self, _rows: usize) -> bool {
        false
    }

    fn remove(&self, _object: &ObjectType, id: &ExternalId) {
        self.state().people.retain(|person| !is(&person["id"], id.as_str()));
    }
}
