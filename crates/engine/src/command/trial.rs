//! Trial: a connection is tried out role by role; for the CRM one marked test lead goes through every step and is
//! removed again.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use serde_json::value::RawValue;
use usher_connector::Pull;
use usher_mapping::Mapped;
use usher_model::{
    ConnectionName, Effect, EffectBody, EffectState, EpisodeId, ExternalId, Lane, LeadId, LeadState, Mode,
    ObjectRef, RecordId, SlotKind,
};
use usher_store::{DecisionCommit, EffectRow, LeadFilter, LeadStory, NewEffect};

use crate::connected::Connected;
use crate::engine::Engine;
use crate::error::EngineError;

/// Rounds of all steps before a trial gives up; each round does all the work that is due.
const ROUNDS: u32 = 40;

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialStep {
    /// What was tried.
    pub name: &'static str,
    /// Whether it went well.
    pub ok: bool,
    /// What came of it, and what to do if it went badly.
    pub detail: String,
}

/// What a trial found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrialReport {
    /// In the order in which they were tried.
    pub steps: Vec<TrialStep>,
}

impl TrialReport {
    /// True if everything went well.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.steps.iter().all(|step| step.ok)
    }

    fn add(&mut self, name: &'static str, result: Result<String, String>) {
        let ok = result.is_ok();
        let detail = result.unwrap_or_else(|problem| problem);
        self.steps.push(TrialStep { name, ok, detail });
    }
}

impl Engine {
    /// Tries a connection. `pause` is called between rounds, so that the caller owns the waiting.
    ///
    /// # Errors
    /// If the connection does not exist or the storage fails; a vendor's fault is part of the report.
    pub async fn trial<P>(
        &self,
        name: &ConnectionName,
        mut pause: impl FnMut(Duration) -> P,
    ) -> Result<TrialReport, EngineError>
    where
        P: Future<Output = ()>,
    {
        let connected = self.connection(name)?.clone();
        let mut report = TrialReport::default();
        self.try_source(&connected, &mut report).await;
        if connected.roles.inbound.is_some() {
            report.add("webhooks", Ok(format!("point the sender at <http.public_url>/hooks/{name}")));
        }
        if *name == self.crm {
            match self.refresh_owners().await {
                Ok(owners) => report.add("owners", Ok(format!("{owners} owners listed"))),
                Err(error) => report.add("owners", Err(chain(&error))),
            }
            for problem in self.roster_problems() {
                report.add("roster", Err(problem));
            }
            if self.store.paused().await?.is_some() {
                report.add(
                    "writing",
                    Err("writes are paused; `usher pause --resume`, then try again".to_owned()),
                );
            }
            if report.ok() {
                self.try_lead(&mut report, &mut pause).await?;
            }
        }
        Ok(report)
    }

    /// Reads one step of each stream without storing it, and maps what it brought.
    async fn try_source(&self, connected: &Connected, report: &mut TrialReport) {
        let Some(source) = &connected.roles.source else {
            return;
        };
        for stream in source.streams() {
            let start = Timestamp::UNIX_EPOCH;
            let lane = if stream.lanes.contains(&Lane::Backfill) { Lane::Backfill } else { Lane::Live };
            let ask = Pull { object: stream.object.clone(), lane, cursor: None, now: self.now(), start };
            match source.pull(&ask).await {
                Ok(batch) => {
                    let mapped =
                        batch.records.iter().map(|record| connected.mapping.map(record.payload.get()));
                    let failed = mapped.filter(|mapped| matches!(mapped, Mapped::Failed { .. })).count();
                    let detail = format!(
                        "{}: {} read, {failed} that the mapping can not use",
                        stream.object,
                        batch.records.len()
                    );
                    report.add("reading", Ok(detail));
                }
                Err(fault) => report.add("reading", Err(format!("{}: {fault}", stream.object))),
            }
        }
    }

    async fn try_lead<P>(
        &self,
        report: &mut TrialReport,
        pause: &mut impl FnMut(Duration) -> P,
    ) -> Result<(), EngineError>
    where
        P: Future<Output = ()>,
    {
        let email = format!("usher-test-{}@example.com", RecordId::new(self.now()));
        let payload = json!({
            "email": email, "full_name": "Usher Test", "source": "usher try",
            "message": "A test by `usher try`; it is removed at once.",
        });
        let payload: Box<RawValue> = serde_json::value::to_raw_value(&payload)
            .map_err(|source| EngineError::Defect { place: "the test lead", source: Box::new(source) })?;
        if let Err(refused) = self.add_lead(payload, None).await? {
            report.add("test lead", Err(refused.problems.join("; ")));
            return Ok(());
        }
        let filter = LeadFilter { email: Some(email), limit: 1, ..LeadFilter::default() };
        let story = self.settle(&filter, pause).await?;
        let Some(story) = story else {
            report.add("test lead", Err("it opened no lead; see `usher failed list`".to_owned()));
            return Ok(());
        };
        let why = story.decisions.last().map(|decision| decision.why.clone()).unwrap_or_default();
        if story.lead.state == LeadState::Waiting {
            report
                .add("routed", Err(format!("{why} So nothing was written; try again when somebody is in.")));
            return Ok(self.store.suppress(story.lead.id, "usher try", self.now()).await?);
        }
        report.add("routed", Ok(why));
        for effect in &story.effects {
            report.add(effect.kind.as_str(), outcome(effect));
        }
        if self.mode == Mode::Live {
            self.remove(&story, report, pause).await?;
        } else {
            self.store.suppress(story.lead.id, "usher try", self.now()).await?;
        }
        Ok(())
    }

    /// Runs the steps until the lead has come to rest.
    async fn settle<P>(
        &self,
        filter: &LeadFilter,
        pause: &mut impl FnMut(Duration) -> P,
    ) -> Result<Option<LeadStory>, EngineError>
    where
        P: Future<Output = ()>,
    {
        let mut found = None;
        for _ in 0..ROUNDS {
            while self.prepare().await? + self.decide().await? > 0 {}
            self.deliver(&self.crm).await?;
            self.verify(&self.crm).await?;
            let lead: Option<LeadId> = self.store.leads(filter).await?.first().map(|summary| summary.lead.id);
            if let Some(id) = lead {
                found = self.store.lead_story(id).await?;
                let resting = found.as_ref().is_some_and(|story| {
                    story.lead.state == LeadState::Waiting
                        || story.effects.iter().all(|effect| effect.state.is_final())
                });
                if resting {
                    break;
                }
            }
            pause(Duration::from_millis(500)).await;
        }
        Ok(found)
    }

    /// Archives what the test created, through the same outbox as every write.
    async fn remove<P>(
        &self,
        story: &LeadStory,
        report: &mut TrialReport,
        pause: &mut impl FnMut(Duration) -> P,
    ) -> Result<(), EngineError>
    where
        P: Future<Output = ()>,
    {
        let created = story.effects.iter().filter_map(|effect| {
            let kind = match effect.kind {
                usher_model::EffectKind::CreateTask => SlotKind::Task,
                usher_model::EffectKind::EnsurePerson => SlotKind::Person,
                usher_model::EffectKind::EnsureInquiry => self.carrier(),
                _ => return None,
            };
            Some((kind, effect.external_id.clone()?))
        });
        let now = self.now();
        // Whatever of it is not sent yet never will be.
        self.store.suppress(story.lead.id, "usher try", now).await?;
        let episode = EpisodeId::new(now);
        let effects: Vec<NewEffect> = (0_u32..)
            .zip(created)
            .map(|(ordinal, (kind, id))| self.archive(story.lead.id, episode, ordinal, kind, id))
            .collect();
        let expected = effects.len();
        self.store.commit_decisions(DecisionCommit { effects, ..DecisionCommit::default() }, now).await?;
        for _ in 0..ROUNDS {
            self.deliver(&self.crm).await?;
            self.verify(&self.crm).await?;
            if self.archived(story.lead.id).await? >= expected {
                break;
            }
            pause(Duration::from_millis(500)).await;
        }
        let archived = self.archived(story.lead.id).await?;
        let settled = story.effects.iter().all(|effect| effect.state.is_final());
        let result = if archived == expected && settled {
            Ok(format!("{archived} objects archived at the CRM"))
        } else {
            Err(format!("{archived} of {expected} objects archived; remove the contact `Usher Test` by hand"))
        };
        report.add("removed", result);
        Ok(())
    }

    fn archive(
        &self,
        lead: LeadId,
        episode: EpisodeId,
        ordinal: u32,
        kind: SlotKind,
        id: ExternalId,
    ) -> NewEffect {
        let key =
            self.install.derive(&[b"archive", lead.as_bytes(), episode.as_bytes(), &ordinal.to_be_bytes()]);
        let body = EffectBody::ArchiveObject { target: ObjectRef::Id { kind, id } };
        let effect = Effect { key, connection: self.crm.clone(), lead, episode, body };
        NewEffect { effect, ordinal, due_at: self.now(), observed: false }
    }

    async fn archived(&self, lead: LeadId) -> Result<usize, EngineError> {
        let story = self.store.lead_story(lead).await?;
        let effects = story.map(|story| story.effects).unwrap_or_default();
        let done = effects.iter().filter(|effect| {
            effect.kind == usher_model::EffectKind::ArchiveObject && effect.state == EffectState::Done
        });
        Ok(done.count())
    }
}

fn outcome(effect: &EffectRow) -> Result<String, String> {
    let problem = effect.problem.as_deref().unwrap_or("no further word");
    match effect.state {
        EffectState::Done => Ok("done".to_owned()),
        EffectState::Cancelled => Ok(format!("not sent: {problem}")),
        other => Err(format!("{}: {problem}", other.as_str())),
    }
}

fn chain(error: &EngineError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
