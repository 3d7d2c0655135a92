//! A form in memory behind the `Http` door.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};
use usher_connector::{
    Batch, Body, Connection, Fault, FaultClass, FileEntry, Files, Host, Http, Protocol, Pull, Request,
    Response, Secret,
};
use usher_model::{ConnectionName, Lane};

use super::configure;
use crate::protocol::TypeformProtocol;

/// When the connection was first connected; submissions are counted in seconds after it.
pub(super) const START: i64 = 1_763_800_000;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

/// The vendor's side.
#[derive(Debug, Default)]
pub(super) struct Form {
    /// (token, seconds after [`START`]) in the order in which they were processed.
    pub(super) responses: Mutex<Vec<(String, i64)>>,
    pub(super) requests: Mutex<Vec<Request>>,
    /// Answers instead of the form, one a call, by the number of the call from 0.
    pub(super) faults: Mutex<BTreeMap<usize, (u16, &'static str)>>,
    /// Pages come in another order and with repeats.
    pub(super) untidy: bool,
    /// Every page from this call on is the one of this call.
    pub(super) stuck_from: Option<usize>,
    pub(super) stuck: Mutex<Option<Vec<u8>>>,
    /// The vendor's largest page.
    pub(super) page: usize,
    /// The form's webhooks by tag.
    pub(super) webhooks: Mutex<BTreeMap<String, Value>>,
    /// The secrets that were set, in order.
    pub(super) secrets: Mutex<Vec<String>>,
}

impl Form {
    pub(super) fn new(responses: impl IntoIterator<Item = i64>) -> Self {
        let named =
            responses.into_iter().enumerate().map(|(index, at)| (format!("tok-{index}"), at)).collect();
        Self { responses: Mutex::new(named), page: 1000, ..Self::default() }
    }

    pub(super) fn add(&self, token: &str, second: i64) {
        self.responses.lock().unwrap().push((token.to_owned(), second));
    }

    pub(super) fn calls(&self, part: &str) -> Vec<Request> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|request| request.path.ends_with(part)).cloned().collect()
    }

    fn list(&self, request: &Request) -> Result<Value, (u16, Value)> {
        let get =
            |name: &str| request.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let second = |name: &str| get(name).map(|at| at.parse::<Timestamp>().unwrap().as_second() - START);
        let (since, until, before) = (second("since"), second("until"), get("before"));
        if before.is_some() && (since.is_some() || until.is_some()) {
            return Err((400, json!({ "code": "BAD_REQUEST", "description": "do not mix" })));
        }
        assert_eq!(get("response_type").as_deref(), Some("completed"));
        let all = self.responses.lock().unwrap().clone();
        let end = before.map_or(all.len(), |token| all.iter().position(|(have, _)| *have == token).unwrap());
        let mut rows: Vec<_> = all[..end].iter().rev().cloned().collect();
        rows.retain(|(_, at)| {
            since.is_none_or(|since| *at >= since) && until.is_none_or(|until| *at <= until)
        });
        if since.is_some() || until.is_some() {
            // Stable: equal seconds stay newest processed first.
            rows.sort_by_key(|(_, at)| -at);
        }
        let total = rows.len();
        rows.truncate(self.page.min(get("page_size").unwrap().parse().unwrap()));
        if self.untidy {
            let third = rows.len() / 3;
            rows.rotate_left(third);
            let repeats: Vec<_> = rows.iter().step_by(10).cloned().collect();
            rows.extend(repeats);
        }
        let item = |(token, second): &(String, i64)| {
            json!({ "token": token, "response_id": token, "submitted_at": at(*second).to_string(), "answers": [
                { "type": "email", "email": format!("{token}@acme.example"), "field": { "id": "f-email", "ref": "email", "type": "email" } }] })
        };
        Ok(
            json!({ "total_items": total, "page_count": total.div_ceil(self.page), "items": rows.iter().map(item).collect::<Vec<_>>() }),
        )
    }

    /// As Typeform's page "Create or update webhook" has it; the secret is not shown again.
    fn webhook(&self, request: &Request, tag: &str) -> (u16, Vec<u8>) {
        let mut webhooks = self.webhooks.lock().unwrap();
        let status = match (request.method.as_str(), &request.body) {
            ("GET", Body::Empty) => {
                let items: Vec<Value> = webhooks.values().cloned().collect();
                return (200, serde_json::to_vec(&json!({ "items": items })).unwrap());
            }
            ("PUT", Body::Json(body)) => {
                let mut webhook: Value = serde_json::from_slice(body).unwrap();
                let secret = webhook.as_object_mut().unwrap().remove("secret").unwrap();
                self.secrets.lock().unwrap().push(secret.as_str().unwrap().to_owned());
                webhook["tag"] = json!(tag);
                webhooks.insert(tag.to_owned(), webhook);
                200
            }
            ("DELETE", Body::Empty) => webhooks.remove(tag).map_or(404, |_| 204),
            other => panic!("{other:?}"),
        };
        (status, Vec::new())
    }

    fn answer(&self, request: &Request, call: usize) -> (u16, Vec<u8>) {
        if let Some((status, body)) = self.faults.lock().unwrap().remove(&call) {
            return (status, body.as_bytes().to_vec());
        }
        if let Some((_, tag)) = request.path.split_once("/webhooks") {
            return self.webhook(request, tag.trim_start_matches('/'));
        }
        if !request.path.ends_with("/responses") {
            return (200, include_bytes!("../../fixtures/form.json").to_vec());
        }
        if let Some(body) = self.stuck.lock().unwrap().clone() {
            return (200, body);
        }
        let (status, body) = self.list(request).map_or_else(|refused| refused, |page| (200, page));
        let body = serde_json::to_vec(&body).unwrap();
        if self.stuck_from.is_some_and(|from| call >= from) {
            *self.stuck.lock().unwrap() = Some(body.clone());
        }
        (status, body)
    }
}

/// The host's door: judges as the real one does.
#[derive(Debug)]
struct Door(Arc<Form>);

#[async_trait]
impl Http for Door {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        assert_eq!(request.limits, ["calls"]);
        let call = self.0.requests.lock().unwrap().len();
        let (status, body) = self.0.answer(&request, call);
        self.0.requests.lock().unwrap().push(request.clone());
        let response = Response { status, headers: http::HeaderMap::new(), body };
        TypeformProtocol.judge(&request, &response)?;
        Ok(response)
    }
}

#[derive(Debug)]
struct NoFiles;

impl Files for NoFiles {
    fn list(&self, _path: &Path) -> std::io::Result<Vec<FileEntry>> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    fn read(&self, _path: &Path, _offset: u64, _limit: usize) -> std::io::Result<Vec<u8>> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

/// Connects to the form as a fresh process would.
pub(super) fn connect(form: &Arc<Form>, secrets: &[&str]) -> Connection {
    let yaml = "form: abc123\ninbound: { secret: [{ env: A }, { env: B }] }\n";
    let names = crate::config::SECRET_NAMES.into_iter();
    let host = Host {
        connection: ConnectionName::new("site-form"),
        http: Arc::new(Door(Arc::clone(form))),
        files: Arc::new(NoFiles),
        secrets: names.zip(secrets.iter().map(|secret| Secret::new(*secret))).collect(),
    };
    configure(yaml).0.unwrap().connect(host)
}

/// Asks for one step, `second` seconds after the start.
pub(super) fn ask(lane: Lane, cursor: Option<usher_connector::Cursor>, second: i64) -> Pull {
    Pull { object: "responses".into(), lane, cursor, now: at(second), start: at(0) }
}

/// Pulls with a fresh connection a step, as after a kill, until the lane is done; tokens with repeats.
pub(super) async fn pull_all(
    form: &Arc<Form>,
    lane: Lane,
    mut cursor: Option<usher_connector::Cursor>,
    second: i64,
) -> (Vec<String>, usher_connector::Cursor) {
    let mut tokens = Vec::new();
    for _ in 0..100 {
        let source = connect(form, &[]).source.unwrap();
        let batch: Batch = source.pull(&ask(lane, cursor, second)).await.unwrap();
        assert!(batch.problems.is_empty());
        tokens.extend(batch.records.iter().map(|record| record.external_id.to_string()));
        if batch.done {
            return (tokens, batch.next);
        }
        cursor = Some(batch.next);
    }
    panic!("the lane never ends");
}

/// The class of the failure of one step.
pub(super) async fn fails(form: &Arc<Form>, cursor: Option<usher_connector::Cursor>) -> (FaultClass, String) {
    let source = connect(form, &[]).source.unwrap();
    let fault = source.pull(&ask(Lane::Live, cursor, 5_000)).await.unwrap_err();
    (fault.class(), fault.to_string())
}
