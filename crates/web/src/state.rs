//! What the handlers share: the engine once it is there, and whether intake is open.

use std::sync::{Arc, RwLock};

use usher_connector::Secret;
use usher_engine::Engine;

use crate::room::Room;

/// What the handlers need from the settings.
#[derive(Debug, Clone, Default)]
pub struct WebSettings {
    /// How senders address us, without the final slash; signatures cover it.
    pub public_url: String,
    /// The key for `POST /api/leads`; without one the route is off.
    pub api_key: Option<Secret>,
}

#[derive(Debug)]
enum Phase {
    Starting,
    Open(Arc<Engine>),
    Draining,
}

/// The door: closed while the daemon starts and drains, open in between.
#[derive(Debug, Clone)]
pub struct Gate {
    phase: Arc<RwLock<Phase>>,
    pub(crate) room: Room,
    pub(crate) settings: Arc<WebSettings>,
}

impl Gate {
    /// A closed door.
    #[must_use]
    pub fn new(settings: WebSettings) -> Self {
        let phase = Arc::new(RwLock::new(Phase::Starting));
        Self { phase, room: Room::default(), settings: Arc::new(settings) }
    }

    /// Opens intake.
    pub fn open(&self, engine: Arc<Engine>) {
        self.set(Phase::Open(engine));
    }

    /// Closes intake for good: the daemon stops.
    pub fn drain(&self) {
        self.set(Phase::Draining);
    }

    fn set(&self, phase: Phase) {
        match self.phase.write() {
            Ok(mut slot) => *slot = phase,
            Err(poisoned) => *poisoned.into_inner() = phase,
        }
    }

    /// The engine, if intake is open; else why not.
    pub(crate) fn engine(&self) -> Result<Arc<Engine>, &'static str> {
        let phase = match self.phase.read() {
            Ok(phase) => phase,
            Err(poisoned) => poisoned.into_inner(),
        };
        match &*phase {
            Phase::Starting => Err("usher is starting"),
            Phase::Open(engine) => Ok(Arc::clone(engine)),
            Phase::Draining => Err("usher is stopping"),
        }
    }
}
