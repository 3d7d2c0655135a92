//! Open deals: looked up beside the persons, where a person's open deal gets the owner too.

use std::collections::BTreeMap;

use usher_connector::FaultClass;
use usher_model::{Draft, ExternalId, RecordId, SlotKind};
use usher_store::{Direction, Verdict};

use super::prepare::unanswered_verdict;
use crate::breaker::Leave;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::settings::AlsoOwned;

/// The topic under which status says that the CRM does not tell of open deals.
const DEALS: &str = "open deals";

impl Engine {
    /// Adds to each draft the one open deal of its person. Returns the records whose question was not answered: they wait.
    /// What the CRM refuses to tell is left out.
    pub(super) async fn look_deals_up(
        &self,
        drafts: impl Iterator<Item = &mut Draft>,
    ) -> Result<BTreeMap<RecordId, Verdict>, EngineError> {
        let mut waiting = BTreeMap::new();
        let wanted = self.write.also_set_owner.contains(&AlsoOwned::OpenDeal);
        let directory = self.connections.get(&self.crm).and_then(|each| each.roles.directory.clone());
        // A deal that is made for the inquiry carries the owner itself.
        let Some(directory) = directory.filter(|_| wanted && self.carrier() != SlotKind::Deal) else {
            return Ok(waiting);
        };
        let mut asked: Vec<&mut Draft> = drafts.filter(|draft| draft.crm_person.is_some()).collect();
        for chunk in asked.chunks_mut(directory.people_limit().max(1)) {
            if let Leave::Rest(until) = self.may_call(&self.crm, Direction::Pull) {
                let later = || Verdict::Later { at: until, problem: "the CRM rests".to_owned() };
                waiting.extend(chunk.iter().map(|draft| (draft.record, later())));
                continue;
            }
            let persons: Vec<ExternalId> =
                chunk.iter().filter_map(|draft| draft.crm_person.clone()).collect();
            let answer = directory.open_deals(&persons).await;
            self.note(&self.crm, Direction::Pull, answer.as_ref().err()).await?;
            match answer {
                Ok(deals) => {
                    self.trouble(&self.crm, DEALS, None).await?;
                    for (draft, deal) in chunk.iter_mut().zip(deals) {
                        draft.open_deal = deal;
                    }
                }
                Err(fault) => {
                    tracing::warn!(connection = %self.crm, %fault, "the CRM could not be asked for open deals");
                    self.trouble(&self.crm, DEALS, Some(fault.to_string())).await?;
                    // What an operator has to mend holds up no lead: it is one owner more, and status says so.
                    if !matches!(fault.class(), FaultClass::Rejected | FaultClass::Misconfigured) {
                        let verdict = unanswered_verdict(&fault, self.now());
                        waiting.extend(chunk.iter().map(|draft| (draft.record, verdict.clone())));
                    }
                }
            }
        }
        Ok(waiting)
    }
}
