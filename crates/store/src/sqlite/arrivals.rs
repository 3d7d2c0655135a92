//! Webhook bodies on their way into the database: those that wait together are stored by one statement.

use futures::future::BoxFuture;
use sqlx::SqliteConnection;
use tokio::sync::{mpsc, oneshot};

use super::bulk::Bulk;
use super::codec::{ms, text};
use super::fault::{Fault, GroupFault};
use super::writer::Command;
use crate::intake::NewDelivery;

/// A copy finds the row of the first.
static DELIVERY: Bulk =
    Bulk::insert("INSERT INTO delivery (id, connection, received_at, body)", 4, "ON CONFLICT DO NOTHING");

/// A body, and whom to answer.
pub(super) type Arrival = (NewDelivery, oneshot::Sender<Result<(), Fault>>);

/// Bodies that are stored together.
pub(super) struct Arrivals {
    bodies: Vec<NewDelivery>,
    senders: Vec<oneshot::Sender<Result<(), Fault>>>,
    failure: Option<GroupFault>,
}

impl Arrivals {
    /// The first one and what else waits, `most` in all.
    pub(super) fn gather(first: Arrival, waiting: &mut mpsc::Receiver<Arrival>, most: usize) -> Self {
        let more = std::iter::from_fn(|| waiting.try_recv().ok());
        let (bodies, senders) = std::iter::once(first).chain(more).take(most).unzip();
        Self { bodies, senders, failure: None }
    }

    pub(super) fn len(&self) -> usize {
        self.senders.len()
    }
}

impl Command for Arrivals {
    fn run<'a>(&'a mut self, conn: &'a mut SqliteConnection) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let stored = DELIVERY.run(conn, &self.bodies, |query, delivery| {
                query
                    .bind(delivery.id.to_string())
                    .bind(text(&delivery.connection))
                    .bind(ms(delivery.received_at))
                    .bind(delivery.body.clone())
            });
            self.failure = stored.await.err().map(GroupFault::of);
            self.failure.is_none()
        })
    }

    fn found_no_space(&self) -> bool {
        self.failure.as_ref().is_some_and(GroupFault::is_no_space)
    }

    fn answer(self: Box<Self>, failure: Option<GroupFault>) {
        let failure = failure.or(self.failure);
        for sender in self.senders {
            // A sender that went away does not need the answer; its body is stored all the same.
            let _ = sender.send(failure.as_ref().map_or(Ok(()), |failure| Err(failure.member())));
        }
    }
}
