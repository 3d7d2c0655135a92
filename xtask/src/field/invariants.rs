//! What must hold after a run, judged from the simulators' own log and the program's database.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use usher_sandbox::{Actor, Change, Event, HubspotSim, Ownership, Sandbox, Summary};

use crate::field::ledger::{LeadRow, Ledger, RecordRow};
use crate::field::world::{HOOKED_FORM, POLLED_FORM};

/// Examples listed for one broken rule.
const LISTED: usize = 10;

/// A rule that does not hold.
#[derive(Debug, Serialize)]
pub(crate) struct Broken {
    /// Which rule.
    pub(crate) rule: &'static str,
    /// How often it is broken.
    pub(crate) count: usize,
    /// The first few, by vendor id or our id.
    pub(crate) examples: Vec<String>,
}

/// Everything that the checks look at.
pub(crate) struct Evidence {
    pub(crate) summary: Summary,
    pub(crate) leads: Vec<LeadRow>,
    records: Vec<RecordRow>,
    owners: HashMap<u64, Ownership>,
    events: Vec<Event>,
    tokens: [(&'static str, Vec<String>); 2],
    persons: BTreeMap<String, bool>,
    tasks_given_up: HashSet<String>,
    tasks_shown: Vec<String>,
    crm: HubspotSim,
    tasks_done: Vec<String>,
    owners_unwritten: BTreeMap<String, String>,
    shared_emails: Vec<String>,
    wrong_balances: Vec<String>,
    /// The oracle's events before the first arrival.
    from: usize,
}

/// Owners beside the last decisions.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Owners {
    /// The CRM shows the owner that was decided.
    pub(crate) as_decided: usize,
    /// A person or workflow chose another one later, or before our write.
    pub(crate) others_chose: usize,
    /// The contact is in the bin or was merged by a person.
    pub(crate) contact_gone: usize,
    /// Our write ended as failed or parked, which is shown to the operator.
    pub(crate) shown_as_failed: usize,
    /// None of these: we are wrong.
    pub(crate) wrong: usize,
    #[serde(skip)]
    wrong_list: Vec<String>,
}

impl Evidence {
    /// Collects it. `from` is the number of oracle events before the first arrival.
    pub(crate) async fn collect(sandbox: &Sandbox, ledger: &mut Ledger, from: usize) -> anyhow::Result<Self> {
        let (crm, forms) = (sandbox.hubspot(), sandbox.typeform());
        let tokens = |form: &str| forms.taken(form).into_iter().map(|taken| taken.token).collect();
        Ok(Self {
            summary: crm.summary(),
            leads: ledger.leads().await?,
            records: ledger.records().await?,
            owners: crm.ownership().into_iter().map(|owned| (owned.id, owned)).collect(),
            events: crm.events(from),
            tokens: [("hooked-form", tokens(HOOKED_FORM)), ("polled-form", tokens(POLLED_FORM))],
            persons: ledger.persons().await?,
            tasks_given_up: ledger.tasks_given_up().await?.into_iter().collect(),
            tasks_shown: ledger.tasks_shown().await?,
            crm: crm.clone(),
            tasks_done: ledger.written("create_task").await?,
            owners_unwritten: ledger.owners_unwritten().await?,
            shared_emails: ledger.shared_emails().await?,
            wrong_balances: ledger.wrong_balances().await?,
            from,
        })
    }

    /// Form answers and living contacts of others that were never seen.
    pub(crate) fn unseen(&self) -> Vec<String> {
        let seen: HashSet<(&str, &str)> = self
            .records
            .iter()
            .map(|record| (record.connection.as_str(), record.external_id.as_str()))
            .collect();
        let mut missing = Vec::new();
        for (connection, tokens) in &self.tokens {
            let of_form = tokens.iter().filter(|token| !seen.contains(&(*connection, token.as_str())));
            missing.extend(of_form.map(|token| format!("{connection}/{token}")));
        }
        for id in self.contacts_of_others() {
            if self.owners.contains_key(&id) && !seen.contains(&("hubspot-main", id.to_string().as_str())) {
                missing.push(format!("hubspot-main/{id}"));
            }
        }
        missing
    }

    fn contacts_of_others(&self) -> impl Iterator<Item = u64> {
        let created =
            self.events.iter().filter(|event| event.object() == "contacts" && event.change == Change::Create);
        created.filter(|event| !by_us(event)).map(|event| event.id)
    }

    fn made_by_us(&self, object: &str) -> HashSet<String> {
        let created =
            self.events.iter().filter(|event| event.object() == object && event.change == Change::Create);
        created.filter(|event| by_us(event)).map(|event| event.id.to_string()).collect()
    }

    /// Contacts that a person merged or threw away.
    fn disturbed(&self) -> HashSet<u64> {
        let moved = self.events.iter().filter(|event| event.object() == "contacts");
        let moved = moved.filter(|event| matches!(event.change, Change::Merge | Change::Archive));
        moved.flat_map(|event| [event.id, event.other]).filter(|id| *id != 0).collect()
    }

    /// Owners beside decisions, person by person: the last decision counts.
    pub(crate) fn owners(&self) -> Owners {
        let mut result = Owners::default();
        let mut last: HashMap<u64, &LeadRow> = HashMap::new();
        for lead in &self.leads {
            if let (Some(person), Some(_)) =
                (lead.person.as_deref().and_then(|id| id.parse().ok()), &lead.owner)
            {
                last.insert(person, lead);
            }
        }
        let disturbed = self.disturbed();
        let mut others: HashMap<u64, i64> = HashMap::new();
        for event in self
            .events
            .iter()
            .filter(|event| event.object() == "contacts" && event.old_owner != event.new_owner)
        {
            if !by_us(event) {
                others.insert(event.id, event.at);
            }
        }
        for (person, lead) in last {
            let decided = lead.owner.as_deref().unwrap_or_default();
            let decided_at = lead.decided_at.map_or(i64::MAX, |at| at.as_millisecond());
            match self.owners.get(&person) {
                _ if disturbed.contains(&person) => result.contact_gone += 1,
                None => result.contact_gone += 1,
                Some(owned) if owned.owner.to_string() == decided => result.as_decided += 1,
                Some(_) if others.get(&person).is_some_and(|at| *at >= decided_at) => {
                    result.others_chose += 1;
                }
                Some(owned) => match self.owners_unwritten.get(&lead.id) {
                    Some(end) if end.starts_with("cancelled") => result.others_chose += 1,
                    Some(end) if end.starts_with("rejected") || end.starts_with("parked") => {
                        result.shown_as_failed += 1;
                    }
                    _ => {
                        result.wrong += 1;
                        result.wrong_list.push(format!(
                            "contact {person}: decided {decided}, CRM shows {}, lead {}",
                            owned.owner, lead.id
                        ));
                    }
                },
            }
        }
        result
    }

    /// Every rule that does not hold.
    pub(crate) fn broken(&self) -> Vec<Broken> {
        let mut broken = Vec::new();
        let mut rule = |rule: &'static str, examples: Vec<String>| {
            if !examples.is_empty() {
                broken.push(Broken {
                    rule,
                    count: examples.len(),
                    examples: examples.into_iter().take(LISTED).collect(),
                });
            }
        };
        rule("I1 everything that arrived was seen", self.unseen());
        rule("I1 every record has ended", self.unfinished_records());
        rule("I1 every lead has closed", self.unfinished_leads());
        rule("I1 each opened record is one lead", self.opened_without_lead());
        rule("I1 each written lead's person is at the CRM", self.persons_missing());
        rule(
            "I2 no person twice at the CRM",
            duplicates(self.summary.duplicate_persons, &self.summary.duplicate_person_list),
        );
        rule(
            "I2 no task twice at the CRM",
            duplicates(self.summary.duplicate_tasks, &self.summary.duplicate_task_list),
        );
        rule("I2 each e-mail has one inquiry", self.doubled_leads());
        rule("I2 each e-mail is one person", self.shared_emails.clone());
        rule("I2 each written lead has one task", self.wrong_task_counts());
        rule("I2 every task at the CRM is known to us or shown as unclear", self.orphan_tasks());
        rule("I2 every person that we made is known to us", self.orphan_persons());
        rule("I1 every task that we call done exists", self.phantom_tasks());
        rule("I1 every person that we call made exists", self.phantom_persons());
        rule("I3 owners are as decided", self.owners().wrong_list);
        rule("I7 balances are the sums of their turns", self.wrong_balances.clone());
        broken
    }

    fn unfinished_records(&self) -> Vec<String> {
        let moving =
            self.records.iter().filter(|record| matches!(record.state.as_str(), "fetched" | "mapped"));
        moving
            .map(|record| format!("{}/{} is {}", record.connection, record.external_id, record.state))
            .collect()
    }

    fn unfinished_leads(&self) -> Vec<String> {
        self.leads.iter().filter(|lead| lead.state == "decided").map(|lead| lead.id.clone()).collect()
    }

    fn opened_without_lead(&self) -> Vec<String> {
        let opened = self.records.iter().filter(|record| record.state == "opened").count();
        if opened == self.leads.len() {
            Vec::new()
        } else {
            vec![format!("{opened} opened, {} leads", self.leads.len())]
        }
    }

    fn persons_missing(&self) -> Vec<String> {
        let disturbed = self.disturbed();
        let written = self.leads.iter().filter(|lead| lead.state == "closed:written");
        let missing =
            written.filter(|lead| match lead.person.as_deref().and_then(|id| id.parse::<u64>().ok()) {
                Some(person) => !self.owners.contains_key(&person) && !disturbed.contains(&person),
                None => true,
            });
        missing.map(|lead| lead.id.clone()).collect()
    }

    /// E-mails with several inquiries that were carried out.
    fn doubled_leads(&self) -> Vec<String> {
        let undone = ["closed:failed", "closed:suppressed"];
        let counts = self.inquiries(|lead| !undone.contains(&lead.state.as_str()));
        counts
            .into_iter()
            .filter(|(_, count)| *count > 1)
            .map(|(email, count)| format!("{email} has {count}"))
            .collect()
    }

    /// E-mails with a second inquiry beside one that failed: no second task yet, but one as soon as the failed one is
    /// tried again.
    pub(crate) fn opened_beside_failed(&self) -> usize {
        self.inquiries(|_| true).values().filter(|count| **count > 1).count() - self.doubled_leads().len()
    }

    fn inquiries(&self, which: impl Fn(&LeadRow) -> bool) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for email in self.leads.iter().filter(|lead| which(lead)).filter_map(|lead| lead.email.as_deref()) {
            *counts.entry(email).or_default() += 1;
        }
        counts
    }

    fn wrong_task_counts(&self) -> Vec<String> {
        let wrong = self.leads.iter().filter(|lead| lead.state == "closed:written" && lead.tasks != 1);
        let wrong = wrong.filter(|lead| lead.tasks > 1 || !self.tasks_given_up.contains(&lead.id));
        wrong.map(|lead| format!("lead {} has {}", lead.id, lead.tasks)).collect()
    }

    /// A task that was refused afterwards (as one made without its owner) is named to the operator, so it is known.
    fn orphan_tasks(&self) -> Vec<String> {
        let known: HashSet<&String> = self.tasks_done.iter().collect();
        self.made_by_us("tasks").into_iter().filter(|id| !known.contains(id) && !self.is_shown(id)).collect()
    }

    /// Whether the task carries the marker of a write that the operator is shown as failed or unclear.
    fn is_shown(&self, task: &str) -> bool {
        let task = task.parse().ok().and_then(|id| self.crm.read("tasks", id));
        let body =
            task.as_ref().and_then(|task| task["properties"]["hs_task_body"].as_str()).unwrap_or_default();
        self.tasks_shown.iter().any(|key| body.contains(key))
    }

    /// A person whose creation got no answer counts as known if found again; the origin is then `found`.
    fn orphan_persons(&self) -> Vec<String> {
        let disturbed = self.disturbed();
        let gone = |id: &String| id.parse::<u64>().is_ok_and(|id| disturbed.contains(&id));
        self.made_by_us("contacts")
            .into_iter()
            .filter(|id| !self.persons.contains_key(id) && !gone(id))
            .collect()
    }

    fn phantom_tasks(&self) -> Vec<String> {
        let made = self.made_by_us("tasks");
        self.tasks_done.iter().filter(|id| !made.contains(*id)).cloned().collect()
    }

    fn phantom_persons(&self) -> Vec<String> {
        let made = self.made_by_us("contacts");
        let claimed = self.persons.iter().filter(|(_, created)| **created);
        claimed.map(|(id, _)| id).filter(|id| !made.contains(*id)).cloned().collect()
    }

    /// Persons whom we made and whose origin we do not know any more, because the answer was lost.
    pub(crate) fn origin_lost(&self) -> usize {
        let made = self.made_by_us("contacts");
        made.iter().filter(|id| self.persons.get(*id) == Some(&false)).count()
    }

    /// Arrivals that the checks cover, so that a run which checked nothing is seen as such.
    pub(crate) fn covered(&self) -> BTreeMap<&'static str, usize> {
        BTreeMap::from([
            ("form_answers", self.tokens.iter().map(|(_, tokens)| tokens.len()).sum()),
            ("contacts_of_others", self.contacts_of_others().count()),
            ("contacts_of_ours", self.made_by_us("contacts").len()),
            ("tasks_of_ours", self.made_by_us("tasks").len()),
            ("oracle_events", self.events.len()),
            ("oracle_events_before", self.from),
            ("records", self.records.len()),
            ("leads", self.leads.len()),
        ])
    }
}

fn by_us(event: &Event) -> bool {
    matches!(event.actor, Actor::Api(_))
}

/// The simulator lists only the first hundred; the count must not get lost.
fn duplicates(count: usize, list: &[usher_sandbox::Duplicate]) -> Vec<String> {
    let named = list.iter().map(|duplicate| format!("{} is {:?}", duplicate.key, duplicate.ids));
    let unnamed = std::iter::repeat_n("more".to_owned(), count.saturating_sub(list.len()));
    named.chain(unnamed).take(count.max(list.len())).collect()
}
