//! What the vendor answers, scripted: for what the conformance suite can not know of this vendor.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "calls")]
mod answers {
    use serde_json::{Value, json};
    use usher_connector::{FaultClass, Protocol, Request};
    use usher_testkit::answered;

    use crate::protocol::SkeletonProtocol;

    #[test]
    fn every_status_has_its_class() {
        let coded = json!({ "error": "not_found" });
        let html = json!("<html>ana@acme.example</html>");
        for (status, body, class) in [
            (400, &coded, FaultClass::Rejected),
            (401, &html, FaultClass::Unauthorized),
            (403, &coded, FaultClass::Rejected),
            (404, &html, FaultClass::Rejected),
            (302, &html, FaultClass::Rejected),
            (200, &html, FaultClass::Transient),
            (502, &html, FaultClass::Transient),
        ] {
            let fault = SkeletonProtocol.judge(&Request::get("/x"), &answered(status, body)).unwrap_err();
            assert_eq!(fault.class(), class, "{status} {body}");
        }
        assert!(
            SkeletonProtocol.judge(&Request::get("/x"), &answered(404, &coded)).is_ok(),
            "read by the caller"
        );
    }

    #[test]
    fn fm_091_a_code_that_quotes_a_person_is_not_passed_on() {
        let body: Value = json!({ "error": "ana@acme.example is taken" });
        let fault = SkeletonProtocol.judge(&Request::get("/x"), &answered(400, &body)).unwrap_err();
        assert!(!fault.to_string().contains("ana@"), "{fault}");
    }

    #[test]
    fn limits_are_learned_from_headers() {
        let mut answer = answered(200, &json!({}));
        assert!(SkeletonProtocol.read_limits(&Request::get("/x"), &answer).is_empty());
        answer.headers.insert("x-ratelimit-limit", "40".parse().unwrap());
        answer.headers.insert("x-ratelimit-remaining", "7".parse().unwrap());
        let [report] = SkeletonProtocol.read_limits(&Request::get("/x"), &answer)[..] else {
            panic!("one limit")
        };
        assert_eq!((report.units, report.remaining), (Some(40), Some(7)));
    }
}

#[cfg(feature = "source")]
mod pulls {
    use serde_json::{Value, json};
    use usher_connector::window::Spans;
    use usher_connector::{Pull, Source};
    use usher_model::{ConnectionName, Lane, ObjectType};
    use usher_testkit::Script;

    use crate::protocol::SkeletonProtocol;
    use crate::source::SkeletonSource;

    #[tokio::test]
    async fn a_row_without_an_id_costs_only_itself() {
        let good: Value = serde_json::from_str(include_str!("../fixtures/person.json")).unwrap();
        let page = json!({ "rows": [good, { "email": "no id" }], "more": false });
        let script = Script::new(SkeletonProtocol, move |_| (200, page.clone()));
        let source = SkeletonSource::new(ConnectionName::new("test"), script.clone(), Spans::default());
        let now = "2026-11-23T10:00:00Z".parse().unwrap();
        let ask = Pull { object: ObjectType::new("people"), lane: Lane::Live, cursor: None, now, start: now };
        let batch = source.pull(&ask).await.unwrap();
        assert_eq!((batch.records.len(), batch.problems.len(), batch.done), (1, 1, true));
        let asked = &script.seen()[0];
        assert!(asked.query.contains(&("sort".to_owned(), "updated_at".to_owned())), "{asked:?}");
    }
}

#[cfg(feature = "directory")]
mod lookups {
    use serde_json::json;
    use usher_connector::window::Spans;
    use usher_connector::{Directory, FaultClass};
    use usher_model::{IdentityKey, IdentityKind};
    use usher_testkit::Script;

    use crate::directory::SkeletonDirectory;
    use crate::protocol::SkeletonProtocol;

    #[tokio::test]
    async fn who_comes_without_an_owner_or_address_is_not_taken_for_nobodys_or_absent() {
        let whole = json!({ "id": 7, "email": "ana@acme.example", "owner": null, "company": null,
            "created_at": "2026-11-23T09:30:00Z", "updated_at": "2026-11-23T09:30:00Z" });
        for (lacks, told) in [("phone", Ok(Some(None))), ("owner", Err(())), ("email", Err(()))] {
            let mut person = whole.clone();
            person.as_object_mut().unwrap().remove(lacks);
            let page = json!({ "rows": [person], "more": false });
            let script = Script::new(SkeletonProtocol, move |_| (200, page.clone()));
            let directory = SkeletonDirectory::new(script, Spans::default());
            let key = IdentityKey { kind: IdentityKind::Email, value: "ana@acme.example".to_owned() };
            let known = directory.people(&[key]).await;
            let known = known.map(|mut people| people.remove(0).map(|person| person.owner));
            let known = known.map_err(|fault| assert_eq!(fault.class(), FaultClass::Transient));
            assert_eq!(known, told, "without its {lacks}");
        }
    }
}

#[cfg(feature = "target")]
mod writes {
    use std::time::{Duration, Instant};

    use serde_json::json;
    use usher_connector::{FaultClass, OwnerRead, SendFailure, Target, Write};
    use usher_model::{EffectBody, EffectKey, ExternalId, ObjectRef, OwnerChange, SlotKind};
    use usher_testkit::Script;

    use crate::protocol::SkeletonProtocol;
    use crate::target::SkeletonTarget;

    #[tokio::test]
    async fn an_owner_who_is_not_shown_is_not_overwritten() {
        let person = json!({ "id": 7, "email": "ana@acme.example", "company": null,
            "created_at": "2026-11-23T09:30:00Z", "updated_at": "2026-11-23T09:30:00Z" });
        let script = Script::new(SkeletonProtocol, move |_| (200, person.clone()));
        let to = Some(ExternalId::new("11"));
        let body = EffectBody::UpdateObject {
            target: ObjectRef::Id { kind: SlotKind::Person, id: ExternalId::new("7") },
            owner: Some(OwnerChange { to, ..OwnerChange::default() }),
            fields: [].into(),
            slot: None,
            after: None,
        };
        let owner_read = OwnerRead { fresh: false, until: Instant::now() + Duration::from_secs(60) };
        let write = Write { key: EffectKey::new("k1"), body, owner_read, owner: None };
        let sent = SkeletonTarget::new(script.clone()).send(&[write]).await.remove(0);
        let Err(SendFailure::Fault(fault)) = sent else { panic!("{sent:?}") };
        assert_eq!(fault.class(), FaultClass::Transient);
        assert_eq!(script.writes().len(), 0);
    }
}

#[cfg(feature = "records")]
mod records {
    use usher_model::ConnectionName;

    #[test]
    fn the_payload_is_the_person_as_it_came() {
        let row = include_str!("../fixtures/person.json");
        let record = crate::record::record(
            &ConnectionName::new("test"),
            &serde_json::from_str::<Box<_>>(row).unwrap(),
        )
        .unwrap();
        assert_eq!((record.external_id.as_str(), record.payload.get()), ("7", row.trim()));
        assert_eq!(record.revision, "2026-11-23T09:30:00.25Z");
    }
}
