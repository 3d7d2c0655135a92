//! One record or lead of a fold that can not be decided, and how it fails without its neighbours (FM-069).

use std::fmt;

use usher_model::{CloseReason, LeadId, LeadState, RecordId, RecordState};
use usher_store::{DecisionCommit, Fence, Ready, RecordEnd};

/// What a fold takes in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Item {
    /// A mapped record.
    Record(RecordId),
    /// A waiting lead.
    Lead(LeadId),
}

impl Item {
    /// The only item of the fold.
    pub(super) fn alone(ready: &Ready) -> Option<Self> {
        match (ready.drafts.as_slice(), ready.waiting.as_slice()) {
            ([draft], []) => Some(Self::Record(draft.record)),
            ([], [waiting]) => Some(Self::Lead(waiting.lead.id)),
            _ => None,
        }
    }

    /// What fails it.
    pub(super) fn failed(self, fence: Fence, problem: &str) -> DecisionCommit {
        let mut commit = DecisionCommit { fence: Some(fence), ..DecisionCommit::default() };
        self.fail(problem, &mut commit);
        commit
    }

    fn fail(self, problem: &str, commit: &mut DecisionCommit) {
        let detail = Some(problem.to_owned());
        match self {
            Self::Record(record) => {
                let state = RecordState::Failed;
                commit.records.push(RecordEnd { record, state, reason: None, lead: None, detail });
            }
            Self::Lead(lead) => {
                commit.moved.push((lead, LeadState::Closed, Some(CloseReason::Failed), detail));
            }
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(record) => write!(f, "record {record}"),
            Self::Lead(lead) => write!(f, "lead {lead}"),
        }
    }
}

/// Items whose stored form can not be read, and why.
pub(super) struct Unreadable(Vec<(Item, String)>);

impl Unreadable {
    pub(super) fn take(ready: &mut Ready) -> Self {
        let records = ready.unreadable.drain(..).map(|(record, problem)| (Item::Record(record), problem));
        let leads = ready.unreadable_leads.drain(..).map(|(lead, problem)| (Item::Lead(lead), problem));
        Self(records.chain(leads).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn failed(&self, fence: Fence) -> DecisionCommit {
        let mut commit = DecisionCommit { fence: Some(fence), ..DecisionCommit::default() };
        for (item, problem) in &self.0 {
            tracing::error!(%item, problem, "what is stored can not be read and fails alone");
            item.fail(problem, &mut commit);
        }
        commit
    }
}
