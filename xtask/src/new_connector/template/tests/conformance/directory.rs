//! Users, companies, and people who are known.

use std::time::Duration;

use serde_json::{Value, json};
use usher_model::ExternalId;
use usher_testkit::conformance::DirectoryWorld;

use crate::vendor::Vendor;

/// Every user; the last one left.
pub(crate) const USERS: [u64; 3] = [11, 12, 13];

pub(crate) fn users() -> Vec<Value> {
    let user = |id: u64| json!({ "id": id, "email": format!("Rep{id}@Agency.example"), "name": "Rep", "active": id != 13 });
    USERS.map(user).to_vec()
}

impl DirectoryWorld for Vendor {
    fn owners(&self) -> Vec<(ExternalId, bool)> {
        USERS.map(|id| (ExternalId::new(id.to_string()), id != 13)).to_vec()
    }

    fn add_companies(&self) -> Vec<ExternalId> {
        let mut state = self.state();
        let add = |index: u64| {
            let row = json!({ "name": format!("Company {index}"), "website": null, "owner": null });
            let at = state.now - Duration::from_secs(index);
            let company = state.stamped(row, at);
            let id = ExternalId::new(company["id"].to_string());
            state.companies.push(company);
            id
        };
        (0..250).map(add).collect()
    }

    fn add_person_unseen(&self, email: &str) -> ExternalId {
        let mut state = self.state();
        let now = state.now;
        let person = state.stamped(json!({ "email": email, "owner": null }), now);
        let id = ExternalId::new(person["id"].to_string());
        state.people.push(person);
        id
    }
}
