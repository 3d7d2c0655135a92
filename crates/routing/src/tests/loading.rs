//! `routing.yaml` and what is said about wrong ones.

use std::time::Duration;

use super::{AGENCY, agency, load};
use crate::{Assign, Strategy, Target};

/// Code, line and column of every problem.
fn found(text: &str) -> Vec<(&'static str, usize, usize)> {
    load(text).unwrap_err().iter().map(|one| (one.code, one.line, one.column)).collect()
}

const HEAD: &str = "version: 1\nreps:\n  ana: { email: ana@agency.example }\n  ben: { email: ben@agency.example }\nfallback: { rep: ana }\n";

fn with(rest: &str) -> String {
    format!("{HEAD}{rest}")
}

#[test]
fn a_good_file_is_resolved() {
    let policy = agency();
    assert_eq!(policy.hash().len(), 64);
    assert_eq!(policy.hash(), agency().hash());
    assert_ne!(policy.hash(), load(&AGENCY.replace("30m", "31m")).unwrap().hash());
    assert_eq!(policy.rep_by_key(&super::key("ana")).unwrap().email, "ana@agency.example");
    let pool = &policy.pools()[0];
    assert_eq!((pool.name.as_str(), pool.strategy), ("dach-seo", Strategy::WeightedRoundRobin));
    assert_eq!(pool.members.iter().map(|member| member.weight).collect::<Vec<_>>(), [2.0, 1.0]);
    assert_eq!(pool.if_nobody.wait, Some(Duration::from_secs(1_800)));
    assert_eq!(pool.if_nobody.then.map(|then| policy.target_name(then)), Some("carla"));
    assert_eq!(policy.pools()[1].strategy, Strategy::RoundRobin);
    let names: Vec<_> = policy.rules().iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["Tests", "Customers keep their owner", "SEO in DACH", "Large"]);
    assert_eq!(policy.rules()[0].assign, Assign::Drop { reason: "a test submission".to_owned() });
    assert!(matches!(policy.fallback(), Target::Rep(_)));
}

#[test]
fn every_problem_comes_at_once_where_it_stands() {
    let text = r#"version: 2
reps:
  ana: { email: ana@agency.example, hours: berlni }
  ben: { emial: ben@agency.example }
  eva: { email: nobody, skills: [seo] }
  max: { email: ANA@agency.example }
calendars:
  berlin: { time_zone: Europe/Berlin, hours: { mon: "9-17" } }
pools:
  one: { members: [ana, bn, ana] }
  two: { members: { ana: 0, eve: 1 }, strategy: weighted_round_robn }
  three: { members: [] }
  four: { members: { ana: 2, ben: 1 }, strategy: round_robin, limits: { open: 3 } }
rules:
  - name: A
    when: 'lead.contry == "DE"'
    assign: { pool: on }
  - name: A
    when: 'lead.country == "DE"'
    assign: { drop: spam, if_unavailable: { rep: ana } }
  - when: 'lead.country == "DE"'
    assign: { to: account.ownr }
  - name: B
    when: 'true'
    assign: { pol: one }
score: []
"#;
    let problems = load(text).unwrap_err();
    let found: Vec<_> = problems.iter().map(|one| (one.code, one.line)).collect();
    assert_eq!(
        found,
        [
            ("no-fallback", 1),
            ("bad-version", 1),
            ("unknown-calendar", 3),
            ("missing-key", 4),
            ("unknown-key", 4),
            ("bad-email", 5),
            ("not-in-this-version", 5),
            ("duplicate-email", 6),
            ("bad-hours", 8),
            ("unknown-rep", 10),
            ("duplicate-member", 10),
            ("bad-weight", 11),
            ("unknown-rep", 11),
            ("unknown-value", 11),
            ("no-members", 12),
            ("weights-ignored", 13),
            ("not-in-this-version", 13),
            ("expression", 16),
            ("unknown-pool", 17),
            ("duplicate-rule", 18),
            ("unknown-key", 20),
            ("missing-key", 21),
            ("unknown-value", 22),
            ("unknown-key", 25),
            ("not-in-this-version", 26),
        ]
    );
    let suggested: Vec<_> = problems.iter().filter_map(|one| one.suggestion.as_deref()).collect();
    assert_eq!(
        suggested,
        [
            "berlin",
            "email",
            "ben",
            "eva",
            "weighted_round_robin",
            "lead.country",
            "one",
            "account.owner",
            "pool"
        ]
    );
}

#[test]
fn an_expression_problem_points_into_the_condition() {
    let text = with(
        "rules:\n  - name: A\n    when: 'lead.country == \"DE\" && lead.budgt > 1'\n    assign: { rep: ben }\n",
    );
    assert_eq!(found(&text), [("expression", 8, 36)]);
}

#[test]
fn what_a_later_version_brings_is_refused_as_such() {
    for rest in [
        "sla: {}\n",
        "priorities: {}\n",
        "pools: { a: { members: { crm_team: Inbound } } }\n",
        "pools: { a: { members: [ana], strategy: least_loaded } }\n",
        "pools: { a: { members: [ana], limits: { per_day: 8 } } }\n",
        "rules: [{ name: A, when: 'true', assign: { to: last_owner } }]\n",
        "rules: [{ name: A, when: 'true', assign: { hold: 1h } }]\n",
        "calendars: { b: { time_zone: UTC, hours: { mon: \"09:00-17:00\" }, holidays: DE-BE } }\n",
    ] {
        let codes: Vec<_> = found(&with(rest)).into_iter().map(|(code, ..)| code).collect();
        assert_eq!(codes, ["not-in-this-version"], "{rest}");
    }
}

#[test]
fn overflow_in_a_circle_is_refused_once() {
    let text = with(
        "pools:\n  a: { members: [ana], if_nobody: { then: { pool: b } } }\n  b: { members: [ana], if_nobody: { then: { pool: c } } }\n  c: { members: [ana], if_nobody: { then: { pool: b } } }\n  d: { members: [ana], if_nobody: { then: { pool: d } } }\n",
    );
    let problems = load(&text).unwrap_err();
    let messages: Vec<_> = problems.iter().map(|one| (one.line, one.message.as_str())).collect();
    assert_eq!(
        messages,
        [(8, "overflow runs in a circle: b → c → b"), (10, "overflow runs in a circle: d → d")]
    );
}

#[test]
fn a_policy_without_a_reachable_fallback_is_refused() {
    let none = HEAD.replace("fallback: { rep: ana }\n", "");
    assert_eq!(found(&none), [("no-fallback", 1, 1)]);
    let nobody = HEAD.replace("rep: ana", "rep: anna");
    assert_eq!(found(&nobody), [("unknown-rep", 5, 18)]);
    let empty = HEAD.replace("rep: ana", "pool: none") + "pools: { none: { members: [] } }\n";
    assert_eq!(found(&empty)[0].0, "no-members");
    assert_eq!(found("")[0].0, "wrong-type");
    assert_eq!(found("version: 1\nreps: {}\nfallback: { rep: ana }\n").last().unwrap().0, "unknown-rep");
    let endless = with("pools: { a: { members: [ana], if_nobody: { wait: 400d } } }\n");
    assert_eq!(found(&endless)[0].0, "bad-wait");
}
