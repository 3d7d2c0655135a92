//! Forgotten writes: after a restore, what was sent under a key that nobody remembers is found by what it is.

use usher_connector::{Fault, FaultClass, Target, Verdict, Write, Written};
use usher_model::SlotOrigin;
use usher_store::ClaimedEffect;

use crate::engine::Engine;

impl Engine {
    /// Looks for a write that was not found under its own key. A restored store decides a second time over leads whose
    /// decision it has forgotten, and then under other keys: an object of ours from that time that belongs to no write
    /// that is known is the one that was made for this purpose.
    pub(crate) async fn forgotten(
        &self,
        effect: &ClaimedEffect,
        write: &Write,
        target: &dyn Target,
    ) -> Result<Verdict, Fault> {
        let Some(since) = effect.doubt_since else {
            return Ok(Verdict::Absent);
        };
        let ours = target.ours_since(write, since).await?;
        if ours.is_empty() {
            return Ok(Verdict::Absent);
        }
        let kind = write.body.kind();
        let known = self.store.known_made(effect.effect.lead, kind).await.map_err(|error| {
            Fault::new(FaultClass::Transient, "the storage could not be asked for what is known")
                .because(error)
        })?;
        let found = ours.into_iter().find(|id| !known.contains(id));
        Ok(found.map_or(Verdict::Absent, |id| Verdict::Found(Written::whole(Some(id), SlotOrigin::Created))))
    }
}
