//! I1 and I4: what came in is there, has ended once, and no cursor has passed it by.

use std::collections::{HashMap, HashSet};

use usher_sandbox::Change;

use super::evidence::{Evidence, Happening};
use super::ledger::{Mark, RecordRow};

/// Simulators stamp a change when they get round to it, which may be so much later than the instant that they name.
const STAMPED_LATE_MS: i64 = 500;

impl Evidence {
    /// Form answers, and what others entered at the CRM and still lives, that were never seen.
    #[must_use]
    pub fn unseen(&self) -> Vec<String> {
        let seen = self.seen();
        let answers = self.answers.iter().map(|answer| (answer.connection.as_str(), answer.token.clone()));
        let entered = self.entered.iter().map(|id| (self.scene.crm.as_str(), id.to_string()));
        let missing =
            answers.chain(entered).filter(|(connection, id)| !seen.contains(&(*connection, id.as_str())));
        missing.map(|(connection, id)| format!("{connection}/{id}")).collect()
    }

    /// Of the CRM only what was read as that which people are entered as: its objects share their numbers.
    fn seen(&self) -> HashSet<(&str, &str)> {
        let entered = self.scene.vendor.objects(self.scene.entered);
        let counts = |record: &&RecordRow| record.connection != self.scene.crm || record.object == entered;
        let records = self.records.iter().filter(counts);
        records.map(|record| (record.connection.as_str(), record.external_id.as_str())).collect()
    }
}

/// Doors by which fewer are in the evidence than came: what it lacks no rule looks at. Somebody else may enter more at the CRM.
pub(super) fn overlooked(evidence: &Evidence) -> Vec<String> {
    let came = evidence.scene.came;
    let entered = evidence.made_by_others(evidence.scene.entered).count();
    let doors = [("at the CRM", entered, came.entered), ("by a form", evidence.answers.len(), came.answers)];
    let fewer = doors.into_iter().filter(|(_, found, came)| found < came);
    fewer.map(|(door, found, came)| format!("{came} came {door}, {found} are in the evidence")).collect()
}

/// Webhooks that were answered with 2xx and are neither a record nor a stored body that waits to be split.
pub(super) fn acknowledged_and_lost(evidence: &Evidence) -> Vec<String> {
    let seen = evidence.seen();
    let waits = |connection: &str, id: &str| {
        let bodies = evidence.unsplit.iter().filter(|(of, _)| of == connection);
        bodies.map(|(_, body)| body).any(|body| contains(body, id.as_bytes()))
    };
    let acknowledged = evidence.scene.acknowledged.iter();
    let lost = acknowledged.filter(|(connection, id)| {
        !seen.contains(&(connection.as_str(), id.as_str())) && !waits(connection, id)
    });
    lost.map(|(connection, id)| format!("{connection}/{id}")).collect()
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len().max(1)).any(|window| window == part)
}

pub(super) fn unfinished_records(evidence: &Evidence) -> Vec<String> {
    let moving =
        evidence.records.iter().filter(|record| matches!(record.state.as_str(), "fetched" | "mapped"));
    moving.map(|record| format!("{}/{} is {}", record.connection, record.external_id, record.state)).collect()
}

/// Records that count as deadly although none is.
pub(super) fn given_up(evidence: &Evidence) -> Vec<String> {
    if evidence.scene.deadly_records { Vec::new() } else { evidence.given_up.clone() }
}

pub(super) fn unfinished_leads(evidence: &Evidence) -> Vec<String> {
    evidence.leads.iter().filter(|lead| lead.state == "decided").map(|lead| lead.id.clone()).collect()
}

pub(super) fn opened_without_lead(evidence: &Evidence) -> Vec<String> {
    let opened = evidence.records.iter().filter(|record| record.state == "opened").count();
    if opened == evidence.leads.len() {
        Vec::new()
    } else {
        vec![format!("{opened} opened, {} leads", evidence.leads.len())]
    }
}

pub(super) fn closed_too_soon(evidence: &Evidence) -> Vec<String> {
    evidence.closed_too_soon.clone()
}

pub(super) fn persons_missing(evidence: &Evidence) -> Vec<String> {
    let disturbed = evidence.disturbed();
    let there = |person: &str| {
        person.parse().is_ok_and(|id| evidence.owners.contains_key(&id) || disturbed.contains(&id))
    };
    let written = evidence.leads.iter().filter(|lead| lead.state == "closed:written");
    let missing = written.filter(|lead| !lead.person.as_deref().is_some_and(there));
    missing.map(|lead| lead.id.clone()).collect()
}

/// What was entered at the CRM and still lives, and form answers, that were visible before a live cursor's mark and are not stored.
pub(super) fn passed_by(evidence: &Evidence) -> Vec<String> {
    let seen = evidence.seen();
    let hidden = i64::try_from(evidence.scene.hidden_for.as_millis()).unwrap_or(i64::MAX) + STAMPED_LATE_MS;
    let mut passed = Vec::new();
    let at_crm = format!("{}/live", evidence.scene.vendor.objects(evidence.scene.entered));
    let judged = |mark: &&Mark| match mark.connection == evidence.scene.crm {
        true => mark.stream == at_crm,
        false => mark.stream.ends_with("/live"),
    };
    for mark in evidence.marks.iter().filter(judged) {
        let before = mark.at.as_millisecond() - hidden;
        let connection = mark.connection.as_str();
        let read = if connection == evidence.scene.crm {
            settled(evidence, before)
        } else {
            let answers = evidence.answers.iter().filter(|answer| answer.connection == connection);
            answers.filter(|answer| answer.at < before).map(|answer| answer.token.clone()).collect()
        };
        let missing = read.into_iter().filter(|id| !seen.contains(&(connection, id.as_str())));
        passed.extend(missing.map(|id| format!("{connection}/{id}, mark {}", mark.at)));
    }
    passed
}

/// What others entered and to which nothing has happened since: a change moves it behind the mark again.
fn settled(evidence: &Evidence, before: i64) -> Vec<String> {
    let mut last: HashMap<u64, i64> = HashMap::new();
    let entered = evidence.happenings.iter().filter(|happening| happening.object == evidence.scene.entered);
    for Happening { id, other, at, change, .. } in entered {
        // The other end of an association may be of another kind, and does not change by it.
        for id in [Some(id), Some(other).filter(|_| *change == Change::Merge)].into_iter().flatten() {
            let latest = last.entry(*id).or_insert(*at);
            *latest = (*latest).max(*at);
        }
    }
    let settled = evidence.entered.iter().filter(|id| last.get(id).is_some_and(|at| *at < before));
    settled.map(|id| id.to_string()).collect()
}
