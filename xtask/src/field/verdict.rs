//! The report of a field run: what was counted, how it was measured, which rules hold.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use usher_sandbox::CrmObject;
use usher_testkit::invariants::{Evidence, Ledger, Phase};

use super::{Course, Run};
use crate::data::Data;
use crate::report::{percentile, round};

/// How each figure came to be.
const MEASURED: &[(&str, &str)] = &[
    ("records, leads, writes", "rows of the program's database by state, after it stopped"),
    ("simulator", "the simulators' own log of what was really applied, not what a client believes"),
    (
        "owners",
        "the CRM's owner beside the last decision, for each person, or lead or deal where these carry owners, with a decision that names an owner",
    ),
    (
        "accounts_matched",
        "the lead's company beside lead_truth.csv.gz, by the door that the inquiry came by; a measure, not a rule",
    ),
    ("latency_ms", "from our own arrival stamp (webhook stored, or pulled) to the task's confirmed creation"),
    (
        "seconds.all",
        "from the first arrival until everything had come to rest, 4 s of watching that it does included",
    ),
    ("program", "CPU and peak memory (VmHWM) of the child from /proc, all starts together"),
];

/// Builds the report.
pub(super) async fn report(
    run: &Run<'_>,
    data: &Data,
    course: &Course,
    evidence: &Evidence,
    ledger: &mut Ledger,
) -> anyhow::Result<Value> {
    let latencies = ledger.latencies().await?;
    let records = ledger.tally("SELECT state, count(*) FROM record GROUP BY state").await?;
    let ignored =
        ledger.tally("SELECT reason, count(*) FROM record WHERE state = 'ignored' GROUP BY reason").await?;
    let leads = ledger
        .tally("SELECT CASE WHEN close_reason IS NULL THEN state ELSE 'closed:' || close_reason END AS what, count(*) FROM lead GROUP BY what")
        .await?;
    let writes =
        ledger.tally("SELECT kind || ' ' || state AS what, count(*) FROM effect GROUP BY what").await?;
    let paths = ledger.tally("SELECT path, count(*) FROM decision GROUP BY path").await?;
    let usage = run.installation.usage();
    let summary = &evidence.summary;
    let seconds = course.whole.as_secs_f64();
    Ok(json!({
        "run": { "crm": run.args.crm, "entered": run.args.object, "limits": "off", "seed": run.args.seed, "faults": run.args.faults, "kills": course.kills, "starts": run.installation.starts,
                 "companies": data.companies.len(), "inquiries": data.inquirers.len(), "stuck": course.stuck },
        "records": { "seen": records.values().sum::<i64>(), "by_state": records, "ignored_by_reason": ignored },
        "leads": { "opened": leads.values().sum::<i64>(), "by_state": leads, "by_path": paths },
        "writes": writes,
        "problems": ledger.problems().await?,
        "simulator": { "duplicate_persons": summary.duplicate_persons, "duplicate_tasks": summary.duplicate_tasks,
                       "duplicate_leads": summary.duplicate_leads, "tasks_created": summary.tasks_created, "tasks_without_contact": summary.tasks_without_contact,
                       "persons": summary.objects.get(run.args.crm.objects(CrmObject::Person)),
                       "entered": summary.objects.get(run.args.crm.objects(run.args.object)), "faults_fired": summary.faults, "requests": summary.requests, "over_limit": summary.over_limit },
        "owners": evidence.owners(),
        "inquiries_opened_beside_a_failed_one": evidence.opened_beside_failed(),
        "persons_made_but_noted_as_found": evidence.origin_lost(),
        "accounts_matched": matches(run, data, evidence),
        "latency_ms": { "tasks": latencies.len(), "p50": percentile(&latencies, 50), "p99": percentile(&latencies, 99),
                        "max": latencies.last() },
        "seconds": { "first_reading_of_companies": round(course.directory.as_secs_f64()),
                     "arriving": round(course.arriving.as_secs_f64()), "all": round(seconds),
                     "leads_per_second": round(evidence.leads.len() as f64 / seconds) },
        "program": { "cpu_seconds": round(usage.cpu()), "user": round(usage.user), "system": round(usage.system),
                     "peak_mib": usage.peak_kib / 1024 },
        "covered": evidence.covered(),
        "rules_broken": evidence.broken(Phase::Drained),
        "measured": MEASURED.iter().copied().collect::<BTreeMap<_, _>>(),
    }))
}

/// How many leads found the company that they belong to, of both doors.
fn matches(run: &Run<'_>, data: &Data, evidence: &Evidence) -> Value {
    let companies: HashMap<String, &str> = run
        .companies
        .iter()
        .zip(&data.companies)
        .map(|(id, company)| (id.to_string(), company.account_id.as_str()))
        .collect();
    let known: std::collections::HashSet<&str> = companies.values().copied().collect();
    // Every other one comes by way of the CRM.
    let leads: HashMap<String, (&str, usize)> = data
        .inquirers
        .iter()
        .enumerate()
        .map(|(n, who)| (who.email.trim().to_lowercase(), (who.lead_id.as_str(), n % 2)))
        .collect();
    let mut doors = [Matched::default(), Matched::default()];
    for lead in &evidence.leads {
        let Some((id, door)) = lead.email.as_deref().and_then(|email| leads.get(email)) else { continue };
        let truth = data.truth.get(*id).map(String::as_str).filter(|truth| known.contains(truth));
        let found = lead.company.as_deref().and_then(|id| companies.get(id)).copied();
        doors[*door].count(found, truth);
    }
    let [at_crm, by_form] = doors;
    json!({ "at_crm": at_crm.report(), "by_form": by_form.report(), "all": (at_crm + by_form).report() })
}

/// Matches beside the truth.
#[derive(Debug, Default, Clone, Copy)]
struct Matched {
    right: u64,
    wrong: u64,
    invented: u64,
    missed: u64,
    none: u64,
}

impl Matched {
    fn count(&mut self, found: Option<&str>, truth: Option<&str>) {
        let tally = match (found, truth) {
            (Some(found), Some(truth)) if found == truth => &mut self.right,
            (Some(_), Some(_)) => &mut self.wrong,
            (Some(_), None) => &mut self.invented,
            (None, Some(_)) => &mut self.missed,
            (None, None) => &mut self.none,
        };
        *tally += 1;
    }

    fn report(self) -> Value {
        let Self { right, wrong, invented, missed, none } = self;
        let part = |of: u64| if of == 0 { 0.0 } else { round(right as f64 / of as f64) };
        json!({ "right": right, "wrong": wrong, "matched_without_truth": invented, "missed": missed, "rightly_none": none,
                "precision": part(right + wrong + invented), "recall": part(right + wrong + missed) })
    }
}

impl std::ops::Add for Matched {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            right: self.right + other.right,
            wrong: self.wrong + other.wrong,
            invented: self.invented + other.invented,
            missed: self.missed + other.missed,
            none: self.none + other.none,
        }
    }
}
