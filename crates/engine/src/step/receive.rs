//! Receive: a webhook request is checked on its raw bytes, stored, and only then answered.

use usher_connector::{Check, Parts, Refusal, Reply};
use usher_model::{ConnectionName, DeliveryId};
use usher_store::NewDelivery;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::wake::Step;

/// What to answer the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Stored durably: answer 2xx.
    Stored,
    /// A challenge: answer with this.
    Reply(Reply),
    /// Refused: answer with the status, tell the operator the reason.
    Refused(Refusal),
}

impl Engine {
    /// Checks and stores a webhook body.
    ///
    /// # Errors
    /// If the connection takes no webhooks, or the body could not be stored: the sender must then be asked to come
    /// again (503), never told that all is well.
    pub async fn receive(
        &self,
        connection: &ConnectionName,
        parts: &Parts,
        body: Vec<u8>,
    ) -> Result<Received, EngineError> {
        let inbound =
            self.connection(connection)?.roles.inbound.clone().ok_or_else(|| EngineError::Unsuitable {
                connection: connection.clone(),
                problem: "this connection takes no webhooks; add `inbound:` to it in usher.yaml".to_owned(),
            })?;
        let now = self.now();
        match inbound.check(parts, &body, now) {
            Check::Reply(reply) => Ok(Received::Reply(reply)),
            Check::Refuse(refusal) => {
                tracing::warn!(%connection, status = refusal.status, reason = refusal.reason, "webhook refused");
                if matches!(refusal.status, 401 | 403) {
                    self.signs().refused(connection);
                }
                Ok(Received::Refused(refusal))
            }
            Check::Store => {
                let delivery = NewDelivery {
                    id: DeliveryId::new(now),
                    connection: connection.clone(),
                    received_at: now,
                    body,
                };
                self.store.store_delivery(delivery).await?;
                self.wake().ring(Step::Split);
                Ok(Received::Stored)
            }
        }
    }
}
