//! What speaks against an account although a key is the same.

use usher_model::{Account, AccountKey, AccountKeyKind};

use crate::clues::{Clues, country_of_domain};
use crate::{legal, likeness};

/// Bytes of a cleaned name up to which it does not stand for one company by itself.
const SHORT: usize = 3;

/// Against an account of which only the name is the lead's.
pub(crate) fn about_name(clues: &Clues<'_>, account: &Account, own: &[AccountKey]) -> Option<String> {
    let theirs = account.country.clone().or_else(|| {
        let domains = own.iter().filter(|key| key.kind == AccountKeyKind::Domain);
        domains.filter_map(|key| country_of_domain(&key.value)).next()
    });
    match (clues.country_or_domains(), theirs) {
        (Some(ours), Some(theirs)) if !ours.eq_ignore_ascii_case(&theirs) => Some(format!(
            "same company name, but the account is in {theirs} and the lead in {ours}, with no domain in common"
        )),
        (Some(_), Some(_)) => None,
        _ if clues.name.is_some_and(|name| name.len() <= SHORT) => {
            Some("so short a name is many companies' initials, and nothing else is in common".to_owned())
        }
        _ => {
            let (ours, theirs) = (legal::form(clues.company?), legal::form(&account.name));
            let differ = ours.is_some() && theirs.is_some() && ours != theirs;
            differ.then(|| "same company name with another legal form, and nothing else in common".to_owned())
        }
    }
}

/// Against an account of which only the e-mail domain is the lead's.
pub(crate) fn about_email(clues: &Clues<'_>, account: &Account) -> Option<String> {
    let company = clues.company?;
    if let (Some(ours), Some(theirs)) = (&clues.country, &account.country)
        && !ours.eq_ignore_ascii_case(theirs)
    {
        return Some(format!(
            "the e-mail domain's account is in {theirs}, the lead in {ours} under a name of its own: perhaps a \
             subsidiary or a customer"
        ));
    }
    if likeness::adds_a_place(company, &account.name) {
        return Some(
            "the company name adds a place to that of the e-mail domain's account: perhaps a subsidiary"
                .to_owned(),
        );
    }
    let alike = likeness::alike(company, &account.name, clues.email.as_deref());
    (!alike).then(|| "the form names another company than the one of the e-mail domain".to_owned())
}
