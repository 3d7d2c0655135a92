//! What a step can fail with, by what to do about it.

use usher_connector::Fault;
use usher_model::ConnectionName;
use usher_store::StoreError;

/// A step that could not do its work. Nothing is lost: the step is repeated.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The storage failed.
    #[error("the storage refused a step")]
    Store(#[from] StoreError),
    /// The vendor failed.
    #[error("{connection}: {step} did not succeed")]
    Vendor {
        /// At which connection.
        connection: ConnectionName,
        /// Which step.
        step: &'static str,
        /// Why, with its class.
        #[source]
        fault: Box<Fault>,
    },
    /// The connection does not exist or can not do this.
    #[error("{connection}: {problem}")]
    Unsuitable {
        /// The name that was given.
        connection: ConnectionName,
        /// What it lacks, and what to do.
        problem: String,
    },
    /// A record could not be written as JSON, or another impossibility of our own making.
    #[error("usher made a mistake in {place}; please report it")]
    Defect {
        /// Where.
        place: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl EngineError {
    /// Wraps a vendor's fault.
    pub(crate) fn vendor(connection: &ConnectionName, step: &'static str) -> impl FnOnce(Fault) -> Self {
        let connection = connection.clone();
        move |fault| Self::Vendor { connection, step, fault: Box::new(fault) }
    }
}
