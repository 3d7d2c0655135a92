//! The decision among the accounts that share a key with a lead.

use usher_model::{Account, AccountId, AccountKey, AccountKeyKind, Fields};

use crate::clues::Clues;
use crate::doubt;

/// Which account a lead belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The account; `None` if no account fits, or several fit equally well.
    pub account: Option<AccountId>,
    /// Why this one, or why none, in one sentence without final stop.
    pub reason: String,
    /// The other accounts that share a key with the lead, with what spoke against each.
    pub runner_ups: Vec<RunnerUp>,
}

/// An account that was looked at and not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerUp {
    /// The account.
    pub account: AccountId,
    /// What spoke against it.
    pub reason: String,
}

/// How an account fits, best first. What the form says comes before what the e-mail address lets guess: the person
/// may write for a customer, or from the parent company's domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    NameAndDomain,
    Name,
    Website,
    Email,
}

#[derive(Debug)]
struct Candidate<'a> {
    account: &'a Account,
    tier: Tier,
    doubt: Option<String>,
}

/// Chooses among the accounts that were found under a lead's keys; each comes with all of its own keys.
///
/// 1. The named company whose domain is also the lead's website or e-mail domain.
/// 2. The named company alone, unless its country is known to be another one (two companies may share a name).
/// 3. The website's domain. If the form's name and website lead to different accounts, neither is taken.
/// 4. The e-mail's domain, unless the form names a company that is not like this account, or one in another country.
///
/// Several that fit equally: the only one in the lead's country, else none.
#[must_use]
pub fn choose(fields: &Fields, keys: &[AccountKey], candidates: &[(Account, Vec<AccountKey>)]) -> Match {
    let clues = Clues::of(fields, keys);
    let mut judged: Vec<Candidate<'_>> =
        candidates.iter().filter_map(|(account, own)| judge(&clues, account, own)).collect();
    judged.sort_by_key(|candidate| (candidate.tier, candidate.account.id));
    judged.dedup_by_key(|candidate| candidate.account.id);
    let best = judged.iter().filter(|one| one.doubt.is_none()).map(|one| one.tier).min();
    let Some(best) = best else {
        return none(nothing_fits(&clues, &judged), &judged);
    };
    let of = |tier: Tier| judged.iter().filter(move |one| one.tier == tier && one.doubt.is_none());
    if best == Tier::Name && of(Tier::Website).next().is_some() {
        let reason = "the form's company name and website belong to different accounts";
        return none(reason.to_owned(), &judged);
    }
    let fitting: Vec<&Candidate<'_>> = of(best).collect();
    match fitting.as_slice() {
        [only] => taken(only, best.reason().to_owned(), &judged),
        several => match in_country(several, &clues) {
            Some(one) => {
                taken(one, format!("{}; the only one in the lead's country", best.reason()), &judged)
            }
            None => none(format!("{} accounts fit equally well: {}", several.len(), best.reason()), &judged),
        },
    }
}

impl Tier {
    fn reason(self) -> &'static str {
        match self {
            Self::NameAndDomain => "company name and domain are the account's",
            Self::Name => "the company named in the form is the account",
            Self::Website => "the website is the account's",
            Self::Email => "the e-mail address is at the account's domain",
        }
    }
}

fn judge<'a>(clues: &Clues<'_>, account: &'a Account, own: &[AccountKey]) -> Option<Candidate<'a>> {
    let has = |kind: AccountKeyKind, value: Option<&str>| {
        value.is_some_and(|value| own.iter().any(|key| key.kind == kind && key.value == value))
    };
    let named = has(AccountKeyKind::Name, clues.name);
    let website = has(AccountKeyKind::Domain, clues.website.as_deref());
    let email = has(AccountKeyKind::Domain, clues.email.as_deref());
    let (tier, doubt) = match (named, website, email) {
        (true, true, _) | (true, _, true) => (Tier::NameAndDomain, None),
        (true, false, false) => (Tier::Name, doubt::about_name(clues, account, own)),
        (false, true, _) => (Tier::Website, None),
        (false, false, true) => (Tier::Email, doubt::about_email(clues, account)),
        (false, false, false) => return None,
    };
    Some(Candidate { account, tier, doubt })
}

fn in_country<'c, 'a>(several: &[&'c Candidate<'a>], clues: &Clues<'_>) -> Option<&'c Candidate<'a>> {
    let country = clues.country.as_deref()?;
    let same = |one: &&&Candidate<'_>| {
        one.account.country.as_deref().is_some_and(|other| other.eq_ignore_ascii_case(country))
    };
    let mut there = several.iter().filter(same);
    let first = there.next()?;
    there.next().is_none().then_some(*first)
}

fn nothing_fits(clues: &Clues<'_>, judged: &[Candidate<'_>]) -> String {
    if let Some(doubt) = judged.first().and_then(|one| one.doubt.as_ref()) {
        return doubt.clone();
    }
    if clues.name.is_none() && clues.website.is_none() && clues.email.is_none() {
        return "the lead names no company: no company name, no website, no company e-mail address"
            .to_owned();
    }
    "no account has this company name or domain".to_owned()
}

fn taken(one: &Candidate<'_>, reason: String, judged: &[Candidate<'_>]) -> Match {
    let others = judged.iter().filter(|other| other.account.id != one.account.id);
    let runner_ups = others.map(|other| other.runner_up("another account fits better")).collect();
    Match { account: Some(one.account.id), reason, runner_ups }
}

fn none(reason: String, judged: &[Candidate<'_>]) -> Match {
    let runner_ups = judged.iter().map(|one| one.runner_up(&reason)).collect();
    Match { account: None, reason, runner_ups }
}

impl Candidate<'_> {
    fn runner_up(&self, otherwise: &str) -> RunnerUp {
        let reason = self.doubt.clone().unwrap_or_else(|| otherwise.to_owned());
        RunnerUp { account: self.account.id, reason }
    }
}
