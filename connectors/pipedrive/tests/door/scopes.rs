//! What an OAuth app may do: the scopes that are asked for suffice, and whichever is missing is named.

use std::collections::BTreeSet;

use usher_connector::{Fault, FaultClass, Role, Scope, SendFailure, Subscription};
use usher_sandbox::PipedrivePlan;

use super::*;

/// Those without a webhook do without `admin`, which opens definitions of fields too.
const CARRIED_BY: [(SlotKind, &str); 3] = [
    (SlotKind::Person, SETTINGS),
    (SlotKind::Lead, "connector: pipedrive\nobject: leads\n"),
    (SlotKind::Deal, "connector: pipedrive\nobject: deals\n"),
];

/// A connection whose token has these scopes alone.
fn granted(door: &Door, settings: &'static str, scopes: &[&str]) -> Connection {
    door.sim().put_token(PipedriveToken {
        token: "access".to_owned(),
        user: 1,
        oauth: true,
        expired: false,
        scopes: Some(scopes.iter().map(|scope| (*scope).to_owned()).collect()),
    });
    let credential = Credential::new(Auth::Bearer, Some(&Secret::new("access"))).unwrap();
    connect_as(&door.sandbox, settings, "hook password", credential).1
}

/// Every role once: what failed.
async fn all_roles(door: &Door, connection: &Connection, kind: SlotKind) -> Vec<Fault> {
    let (source, directory) = (connection.source.clone().unwrap(), connection.directory.clone().unwrap());
    let target = connection.target.clone().unwrap();
    let start = door.now() - jiff::SignedDuration::from_mins(2);
    let object = target.object_of(kind).unwrap();
    let person = door.person(&json!({ "name": "Ben", "emails": emails("ben@acme.example") }));
    if kind.is_inquiry() {
        let field = serde_json::from_value(json!({ "name": "Where from", "type": "varchar" })).unwrap();
        let key = door.sim().put_field("deals", field).unwrap();
        let (fields, custom) = (json!({ "title": "SEO", "person_id": person }), json!({ key: "fair" }));
        let (fields, custom) = (fields.as_object().unwrap(), custom.as_object().unwrap());
        door.sim().create(object.as_str(), fields, custom, Actor::Human).unwrap();
    }
    let mut failed = Vec::new();
    failed.extend(source.pull(&door.pull_of(object.as_str(), Lane::Live, None, start)).await.err());
    failed.extend(source.fetch(&object, &[person.to_string().into()]).await.err());
    let activity = connection.activity.clone().unwrap();
    for stream in activity.streams() {
        failed.extend(
            activity.pull(&door.pull_of(stream.object.as_str(), Lane::Live, None, start)).await.err(),
        );
    }
    failed.extend(directory.owners().await.err());
    failed.extend(directory.accounts(None, start).await.err());
    let key = IdentityKey { kind: IdentityKind::Email, value: "ben@acme.example".to_owned() };
    failed.extend(directory.people(&[key]).await.err());
    if kind == SlotKind::Deal {
        failed.extend(directory.open_deals(&[person.to_string().into()]).await.err());
    }
    let url = "https://usher.example/hooks/pipedrive-main".to_owned();
    let wanted = Subscription { wanted: vec![url.clone()], url, marker: "usher-1a2b".to_owned() };
    if let Some(subscriber) = &connection.subscriber {
        failed.extend(subscriber.ensure(&wanted).await.err());
    }
    let about = known(SlotKind::Person, person);
    let mut writes = vec![
        ensure("a1", &json!({ "email": "ana@acme.example", "full_name": "Ana", "message": "SEO" })),
        give(person, None, Some(11)),
        task("t1", about.clone(), door.now()),
    ];
    if kind.is_inquiry() {
        let (title, owner) = ("SEO".to_owned(), "11".into());
        let (company, entered_since) = (None, None);
        let body = EffectBody::EnsureInquiry {
            slot: slot(kind),
            title,
            person: about,
            company,
            owner,
            entered_since,
        };
        writes.push(write("c0f0", body));
    }
    for write in &writes {
        for sent in target.send(std::slice::from_ref(write)).await {
            match sent {
                Err(SendFailure::Fault(fault)) => failed.push(fault),
                Err(other) => panic!("{other:?}"),
                Ok(_) => {}
            }
        }
        failed.extend(target.verify(write, start).await.err());
    }
    let history = target.owner_history(&[(SlotKind::Person, person.to_string().into())]).await;
    failed.extend(history.err());
    failed
}

#[tokio::test]
async fn fm_018_the_scopes_that_are_asked_for_suffice_and_each_that_is_missing_is_named() {
    for (kind, settings) in CARRIED_BY {
        // A plan whose pace keeps nobody waiting.
        let plan = PipedriveLimits { plan: PipedrivePlan::Ultimate, ..PipedriveLimits::default() };
        let door = Door::with(settings, Some(plan)).await;
        let configured = configure(settings);
        let needed = |scope: &&Scope| scope.role != Role::Inbound || door.connection.subscriber.is_some();
        let further = configured.further_scopes();
        let asked = Pipedrive.manifest().scopes.iter().chain(further).filter(needed);
        let asked: BTreeSet<&str> = asked.map(|scope| scope.name).chain(["base"]).collect();
        let all: Vec<&str> = asked.iter().copied().collect();
        let failed = all_roles(&door, &granted(&door, settings, &all), kind).await;
        assert!(failed.is_empty(), "{kind:?}: {failed:?}");
        // What persons need is tried with persons.
        let persons = kind == SlotKind::Person;
        for missing in asked.iter().filter(|name| persons || further.iter().any(|own| own.name == **name)) {
            // Whoever may write may read: without the one that reads nothing is missing.
            let covered =
                missing.strip_suffix(":read").is_some_and(|of| asked.contains(&*format!("{of}:full")));
            let rest: Vec<&str> = all.iter().copied().filter(|scope| scope != missing).collect();
            let failed = all_roles(&door, &granted(&door, settings, &rest), kind).await;
            let named = |fault: &Fault| {
                fault.class() == FaultClass::Misconfigured && fault.to_string().contains(missing)
            };
            assert_eq!(failed.iter().any(named), !covered, "{kind:?} without {missing}: {failed:?}");
        }
    }
}
