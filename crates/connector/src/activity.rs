//! The activity role: what people do at the CRM to what leads hang on.

use async_trait::async_trait;
use jiff::Timestamp;
use usher_model::{CrmEvent, ExternalId, ObjectType};

use crate::fault::Fault;
use crate::source::{Cursor, Pull, RowProblem, StreamSpec};

/// How an object looked when a list showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// The CRM's name of its type.
    pub object: ObjectType,
    /// Its id.
    pub id: ExternalId,
    /// Its owner; `None` for nobody.
    pub owner: Option<ExternalId>,
    /// Changes whenever something changes of which [`Activity::history`] would tell, the owner included.
    pub print: String,
    /// When it last changed.
    pub at: Timestamp,
}

/// What one step brought.
#[derive(Debug, Clone)]
pub struct ActivityBatch {
    /// What happened, in any order, possibly with repeats: an event is known by its id. Only what people did counts as a
    /// touch; what is known to be a program's is left out.
    pub events: Vec<CrmEvent>,
    /// How objects look of which the list does not tell who changed what. The host asks for the history of those that
    /// leads hang on and that look otherwise than before.
    pub sights: Vec<Sight>,
    /// Rows that can not be read; their neighbours are not affected.
    pub problems: Vec<RowProblem>,
    /// Where the next step starts.
    pub next: Cursor,
    /// True if the stream is read up to `now`: wait before asking again.
    pub done: bool,
}

impl ActivityBatch {
    /// A step that brought nothing yet.
    #[must_use]
    pub fn empty(next: Cursor, done: bool) -> Self {
        Self { events: Vec::new(), sights: Vec::new(), problems: Vec::new(), next, done }
    }
}

/// Tells of touches, changes of owner and outcomes.
#[async_trait]
pub trait Activity: Send + Sync {
    /// The lists to follow, in the live and sweep lanes.
    fn streams(&self) -> Vec<StreamSpec>;

    /// One bounded step of a stream: about one call to the vendor.
    async fn pull(&self, ask: &Pull) -> Result<ActivityBatch, Fault>;

    /// What was done to each of these objects since then, in the same order, by whom and when: changes of owner, of stage
    /// and of outcome. At most [`Activity::history_batch`] objects; nothing for one of which the vendor keeps no history.
    async fn history(
        &self,
        objects: &[(ObjectType, ExternalId)],
        since: Timestamp,
    ) -> Result<Vec<Vec<CrmEvent>>, Fault>;

    /// How many objects one `history` takes; 0 where no history is kept.
    fn history_batch(&self) -> usize;
}
