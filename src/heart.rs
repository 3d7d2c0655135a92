//! Heartbeats: while it beats, this process lives among the nodes of a shared storage.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use usher_engine::{Engine, EngineError};

use crate::failure::chain;

/// A beat that takes longer is given up: the next one may find a better connection.
const LONGEST_BEAT: Duration = Duration::from_secs(5);

/// The heart of this process; without one where the storage is its own.
pub(crate) struct Heart {
    engine: Arc<Engine>,
    stop: CancellationToken,
    task: Option<JoinHandle<Option<()>>>,
}

impl Heart {
    /// Begins, and goes on beating. Going live closes what was only observed; it is never replayed.
    pub(crate) async fn start(engine: &Arc<Engine>) -> Result<Self, EngineError> {
        let closed = engine.begin().await?;
        if closed > 0 {
            tracing::info!(closed, "leads that were only observed are closed");
        }
        let stop = CancellationToken::new();
        let beating = stop.clone().run_until_cancelled_owned(beat(Arc::clone(engine)));
        let task = engine.is_one_of_many().then(|| tokio::spawn(beating));
        Ok(Self { engine: Arc::clone(engine), stop, task })
    }

    /// Leaves the other nodes in good order. They do without if this fails.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let Some(task) = self.task else { return };
        // It was cancelled, not dropped: what it did last is over.
        let _ = task.await;
        match tokio::time::timeout(LONGEST_BEAT, self.engine.leave()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(
                problem = chain(&error),
                "the other nodes have to wait until this one is given up"
            ),
            Err(_) => tracing::warn!(
                "the other nodes have to wait until this one is given up: the database does not answer"
            ),
        }
    }
}

async fn beat(engine: Arc<Engine>) {
    let mut ticks = tokio::time::interval(Engine::BEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match tokio::time::timeout(LONGEST_BEAT, engine.beat()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(problem = chain(&error), "a heartbeat failed"),
            Err(_) => tracing::error!("a heartbeat failed: the database does not answer"),
        }
    }
}
