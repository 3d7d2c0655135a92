//! What the simulators share: the clock, the accounts, the forms, and the way to call webhooks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::hubspot::state::Hub;
use crate::hubspot::webhooks::{HookEvent, WebhookTarget, run};
use crate::pipedrive::hooks::Parcel;
use crate::pipedrive::hooks_send;
use crate::pipedrive::state::Drive;
use crate::typeform::state::Forms;

/// The simulated world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    hub: Mutex<Hub>,
    forms: Mutex<Forms>,
    drive: Mutex<Drive>,
    pub(crate) client: reqwest::Client,
    end: CancellationToken,
    hooks: Mutex<Option<mpsc::UnboundedSender<HookEvent>>>,
    parcels: Mutex<Option<mpsc::UnboundedSender<Parcel>>>,
    pub(crate) marker: String,
}

/// How often due things are looked for while no request comes.
const TICK: Duration = Duration::from_millis(20);

impl World {
    pub(crate) fn new(hub: Hub, forms: Forms, drive: Drive, client: reqwest::Client, marker: String) -> Self {
        Self {
            clock: Clock::default(),
            hub: Mutex::new(hub),
            forms: Mutex::new(forms),
            drive: Mutex::new(drive),
            client,
            end: CancellationToken::new(),
            hooks: Mutex::new(None),
            parcels: Mutex::new(None),
            marker,
        }
    }

    /// The CRM account. Never held across an await.
    pub(crate) fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The forms. Take the account's lock first where both are needed.
    pub(crate) fn forms(&self) -> MutexGuard<'_, Forms> {
        self.forms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The Pipedrive account. Never held together with another lock, nor across an await.
    pub(crate) fn drive(&self) -> MutexGuard<'_, Drive> {
        self.drive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn ended(&self) {
        self.end.cancelled().await;
    }

    pub(crate) fn token(&self) -> CancellationToken {
        self.end.clone()
    }

    /// Directs webhooks to a target, or nowhere.
    pub(crate) fn target(self: &Arc<Self>, target: Option<WebhookTarget>) {
        let mut hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        let subscriptions = target.as_ref().map(|target| target.subscriptions.clone()).unwrap_or_default();
        self.hub().subscriptions = subscriptions;
        *hooks = target.map(|target| {
            let (sender, receiver) = mpsc::unbounded_channel();
            tokio::spawn(run(Arc::clone(self), target, receiver));
            sender
        });
    }

    /// Starts to carry Pipedrive's webhooks, which say themselves where they go.
    pub(crate) fn carry_parcels(self: &Arc<Self>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(hooks_send::run(Arc::clone(self), receiver));
        *self.parcels.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }

    fn pump_parcels(&self) {
        let parcels = std::mem::take(&mut self.drive().outbox);
        let sender = self.parcels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = sender.as_ref() {
            for parcel in parcels {
                // The receiver is gone only when the world ends.
                let _ = sender.send(parcel);
            }
        }
    }

    /// Hands events over to the webhook senders.
    pub(crate) fn pump(&self) {
        self.pump_parcels();
        let events = std::mem::take(&mut self.hub().outbox);
        if events.is_empty() {
            return;
        }
        let hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = hooks.as_ref() {
            for event in events {
                // The receiver is gone only when the world ends.
                let _ = sender.send(event);
            }
        }
    }

    /// Lets everything happen that is due now.
    pub(crate) fn settle(&self) {
        let now = self.clock.now();
        self.hub().tick(now);
        self.drive().tick(now);
        self.pump();
    }

    /// Keeps time while nobody calls.
    pub(crate) async fn keep_time(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.ended() => return,
                () = tokio::time::sleep(TICK) => self.settle(),
            }
        }
    }
}
