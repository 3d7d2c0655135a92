//! A plain client for the tests, and a receiver for webhooks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use usher_sandbox::{Options, Owner, Sandbox};

pub(crate) struct Api {
    pub(crate) sandbox: Sandbox,
    pub(crate) client: reqwest::Client,
    pub(crate) token: String,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) headers: HeaderMap,
}

pub(crate) const ANA: u64 = 11;
pub(crate) const BEN: u64 = 12;
pub(crate) const GONE: u64 = 13;

pub(crate) fn owner(id: u64, email: &str, archived: bool) -> Owner {
    Owner {
        id,
        email: email.to_owned(),
        first_name: String::new(),
        last_name: String::new(),
        user_id: Some(id + 5_000),
        archived,
        teams: Vec::new(),
        created_at: 1,
        updated_at: 1,
    }
}

pub(crate) fn map(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

impl Api {
    /// No limits, three owners of whom one has left.
    pub(crate) async fn start() -> Self {
        Self::with(Options { limits: None, typeform_per_second: None, ..Options::default() }).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let token = options.hubspot_token.clone();
        let sandbox = Sandbox::start(options).await.unwrap();
        let hubspot = sandbox.hubspot();
        hubspot.put_owner(owner(ANA, "ana@agency.example", false));
        hubspot.put_owner(owner(BEN, "ben@agency.example", false));
        hubspot.put_owner(owner(GONE, "gone@agency.example", true));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { sandbox, client, token }
    }

    pub(crate) async fn try_call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Reply> {
        let url = format!("{}{path}", self.sandbox.hubspot_url);
        let mut request = self.client.request(method.parse().unwrap(), url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Reply { status, body, headers })
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.try_call(method, path, body).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.call("POST", path, Some(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.call("PATCH", path, Some(&body)).await
    }

    pub(crate) async fn contact(&self, properties: Value) -> String {
        let made = self.post("/crm/objects/2026-09/contacts", json!({ "properties": properties })).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.body["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn task(&self, contact: &str, body: &str) -> Reply {
        self.post(
            "/crm/objects/2026-09/tasks",
            json!({"properties": {"hs_timestamp": "1700000000000", "hs_task_body": body},
                "associations": [{"to": {"id": contact},
                    "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 204}]}]}),
        )
        .await
    }

    pub(crate) async fn search(&self, body: Value) -> Reply {
        self.post("/crm/objects/2026-09/contacts/search", body).await
    }
}

pub(crate) fn ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A server that answers with a status that can be changed, and hands on what it got.
pub(crate) struct Receiver {
    pub(crate) url: String,
    pub(crate) status: Arc<AtomicU16>,
    inbox: mpsc::UnboundedReceiver<Received>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let (sender, inbox) = mpsc::unbounded_channel();
        let status = Arc::new(AtomicU16::new(200));
        let shared = Arc::clone(&status);
        let app = Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
            let (sender, shared) = (sender.clone(), Arc::clone(&shared));
            async move {
                let _ = sender.send(Received { headers, body });
                StatusCode::from_u16(shared.load(Ordering::SeqCst)).unwrap()
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?source=crm", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, status, inbox }
    }

    pub(crate) async fn next(&mut self) -> Received {
        let wait = std::time::Duration::from_secs(20);
        tokio::time::timeout(wait, self.inbox.recv()).await.expect("a webhook arrives").unwrap()
    }
}
