//! Subscribe: the vendor calls us, exactly once for each event, or status says why not. Polling goes on either way.

use usher_connector::{Subscribed, Subscription};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::standing::WEBHOOKS;

impl Engine {
    /// Looks after the webhooks of every connection that takes some: where the vendor can be told by API, what is
    /// missing is made and what is broken is repaired; a silence that the polls contradict is said. `public_url` is how
    /// vendors reach us; without one nothing is made. Returns how many vendors were changed.
    ///
    /// # Errors
    /// The first failure of the storage or of a vendor, after every connection was looked after.
    pub async fn subscribe(&self, public_url: Option<&str>) -> Result<usize, EngineError> {
        let mut changed = 0;
        let mut failed = None;
        for connected in self.connections.values().filter(|each| each.roles.inbound.is_some()) {
            match self.subscribe_one(&connected.name, public_url).await {
                Ok(done) => changed += usize::from(done != Subscribed::default()),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(changed), Err)
    }

    async fn subscribe_one(
        &self,
        connection: &usher_model::ConnectionName,
        public_url: Option<&str>,
    ) -> Result<Subscribed, EngineError> {
        let connected = self.connection(connection)?;
        let mut done = Subscribed::default();
        if let (Some(subscriber), Some(base)) = (&connected.roles.subscriber, public_url) {
            let wanted = self.subscription(connection, base);
            let ensured = subscriber.ensure(&wanted).await;
            let ensured = ensured.map_err(EngineError::vendor(connection, "looking after its webhook"));
            done = match ensured {
                Ok(done) => done,
                failed => return self.watched(connection, WEBHOOKS, failed).await,
            };
            if done.created || done.repaired || done.strays > 0 {
                let Subscribed { created, repaired, strays } = done;
                tracing::info!(%connection, created, repaired, strays, "the vendor's webhook was put in order");
            }
        }
        self.trouble(connection, WEBHOOKS, self.silence(connection, connected.started_at)).await?;
        Ok(done)
    }

    fn subscription(&self, connection: &usher_model::ConnectionName, base: &str) -> Subscription {
        let url = |name: &usher_model::ConnectionName| format!("{base}/hooks/{name}");
        let install = self.install.derive(&[b"webhooks"]);
        let marker = format!("usher-{}", install.as_str().get(..8).unwrap_or_default());
        Subscription { url: url(connection), marker, wanted: self.connections.keys().map(url).collect() }
    }
}
