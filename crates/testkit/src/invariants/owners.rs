//! I3: the owner at the CRM beside the last decision: of each person, or of the lead or deal that stands for the inquiry.

use std::collections::HashMap;

use serde::Serialize;
use usher_sandbox::CrmObject;

use super::evidence::Evidence;
use super::ledger::LeadRow;

/// Owners beside the last decisions.
#[derive(Debug, Default, Serialize)]
pub struct Owners {
    /// The CRM shows the owner that was decided.
    pub as_decided: usize,
    /// A person or workflow chose another one later, or before our write.
    pub others_chose: usize,
    /// The object is in the bin or was merged by a person.
    pub contact_gone: usize,
    /// Our write ended as failed or parked, which is shown to the operator.
    pub shown_as_failed: usize,
    /// None of these: we are wrong.
    pub wrong: usize,
    #[serde(skip)]
    list: Vec<String>,
}

pub(super) fn wrong(evidence: &Evidence) -> Vec<String> {
    evidence.owners().list
}

impl Evidence {
    /// Owners beside decisions: the last decision about a person counts.
    #[must_use]
    pub fn owners(&self) -> Owners {
        let mut last: HashMap<(CrmObject, u64), (&LeadRow, &str, Option<u64>)> = HashMap::new();
        let disturbed = self.disturbed();
        for lead in self.leads.iter().filter(|lead| lead.live) {
            let carrier = match self.inquiries.get(&lead.id) {
                Some(inquiry) => Some((inquiry.object, inquiry.id, inquiry.owner)),
                None => lead.person.as_deref().and_then(|id| id.parse().ok()).map(|id| {
                    let contact = self.owners.get(&id).filter(|_| !disturbed.contains(&id));
                    (CrmObject::Person, id, contact.map(|owned| owned.owner))
                }),
            };
            if let (Some((object, id, now)), Some(decided)) = (carrier, lead.owner.as_deref()) {
                last.insert((object, id), (lead, decided, now));
            }
        }
        let others = self.last_choices_of_others();
        let mut result = Owners::default();
        for ((object, id), (lead, decided, now)) in last {
            let Some(owner) = now else {
                result.contact_gone += 1;
                continue;
            };
            let decided_at = lead.decided_at.map_or(i64::MAX, |at| at.as_millisecond());
            // Entered by hand before, and met only by the write.
            let kept = self.owners_kept.get(&lead.id) == Some(&owner.to_string());
            if owner.to_string() == decided {
                result.as_decided += 1;
            } else if others.get(&(object, id)).is_some_and(|at| kept || *at >= decided_at) {
                result.others_chose += 1;
            } else {
                match self.owners_unwritten.get(&lead.id) {
                    Some(end) if end.starts_with("cancelled") => result.others_chose += 1,
                    Some(end) if end.starts_with("rejected") || end.starts_with("parked") => {
                        result.shown_as_failed += 1;
                    }
                    _ => {
                        result.wrong += 1;
                        result.list.push(format!(
                            "{object} {id}: decided {decided}, CRM shows {owner}, lead {}",
                            lead.id
                        ));
                    }
                }
            }
        }
        result
    }

    /// When somebody else last chose each object's owner.
    fn last_choices_of_others(&self) -> HashMap<(CrmObject, u64), i64> {
        let all = self.happenings.iter();
        let chosen = all.filter(|happening| happening.owner_changed && !happening.by_us);
        chosen.map(|happening| ((happening.object, happening.id), happening.at)).collect()
    }
}
