//! Webhooks: signature v3 over the raw body, and events as hints to fetch the contact.

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;
use usher_connector::{Check, Inbound, Item, Parts, Refusal, Secret, SplitError, signature};
use usher_model::{ExternalId, ObjectType};

use crate::source::Pulled;

const SIGNATURE: &str = "X-HubSpot-Signature-v3";
const TIMESTAMP: &str = "X-HubSpot-Request-Timestamp";
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// The escapes that HubSpot signs decoded; all others it signs as they stand in the URL (HubSpot's page "Validating
/// requests", table of URL-encoded characters).
const DECODED: [(&str, &str); 12] = [
    ("%3A", ":"),
    ("%2F", "/"),
    ("%3F", "?"),
    ("%40", "@"),
    ("%21", "!"),
    ("%24", "$"),
    ("%27", "'"),
    ("%28", "("),
    ("%29", ")"),
    ("%2A", "*"),
    ("%2C", ","),
    ("%3B", ";"),
];

/// The inbound role.
pub(crate) struct HubSpotInbound {
    /// The app's client secret, and the one before it while it is being replaced.
    secrets: Vec<Secret>,
    pulled: &'static Pulled,
}

impl HubSpotInbound {
    pub(crate) fn new(secrets: Vec<Secret>, pulled: &'static Pulled) -> Self {
        Self { secrets, pulled }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    subscription_type: String,
    #[serde(default)]
    object_type_id: Option<String>,
    // Numbers in webhooks, texts everywhere else; kept as written, since they may grow beyond 2^53.
    #[serde(borrow, default)]
    object_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    primary_object_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    new_object_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    merged_object_ids: Vec<&'a RawValue>,
}

impl Inbound for HubSpotInbound {
    fn check(&self, parts: &Parts, body: &[u8], now: Timestamp) -> Check {
        match self.verify(parts, body, now) {
            Ok(()) => Check::Store,
            Err(refusal) => Check::Refuse(refusal),
        }
    }

    /// The signature covers time and body, and no two calls share both.
    fn event(&self, parts: &Parts) -> Option<String> {
        parts.header(SIGNATURE).map(str::to_owned)
    }

    fn split(&self, body: &[u8], _received_at: Timestamp) -> Vec<Result<Item, SplitError>> {
        let Ok(events) = serde_json::from_slice::<Vec<&RawValue>>(body) else {
            return vec![Err(SplitError {
                index: 0,
                reason: "the body is no JSON list of events".to_owned(),
            })];
        };
        events.iter().enumerate().flat_map(|(index, raw)| split_event(self.pulled, index, raw)).collect()
    }
}

impl HubSpotInbound {
    fn verify(&self, parts: &Parts, body: &[u8], now: Timestamp) -> Result<(), Refusal> {
        if parts.method != Method::POST {
            return Err(Refusal::new(400, "HubSpot sends webhooks by POST"));
        }
        let json =
            parts.header("content-type").is_none_or(|kind| kind.trim_start().starts_with("application/json"));
        if !json {
            return Err(Refusal::new(415, "HubSpot sends webhooks as application/json"));
        }
        let (Some(given), Some(stamp)) = (parts.header(SIGNATURE), parts.header(TIMESTAMP)) else {
            return Err(Refusal::new(
                401,
                "the signature headers are missing: the request is not from HubSpot, or a proxy drops them",
            ));
        };
        let sent = stamp.parse().ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        if !sent.is_some_and(|sent| signature::within(now, sent, TOLERANCE)) {
            return Err(Refusal::new(
                401,
                "the request was signed more than 5 minutes from now: a replay, or this machine's clock is wrong",
            ));
        }
        let url = decode(&parts.url);
        let signed = [parts.method.as_str().as_bytes(), url.as_bytes(), body, stamp.as_bytes()];
        if self.secrets.iter().any(|secret| signature::matches_base64(secret, &signed, given)) {
            return Ok(());
        }
        Err(Refusal::new(
            401,
            "the signature does not match: check `inbound.secret` (the app's client secret) and that `http.public_url` \
             is the URL that HubSpot calls",
        ))
    }
}

/// The URL as HubSpot signs it.
fn decode(url: &str) -> String {
    let mut decoded = String::with_capacity(url.len());
    let mut rest = url;
    while let Some(start) = rest.find('%') {
        decoded.push_str(&rest[..start]);
        rest = &rest[start..];
        let escape = rest.get(..3).unwrap_or(rest);
        match DECODED.iter().find(|(code, _)| code.eq_ignore_ascii_case(escape)) {
            Some((_, character)) => decoded.push_str(character),
            None => decoded.push_str(escape),
        }
        rest = &rest[escape.len()..];
    }
    decoded.push_str(rest);
    decoded
}

fn split_event(pulled: &Pulled, index: usize, raw: &RawValue) -> Vec<Result<Item, SplitError>> {
    let bad = |reason: &str| vec![Err(SplitError { index, reason: reason.to_owned() })];
    let Ok(event) = serde_json::from_str::<Event<'_>>(raw.get()) else {
        return bad("it is no HubSpot event");
    };
    let (subject, verb) = event.subscription_type.split_once('.').unwrap_or(("", &event.subscription_type));
    let is_pulled = subject == pulled.object.trim_end_matches('s')
        || subject == "object" && event.object_type_id.as_deref() == Some(pulled.type_id);
    if !is_pulled {
        return bad("it is about another object than is pulled: remove that subscription in HubSpot");
    }
    let known =
        ["creation", "propertyChange", "restore", "deletion", "privacyDeletion", "merge"].contains(&verb);
    if !known {
        return bad("events of that kind are not used: remove that subscription in HubSpot");
    }
    // Of a merge, every object that took part changed: the losers are gone, the winner has new values.
    let mut ids: Vec<String> = [event.object_id, event.primary_object_id, event.new_object_id]
        .into_iter()
        .flatten()
        .chain(event.merged_object_ids.iter().copied())
        .filter_map(digits)
        .collect();
    let mut seen = Vec::new();
    ids.retain(|id| {
        !seen.contains(id) && {
            seen.push(id.clone());
            true
        }
    });
    if ids.is_empty() {
        return bad("it names no object");
    }
    let hint =
        |id: String| Ok(Item::Hint { object: ObjectType::new(pulled.object), id: ExternalId::new(id) });
    ids.into_iter().map(hint).collect()
}

fn digits(raw: &RawValue) -> Option<String> {
    let text = raw.get().trim_matches('"');
    // HubSpot fills unused ids of a merge with -1.
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::HeaderMap;
    use usher_model::SlotKind;

    use super::*;
    use crate::testing::at;

    const BODY: &[u8] = include_bytes!("../fixtures/webhook.json");
    const URL: &str = "https://usher.example/hooks/hubspot-main?a=%40b%2Cc%20d";
    // As HubSpot signs it: %40 and %2C decoded, %20 left alone.
    const SIGNED_URL: &str = "https://usher.example/hooks/hubspot-main?a=@b,c%20d";

    fn secret() -> Secret {
        Secret::new("client-secret")
    }

    fn signed(secret: &Secret, url: &str, body: &[u8], sent: Timestamp) -> Parts {
        let stamp = sent.as_millisecond().to_string();
        // An independent base64, so that a fault in the shared decoder would show.
        let digest = signature::hmac_sha256(secret, &[b"POST", url.as_bytes(), body, stamp.as_bytes()]);
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json;charset=UTF-8".parse().unwrap());
        headers.insert(SIGNATURE, base64(&digest).parse().unwrap());
        headers.insert(TIMESTAMP, stamp.parse().unwrap());
        Parts { method: Method::POST, url: URL.to_owned(), query: Vec::new(), headers }
    }

    fn base64(bytes: &[u8]) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let bits = chunk
                .iter()
                .chain([0; 2].iter())
                .take(3)
                .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
            for place in 0..4 {
                let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
                text.push(if place <= chunk.len() { letter as char } else { '=' });
            }
        }
        text
    }

    fn status(parts: &Parts, body: &[u8], now: Timestamp) -> u16 {
        match HubSpotInbound::new(vec![secret(), Secret::new("older")], Pulled::of(SlotKind::Person))
            .check(parts, body, now)
        {
            Check::Store => 200,
            Check::Refuse(refusal) => refusal.status,
            Check::Reply(_) => 0,
        }
    }

    #[test]
    fn fm_033_the_signature_covers_raw_bytes_method_and_the_url_as_hubspot_decodes_it() {
        let parts = signed(&secret(), SIGNED_URL, BODY, at(0));
        assert_eq!(status(&parts, BODY, at(0)), 200);
        let spaced = [BODY, b" "].concat();
        assert_eq!(status(&parts, &spaced, at(0)), 401, "one byte more");
        assert_eq!(status(&signed(&secret(), URL, BODY, at(0)), BODY, at(0)), 401, "URL not decoded");
        assert_eq!(status(&Parts { method: Method::PUT, ..parts.clone() }, BODY, at(0)), 400);
        let mut unsigned = parts.clone();
        unsigned.headers.remove(SIGNATURE);
        assert_eq!(status(&unsigned, BODY, at(0)), 401);
        let mut form = parts;
        form.headers.insert("content-type", "multipart/form-data".parse().unwrap());
        assert_eq!(status(&form, BODY, at(0)), 415);
    }

    #[test]
    fn fm_035_replays_and_skew_beyond_five_minutes_are_refused_and_secrets_rotate() {
        let parts = signed(&secret(), SIGNED_URL, BODY, at(0));
        let minutes = |count: i64| at(count * 60_000);
        assert_eq!(
            [0, 4, 5, 6, 43_200, -4, -6].map(|m| status(&parts, BODY, minutes(m))),
            [200, 200, 200, 401, 401, 200, 401]
        );
        assert_eq!(status(&signed(&Secret::new("older"), SIGNED_URL, BODY, at(0)), BODY, at(0)), 200);
        assert_eq!(status(&signed(&Secret::new("other"), SIGNED_URL, BODY, at(0)), BODY, at(0)), 401);
    }

    #[test]
    fn only_the_listed_escapes_are_decoded() {
        assert_eq!(decode("https://x/%3a%2F%3F%40%21%24%27%28%29%2a%2C%3B"), "https://x/:/?@!$'()*,;");
        assert_eq!(decode("https://x/%20%26%3D%25?q=%"), "https://x/%20%26%3D%25?q=%");
        assert_eq!(decode("https://x/%é%2"), "https://x/%é%2");
    }

    fn split(body: &str) -> Vec<Result<String, usize>> {
        split_of(SlotKind::Person, body)
    }

    fn split_of(kind: SlotKind, body: &str) -> Vec<Result<String, usize>> {
        let items = HubSpotInbound::new(Vec::new(), Pulled::of(kind)).split(body.as_bytes(), at(0));
        items
            .into_iter()
            .map(|item| match item {
                Ok(Item::Hint { object, id }) => Ok(format!("{object}/{id}")),
                Ok(Item::Record(_)) => Ok("record".to_owned()),
                Err(error) => Err(error.index),
            })
            .collect()
    }

    #[test]
    fn events_become_hints() {
        let found: Vec<_> = split(std::str::from_utf8(BODY).unwrap()).into_iter().flatten().collect();
        assert_eq!(
            found,
            [
                "contacts/123",
                "contacts/123",
                "contacts/9007199254740995",
                "contacts/7",
                "contacts/8",
                "contacts/9",
                "contacts/55"
            ]
        );
    }

    #[test]
    fn events_of_what_is_pulled_become_hints_and_of_others_do_not() {
        let body = r#"[{"subscriptionType":"deal.creation","objectId":1},
            {"subscriptionType":"object.deletion","objectTypeId":"0-136","objectId":2},
            {"subscriptionType":"object.propertyChange","objectTypeId":"0-3","objectId":3},
            {"subscriptionType":"contact.creation","objectId":4}]"#;
        let deal = |id| Ok(format!("deals/{id}"));
        assert_eq!(split_of(SlotKind::Deal, body), [deal(1), Err(1), deal(3), Err(3)]);
        assert_eq!(split_of(SlotKind::Lead, body)[1], Ok("leads/2".to_owned()));
    }

    #[test]
    fn fm_029_one_bad_event_of_a_hundred_leaves_ninety_nine() {
        let event = |number: usize| match number {
            37 => "{\"subscriptionType\":\"contact.creation\"}".to_owned(),
            _ => format!("{{\"subscriptionType\":\"contact.creation\",\"objectId\":{number}}}"),
        };
        let body: Vec<String> = (0..100).map(event).collect();
        let items = split(&format!("[{}]", body.join(",")));
        assert_eq!(items.iter().filter(|item| item.is_ok()).count(), 99);
        assert_eq!(items[37], Err(37));
        assert_eq!(split("{\"no\":\"list\"}"), [Err(0)]);
        assert_eq!(split("[1, {\"subscriptionType\":\"deal.creation\",\"objectId\":1}]"), [Err(0), Err(1)]);
    }
}
