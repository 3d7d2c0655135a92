//! Webhooks v2: HTTP Basic with a password of ours, and events as hints to fetch the object.

use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use usher_connector::{Check, Inbound, Item, Parts, Refusal, Secret, SplitError, signature};
use usher_model::{ExternalId, ObjectType};

use crate::find::is_id;

/// The user's name in the credentials of our webhooks.
pub(crate) const USER: &str = "usher";

/// The inbound role.
pub(crate) struct PipedriveInbound {
    /// User and password, and those before them while the password is being replaced.
    credentials: Vec<Secret>,
    object: &'static str,
}

impl PipedriveInbound {
    pub(crate) fn new(passwords: &[Secret], object: &'static str) -> Self {
        let whole = |password: &Secret| Secret::new([USER.as_bytes(), b":", password.expose()].concat());
        Self { credentials: passwords.iter().map(whole).collect(), object }
    }

    fn verify(&self, parts: &Parts) -> Result<(), Refusal> {
        if parts.method != Method::POST {
            return Err(Refusal::new(400, "Pipedrive sends webhooks by POST"));
        }
        let json =
            parts.header("content-type").is_none_or(|kind| kind.trim_start().starts_with("application/json"));
        if !json {
            return Err(Refusal::new(415, "Pipedrive sends webhooks as application/json"));
        }
        let given = parts.header("authorization").and_then(credentials).ok_or_else(|| {
            Refusal::new(401, "the request has no Basic credentials: it is not from a webhook of ours, or a proxy drops them")
        })?;
        if self.credentials.iter().any(|ours| ours.matches(&given)) {
            return Ok(());
        }
        Err(Refusal::new(
            401,
            "the password does not match: after `inbound.secret` was changed, let `previous_secret` be the former one \
             until the webhook is made anew",
        ))
    }
}

#[derive(Deserialize)]
struct Event {
    meta: Meta,
}

#[derive(Deserialize)]
struct Meta {
    entity: String,
    entity_id: Value,
    /// What the object was merged into, where the vendor says so.
    #[serde(default)]
    merged_to_id: Option<Value>,
}

impl Inbound for PipedriveInbound {
    fn check(&self, parts: &Parts, _body: &[u8], _now: Timestamp) -> Check {
        match self.verify(parts) {
            Ok(()) => Check::Store,
            Err(refusal) => Check::Refuse(refusal),
        }
    }

    /// An event's id stands in the body, which nobody signs.
    fn event(&self, _parts: &Parts) -> Option<String> {
        None
    }

    fn split(&self, body: &[u8], _received_at: Timestamp) -> Vec<Result<Item, SplitError>> {
        let bad = |reason: &str| vec![Err(SplitError { index: 0, reason: reason.to_owned() })];
        let Ok(Event { meta }) = serde_json::from_slice(body) else {
            return bad("it is no event of a webhook v2");
        };
        if format!("{}s", meta.entity) != self.object {
            return bad("it is about an object that is not pulled: delete that webhook in Pipedrive");
        }
        // Of a merge both changed: one is gone, the other has new values.
        let ids: Vec<String> =
            [Some(meta.entity_id), meta.merged_to_id].into_iter().flatten().filter_map(id).collect();
        if ids.is_empty() {
            return bad("it names no object");
        }
        let hint =
            |id: String| Ok(Item::Hint { object: ObjectType::new(self.object), id: ExternalId::new(id) });
        ids.into_iter().map(hint).collect()
    }
}

/// Ids are texts in webhooks and numbers elsewhere.
fn id(value: Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    is_id(&text).then_some(text)
}

/// What stands behind `Basic`, decoded.
fn credentials(header: &str) -> Option<Vec<u8>> {
    let (scheme, given) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("basic") { signature::decode_base64(given.trim()) } else { None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::HeaderMap;
    use serde_json::json;

    use super::*;
    use crate::api::PERSONS;

    const BODY: &[u8] = include_bytes!("../fixtures/webhook.json");

    fn inbound() -> PipedriveInbound {
        PipedriveInbound::new(&[Secret::new("new"), Secret::new("old")], PERSONS)
    }

    fn parts(authorization: Option<&str>) -> Parts {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json; charset=utf-8".parse().unwrap());
        if let Some(authorization) = authorization {
            headers.insert("authorization", authorization.parse().unwrap());
        }
        let url = "https://usher.example/hooks/pipedrive-main".to_owned();
        Parts { method: Method::POST, url, query: Vec::new(), headers }
    }

    fn status(authorization: Option<&str>) -> u16 {
        match inbound().check(&parts(authorization), BODY, Timestamp::UNIX_EPOCH) {
            Check::Store => 200,
            Check::Refuse(refusal) => refusal.status,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fm_033_only_user_and_password_of_ours_are_taken() {
        assert_eq!(status(Some("Basic dXNoZXI6bmV3")), 200, "usher:new");
        assert_eq!(status(Some("basic dXNoZXI6b2xk")), 200, "usher:old, during a rotation");
        for wrong in [
            "Basic dXNoZXI6bmV3MQ==",
            "Basic dXNoZXI6",
            "Basic YWRtaW46bmV3",
            "Bearer dXNoZXI6bmV3",
            "Basic %%",
            "Basic",
        ] {
            assert_eq!(status(Some(wrong)), 401, "{wrong}");
        }
        assert_eq!(status(None), 401);
        let mut get = parts(Some("Basic dXNoZXI6bmV3"));
        get.method = Method::GET;
        assert!(matches!(
            inbound().check(&get, BODY, Timestamp::UNIX_EPOCH),
            Check::Refuse(Refusal { status: 400, .. })
        ));
    }

    fn hints(body: &Value) -> Vec<String> {
        let items = inbound().split(body.to_string().as_bytes(), Timestamp::UNIX_EPOCH);
        let shown = |item: Result<Item, SplitError>| match item {
            Ok(Item::Hint { object, id }) => format!("{object} {id}"),
            other => format!("{other:?}"),
        };
        items.into_iter().map(shown).collect()
    }

    #[test]
    fn an_event_is_a_hint_and_a_merge_two() {
        assert_eq!(hints(&serde_json::from_slice(BODY).unwrap()), ["persons 151"]);
        let event = |meta: Value| json!({ "meta": meta, "data": null, "previous": null });
        assert_eq!(
            hints(&event(
                json!({ "entity": "person", "entity_id": 7, "action": "delete", "merged_to_id": "5" })
            )),
            ["persons 7", "persons 5"]
        );
        for bad in [
            json!([]),
            json!({ "meta": {} }),
            event(json!({ "entity": "deal", "entity_id": "7" })),
            event(json!({ "entity": "person", "entity_id": "../users" })),
        ] {
            let split = inbound().split(bad.to_string().as_bytes(), Timestamp::UNIX_EPOCH);
            assert!(split.len() == 1 && split[0].is_err(), "{bad}");
        }
    }
}
