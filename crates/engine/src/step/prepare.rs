//! Prepare: a record is mapped, its person and account are looked up, and it becomes a draft, or it ends here.
//!
//! Everything that needs the network or CPU happens here, with no transaction held. Nothing that other leads could
//! contradict is written: who the person is, and who gets the lead, is for the decider.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use usher_connector::{CallLane, CrmPerson, Fault, FaultClass};
use usher_mapping::Mapped;
use usher_model::{
    Account, AccountKey, ConnectionName, Draft, Enrollment, ExternalId, IdentityKey, IdentityKind,
    IgnoreReason, Lane, ObjectType, RecordId, SlotKind, crash,
};
use usher_store::{Direction, LinkKey, Prepared, StoredRecord, Vanished, Verdict};

use crate::breaker::Leave;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::wake::Step;

/// Records prepared in one step, unless the CRM's limits are short: then one call asks about all of them, so that a fresh
/// lead waits for no second one.
const SLICE: u32 = 250;
/// Records that were put off and are made due beside one slice, once the CRM is well again.
const HASTENED: u32 = 1_000;
/// How long a claim lasts. A slice that outlives it may be prepared twice: the first outcome that is stored counts.
const LEASE: Duration = Duration::from_secs(120);
/// A record that was claimed so often without an outcome takes the process down with it: it is failed unread. Each time
/// it is claimed with fewer others, the last times alone, so that only its own deaths count, and those of a machine that
/// is restarted in just these moments.
const MAX_ATTEMPTS: u32 = 5;
/// Accounts looked at for one key; a name shared by more companies than this names none of them.
const PER_KEY: u32 = 20;
/// The topic under which status says that the CRM does not tell who a person is.
const PEOPLE: &str = "people";
/// How long a record waits when the CRM could not be asked who the person is.
const RETRY: Duration = Duration::from_secs(15);
/// The longest that it waits again while the CRM rests.
const LONGEST_RETRY: Duration = Duration::from_secs(120);

/// A record that was mapped and waits for look-ups.
struct Candidate {
    record: StoredRecord,
    draft: Draft,
    account_keys: Vec<AccountKey>,
    /// What the record's object is at the CRM, if it is there.
    kind: Option<SlotKind>,
    /// The record is of what carries the owner at the CRM, or of the person.
    shows_owner: bool,
}

impl Engine {
    /// Prepares the next records. Returns how many; 0 if there is nothing to do, or if another slice has just begun.
    ///
    /// # Errors
    /// If the storage fails. A vendor that does not answer only delays the records that need it.
    pub async fn prepare(&self) -> Result<usize, EngineError> {
        let one_call = self.one_call();
        let Some(_slice) = self.preparing.begin(one_call.is_some()) else {
            return Ok(0);
        };
        let (now, limit) = (self.now(), one_call.unwrap_or(SLICE));
        if self.hastening.load(Ordering::Relaxed) {
            let more = self.store.hasten_records(HASTENED, now).await? == u64::from(HASTENED);
            self.hastening.fetch_and(more, Ordering::Relaxed);
        }
        let records = self.store.claim_records(limit, now, now + LEASE).await?;
        if records.is_empty() {
            return Ok(0);
        }
        crash::point("prepare.after_claim");
        let count = records.len();
        // Claimed in a small group, so more may wait behind it.
        let suspects = records.iter().any(|record| record.attempts > 1);
        let ids: Vec<RecordId> = records.iter().map(|record| record.id).collect();
        let prepared = match self.work_out(records, now).await {
            Ok(prepared) => prepared,
            Err(error) => {
                // Nobody has died: they need not wait until the claim lapses.
                self.conclude_all(&given_back(ids, &error, now)).await?;
                return Err(error);
            }
        };
        crash::point("prepare.before_commit");
        self.conclude_all(&prepared).await?;
        crash::point("prepare.after_commit");
        self.wake().ring(Step::Decide);
        if count >= limit as usize || suspects {
            self.wake().ring(Step::Prepare);
        }
        Ok(count)
    }

    /// How many persons one call asks about, while calls are short.
    fn one_call(&self) -> Option<u32> {
        let connected = self.connections.get(&self.crm)?;
        let directory = connected.roles.directory.as_ref()?;
        let short = !connected.gauge.wait(CallLane::Write).is_zero();
        short.then(|| u32::try_from(directory.people_limit()).map_or(SLICE, |most| most.clamp(1, SLICE)))
    }

    /// What becomes of claimed records.
    async fn work_out(
        &self,
        records: Vec<StoredRecord>,
        now: Timestamp,
    ) -> Result<Vec<Prepared>, EngineError> {
        self.end_vanished(&records).await?;
        let moved = self.moved(&records).await?;
        let (mut candidates, mut prepared) = (Vec::with_capacity(records.len()), Vec::new());
        for record in records {
            let id = record.id;
            match self.understand_caught(record) {
                Ok(candidate) => candidates.push(*candidate),
                Err(verdict) => prepared.push(Prepared { record: id, verdict }),
            }
        }
        for candidate in &mut candidates {
            candidate.live_on(&moved);
        }
        self.match_accounts(&mut candidates).await?;
        let mut unanswered = self.look_people_up(&mut candidates).await?;
        let drafts = candidates.iter_mut().map(|candidate| &mut candidate.draft);
        unanswered.extend(self.look_deals_up(drafts).await?);
        prepared.extend(candidates.into_iter().map(|candidate| conclude(candidate, &unanswered, now)));
        Ok(prepared)
    }

    /// Ends the open leads of objects that are gone.
    async fn end_vanished(&self, records: &[StoredRecord]) -> Result<(), EngineError> {
        let mut gone: BTreeMap<(&ConnectionName, &ObjectType), Vec<ExternalId>> = BTreeMap::new();
        for record in records.iter().filter(|record| record.gone) {
            gone.entry((&record.connection, &record.object)).or_default().push(record.external_id.clone());
        }
        for ((connection, object), ids) in gone {
            let kind = self.kind_at_crm(connection, object);
            let gone = Vanished { connection: connection.clone(), object: object.clone(), kind, ids };
            let leads = self.store.vanish(gone, self.now()).await?;
            if leads > 0 {
                tracing::info!(%connection, leads, "leads whose object was deleted are closed");
            }
        }
        Ok(())
    }

    /// Where those of the records' objects that were merged away live on.
    async fn moved(&self, records: &[StoredRecord]) -> Result<BTreeMap<LinkKey, ExternalId>, EngineError> {
        let key = |record: &StoredRecord| LinkKey {
            connection: record.connection.clone(),
            object: record.object.clone(),
            external_id: record.external_id.clone(),
        };
        let keys: Vec<LinkKey> = records.iter().map(key).collect();
        Ok(self.store.survivors(&keys).await?.into_iter().collect())
    }

    async fn conclude_all(&self, prepared: &[Prepared]) -> Result<(), EngineError> {
        loop {
            let stored = self.store.commit_prepared(prepared.to_vec(), self.now()).await;
            if !self.again(&stored).await {
                return Ok(stored?);
            }
        }
    }

    /// As [`Engine::understand`]; a panic in a cleaner or mapping costs only this record (FM-069).
    fn understand_caught(&self, record: StoredRecord) -> Result<Box<Candidate>, Verdict> {
        let id = record.id;
        std::panic::catch_unwind(AssertUnwindSafe(|| self.understand(record))).unwrap_or_else(|_| {
            let problem = format!(
                "usher made a mistake in preparing this record; report it, then `usher failed retry {id}`"
            );
            Err(Verdict::Failed { problem })
        })
    }

    /// Maps one record, or says why it ends here.
    fn understand(&self, record: StoredRecord) -> Result<Box<Candidate>, Verdict> {
        crash::poison("prepare", || {
            // Once it has failed for good, it is not touched any more.
            if record.attempts > MAX_ATTEMPTS { String::new() } else { record.payload.get().to_owned() }
        });
        if record.attempts > MAX_ATTEMPTS {
            let problem = format!(
                "preparing this record stopped the program {MAX_ATTEMPTS} times; report it, then `usher failed retry {}`",
                record.id
            );
            return Err(Verdict::Failed { problem });
        }
        if record.gone {
            return Err(ignored(IgnoreReason::Gone, None));
        }
        let Some(mapping) = self.mapping_of(&record.connection) else {
            let problem = format!(
                "no connection `{}` in usher.yaml any more; add it again or leave this",
                record.connection
            );
            return Err(Verdict::Failed { problem });
        };
        let (fields, enrollment) = match mapping.map(record.payload.get()) {
            Mapped::Failed { problems } => return Err(Verdict::Failed { problem: problems.join("; ") }),
            Mapped::Rejected { reason } => return Err(ignored(IgnoreReason::Rejected, Some(reason))),
            Mapped::Lead { enrolled: false, why, .. } => {
                return Err(ignored(IgnoreReason::NotEnrolled, Some(why)));
            }
            Mapped::Lead { fields, enrollment, .. } => (fields, enrollment),
        };
        self.enroll(&record, enrollment)?;
        let in_crm = record.connection == self.crm;
        let kind = self.kind_at_crm(&record.connection, &record.object);
        let shows_owner = kind.is_some_and(|kind| kind == SlotKind::Person || kind == self.carrier());
        let draft = Draft {
            record: record.id,
            connection: record.connection.clone(),
            object: record.object.clone(),
            external_id: record.external_id.clone(),
            in_crm,
            lane: record.lane,
            received_at: record.received_at,
            enrollment,
            keys: usher_identity::keys(&fields),
            account: None,
            account_reason: None,
            // What a search shows may be older than the search, but it was true at the version's own time.
            crm_seen_at: record.modified_at.filter(|_| shows_owner).map(|at| at.min(record.received_at)),
            crm_owner: if shows_owner { fields.text("owner").map(Into::into) } else { None },
            open_deal: None,
            crm_person: match kind {
                Some(SlotKind::Person) => Some(record.external_id.clone()),
                Some(_) => fields.text("crm_person").map(Into::into),
                None => None,
            },
            fields,
        };
        let account_keys = usher_matching::lead_keys(&draft.fields);
        Ok(Box::new(Candidate { record, draft, account_keys, kind, shows_owner }))
    }

    /// Whether a record of that age and origin may open a lead at all.
    fn enroll(&self, record: &StoredRecord, enrollment: Enrollment) -> Result<(), Verdict> {
        if record.lane == Lane::Backfill {
            return Err(ignored(IgnoreReason::Learned, None));
        }
        if enrollment == Enrollment::EveryTime {
            return Ok(());
        }
        if record.imported {
            return Err(ignored(IgnoreReason::Imported, None));
        }
        let start = self.connections.get(&record.connection).map(|connected| connected.started_at);
        // Some vendors stamp whole seconds: who was made in the second of the start may have come after it.
        let old = matches!((record.created_at, start), (Some(created), Some(start)) if created.as_second() < start.as_second());
        if old && enrollment == Enrollment::Created {
            return Err(ignored(IgnoreReason::BeforeStart, None));
        }
        Ok(())
    }

    async fn match_accounts(&self, candidates: &mut [Candidate]) -> Result<(), EngineError> {
        let mut keys: Vec<AccountKey> =
            candidates.iter().flat_map(|candidate| candidate.account_keys.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            return Ok(());
        }
        let found = self.store.accounts_by_keys(&self.crm, &keys, PER_KEY).await?;
        let mut by_key: BTreeMap<&AccountKey, Vec<usize>> = BTreeMap::new();
        for (index, (_, keys)) in found.iter().enumerate() {
            for key in keys {
                by_key.entry(key).or_default().push(index);
            }
        }
        for candidate in candidates {
            let mut indices: Vec<usize> =
                candidate.account_keys.iter().filter_map(|key| by_key.get(key)).flatten().copied().collect();
            indices.sort_unstable();
            indices.dedup();
            let near: Vec<(Account, Vec<AccountKey>)> =
                indices.iter().filter_map(|index| found.get(*index)).cloned().collect();
            let chosen = usher_matching::choose(&candidate.draft.fields, &candidate.account_keys, &near);
            candidate.draft.account = chosen.account;
            candidate.draft.account_reason = Some(chosen.reason);
        }
        Ok(())
    }

    /// Asks the CRM which of the drafts' persons it knows. Returns the records whose question was not answered: they
    /// wait, because a decision that does not know the present owner would be a guess.
    async fn look_people_up(
        &self,
        candidates: &mut [Candidate],
    ) -> Result<BTreeMap<RecordId, Verdict>, EngineError> {
        let mut unanswered = BTreeMap::new();
        let directory =
            self.connections.get(&self.crm).and_then(|connected| connected.roles.directory.clone());
        let Some(directory) = directory else {
            return Ok(unanswered);
        };
        let mut asked: Vec<(usize, IdentityKey)> = Vec::new();
        for (index, candidate) in candidates.iter().enumerate() {
            let email = candidate.draft.keys.iter().find(|key| key.kind == IdentityKind::Email);
            // Of a lead or deal that carries no owner, the person's owner counts, whom the record does not show.
            let known = candidate.draft.crm_person.is_some() && candidate.shows_owner;
            if let (false, Some(email)) = (known, email) {
                asked.push((index, email.clone()));
            }
        }
        let mut chunks: Vec<&[(usize, IdentityKey)]> =
            asked.chunks(directory.people_limit().max(1)).collect();
        while let Some(chunk) = chunks.pop() {
            let keys: Vec<IdentityKey> = chunk.iter().map(|(_, key)| key.clone()).collect();
            if let Leave::Rest(until) = self.may_call(&self.crm, Direction::Pull) {
                for candidate in chunk.iter().filter_map(|(index, _)| candidates.get(*index)) {
                    unanswered.insert(candidate.record.id, candidate.rest(until, self.now()));
                }
                continue;
            }
            let asked_at = self.now();
            let answer = directory.people(&keys).await;
            self.note(&self.crm, Direction::Pull, answer.as_ref().err()).await?;
            match answer {
                Ok(people) => {
                    self.trouble(&self.crm, PEOPLE, None).await?;
                    self.signs().went_well(&self.crm, "looking people up");
                    for ((index, _), person) in chunk.iter().zip(people) {
                        if let (Some(candidate), Some(person)) = (candidates.get_mut(*index), person) {
                            candidate.recognise(person, asked_at);
                        }
                    }
                }
                // One question that the CRM refuses must not hold its neighbours up.
                Err(fault) if fault.class() == FaultClass::Rejected && chunk.len() > 1 => {
                    let (left, right) = chunk.split_at(chunk.len() / 2);
                    chunks.extend([left, right]);
                }
                Err(fault) => {
                    self.signs().failed(&self.crm, "looking people up", &fault);
                    tracing::warn!(connection = %self.crm, %fault, "the CRM could not be asked who these persons are");
                    self.trouble(&self.crm, PEOPLE, Some(fault.to_string())).await?;
                    let verdict = unanswered_verdict(&fault, self.now());
                    for (index, _) in chunk {
                        if let Some(candidate) = candidates.get(*index) {
                            unanswered.insert(candidate.record.id, verdict.clone());
                        }
                    }
                }
            }
        }
        Ok(unanswered)
    }
}

/// What becomes of a record whose person the CRM could not be asked about.
pub(super) fn unanswered_verdict(fault: &Fault, now: Timestamp) -> Verdict {
    if fault.class() == FaultClass::Rejected {
        return Verdict::Failed {
            problem: format!("the CRM refuses to say whether it knows the person: {fault}"),
        };
    }
    Verdict::Later { at: now + RETRY, problem: fault.to_string() }
}

impl Candidate {
    /// An object that was merged away is treated as the one that it became: none of the halves is routed twice.
    fn live_on(&mut self, moved: &BTreeMap<LinkKey, ExternalId>) {
        let draft = &mut self.draft;
        let key = LinkKey {
            connection: draft.connection.clone(),
            object: draft.object.clone(),
            external_id: draft.external_id.clone(),
        };
        if let Some(survivor) = moved.get(&key) {
            draft.external_id = survivor.clone();
            if self.kind == Some(SlotKind::Person) {
                draft.crm_person = Some(survivor.clone());
            }
        }
    }

    /// Waits while the CRM rests: the longer it has waited the longer, so that a backlog does not come back in one heap
    /// each time that the CRM is asked.
    fn rest(&self, until: Timestamp, now: Timestamp) -> Verdict {
        let waited = now.duration_since(self.record.received_at).unsigned_abs();
        let at = until.max(now + (waited / 8).min(LONGEST_RETRY));
        Verdict::Later { at, problem: "the CRM rests: it could not be asked who the person is".to_owned() }
    }

    fn recognise(&mut self, person: CrmPerson, asked_at: Timestamp) {
        // Whom the record itself names is surely meant, whoever else has the address.
        let named = self.draft.crm_person.get_or_insert_with(|| person.external_id.clone());
        if !self.shows_owner && *named == person.external_id {
            self.draft.crm_owner = person.owner;
            self.draft.crm_seen_at = Some(asked_at);
        }
    }
}

/// Records that could not be prepared for a reason of ours; another slice takes them up at once.
fn given_back(records: Vec<RecordId>, error: &EngineError, now: Timestamp) -> Vec<Prepared> {
    let verdict = Verdict::Later { at: now, problem: error.to_string() };
    records.into_iter().map(|record| Prepared { record, verdict: verdict.clone() }).collect()
}

fn conclude(candidate: Candidate, unanswered: &BTreeMap<RecordId, Verdict>, now: Timestamp) -> Prepared {
    let record = candidate.record.id;
    let verdict = unanswered.get(&record).cloned();
    let verdict =
        verdict.unwrap_or_else(|| Verdict::Mapped { draft: Box::new(candidate.draft), ready_at: now });
    Prepared { record, verdict }
}

fn ignored(reason: IgnoreReason, detail: Option<String>) -> Verdict {
    Verdict::Ignored { reason, detail }
}
