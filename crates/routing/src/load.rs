//! `routing.yaml` to [`Policy`]: all problems at once, or a policy in which every name is resolved.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use usher_document::{
    Cursor, Decode, Diagnostic, Diagnostics, Located, MapReader, Severity, SourceFile, load_into,
};
use usher_expression::{Expression, Schema};
use usher_model::RepKey;
use usher_schedule::Calendar;

use crate::policy::{Assign, Policy, Rep, Rule, Target};
use crate::pools;
use crate::resolve::{Chosen, Names};
use crate::scope::schema;

/// What the design has for this file and this version does not execute.
const LATER: [&str; 9] =
    ["score", "priorities", "sla", "sticky", "catch_up", "skills", "territories", "limits", "holidays"];

impl Policy {
    /// Reads and checks a policy. Every problem is added to `diagnostics`; `None` if one of them is an error.
    #[must_use]
    pub fn load(source: &SourceFile, diagnostics: &Diagnostics) -> Option<Self> {
        let own = Diagnostics::default();
        let policy = load_into::<Self>(source, &own);
        let problems = own.into_sorted();
        let refused = problems.iter().any(|one| one.severity == Severity::Error);
        diagnostics.extend(problems);
        policy.filter(|_| !refused)
    }
}

impl Decode for Policy {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        let mut map = at.map()?;
        map.not_in_this_version(&LATER);
        map.version(1);
        let calendars = named(map.optional_at("calendars"));
        let reps = named(map.required_at("reps"));
        let pools = named(map.optional_at("pools"));
        let rules = map.optional_at("rules");
        let fallback = fallback(&mut map);
        map.finish();

        let names = Names { reps: texts(&reps), calendars: texts(&calendars), pools: texts(&pools) };
        let calendars: Vec<Option<Calendar>> = calendars.iter().map(|(_, at)| at.read()).collect();
        let reps = read_reps(at, &reps, &names, &calendars);
        let pools: Vec<_> = pools.iter().map(|(name, at)| pools::read(name, at, &names)).collect();
        pools::check_cycles(at, &pools, &names);
        let rules = rules.map_or_else(|| Some(Vec::new()), |at| read_rules(&at, &names));
        let fallback = fallback.and_then(|at| names.target(&at));

        let pools: Option<Vec<_>> = pools.into_iter().map(|read| read.map(|read| read.pool)).collect();
        let hash = hash(at.source().text());
        Some(Self { hash, reps: reps?, pools: pools?, rules: rules?, fallback: fallback? })
    }
}

type Named<'a> = Vec<(Located<String>, Cursor<'a>)>;

/// The entries of a block of the admin's own names.
fn named(at: Option<Cursor<'_>>) -> Named<'_> {
    let Some(mut map) = at.and_then(|at| at.map()) else {
        return Vec::new();
    };
    let entries = map.entries();
    map.finish();
    entries
}

fn texts(entries: &Named<'_>) -> Vec<String> {
    entries.iter().map(|(name, _)| name.value.clone()).collect()
}

fn fallback<'a>(map: &mut MapReader<'a>) -> Option<Cursor<'a>> {
    let found = map.optional_at("fallback");
    if found.is_none() {
        map.at()
            .error("no-fallback", "`fallback` is missing: some leads would reach nobody")
            .hint("add `fallback: { rep: … }` with somebody who takes what no rule settles")
            .report();
    }
    found
}

fn read_reps(
    at: &Cursor<'_>,
    entries: &Named<'_>,
    names: &Names,
    calendars: &[Option<Calendar>],
) -> Option<Vec<Rep>> {
    let mut emails: Vec<(String, String)> = Vec::new();
    let mut reps = Vec::new();
    for (name, rep_at) in entries {
        let read = rep_at.map().and_then(|mut map| {
            map.not_in_this_version(&[
                "starts",
                "ramp",
                "skills",
                "languages",
                "manager",
                "limits",
                "territory",
                "ids",
                "holidays",
            ]);
            let email_at = map.required_at("email");
            let hours = map.optional_at("hours");
            map.finish();
            let calendar = hours.map(|at| names.calendar(&at));
            let email = email(&email_at?, &name.value, &mut emails)?;
            let calendar = match calendar {
                Some(index) => Some(calendars.get(index?)?.clone()?),
                None => None,
            };
            Some(Rep { key: RepKey::new(name.value.as_str()), email, calendar })
        });
        reps.push(read);
    }
    if entries.is_empty() && !at.diagnostics().has_errors() {
        at.error("no-reps", "there is no rep").hint("add at least one rep with an e-mail address").report();
    }
    reps.into_iter().collect()
}

/// A rep's address, lower case; two reps can not share one, since it ties a rep to one owner of the CRM.
fn email(at: &Cursor<'_>, rep: &str, known: &mut Vec<(String, String)>) -> Option<String> {
    let email = at.text()?.trim().to_lowercase();
    let looks_right = email.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && domain.contains('.') && !email.contains(char::is_whitespace)
    });
    if !looks_right {
        at.error("bad-email", format!("`{email}` is no e-mail address"))
            .found(&email)
            .hint("write the address that the rep has in the CRM")
            .report();
        return None;
    }
    if let Some((_, other)) = known.iter().find(|(known, _)| *known == email) {
        at.error("duplicate-email", format!("`{other}` has this e-mail address already"))
            .found(&email)
            .hint("keep one of the two reps")
            .report();
        return None;
    }
    known.push((email.clone(), rep.to_owned()));
    Some(email)
}

fn read_rules(at: &Cursor<'_>, names: &Names) -> Option<Vec<Rule>> {
    let schema = schema();
    let mut seen: Vec<String> = Vec::new();
    let rules: Vec<Option<Rule>> =
        at.list()?.iter().map(|at| read_rule(at, names, &schema, &mut seen)).collect();
    rules.into_iter().collect()
}

fn read_rule(at: &Cursor<'_>, names: &Names, schema: &Schema, seen: &mut Vec<String>) -> Option<Rule> {
    let mut map = at.map()?;
    map.not_in_this_version(&["needs", "priority", "sla", "skills", "languages", "sticky", "limits"]);
    let name: Option<Located<String>> = map.required("name");
    let when = map.required_at("when");
    let assign = map.required_at("assign");
    map.finish();
    if let Some(name) = &name {
        let problem = if name.value.trim().is_empty() {
            Some(Diagnostic::error(
                "empty-name",
                &name.place,
                "a rule needs a name: it is shown in every task",
            ))
        } else if seen.contains(&name.value) {
            let message = format!("another rule is named `{}` already", name.value);
            Some(
                Diagnostic::error("duplicate-rule", &name.place, message).help("give each rule its own name"),
            )
        } else {
            None
        };
        at.diagnostics().extend(problem);
        seen.push(name.value.clone());
    }
    let when = when.and_then(|at| Expression::read(&at, schema));
    let assign = assign.and_then(|at| read_assign(&at, names));
    Some(Rule { name: name?.value, when: when?, assign: assign? })
}

fn read_assign(at: &Cursor<'_>, names: &Names) -> Option<Assign> {
    let mut map = at.map()?;
    map.not_in_this_version(&["territory", "hold", "meeting_host", "last_owner", "queue"]);
    let if_unavailable = map.optional_at("if_unavailable");
    let chosen = names.target_in(&mut map, &["rep", "pool", "to", "drop"]);
    map.finish();
    let otherwise = if_unavailable.as_ref().map(|at| names.target(at));
    let assign = match chosen? {
        Chosen::Target(target) => Assign::To(target),
        Chosen::Other("drop", at) => Assign::Drop { reason: at.read()? },
        Chosen::Other(_, at) => {
            let later = ["parent.owner", "account.parent.owner", "last_owner", "meeting.host"];
            at.choice_or_later(&[("account.owner", ())], &later)?;
            return Some(Assign::AccountOwner { if_unavailable: resolved(otherwise)? });
        }
    };
    if let Some(at) = if_unavailable {
        at.error("unknown-key", "`if_unavailable` belongs to `to: account.owner`")
            .hint("a pool has `if_nobody`; a rep who is unavailable is followed by the fallback")
            .report();
        return None;
    }
    Some(assign)
}

/// Left out is fine, wrong is not.
fn resolved(target: Option<Option<Target>>) -> Option<Option<Target>> {
    match target {
        None => Some(None),
        Some(target) => target.map(Some),
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::with_capacity(64), |mut hash, byte| {
        // Writing into a String cannot fail.
        let _ = write!(hash, "{byte:02x}");
        hash
    })
}
