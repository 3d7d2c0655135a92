//! The decider: guard, rules, and what the rule that holds asks for.

use jiff::Timestamp;
use usher_expression::Scope;
use usher_model::{ExternalId, Resolution, Step};

use crate::case::Case;
use crate::ledger::State;
use crate::outcome::{Input, Outcome};
use crate::policy::{Assign, Policy, RepIndex, Rule, Target};
use crate::roster::{Owner, Roster};
use crate::scope;
use crate::seat::{self, stands_for_nobody};

/// Decides one lead. The same arguments always give the same outcome; `seed` breaks ties between equals and is
/// recorded in the trace. `roster` must have been made for `policy`. Enter the outcome with [`State::apply`] before
/// the next lead.
#[must_use]
pub fn decide(
    policy: &Policy,
    roster: &Roster,
    input: &Input<'_>,
    state: &State,
    now: Timestamp,
    seed: u64,
) -> Outcome {
    let mut case = Case::new(policy, roster, input, state, now, seed);
    if let Some(resolution) = guard(&mut case) {
        return case.owned(resolution);
    }
    if let Some(reason) = input.account_reason {
        case.note("account", reason.to_owned(), false);
    }
    let Some(rule) = first_rule(&mut case) else {
        return case.fallback("No rule applies");
    };
    case.enter(&rule.name);
    match &rule.assign {
        Assign::To(target) => case.settle(*target),
        Assign::AccountOwner { if_unavailable } => account_owner(case, *if_unavailable),
        Assign::Drop { reason } => case.dropped(reason),
    }
}

/// A known person who asks again keeps the owner, available or not; that costs no turn.
fn guard(case: &mut Case<'_>) -> Option<Resolution> {
    let id = case.input.crm_owner?;
    let owner = case.roster.owner(id);
    let finding = if stands_for_nobody(case.roster, case.input.treat_as_unowned, id) {
        format!("owner {id} counts as nobody")
    } else if let Some(owner) = owner.filter(|owner| !owner.active) {
        format!("{} owns this person but is deactivated in the CRM", owner.name)
    } else if let Some(reason) = owner.and_then(|owner| excluded(case, owner)) {
        format!("owner {id} is passed over ({reason})")
    } else {
        return Some(keep(case, id, owner));
    };
    case.note("owner", finding, false);
    None
}

fn keep(case: &mut Case<'_>, id: &ExternalId, owner: Option<&Owner>) -> Resolution {
    let name = owner.map_or_else(|| format!("Owner {id}"), |owner| owner.name.clone());
    case.note("owner", format!("{name} owns this person in the CRM already"), true);
    let rep = owner.and_then(|owner| owner.rep).and_then(|rep| case.policy.rep(rep));
    match rep {
        Some(rep) => Resolution::Assigned { rep: rep.key.clone(), owner: id.clone() },
        None => Resolution::Kept { owner: id.clone() },
    }
}

fn excluded<'a>(case: &Case<'a>, owner: &Owner) -> Option<&'a str> {
    let key = &case.policy.rep(owner.rep?)?.key;
    case.input.excluded.iter().find(|(excluded, _)| excluded == key).map(|(_, reason)| reason.as_str())
}

/// The first rule that holds; each one tried leaves a line.
fn first_rule<'a>(case: &mut Case<'a>) -> Option<&'a Rule> {
    let policy = case.policy;
    if policy.rules().is_empty() {
        return None;
    }
    let account = case.input.account;
    let owner = account.and_then(|account| account.owner.as_ref());
    let owner_counts =
        owner.is_some_and(|owner| !stands_for_nobody(case.roster, case.input.treat_as_unowned, owner));
    let (lead, account) = (scope::lead(case.input.fields), scope::account(account, owner_counts));
    let scope = Scope::new().with("lead", &lead).with("account", &account);
    for rule in policy.rules() {
        let (held, why) = match rule.when.explain(&scope) {
            Ok(why) => (why.holds, why.to_string()),
            // Does not hold, so that one odd value in one rule leaves the lead to the next.
            Err(error) => (false, format!("cannot be told: {error}")),
        };
        case.step(Step::Rule { name: rule.name.clone(), held, why });
        if held {
            return Some(rule);
        }
    }
    None
}

fn account_owner(mut case: Case<'_>, if_unavailable: Option<Target>) -> Outcome {
    case.enter("account owner");
    let why = match available_account_owner(&mut case) {
        Ok((rep, account)) => return case.account_owner(rep, account),
        Err(why) => why,
    };
    let then = match if_unavailable {
        Some(target) => format!("goes to {}", case.policy.target_name(target)),
        None => "goes to the fallback".to_owned(),
    };
    case.step(Step::Nobody { target: format!("account owner: {why}"), then, opens_at: None });
    match if_unavailable {
        Some(target) => case.settle(target),
        None => case.fallback("The account's owner can not take it"),
    }
}

/// The owner of the lead's account, if that is a rep who can take it now; else why not.
fn available_account_owner<'a>(case: &mut Case<'a>) -> Result<(RepIndex, &'a str), String> {
    let account = case.input.account.ok_or("the lead has no account")?;
    let id = account.owner.as_ref().ok_or("the account has no owner")?;
    if stands_for_nobody(case.roster, case.input.treat_as_unowned, id) {
        return Err(format!("owner {id} counts as nobody"));
    }
    let owner = case.roster.owner(id).ok_or_else(|| format!("owner {id} is unknown to the CRM"))?;
    if !owner.active {
        return Err(format!("{} is deactivated in the CRM", owner.name));
    }
    let rep = owner.rep.ok_or_else(|| format!("{} is no rep", owner.name))?;
    match case.candidate(rep) {
        Ok(()) => Ok((rep, &account.name)),
        Err(out) => {
            let seat: Option<&seat::Out> = out.as_ref();
            let words = case.roster.seat_of(rep).zip(seat).map(|(seat, out)| out.words(seat, case.now));
            Err(format!("{} is {}", owner.name, words.unwrap_or_else(|| "unavailable".to_owned())))
        }
    }
}
