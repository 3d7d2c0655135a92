//! I2 and I5: nothing was written twice, nothing is called done that is not, nobody was touched who is not ours.

use std::collections::{BTreeMap, HashSet};
use std::iter::repeat_n;

use usher_sandbox::{Change, CrmObject, Duplicate};

use super::evidence::Evidence;
use super::ledger::LeadRow;

pub(super) fn persons_twice(evidence: &Evidence) -> Vec<String> {
    duplicates(evidence.summary.duplicate_persons, &evidence.summary.duplicate_person_list)
}

pub(super) fn phones_twice(evidence: &Evidence) -> Vec<String> {
    let mut seen = HashSet::new();
    evidence.phones.iter().filter(|phone| !seen.insert(*phone)).cloned().collect()
}

pub(super) fn tasks_twice(evidence: &Evidence) -> Vec<String> {
    duplicates(evidence.summary.duplicate_tasks, &evidence.summary.duplicate_task_list)
}

/// Leads and deals of one name and contact.
pub(super) fn inquiries_twice(evidence: &Evidence) -> Vec<String> {
    duplicates(evidence.summary.duplicate_leads, &[])
}

/// Leads and deals that we made and that stand for nobody's inquiry, unless their write is shown as unclear.
pub(super) fn orphan_inquiries(evidence: &Evidence) -> Vec<String> {
    let known: HashSet<(CrmObject, String)> =
        evidence.inquiries.values().map(|inquiry| (inquiry.object, inquiry.id.to_string())).collect();
    let made = [CrmObject::Lead, CrmObject::Deal]
        .into_iter()
        .flat_map(|object| evidence.made_by_us(object).into_iter().map(move |id| (object, id)));
    let orphans = made.filter(|made| !known.contains(made) && !evidence.explained.contains(made));
    orphans.map(|(object, id)| format!("{object} {id}")).collect()
}

/// Persons about whom the CRM has several living leads or deals: made beside the one that somebody entered, or twice under
/// different keys. One of an inquiry that failed may have another beside it, and merged persons bring their own along; so may
/// one that somebody entered and that opened nothing here, because the person had come by another door.
pub(super) fn several_inquiries(evidence: &Evidence) -> Vec<String> {
    let disturbed = evidence.disturbed();
    let opened: HashSet<&str> = evidence
        .records
        .iter()
        .filter(|record| record.connection == evidence.scene.crm && record.state == "opened")
        .filter(|record| CrmObject::named(&record.object) == Some(evidence.scene.entered))
        .map(|record| record.external_id.as_str())
        .collect();
    let entered: HashSet<(CrmObject, u64)> = [CrmObject::Lead, CrmObject::Deal]
        .into_iter()
        .flat_map(|object| evidence.made_by_others(object).map(move |id| (object, id)))
        .collect();
    let came_otherwise = |at: &(CrmObject, u64)| {
        let own = at.0 == evidence.scene.entered && opened.contains(at.1.to_string().as_str());
        entered.contains(at) && !own
    };
    let failed: HashSet<(CrmObject, u64)> = evidence
        .leads
        .iter()
        .filter(|lead| is_undone(lead))
        .filter_map(|lead| evidence.inquiries.get(&lead.id))
        .map(|inquiry| (inquiry.object, inquiry.id))
        .collect();
    let unclear = |at: &(CrmObject, u64)| evidence.explained.contains(&(at.0, at.1.to_string()));
    let excused = |at: &(CrmObject, u64)| failed.contains(at) || came_otherwise(at) || unclear(at);
    let mut of: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for (at, person) in evidence.about.iter().filter(|(at, _)| !excused(at)) {
        of.entry(*person).or_default().push(format!("{} {}", at.0, at.1));
    }
    let several = of.into_iter().filter(|(person, all)| all.len() > 1 && !disturbed.contains(person));
    several.map(|(person, all)| format!("person {person}: {}", all.join(", "))).collect()
}

/// The simulator lists only the first hundred; the count must not get lost.
fn duplicates(count: usize, list: &[Duplicate]) -> Vec<String> {
    let named = list.iter().map(|duplicate| format!("{} is {:?}", duplicate.key, duplicate.ids));
    let unnamed = repeat_n("more".to_owned(), count.saturating_sub(list.len()));
    named.chain(unnamed).collect()
}

impl Evidence {
    /// Addresses with a second inquiry beside one that failed: no second task yet, but one as soon as the failed one
    /// is tried again.
    #[must_use]
    pub fn opened_beside_failed(&self) -> usize {
        self.inquiries(|_| true).values().filter(|leads| leads.len() > 1).count() - doubled_leads(self).len()
    }

    /// Persons whom we made and whose origin we do not know any more, because the answer was lost.
    #[must_use]
    pub fn origin_lost(&self) -> usize {
        self.made_by_us(CrmObject::Person).iter().filter(|id| self.persons.get(*id) == Some(&false)).count()
    }

    fn inquiries(&self, which: impl Fn(&LeadRow) -> bool) -> BTreeMap<&str, Vec<&LeadRow>> {
        let mut inquiries: BTreeMap<&str, Vec<&LeadRow>> = BTreeMap::new();
        for lead in self.leads.iter().filter(|lead| which(lead)) {
            if let Some(email) = lead.email.as_deref() {
                inquiries.entry(email).or_default().push(lead);
            }
        }
        inquiries
    }
}

/// Addresses with several inquiries that were carried out, or that somebody works on. One that ended because the CRM's
/// people deleted the contact is over: who is heard of after that asks anew.
pub(super) fn doubled_leads(evidence: &Evidence) -> Vec<String> {
    let inquiries = evidence.inquiries(|lead| !is_undone(lead));
    let doubled = inquiries.into_iter().filter(|(_, leads)| {
        let over = |lead: &LeadRow| {
            let later = |other: &&LeadRow| other.id == lead.id || other.decided_at >= lead.deleted_at;
            lead.deleted_at.is_some() && leads.iter().all(later)
        };
        leads.iter().filter(|lead| !over(lead)).count() > 1
    });
    let told = |lead: &LeadRow| {
        let person = lead.person.as_deref().unwrap_or("unknown");
        format!("{} ({}, person {person}, {} tasks)", lead.id, lead.state, lead.tasks)
    };
    doubled
        .map(|(email, leads)| {
            format!("{email}: {}", leads.into_iter().map(told).collect::<Vec<_>>().join(", "))
        })
        .collect()
}

/// Ended without a task, as far as it is known: whoever asks again is heard again.
fn is_undone(lead: &LeadRow) -> bool {
    match lead.state.as_str() {
        "closed:failed" => true,
        "closed:suppressed" | "closed:merged" => lead.tasks == 0,
        _ => false,
    }
}

pub(super) fn shared_emails(evidence: &Evidence) -> Vec<String> {
    evidence.shared_emails.clone()
}

pub(super) fn wrong_balances(evidence: &Evidence) -> Vec<String> {
    evidence.wrong_balances.clone()
}

pub(super) fn wrong_task_counts(evidence: &Evidence) -> Vec<String> {
    let written = evidence.leads.iter().filter(|lead| lead.state == "closed:written" && lead.tasks != 1);
    let wrong = written.filter(|lead| lead.tasks > 1 || !evidence.tasks_given_up.contains(&lead.id));
    wrong.map(|lead| format!("lead {} has {}", lead.id, lead.tasks)).collect()
}

/// A task that was refused afterwards (as one made without its owner) is named to the operator, so it is known.
pub(super) fn orphan_tasks(evidence: &Evidence) -> Vec<String> {
    let known: HashSet<&String> = evidence.tasks_done.iter().collect();
    let made = evidence.made_by_us(CrmObject::Task).into_iter();
    made.filter(|id| !known.contains(id) && !evidence.explained.contains(&(CrmObject::Task, id.clone())))
        .collect()
}

/// A person whose creation got no answer counts as known if found again (the origin is then `found`), or if the write is
/// shown to the operator as unclear.
pub(super) fn orphan_persons(evidence: &Evidence) -> Vec<String> {
    let disturbed = evidence.disturbed();
    let gone = |id: &String| id.parse().is_ok_and(|id| disturbed.contains(&id));
    let made = evidence.made_by_us(CrmObject::Person).into_iter();
    let explained = |id: &String| evidence.explained.contains(&(CrmObject::Person, id.clone()));
    made.filter(|id| !evidence.persons.contains_key(id) && !explained(id) && !gone(id)).collect()
}

pub(super) fn phantom_tasks(evidence: &Evidence) -> Vec<String> {
    let made = evidence.made_by_us(CrmObject::Task);
    evidence.tasks_done.iter().filter(|id| !made.contains(*id)).cloned().collect()
}

pub(super) fn phantom_persons(evidence: &Evidence) -> Vec<String> {
    let made = evidence.made_by_us(CrmObject::Person);
    let claimed = evidence.persons.iter().filter(|(_, created)| **created);
    claimed.map(|(id, _)| id).filter(|id| !made.contains(*id)).cloned().collect()
}

/// Persons whom our token changed although they are no lead's.
pub(super) fn strangers_touched(evidence: &Evidence) -> Vec<String> {
    let disturbed = evidence.disturbed();
    let persons = evidence.happenings.iter().filter(|touched| touched.object == CrmObject::Person);
    let touched: HashSet<u64> = persons
        .filter(|touched| touched.by_us && matches!(touched.change, Change::Update | Change::Archive))
        .map(|touched| touched.id)
        .collect();
    let strangers = touched
        .into_iter()
        .filter(|id| !disturbed.contains(id) && !evidence.persons.contains_key(&id.to_string()));
    strangers.map(|id| format!("person {id}")).collect()
}
