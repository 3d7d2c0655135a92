//! I6 to I10: how the program behaves while it works.

use super::evidence::Evidence;

/// The database's own limit for its write-ahead log is 64 MiB; a transaction may exceed it for as long as it lasts.
const WAL_BYTES: u64 = 96 << 20;
/// The memory that the program promises to stay within, KiB.
const MEMORY_KIB: u64 = 256 << 10;
/// Far more open files and sockets than readers, vendors and senders of a run need.
const HANDLES: usize = 512;

/// The canaries' places in their list, never the canaries themselves.
pub(super) fn told_in_the_log(evidence: &Evidence) -> Vec<String> {
    let canaries = evidence.scene.canaries.iter().enumerate();
    let told = canaries.filter(|(_, canary)| evidence.log.contains(canary.as_str()));
    told.map(|(place, _)| format!("canary {place}")).collect()
}

pub(super) fn woken_early(evidence: &Evidence) -> Vec<String> {
    // The store's grain is a millisecond.
    let early = evidence
        .waited
        .iter()
        .filter(|waited| waited.decided_at.as_millisecond() < waited.until.as_millisecond());
    early
        .map(|waited| format!("lead {}: {} before {}", waited.lead, waited.decided_at, waited.until))
        .collect()
}

pub(super) fn still_moving(evidence: &Evidence) -> Vec<String> {
    let standing = evidence.standing;
    let moving = [
        ("records", standing.records_moving),
        ("leads", standing.leads_moving),
        ("writes", standing.effects_moving),
        ("webhook bodies", standing.deliveries_waiting),
        ("hints", standing.hints_waiting),
        ("events at the vendor", i64::try_from(evidence.summary.pending).unwrap_or(i64::MAX)),
    ];
    let moving = moving.into_iter().filter(|(_, count)| *count > 0);
    moving.map(|(what, count)| format!("{count} {what}")).collect()
}

/// Refusals by the simulator's own meter; those that a switch gives out at random are not ours.
pub(super) fn refused_by_limit(evidence: &Evidence) -> Vec<String> {
    let refused = evidence.summary.over_limit;
    (refused > 0).then(|| format!("{refused} calls")).into_iter().collect()
}

pub(super) fn unbounded(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    if evidence.wal_bytes > WAL_BYTES {
        found.push(format!("the write-ahead log has {} bytes", evidence.wal_bytes));
    }
    if let Some(used) = evidence.scene.resources {
        if used.peak_kib > MEMORY_KIB {
            found.push(format!("the program had {} KiB of memory", used.peak_kib));
        }
        if used.handles > HANDLES {
            found.push(format!("the program has {} files and sockets open", used.handles));
        }
    }
    found
}
