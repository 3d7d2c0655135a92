//! A plain client of the Pipedrive simulator for the tests.

use axum::http::HeaderMap;
use serde_json::{Map, Value, json};
use usher_sandbox::{Faults, Options, PipedriveField, PipedriveSim, PipedriveUser, Sandbox, Span};

pub(crate) const ANA: u64 = 11;
pub(crate) const BEN: u64 = 12;
pub(crate) const GONE: u64 = 13;

pub(crate) struct Pipe {
    pub(crate) sandbox: Sandbox,
    pub(crate) client: reqwest::Client,
    pub(crate) token: String,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) headers: HeaderMap,
}

impl Reply {
    /// The data of an answer that must be a success.
    #[track_caller]
    pub(crate) fn data(&self) -> &Value {
        assert!(self.status < 300, "{} {}", self.status, self.body);
        &self.body["data"]
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.data().as_array().unwrap().iter().map(|row| row["id"].as_u64().unwrap()).collect()
    }

    pub(crate) fn cursor(&self) -> Option<&str> {
        self.body["additional_data"]["next_cursor"].as_str()
    }

    #[track_caller]
    pub(crate) fn refused(&self, status: u16, part: &str) {
        let error = self.body["error"].as_str().unwrap_or_default();
        assert!(self.status == status && error.contains(part), "{} {}", self.status, self.body);
    }
}

pub(crate) fn user(id: u64, email: &str, active: bool) -> PipedriveUser {
    PipedriveUser {
        id,
        name: email.split('@').next().unwrap().to_owned(),
        email: email.to_owned(),
        active,
        deleted: false,
        timezone: "America/New_York".to_owned(),
        role_id: 1,
        admin: false,
    }
}

pub(crate) fn map(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

impl Pipe {
    /// No limits, three users of whom one is deactivated, and a search without lag.
    pub(crate) async fn start() -> Self {
        let faults = Faults { search_lag_ms: Span(0, 0), ..Faults::default() };
        Self::with(Options { pipedrive_limits: None, faults, ..Options::default() }).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let token = options.pipedrive_token.clone();
        let sandbox = Sandbox::start(options).await.unwrap();
        let sim = sandbox.pipedrive();
        sim.put_user(user(ANA, "ana@agency.example", true));
        sim.put_user(user(BEN, "ben@agency.example", true));
        sim.put_user(user(GONE, "gone@agency.example", false));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { sandbox, client, token }
    }

    pub(crate) fn sim(&self) -> PipedriveSim {
        self.sandbox.pipedrive()
    }

    /// Switches for exactly one firing; the search stays without lag.
    pub(crate) fn once(&self, faults: Faults) {
        self.sandbox.set_faults(Faults { times: Some(1), search_lag_ms: Span(0, 0), ..faults });
    }

    pub(crate) async fn try_call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Reply> {
        let url = format!("{}/api/{path}", self.sandbox.pipedrive_url);
        let mut request =
            self.client.request(method.parse().unwrap(), url).header("x-api-token", &self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Reply { status, body, headers })
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.try_call(method, path, body.as_ref()).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.call("POST", path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.call("PATCH", path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path, None).await
    }

    pub(crate) async fn person(&self, email: &str) -> u64 {
        let body = json!({"name": "Lea Laroche", "emails": [{"value": email}]});
        self.post("v2/persons", body).await.data()["id"].as_u64().unwrap()
    }

    pub(crate) async fn lead(&self, person: u64) -> String {
        let made = self.post("v1/leads", json!({"title": "SEO", "person_id": person})).await;
        made.data()["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn field(&self, object: &str, name: &str, field_type: &str, options: &[&str]) -> String {
        let field = PipedriveField {
            name: name.to_owned(),
            field_type: field_type.to_owned(),
            key: String::new(),
            options: options.iter().map(|label| (*label).to_owned()).collect(),
        };
        self.sim().put_field(object, field).unwrap()
    }
}
