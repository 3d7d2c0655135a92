//! The Pipedrive simulator as a rig: what people do there.

use serde_json::{Value, json};
use usher_model::{ExternalId, ObjectType};
use usher_sandbox::Actor;

use super::drive::{Drive, ME, PAGE, USERS, inquiry};
use super::number;
use crate::conformance::{ActivityWorld, CANARY, When};

/// A call that somebody had with a person.
fn call(person: u64, owner: u64, done: bool) -> Value {
    json!({"type": "call", "owner_id": owner, "done": done,
        "participants": [{"person_id": person, "primary": true}], "person_id": person})
}

fn note(person: u64, author: u64) -> Value {
    json!({"content": format!("Ana {CANARY}son is away"), "owner_id": author, "person_id": person})
}

impl ActivityWorld for Drive {
    fn page(&self) -> usize {
        PAGE
    }

    fn touch(&self, stream: &ObjectType, count: usize, when: When) -> Vec<ExternalId> {
        let of = |person| match stream.as_str() {
            "activities" => Some(call(person, USERS[0], true)),
            "notes" => Some(note(person, USERS[0])),
            _ => None,
        };
        if of(0).is_none() {
            return Vec::new();
        }
        let persons = self.seed((0..count).map(|index| Self::line("persons", index, when, &self.somebody())));
        let touches = persons
            .iter()
            .enumerate()
            .filter_map(|(index, person)| Some(Self::line(stream.as_str(), index, when, &of(*person)?)));
        self.seed(touches);
        persons.into_iter().map(|id| ExternalId::new(id.to_string())).collect()
    }

    fn no_touches(&self) -> Vec<ExternalId> {
        let mut persons = Vec::new();
        for of in [
            |id| ("activities", call(id, USERS[0], false)),
            |id| ("activities", call(id, ME, true)),
            |id| ("notes", note(id, ME)),
        ] {
            let person = self.create("persons", &self.somebody());
            let (object, fields) = of(number(&person));
            self.create(object, &fields);
            persons.push(person);
        }
        persons
    }

    fn finish(&self, task: &ExternalId) {
        // A task that is gone can not be done; the check that asked will say so.
        let _ = self.sim.mark_done(number(task), true);
    }

    fn win(&self) -> ExternalId {
        let person = self.create("persons", &self.somebody());
        let deal = self.create("deals", &inquiry(number(&person)));
        let won = json!({"status": "won", "value": 1_200, "owner_id": USERS[0]});
        // A deal that is gone can not be won either.
        let _ = self.sim.update(
            "deals",
            number(&deal),
            &won.as_object().cloned().unwrap_or_default(),
            Actor::Human,
        );
        deal
    }
}
