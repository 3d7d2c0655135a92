//! The webhook of one connection, made and kept by us. Pipedrive can not change one, so a repair makes the new one first;
//! its name tells whose it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use usher_connector::{Fault, FaultClass, Http, Secret, Subscribed, Subscriber, Subscription};
use usher_model::ConnectionName;

use crate::api;
use crate::inbound::USER;
use crate::wire::data;

/// Keeps a connection's webhook for the kind of object that is pulled.
pub(crate) struct Webhooks {
    connection: ConnectionName,
    http: Arc<dyn Http>,
    /// What is pulled, as events name it.
    object: &'static str,
    /// The password that new calls are to bring.
    password: Option<Secret>,
    /// Pipedrive need not show a webhook's user and password, so each process says them once.
    told: AtomicBool,
}

#[derive(Deserialize)]
struct Webhook {
    id: u64,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    subscription_url: String,
    #[serde(default)]
    event_action: String,
    #[serde(default)]
    event_object: String,
    #[serde(default)]
    is_active: Value,
    #[serde(default)]
    http_auth_user: Option<String>,
    #[serde(default)]
    http_auth_password: Option<String>,
}

impl Webhooks {
    pub(crate) fn new(
        connection: ConnectionName,
        http: Arc<dyn Http>,
        objects: &'static str,
        password: Option<Secret>,
    ) -> Self {
        Self {
            connection,
            http,
            object: objects.trim_end_matches('s'),
            password,
            told: AtomicBool::new(false),
        }
    }

    fn password(&self) -> Result<&str, Fault> {
        let text = self.password.as_ref().and_then(|password| std::str::from_utf8(password.expose()).ok());
        text.filter(|text| !text.is_empty()).ok_or_else(|| {
            Fault::new(FaultClass::Misconfigured, "the webhooks have no password to bring")
                .advise("let `inbound.secret` point to a text of letters and digits")
        })
    }

    fn is_good(&self, webhook: &Webhook, wanted: &Subscription) -> bool {
        // 1 in the document's example, true elsewhere.
        let active = !matches!(webhook.is_active, Value::Bool(false)) && webhook.is_active != json!(0);
        let ours = |shown: &String| self.password.as_ref().is_some_and(|own| own.matches(shown.as_bytes()));
        let same = webhook.http_auth_password.as_ref().map_or(self.told.load(Ordering::Relaxed), ours);
        active
            && same
            && webhook.http_auth_user.as_deref().is_none_or(|shown| shown == USER)
            && (webhook.event_action.as_str(), webhook.event_object.as_str()) == ("*", self.object)
            && webhook.subscription_url == wanted.url
    }

    async fn create(&self, name: &str, url: &str) -> Result<(), Fault> {
        let body = json!({
            "subscription_url": url, "event_action": "*", "event_object": self.object, "name": name, "version": "2.0",
            "http_auth_user": USER, "http_auth_password": self.password()?,
        });
        self.http.send(api::create_webhook(&body)?).await.and_then(|answer| made(&answer))
    }

    async fn delete(&self, id: u64) -> Result<(), Fault> {
        self.http.send(api::delete_webhook(id)).await.map(drop)
    }
}

/// A refusal comes through, because writes read theirs themselves.
fn made(answer: &usher_connector::Response) -> Result<(), Fault> {
    if answer.is_success() {
        return Ok(());
    }
    let message = format!("Pipedrive refused to make a webhook (status {})", answer.status);
    Err(Fault::new(FaultClass::Rejected, message).advise(
        "check that Pipedrive can reach `http.public_url`, and that its user has less than 40 webhooks",
    ))
}

#[async_trait]
impl Subscriber for Webhooks {
    async fn ensure(&self, wanted: &Subscription) -> Result<Subscribed, Fault> {
        let listed: Vec<Webhook> = data(&self.http.send(api::webhooks()).await?)?;
        let mut done = Subscribed::default();
        let name = format!("{}-{}-{}", wanted.marker, self.connection, self.object);
        let own: Vec<&Webhook> =
            listed.iter().filter(|webhook| webhook.name.as_deref() == Some(name.as_str())).collect();
        let good = own.iter().find(|webhook| self.is_good(webhook, wanted)).map(|webhook| webhook.id);
        if good.is_none() {
            self.create(&name, &wanted.url).await?;
            done.created = own.is_empty();
            done.repaired = !own.is_empty();
        }
        for webhook in own.iter().filter(|webhook| Some(webhook.id) != good) {
            self.delete(webhook.id).await?;
        }
        self.told.store(true, Ordering::Relaxed);
        let prefix = format!("{}-", wanted.marker);
        let strays = listed.iter().filter(|webhook| {
            let other = webhook.name.as_deref().unwrap_or_default();
            let left_behind =
                webhook.subscription_url == wanted.url || !wanted.wanted.contains(&webhook.subscription_url);
            other.starts_with(&prefix) && other != name && left_behind
        });
        for stray in strays {
            self.delete(stray.id).await?;
            done.strays += 1;
        }
        Ok(done)
    }
}
