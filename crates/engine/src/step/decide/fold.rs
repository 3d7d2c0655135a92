//! The fold: one draft or waiting lead after the other, each on the state that the ones before it left.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use usher_identity::Names;
use usher_model::field::STANDING;
use usher_model::{
    Account, AccountId, Balance, CloseReason, Decision, DecisionId, Draft, Enrollment, EpisodeId, ExternalId,
    IgnoreReason, Lead, LeadId, LeadState, Mode, ObjectRef, OwnedObject, PersonId, RecordState, RepKey,
    Resolution, Slot, SlotKind, SlotOrigin, Trigger, Turn,
};
use usher_routing::{Input, Outcome, Roster, State, TurnLine};
use usher_store::{
    BalanceDelta, DecisionCommit, DecisionView, IdentityBinding, LinkBinding, LinkRow, NewLead, RecordEnd,
    WaitingLead,
};

use crate::engine::Engine;
use crate::settings::AlsoOwned;
use crate::step::decide::company::Companies;
use crate::step::decide::guard::Allowance;
use crate::step::decide::people::{People, link_key};
use crate::step::decide::plan;

/// The state of a fold and the commit that it builds up.
pub(super) struct Fold<'e> {
    engine: &'e Engine,
    roster: &'e Roster,
    people: People,
    accounts: HashMap<AccountId, Account>,
    companies: Companies,
    state: State,
    now: Timestamp,
    allowance: Allowance,
    commit: DecisionCommit,
}

/// What the CRM showed when the lead was prepared.
#[derive(Default)]
struct Seen<'a> {
    owner: Option<&'a ExternalId>,
    at: Option<Timestamp>,
    open_deal: Option<&'a OwnedObject>,
}

/// What routing is asked for one lead.
struct Question<'a> {
    lead: &'a Lead,
    account_reason: Option<&'a str>,
    crm_owner: Option<&'a ExternalId>,
    trigger: Trigger,
    waiting: Option<&'a WaitingLead>,
}

impl<'e> Fold<'e> {
    pub(super) fn new(
        engine: &'e Engine,
        roster: &'e Roster,
        mut view: DecisionView,
        companies: Companies,
        allowance: Allowance,
        now: Timestamp,
    ) -> Self {
        Self {
            engine,
            roster,
            people: People::new(&mut view),
            accounts: view.accounts.into_iter().map(|account| (account.id, account)).collect(),
            companies,
            state: balances(view.balances),
            now,
            allowance,
            commit: DecisionCommit::default(),
        }
    }

    /// What to store, and the connections that would have opened more leads than the guard lets pass.
    pub(super) fn finish(self) -> (DecisionCommit, Allowance) {
        (self.commit, self.allowance)
    }

    /// Settles a draft: echo, known, an update of an open lead, or a new lead.
    pub(super) fn take(&mut self, draft: Draft) {
        let link = self.people.link(&draft).cloned();
        if link.as_ref().is_some_and(|link| link.ours) {
            return self.ignore(&draft, IgnoreReason::Echo);
        }
        let same = |link: &LinkRow| link.seen.is_some() && link.seen == self.digest(&draft);
        // An observed lead still wants to know whom the incumbent chose.
        if self.engine.mode == Mode::Live && link.as_ref().is_some_and(same) {
            return self.ignore(&draft, IgnoreReason::Known);
        }
        // Addresses that we know come first; then the CRM's word, which may know of more: that two contacts were merged.
        let person = link.as_ref().map(|link| link.person).or_else(|| self.people.resolve(&draft));
        let person = person.or_else(|| self.people.behind(&self.engine.object_at_crm(&draft)?));
        // A lead or deal of the CRM's is somebody's word, whoever makes its person.
        let is_person = self.kind(&draft) == Some(SlotKind::Person);
        let echo =
            is_person && link.is_none() && person.is_some_and(|person| self.people.being_written(person));
        if let (true, Some(person)) = (echo, person) {
            // Created by us a moment ago, and the answer is still on its way or lost: here is the id that it would bind.
            self.recognise(&draft, person);
            return self.ignore(&draft, IgnoreReason::Echo);
        }
        if let Some(person) = person
            && self.people.open_lead(person).is_some()
        {
            return self.update(&draft, person);
        }
        let once = draft.enrollment != Enrollment::EveryTime;
        if once && link.is_some_and(|link| link.enrolled) {
            return self.ignore(&draft, IgnoreReason::Known);
        }
        if !self.allowance.admit(&draft.connection) {
            return;
        }
        self.open(draft, person);
    }

    fn ignore(&mut self, draft: &Draft, reason: IgnoreReason) {
        self.end(draft, RecordState::Ignored, Some(reason), None);
    }

    fn end(&mut self, draft: &Draft, state: RecordState, reason: Option<IgnoreReason>, lead: Option<LeadId>) {
        self.commit.records.push(RecordEnd { record: draft.record, state, reason, lead, detail: None });
    }

    /// The draft adds to a lead that is open already: same owner, no new turn, no second task. A new version of an
    /// object that has opened its lead, and that brings nothing new, is only `known`: our own write makes one.
    fn update(&mut self, draft: &Draft, person: PersonId) {
        let same_object = self.people.link(draft).is_some_and(|link| link.enrolled);
        self.recognise(draft, person);
        let Some(lead) = self.people.open_lead_mut(person) else {
            return;
        };
        let (id, mode) = (lead.id, lead.mode);
        let before = lead.fields.clone();
        let mut news = draft.fields.clone();
        news.values.retain(|name, _| !STANDING.contains(&name.as_str()));
        lead.fields.fill_from(&news);
        let completed = lead.fields != before;
        if completed {
            self.commit.completed.push((id, lead.fields.clone()));
        }
        if let (Mode::Observe, true, Some(owner)) = (mode, draft.in_crm, &draft.crm_owner) {
            self.commit.incumbents.push((id, owner.clone(), self.now));
        } else if same_object && !completed {
            return self.ignore(draft, IgnoreReason::Known);
        }
        self.end(draft, RecordState::Updated, None, Some(id));
    }

    /// Ties the draft's keys, its object and the person's object at the CRM to the person.
    fn recognise(&mut self, draft: &Draft, person: PersonId) {
        for key in self.people.learn(person, &draft.keys) {
            self.commit.identity.push(IdentityBinding { key, person });
        }
        let seen = self.digest(draft);
        if self.people.link(draft).is_none_or(|link| !link.enrolled || seen.is_some()) {
            self.people.enrolled(draft, person, seen.clone());
            self.commit.links.push(LinkBinding { key: link_key(draft), person, enrolled: true, seen });
        }
        if let Some(id) = &draft.crm_person {
            let slot = self.person_slot(person);
            if self.people.bind(&slot, id) {
                self.commit.slots.push((slot, id.clone(), SlotOrigin::Found));
            }
        }
    }

    /// What carries the lead's owner is there already, if the lead came from it.
    fn recognise_inquiry(&mut self, draft: &Draft, lead: LeadId) {
        let slot = self.carrier_slot(lead);
        let is_carrier = slot.kind.is_inquiry() && self.kind(draft) == Some(slot.kind);
        if is_carrier && self.people.bind(&slot, &draft.external_id) {
            self.commit.slots.push((slot, draft.external_id.clone(), SlotOrigin::Found));
        }
    }

    /// What the mapping read of an object of the CRM of which every version may open a lead, how it stands there aside: a
    /// version in which nothing of that changed is no inquiry. Our own writes make such versions (FM-050).
    fn digest(&self, draft: &Draft) -> Option<String> {
        if !draft.in_crm || draft.enrollment != Enrollment::EveryTime {
            return None;
        }
        let mut read = draft.fields.values.clone();
        read.retain(|name, _| !STANDING.contains(&name.as_str()));
        let text = serde_json::to_vec(&(read, &draft.fields.extra)).ok()?;
        Some(self.engine.install.derive(&[b"seen", &text]).to_string())
    }

    fn person_slot(&self, person: PersonId) -> Slot {
        Slot { connection: self.engine.crm.clone(), kind: SlotKind::Person, of: person.to_string() }
    }

    fn kind(&self, draft: &Draft) -> Option<SlotKind> {
        self.engine.kind_at_crm(&draft.connection, &draft.object)
    }

    /// The slot of what carries the lead's owner, if that is no person.
    fn carrier_slot(&self, lead: LeadId) -> Slot {
        Slot { connection: self.engine.crm.clone(), kind: self.engine.carrier(), of: lead.to_string() }
    }

    fn open(&mut self, draft: Draft, known: Option<PersonId>) {
        let person = known.unwrap_or_else(|| {
            let person = PersonId::new(self.now);
            self.commit.persons.push(person);
            self.people.add(person, Names::of(&draft.fields));
            person
        });
        self.recognise(&draft, person);
        let mut lead = Lead {
            id: LeadId::new(self.now),
            person,
            account: draft.account,
            state: LeadState::Decided,
            close_reason: None,
            detail: None,
            mode: self.engine.mode,
            connection: draft.connection.clone(),
            received_at: draft.received_at,
            opened_at: self.now,
            fields: draft.fields.clone(),
        };
        self.end(&draft, RecordState::Opened, None, Some(lead.id));
        self.recognise_inquiry(&draft, lead.id);
        let question = Question {
            lead: &lead,
            account_reason: draft.account_reason.as_deref(),
            crm_owner: draft.crm_owner.as_ref(),
            trigger: Trigger::Arrived,
            waiting: None,
        };
        let decision = self.route(&question);
        (lead.state, lead.close_reason, lead.detail) = standing(&decision.resolution);
        if let Resolution::Waiting(wait) = &decision.resolution {
            self.commit.waits.push((lead.id, wait.clone()));
        }
        let seen = Seen {
            owner: draft.crm_owner.as_ref(),
            at: draft.crm_seen_at,
            open_deal: draft.open_deal.as_ref(),
        };
        self.plan(&lead, &decision, &seen);
        self.commit.decisions.push(decision);
        self.people.opened(lead.clone());
        self.commit.opened.push(NewLead { lead, crm_owner: draft.crm_owner });
    }

    /// Looks again at a lead that waited.
    pub(super) fn reconsider(&mut self, waiting: &WaitingLead) {
        let question = Question {
            lead: &waiting.lead,
            account_reason: None,
            crm_owner: waiting.crm_owner.as_ref(),
            trigger: Trigger::Opened,
            waiting: Some(waiting),
        };
        let decision = self.route(&question);
        let (state, close_reason, detail) = standing(&decision.resolution);
        self.commit.moved.push((waiting.lead.id, state, close_reason, detail));
        if let Resolution::Waiting(wait) = &decision.resolution {
            self.commit.waits.push((waiting.lead.id, wait.clone()));
        } else {
            self.commit.supersedes.push((waiting.lead.id, decision.episode));
            let seen = Seen { owner: waiting.crm_owner.as_ref(), ..Seen::default() };
            self.plan(&waiting.lead, &decision, &seen);
        }
        self.commit.decisions.push(decision);
    }

    fn route(&mut self, question: &Question<'_>) -> Decision {
        let lead = question.lead;
        let episode = EpisodeId::new(self.now);
        let input = Input {
            fields: &lead.fields,
            account: lead.account.and_then(|id| self.accounts.get(&id)),
            account_reason: question.account_reason,
            crm_owner: question.crm_owner,
            treat_as_unowned: &self.engine.write.treat_as_unowned,
            trigger: question.trigger,
            received_at: lead.received_at,
            waiting: question.waiting.map(|waiting| &waiting.wait),
            excluded: question.waiting.map_or(&[], |waiting| waiting.excluded.as_slice()),
        };
        let seed = self.seed(lead.id, episode);
        let outcome =
            usher_routing::decide(&self.engine.policy, self.roster, &input, &self.state, self.now, seed);
        self.state.apply(&outcome);
        let id = DecisionId::new(self.now);
        self.account_for(id, &outcome);
        Decision {
            id,
            episode,
            lead: lead.id,
            trigger: question.trigger,
            at: self.now,
            mode: self.engine.mode,
            path: outcome.path,
            resolution: outcome.resolution,
            why: outcome.why,
            trace: outcome.trace,
        }
    }

    /// Drawn from the installation's key, so that nobody outside can steer a tie and every replay draws the same.
    fn seed(&self, lead: LeadId, episode: EpisodeId) -> u64 {
        let key = self.engine.install.derive(&[b"seed", lead.as_bytes(), episode.as_bytes()]);
        key.as_str().get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default()
    }

    /// Writes the turn into the ledger and adds to the balances what it means.
    fn account_for(&mut self, decision: DecisionId, outcome: &Outcome) {
        let Some(line) = &outcome.turn else {
            return;
        };
        self.commit.turns.push(Turn {
            pool: line.pool.clone(),
            mode: self.engine.mode,
            decision,
            at: self.now,
            rep: line.rep.clone(),
            shares: line.shares.clone(),
            count: 1,
            reason: "assigned".to_owned(),
        });
        for (rep, share) in &line.shares {
            self.gain(line, rep, Balance { entitled: *share, taken: 0.0 });
        }
        self.gain(line, &line.rep, Balance { entitled: 0.0, taken: 1.0 });
    }

    fn gain(&mut self, line: &TurnLine, rep: &RepKey, add: Balance) {
        let balances = &mut self.commit.balances;
        match balances.iter_mut().find(|delta| delta.pool == line.pool && delta.rep == *rep) {
            Some(delta) => {
                delta.add.entitled += add.entitled;
                delta.add.taken += add.taken;
            }
            None => balances.push(BalanceDelta { pool: line.pool.clone(), rep: rep.clone(), add }),
        }
    }

    /// What else gets the owner: only what nobody owns, as far as that is known; the rest is compared before the write.
    fn also_owned(
        &self,
        person: &Slot,
        carrier: &plan::Carrier,
        account: Option<&Account>,
        seen: &Seen<'_>,
    ) -> Vec<plan::Also> {
        let nobodies = &self.engine.write.treat_as_unowned;
        let free = |owner: Option<&ExternalId>| {
            owner.is_none_or(|owner| usher_routing::stands_for_nobody(self.roster, nobodies, owner))
        };
        let also = |object, owner: Option<&ExternalId>| {
            free(owner).then(|| plan::Also { object, nobody: owner.cloned() })
        };
        let each = |which: &AlsoOwned| match (which, carrier) {
            (AlsoOwned::Person, plan::Carrier::Person) => None,
            (AlsoOwned::Person, carrier) => {
                // Where the lead came from a lead or deal, that object's owner was seen.
                let owner = seen.owner.filter(|_| matches!(carrier, plan::Carrier::ToMake(_)));
                also(ObjectRef::Slot { slot: person.clone() }, owner)
            }
            (AlsoOwned::Company, _) => {
                let account = account?;
                let id = account.external_id.clone();
                also(ObjectRef::Id { kind: SlotKind::Company, id }, account.owner.as_ref())
            }
            (AlsoOwned::OpenDeal, _) => {
                let deal = seen.open_deal?;
                also(ObjectRef::Id { kind: SlotKind::Deal, id: deal.id.clone() }, deal.owner.as_ref())
            }
        };
        self.engine.write.also_set_owner.iter().filter_map(each).collect()
    }

    fn plan(&mut self, lead: &Lead, decision: &Decision, seen: &Seen<'_>) {
        let slot = self.person_slot(lead.person);
        let at_crm = self.people.bound(&slot).is_some();
        let inquiry = self.carrier_slot(lead.id);
        let carrier = match inquiry.kind {
            kind if !kind.is_inquiry() => plan::Carrier::Person,
            _ if self.people.bound(&inquiry).is_some() => plan::Carrier::There(inquiry),
            _ => plan::Carrier::ToMake(inquiry),
        };
        let account = lead.account.and_then(|id| self.accounts.get(&id));
        let also = self.also_owned(&slot, &carrier, account, seen);
        let keys = usher_identity::keys(&lead.fields);
        let nobodies = usher_routing::nobodies(self.roster, &self.engine.write.treat_as_unowned);
        let (seen_owner, seen_at) = (seen.owner, seen.at);
        let intent = plan::Intent {
            lead,
            decision,
            seen_owner,
            seen_at,
            slot,
            at_crm,
            carrier,
            account,
            company: self.companies.of(self.engine, lead),
            also,
            nobodies,
            keys,
        };
        let effects = plan::effects(self.engine, &intent, self.now);
        if !at_crm && effects.iter().any(|effect| !effect.observed) {
            self.people.planned_at_crm(lead.person);
        }
        self.commit.effects.extend(effects);
    }
}

fn balances(stored: BTreeMap<String, BTreeMap<RepKey, Balance>>) -> State {
    let of_pool = |(pool, reps): (String, BTreeMap<RepKey, Balance>)| {
        reps.into_iter().map(move |(rep, balance)| (pool.clone(), rep, balance))
    };
    State::from_balances(stored.into_iter().flat_map(of_pool))
}

/// Where a resolution leaves the lead.
fn standing(resolution: &Resolution) -> (LeadState, Option<CloseReason>, Option<String>) {
    match resolution {
        Resolution::Assigned { .. } | Resolution::Kept { .. } => (LeadState::Decided, None, None),
        Resolution::Waiting(wait) => (LeadState::Waiting, None, Some(wait.because.clone())),
        Resolution::Dropped { reason } => {
            (LeadState::Closed, Some(CloseReason::Suppressed), Some(reason.clone()))
        }
    }
}
