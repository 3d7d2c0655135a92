//! Each step of a decision, the sentence for the task, and the same answer for the same question.

use proptest::prelude::*;
use usher_model::{Resolution, Step, Trigger, WaitReason};

use super::{
    AGENCY, acme, agency, assigned, at, away, fields, friday, input, key, load, owners, route, route_with,
    saturday, seo, waits,
};
use crate::{Outcome, Roster, State, decide};

fn guard(outcome: &Outcome) -> (&str, bool) {
    match &outcome.trace.steps[0] {
        Step::Guard { finding, settled, .. } => (finding, *settled),
        other => panic!("expected a guard, found {other:?}"),
    }
}

#[test]
fn who_has_an_owner_keeps_it_without_a_turn() {
    let lead = seo();
    let mut asks = input(&lead);
    let (ana, dora, stranger) = ("1".into(), "4".into(), "12345".into());
    asks.crm_owner = Some(&ana);
    // Off hours makes no difference: it is her customer.
    let outcome = route(&asks, saturday());
    assert_eq!(outcome.resolution, Resolution::Assigned { rep: key("ana"), owner: "1".into() });
    assert_eq!((outcome.path.as_str(), &outcome.turn), ("already owned", &None));
    assert_eq!(outcome.why, "already owned. Ana owns this person in the CRM already.");
    assert_eq!(guard(&outcome), ("Ana owns this person in the CRM already", true));

    asks.crm_owner = Some(&dora);
    assert_eq!(route(&asks, friday()).resolution, Resolution::Kept { owner: "4".into() });
    asks.crm_owner = Some(&stranger);
    assert_eq!(route(&asks, friday()).resolution, Resolution::Kept { owner: "12345".into() });
}

#[test]
fn owners_who_count_as_nobody_or_left_are_no_owners() {
    let lead = seo();
    let mut asks = input(&lead);
    let (integration, ana) = ("9".into(), "1".into());
    asks.crm_owner = Some(&integration);
    let nobodies = [["9".to_owned()], ["Integrations@agency.example".to_owned()]];
    for nobody in &nobodies {
        asks.treat_as_unowned = nobody;
        let outcome = route(&asks, friday());
        assert_eq!(guard(&outcome), ("owner 9 counts as nobody", false));
        assert_eq!(outcome.path, "SEO in DACH → dach-seo");
    }
    asks.treat_as_unowned = &[];
    asks.crm_owner = Some(&ana);
    let mut left = owners();
    left[0].active = false;
    let outcome = route_with(&left, &asks, friday());
    assert!(guard(&outcome).0.contains("deactivated"));
    assert_eq!(assigned(&outcome), "ben");

    let refused = [(key("ana"), "the CRM refused the owner".to_owned())];
    asks.excluded = &refused;
    asks.trigger = Trigger::OwnerRejected;
    let outcome = route(&asks, friday());
    assert_eq!(assigned(&outcome), "ben");
    assert!(outcome.why.contains("Ana is passed over (the CRM refused the owner)"), "{}", outcome.why);
}

#[test]
fn rules_are_tried_in_order_and_say_why() {
    let outcome = route(&input(&seo()), friday());
    let rules: Vec<(&str, bool, &str)> = outcome
        .trace
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Rule { name, held, why } => Some((name.as_str(), *held, why.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(rules.iter().map(|(_, held, _)| *held).collect::<Vec<_>>(), [false, false, true]);
    assert!(rules[1].2.contains("account.owner = null"), "{rules:?}");
    assert!(rules[2].2.contains("lead.country = \"DE\""), "{rules:?}");
    assert_eq!(outcome.trace.policy, agency().hash());
    assert_eq!(outcome.trace.seed, 7);
}

#[test]
fn the_pools_next_gets_it_and_the_sentence_says_who_could_not() {
    let outcome = route(&input(&seo()), friday());
    assert_eq!((assigned(&outcome), outcome.why.as_str()), ("ana", "SEO in DACH → dach-seo. Ana was next."));
    let turn = outcome.turn.unwrap();
    assert_eq!(turn.pool, "dach-seo");
    assert_eq!(
        turn.shares.into_iter().collect::<Vec<_>>(),
        [(key("ana"), 2.0 / 3.0), (key("ben"), 1.0 / 3.0)]
    );

    let mut list = owners();
    list[0] = away(list[0].clone());
    let outcome = route_with(&list, &input(&seo()), friday());
    assert_eq!(outcome.why, "SEO in DACH → dach-seo. Ben was next; Ana is away.");
    // Whoever is out accrues nothing.
    assert_eq!(outcome.turn.unwrap().shares.into_iter().collect::<Vec<_>>(), [(key("ben"), 1.0)]);
}

#[test]
fn a_drop_rule_routes_to_nobody() {
    let outcome = route(&input(&fields(&[("email", "test@agency.example".into())])), friday());
    assert_eq!(outcome.resolution, Resolution::Dropped { reason: "a test submission".to_owned() });
    assert_eq!(outcome.why, "Tests. Not routed: a test submission.");
}

#[test]
fn an_account_goes_to_its_owner_or_to_the_stand_in() {
    let lead = seo();
    let mut asks = input(&lead);
    let (anas, doras, nobodys, integrations) =
        (acme(Some("1")), acme(Some("4")), acme(None), acme(Some("9")));
    asks.account = Some(&anas);
    asks.account_reason = Some("acme.example is Acme's domain");
    let outcome = route(&asks, friday());
    assert_eq!(guard(&outcome).0, "acme.example is Acme's domain");
    assert_eq!((assigned(&outcome), &outcome.turn), ("ana", &None));
    assert_eq!(outcome.why, "Customers keep their owner → account owner. Ana owns Acme.");

    let outcome = route(&asks, saturday());
    assert_eq!(assigned(&outcome), "carla");
    assert_eq!(outcome.path, "Customers keep their owner → account owner → carla");
    assert!(
        outcome.why.ends_with("Carla is named for it; Ana is off hours until Mon 09:00."),
        "{}",
        outcome.why
    );

    asks.account = Some(&doras);
    assert_eq!(assigned(&route(&asks, friday())), "carla");
    asks.account = Some(&nobodys);
    assert_eq!(route(&asks, friday()).path, "SEO in DACH → dach-seo");
    // An account of the integration's user is nobody's, so that the rule does not hold.
    asks.account = Some(&integrations);
    let nobody = ["9".to_owned()];
    asks.treat_as_unowned = &nobody;
    assert_eq!(route(&asks, friday()).path, "SEO in DACH → dach-seo");
}

#[test]
fn nobody_waits_for_the_next_opening_or_the_end_of_the_wait() {
    let lead = seo();
    let mut asks = input(&lead);
    // Ten minutes before nine on Monday.
    asks.received_at = at("2026-11-23T08:50:00+01:00");
    let outcome = route(&asks, asks.received_at);
    let wait = waits(&outcome).clone();
    assert_eq!(wait.until, at("2026-11-23T09:00:00+01:00"));
    assert_eq!(wait.gives_up_at, at("2026-11-23T09:20:00+01:00"));
    assert_eq!(
        wait.because,
        "Nobody can take it now; Ana is off hours until Mon 09:00 and Ben is off hours until Mon 09:00"
    );
    assert_eq!((outcome.path.as_str(), &outcome.turn), ("SEO in DACH → dach-seo", &None));
    // When the schedule opens, the wait is over.
    asks.trigger = Trigger::Opened;
    asks.waiting = Some(&wait);
    assert_eq!(assigned(&route(&asks, wait.until)), "ana");
}

#[test]
fn a_wait_is_fixed_once_and_then_overflows() {
    let lead = seo();
    let mut asks = input(&lead);
    asks.received_at = saturday();
    let first = waits(&route(&asks, saturday())).clone();
    let end = at("2026-11-21T12:30:00+01:00");
    assert_eq!((first.until, first.gives_up_at), (end, end));
    asks.trigger = Trigger::Opened;
    asks.waiting = Some(&first);
    let again = route(&asks, at("2026-11-21T12:29:59+01:00"));
    assert_eq!(waits(&again).gives_up_at, end);
    let overflow = route(&asks, end);
    assert_eq!((assigned(&overflow), &overflow.turn), ("carla", &None));
    assert_eq!(overflow.path, "SEO in DACH → dach-seo → carla");
    // Whoever arrived longer ago than the wait allows does not wait at all.
    let mut late = input(&lead);
    late.received_at = at("2026-11-21T11:00:00+01:00");
    assert_eq!(assigned(&route(&late, saturday())), "carla");
    // Later episodes count from their own beginning.
    late.trigger = Trigger::Manual;
    assert_eq!(waits(&route(&late, saturday())).gives_up_at, end);
}

#[test]
fn a_rep_off_hours_is_followed_by_the_fallback() {
    let lead = fields(&[("budget", 25_000.into())]);
    assert_eq!(assigned(&route(&input(&lead), friday())), "ana");
    let outcome = route(&input(&lead), saturday());
    assert_eq!((assigned(&outcome), outcome.path.as_str()), ("carla", "Large → ana → fallback"));
    assert_eq!(
        outcome.why,
        "Large → ana → fallback. Nobody else could take it; Ana is off hours until Mon 09:00. Carla is the fallback."
    );
}

#[test]
fn the_fallback_takes_it_off_hours_but_not_when_the_crm_does_not_know_it() {
    let text = AGENCY.replace(
        "carla: { email: carla@agency.example }",
        "carla: { email: carla@agency.example, hours: berlin }",
    );
    let policy = load(&text).unwrap();
    let lead = fields(&[]);
    let mut list = owners();
    let outcome =
        decide(&policy, &Roster::new(&policy, &list), &input(&lead), &State::default(), saturday(), 1);
    assert_eq!(assigned(&outcome), "carla");
    assert_eq!(
        outcome.why,
        "fallback. No rule applies. Carla is the fallback, though off hours until Mon 09:00."
    );

    list[2].active = false;
    let outcome =
        decide(&policy, &Roster::new(&policy, &list), &input(&lead), &State::default(), saturday(), 1);
    let wait = waits(&outcome);
    assert!(
        wait.because.contains("not even the fallback carla; Carla is deactivated in the CRM"),
        "{wait:?}"
    );
    assert_eq!(wait.until, at("2026-11-21T12:15:00+01:00"));
}

#[test]
fn a_fallback_pool_deals_turns_off_hours_too() {
    let policy = load(&AGENCY.replace("fallback: { rep: carla }", "fallback: { pool: dach-seo }")).unwrap();
    let roster = Roster::new(&policy, &owners());
    let lead = fields(&[]);
    let outcome = decide(&policy, &roster, &input(&lead), &State::default(), saturday(), 1);
    assert_eq!(assigned(&outcome), "ana");
    assert_eq!(outcome.turn.as_ref().map(|turn| turn.shares.len()), Some(2));
    assert!(outcome.why.contains("Ana was next in the fallback dach-seo"), "{}", outcome.why);
}

#[test]
fn a_chain_of_pools_waits_once_at_the_first_that_allows_it() {
    let text = AGENCY
        .replace("if_nobody: { wait: 30m, then: { rep: carla } }", "if_nobody: { then: { pool: second } }")
        .replace("  everyone:", "  second: { members: [ben], if_nobody: { wait: 1h, then: { pool: third } } }\n  third: { members: [ana], if_nobody: { wait: 1h } }\n  everyone:");
    let policy = load(&text).unwrap();
    let roster = Roster::new(&policy, &owners());
    let lead = seo();
    let mut asks = input(&lead);
    asks.received_at = saturday();
    let outcome = decide(&policy, &roster, &asks, &State::default(), saturday(), 1);
    assert_eq!(outcome.path, "SEO in DACH → dach-seo → second");
    let wait = waits(&outcome).clone();
    asks.waiting = Some(&wait);
    asks.trigger = Trigger::Opened;
    let outcome = decide(&policy, &roster, &asks, &State::default(), wait.gives_up_at, 1);
    assert_eq!(outcome.path, "SEO in DACH → dach-seo → second → third → fallback");
    assert_eq!(assigned(&outcome), "carla");
}

#[test]
fn an_odd_value_fails_one_rule_not_the_lead() {
    let outcome = route(&input(&fields(&[("budget", "a lot".into())])), friday());
    assert_eq!((assigned(&outcome), outcome.path.as_str()), ("carla", "fallback"));
    let told = outcome.trace.steps.iter().any(
        |step| matches!(step, Step::Rule { name, held: false, why } if name == "Large" && why.starts_with("cannot be told")),
    );
    assert!(told, "{:?}", outcome.trace.steps);
}

#[test]
fn many_absentees_are_counted_not_listed() {
    let reps: String =
        (0..8).map(|index| format!("  r{index}: {{ email: r{index}@agency.example }}\n")).collect();
    let text = format!(
        "version: 1\nreps:\n{reps}pools: {{ all: {{ members: [r0, r1, r2, r3, r4, r5, r6, r7] }} }}\nrules: [{{ name: All, when: 'true', assign: {{ pool: all }} }}]\nfallback: {{ rep: r0 }}\n"
    );
    let policy = load(&text).unwrap();
    let owners = [super::owner("7", "r7@agency.example", "")];
    let lead = fields(&[]);
    let outcome =
        decide(&policy, &Roster::new(&policy, &owners), &input(&lead), &State::default(), friday(), 1);
    assert_eq!(
        outcome.why,
        "All → all. r7 was next; r0 is unknown to the CRM, r1 is unknown to the CRM, r2 is unknown to the CRM and 4 more are unavailable."
    );
    assert_eq!(outcome.trace.steps.len(), 10, "the rule, every candidate, the pick");
}

proptest! {
    #[test]
    fn the_same_question_has_the_same_answer_to_the_byte(
        seed: u64,
        hours in 0_i64..400,
        ben_away: bool,
        budget in proptest::option::of(0_u32..40_000),
        service in proptest::option::of("seo|ppc"),
        crm_owner in proptest::option::of("[1-5]"),
        wait in proptest::option::of(-60_i64..60),
        turns in proptest::collection::vec(0_usize..2, 0..6),
    ) {
        let mut lead = fields(&[("country", "DE".into())]);
        if let Some(service) = service { lead.values.insert("service_line".to_owned(), service.into()); }
        if let Some(budget) = budget { lead.values.insert("budget".to_owned(), budget.into()); }
        let now = friday().checked_add(jiff::SignedDuration::from_hours(hours)).unwrap();
        let waiting = wait.map(|minutes| {
            let end = now.checked_add(jiff::SignedDuration::from_mins(minutes)).unwrap();
            WaitReason { because: String::new(), until: end, gives_up_at: end }
        });
        let crm_owner = crm_owner.map(usher_model::ExternalId::from);
        let mut asks = input(&lead);
        asks.crm_owner = crm_owner.as_ref();
        asks.waiting = waiting.as_ref();
        let answer = |text: &str, shuffle: bool| {
            let policy = load(text).unwrap();
            let mut list = owners();
            if ben_away { list[1] = away(list[1].clone()); }
            if shuffle { list.reverse(); }
            let roster = Roster::new(&policy, &list);
            let mut state = State::default();
            for turn in &turns {
                let lead = seo();
                let one = decide(&policy, &roster, &input(&lead), &state, friday(), *turn as u64);
                state.apply(&one);
            }
            let outcome = decide(&policy, &roster, &asks, &state, now, seed);
            serde_json::to_string(&outcome).unwrap()
        };
        let first = answer(AGENCY, false);
        prop_assert_eq!(&first, &answer(AGENCY, true));
        // The order of members in the file has no say either; only the file's hash differs.
        let swapped = AGENCY.replace("{ ana: 2, ben: 1 }", "{ ben: 1, ana: 2 }");
        let other = answer(&swapped, false).replace(load(&swapped).unwrap().hash(), agency().hash());
        prop_assert_eq!(&first, &other);
    }
}
