//! The form's webhook, made and kept by us: `PUT /forms/{id}/webhooks/{tag}`, where the tag tells whose it is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use http::Method;
use serde_json::json;
use usher_connector::{
    Access, CallLane, Fault, FaultClass, Http, Request, Secret, Subscribed, Subscriber, Subscription,
};
use usher_model::ConnectionName;

use crate::protocol::CALLS;
use crate::wire::{Subscriptions, Webhook};

/// Keeps the webhook of one form.
pub(crate) struct Webhooks {
    connection: ConnectionName,
    form: String,
    http: Arc<dyn Http>,
    /// The one that new calls are to be signed with.
    secret: Option<Secret>,
    /// Typeform need not show a webhook's secret, so each process says it once.
    told: AtomicBool,
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").field("form", &self.form).finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Keeps the webhook of that form, to be signed with that secret.
    pub(crate) fn new(
        connection: ConnectionName,
        form: String,
        http: Arc<dyn Http>,
        secret: Option<Secret>,
    ) -> Self {
        Self { connection, form, http, secret, told: AtomicBool::new(false) }
    }

    fn path(&self, tag: &str) -> String {
        format!("/forms/{}/webhooks/{tag}", self.form)
    }

    async fn listed(&self) -> Result<Vec<Webhook>, Fault> {
        let request = Request::get(format!("/forms/{}/webhooks", self.form));
        let answer = self.http.send(request.lane(CallLane::Refresh).limits(&[CALLS])).await?;
        Ok(answer.json::<Subscriptions>()?.items)
    }

    /// The same call makes a webhook and changes it, so a repeat makes no second one.
    async fn put(&self, tag: &str, url: &str) -> Result<(), Fault> {
        let Some(secret) = self.secret.as_ref().and_then(|secret| std::str::from_utf8(secret.expose()).ok())
        else {
            let fault = Fault::new(FaultClass::Misconfigured, "the webhook has no secret to be signed with");
            return Err(fault.advise("let `inbound.secret` point to a text of letters and digits"));
        };
        let body = json!({ "url": url, "enabled": true, "secret": secret, "verify_ssl": true });
        let request = Request::new(Method::PUT, self.path(tag), Access::Write).json(&body)?;
        self.http.send(request.lane(CallLane::Refresh).limits(&[CALLS])).await.map(drop)
    }

    async fn delete(&self, tag: &str) -> Result<(), Fault> {
        let request = Request::new(Method::DELETE, self.path(tag), Access::Write);
        self.http.send(request.lane(CallLane::Refresh).limits(&[CALLS])).await.map(drop)
    }
}

#[async_trait]
impl Subscriber for Webhooks {
    async fn ensure(&self, wanted: &Subscription) -> Result<Subscribed, Fault> {
        let tag = format!("{}-{}", wanted.marker, self.connection);
        let mut done = Subscribed::default();
        let listed = self.listed().await?;
        let own = listed.iter().find(|webhook| webhook.tag == tag);
        let good = own.is_some_and(|own| own.enabled && own.verify_ssl && own.url == wanted.url);
        if !good || !self.told.load(Ordering::Relaxed) {
            self.put(&tag, &wanted.url).await?;
            self.told.store(true, Ordering::Relaxed);
            done.created = own.is_none();
            done.repaired = own.is_some() && !good;
        }
        let prefix = format!("{}-", wanted.marker);
        let ours = listed.iter().filter(|webhook| webhook.tag.starts_with(&prefix) && webhook.tag != tag);
        for stray in ours.filter(|other| other.url == wanted.url || !wanted.wanted.contains(&other.url)) {
            self.delete(&stray.tag).await?;
            done.strays += 1;
        }
        Ok(done)
    }
}
