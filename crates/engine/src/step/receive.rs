//! Receive: a webhook request is checked on its raw bytes, stored, and only then answered.

use usher_connector::{Check, Parts, Refusal, Reply, signature};
use usher_model::{ConnectionName, DeliveryId, crash};
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
                self.refused(connection, now, &refusal.reason);
                if matches!(refusal.status, 401 | 403) {
                    self.signs().refused(connection);
                }
                Ok(Received::Refused(refusal))
            }
            Check::Store => {
                let event = inbound.event(parts);
                let delivery = NewDelivery {
                    id: event.map_or_else(|| DeliveryId::new(now), |event| named(connection, &event, &body)),
                    connection: connection.clone(),
                    received_at: now,
                    body,
                };
                crash::point("receive.before_commit");
                self.store.store_delivery(delivery).await?;
                crash::point("receive.after_commit");
                self.heard(connection, now);
                self.wake().ring(Step::Split);
                Ok(Received::Stored)
            }
        }
    }
}

/// The id of a call that its sender made unique: a copy finds the row of the first, for as long as the body is kept,
/// which is far longer than any signature holds. With another body it is another call, whatever the sender says.
fn named(connection: &ConnectionName, event: &str, body: &[u8]) -> DeliveryId {
    let print = signature::fingerprint(&[connection.as_str().as_bytes(), event.as_bytes(), body]);
    print.parse().unwrap_or_else(|_| unreachable!("a fingerprint has the 32 hexadecimal digits of an id"))
}
