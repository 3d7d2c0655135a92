//! The table of decisions, and that order makes no difference.
#![allow(clippy::unwrap_used)]

use jiff::Timestamp;
use proptest::prelude::*;
use usher_model::{Account, AccountId, AccountKey, AccountKeyKind, ConnectionName, ExternalId, Fields};

use crate::{Match, account_keys, choose, lead_keys};

fn account(name: &str, website: &str, country: &str) -> (Account, Vec<AccountKey>) {
    let account = Account {
        id: AccountId::new(Timestamp::from_second(1).unwrap()),
        connection: ConnectionName::new("crm"),
        external_id: ExternalId::new(name),
        name: name.to_owned(),
        owner: None,
        country: (!country.is_empty()).then(|| country.to_owned()),
    };
    let keys = account_keys(name, &[website.to_owned()]);
    (account, keys)
}

/// Email, company, website, country.
fn lead(email: &str, company: &str, website: &str, country: &str) -> Fields {
    let mut fields = Fields::default();
    for (name, text) in [("email", email), ("company", company), ("website", website), ("country", country)] {
        if !text.is_empty() {
            fields.values.insert(name.to_owned(), text.into());
        }
    }
    fields
}

/// Chooses as the engine does: only among accounts that share a key.
fn chosen(fields: &Fields, accounts: &[(Account, Vec<AccountKey>)]) -> Match {
    let keys = lead_keys(fields);
    let shares = |(_, own): &&(Account, Vec<AccountKey>)| own.iter().any(|key| keys.contains(key));
    let candidates: Vec<_> = accounts.iter().filter(shares).cloned().collect();
    choose(fields, &keys, &candidates)
}

fn directory() -> Vec<(Account, Vec<AccountKey>)> {
    vec![
        account("Acme GmbH", "https://www.acme.example.com", "DE"),
        account("Acme France SARL", "acme.fr", "FR"),
        account("Bright Agency LLC", "https://bright.agency", "US"),
        account("Northwind Traders Inc.", "northwind.com", "US"),
        account("Globex", "globex.com", "US"),
        account("Globex", "globex.de", "DE"),
        account("Stay Home B.V.", "https://facebook.com/stayhome", "NL"),
        account("Initech Ltd", "initech.co.uk", ""),
        account("Umbrella One", "umbrella.com", "US"),
        account("Umbrella Two", "umbrella.com", "CA"),
    ]
}

#[test]
fn the_right_account_or_none() {
    let table = [
        ("corporate address", lead("a@example.com", "", "", ""), Some("Acme GmbH")),
        ("department's host", lead("a@eu.northwind.com", "", "", ""), Some("Northwind Traders Inc.")),
        (
            "free mail, company named",
            lead("a@gmail.com", "northwind traders", "", ""),
            Some("Northwind Traders Inc."),
        ),
        (
            "named wins over the address",
            lead("a@bright.agency", "Northwind Traders", "", ""),
            Some("Northwind Traders Inc."),
        ),
        (
            "website wins over the address",
            lead("a@bright.agency", "", "www.northwind.com", ""),
            Some("Northwind Traders Inc."),
        ),
        (
            "local company named at the parent's domain",
            lead("a@example.com", "Acme France", "", "FR"),
            Some("Acme France SARL"),
        ),
        ("customer of an agency, not an account", lead("a@bright.agency", "Zenith Pumps", "", ""), None),
        ("subsidiary that is no account", lead("a@northwind.com", "Northwind Traders Japan", "", ""), None),
        ("address's account abroad, own name", lead("a@northwind.com", "Northwind Trading", "", "JP"), None),
        (
            "address, name written badly",
            lead("a@northwind.com", "Northwnd Traders", "", "US"),
            Some("Northwind Traders Inc."),
        ),
        ("address, acronym", lead("a@northwind.com", "NWT", "", ""), Some("Northwind Traders Inc.")),
        ("same name, other country", lead("a@northwind.fr", "Northwind Traders", "", "France"), None),
        ("same name, other country by domain", lead("a@northwind.fr", "Northwind Traders", "", ""), None),
        ("same name, other legal form", lead("a@initech.io", "Initech GmbH", "", ""), None),
        ("same name, same legal form", lead("a@initech.io", "Initech Limited", "", ""), Some("Initech Ltd")),
        ("two of one name, domain decides", lead("a@globex.de", "Globex", "", ""), Some("Globex")),
        ("two of one name, country decides", lead("a@gmail.com", "Globex", "", "DE"), Some("Globex")),
        ("two of one name, nothing decides", lead("a@gmail.com", "Globex", "", ""), None),
        ("two of one domain, nothing decides", lead("a@umbrella.com", "", "", ""), None),
        ("two of one domain, country decides", lead("a@umbrella.com", "", "", "CA"), Some("Umbrella Two")),
        ("name and website of different accounts", lead("", "Globex", "northwind.com", "US"), None),
        ("page on a platform", lead("a@gmail.com", "", "facebook.com/stayhome", ""), None),
        ("nobody", lead("a@gmail.com", "self-employed", "", ""), None),
        ("unknown company", lead("a@zenith.com", "Zenith", "", ""), None),
    ];
    let accounts = directory();
    for (case, fields, expected) in table {
        let found = chosen(&fields, &accounts);
        let name = found.account.map(|id| {
            accounts
                .iter()
                .find(|(account, _)| account.id == id)
                .map(|(account, _)| account.name.as_str())
                .unwrap()
        });
        assert_eq!(name, expected, "{case}: {found:?}");
        assert!(!found.reason.is_empty() && !found.reason.ends_with('.'), "{case}");
    }
}

#[test]
fn the_country_decides_between_namesakes() {
    let accounts = directory();
    let found = chosen(&lead("a@gmail.com", "Globex", "", "DE"), &accounts);
    assert_eq!(found.account, Some(accounts[5].0.id));
    assert_eq!(found.runner_ups.len(), 1);
    assert!(found.runner_ups[0].reason.contains("account is in US and the lead in DE"), "{found:?}");
}

#[test]
fn fm_089_free_mail_and_platforms_give_no_key() {
    for website in [
        "gmail.com",
        "https://facebook.com/acme",
        "linkedin.com/company/acme",
        "mailinator.com",
        "co.uk",
        "x",
    ] {
        assert_eq!(account_keys("", &[website.to_owned()]), [], "{website}");
    }
    for email in ["a@gmail.com", "a@yahoo.co.uk", "a@mailinator.com", "a@x", ""] {
        assert_eq!(lead_keys(&lead(email, "", "", "")), [], "{email}");
    }
    let own_host = account_keys("", &["https://acme.github.io/".to_owned()]);
    assert_eq!(own_host[0].value, "acme.github.io");
}

#[test]
fn keys_are_distinct_and_hold_domain_and_name() {
    let found = lead_keys(&lead("a@shop.acme.co.uk", "ACME & Sons Ltd.", "https://acme.co.uk/x", ""));
    let shown: Vec<_> = found.iter().map(|key| (key.kind, key.value.as_str())).collect();
    assert_eq!(shown, [(AccountKeyKind::Domain, "acme.co.uk"), (AccountKeyKind::Name, "acme and sons")]);
}

proptest! {
    #[test]
    fn order_makes_no_difference_and_the_choice_shares_a_key(
        order in Just((0..10_usize).collect::<Vec<_>>()).prop_shuffle(),
        email in prop::sample::select(vec!["", "a@example.com", "a@globex.de", "a@umbrella.com", "a@gmail.com"]),
        company in prop::sample::select(vec!["", "Acme", "Acme France", "Globex", "Umbrella One", "Initech", "Zenith"]),
        website in prop::sample::select(vec!["", "northwind.com", "umbrella.com", "acme.fr"]),
        country in prop::sample::select(vec!["", "DE", "FR", "US", "CA"]),
    ) {
        let accounts = directory();
        let shuffled: Vec<_> = order.iter().map(|index| accounts[*index].clone()).collect();
        let fields = lead(email, company, website, country);
        let found = chosen(&fields, &accounts);
        prop_assert_eq!(&found, &chosen(&fields, &shuffled));
        if let Some(id) = found.account {
            let keys = lead_keys(&fields);
            let (_, own) = accounts.iter().find(|(account, _)| account.id == id).unwrap();
            prop_assert!(own.iter().any(|key| keys.contains(key)));
        }
    }
}
