//! The world of a field run: who works at the agency, which companies the CRM knows, how people get in touch.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use usher_sandbox::{Actor, Crm, CrmObject, Field, Firm, FormSpec, Rep, Submission, TypeformSim};
use usher_testkit::invariants::Came;

use crate::data::{Company, Inquirer};

/// Reps who can own leads.
pub(crate) const REPS: u64 = 20;
/// The owner ids of the reps start here.
const FIRST_OWNER: u64 = 101;
/// Of five companies so many have an owner.
const OWNED_OF_FIVE: usize = 2;
/// The form whose webhook calls us.
pub(crate) const HOOKED_FORM: &str = "hooked1";
/// The form that is only polled.
pub(crate) const POLLED_FORM: &str = "polled1";
/// When companies were last changed, epoch milliseconds: a CRM in use has not changed all of them a minute ago.
const LONG_AGO: i64 = 1_700_000_000_000;
/// What the forms ask and the shipped mapping understands, with the kind of question.
const QUESTIONS: [(&str, &str); 8] = [
    ("first_name", "short_text"),
    ("last_name", "short_text"),
    ("email", "email"),
    ("phone", "phone_number"),
    ("title", "short_text"),
    ("company", "short_text"),
    ("website", "short_text"),
    ("country", "short_text"),
];

fn rep_mail(n: u64) -> String {
    format!("rep{n}@agency.example")
}

/// routing.yaml: owned accounts first, then pools by country, then everybody in turn.
pub(crate) fn routing() -> String {
    let mut text = "version: 1\nreps:\n".to_owned();
    for n in 1..=REPS {
        let _ = writeln!(text, "  rep{n}: {{ email: {} }}", rep_mail(n));
    }
    let members = |range: std::ops::RangeInclusive<u64>| {
        range.map(|n| format!("rep{n}")).collect::<Vec<_>>().join(", ")
    };
    text.push_str("pools:\n");
    for (name, range) in [("americas", 1..=6), ("asia", 7..=12), ("europe", 13..=18), ("everyone", 1..=REPS)]
    {
        let members = members(range);
        let _ = writeln!(
            text,
            "  {name}:\n    members: [{members}]\n    strategy: round_robin\n    if_nobody: {{ wait: 30m, then: {{ rep: rep20 }} }}"
        );
    }
    text.push_str(
        r#"rules:
  - name: Customers keep their owner
    when: 'account.owner != null'
    assign: { to: account.owner, if_unavailable: { pool: everyone } }
  - name: Americas
    when: 'lead.country in ["US", "CA", "MX", "BR"]'
    assign: { pool: americas }
  - name: Asia
    when: 'lead.country in ["IN", "CN", "JP", "SG", "HK"]'
    assign: { pool: asia }
  - name: Europe
    when: 'lead.country in ["GB", "DE", "FR", "NL", "AT", "CH", "IT", "ES"]'
    assign: { pool: europe }
  - name: Everybody else
    when: 'true'
    assign: { pool: everyone }
fallback: { rep: rep20 }
"#,
    );
    text
}

/// Fills the simulated CRM and lets it keep all that people tell. Returns the CRM's ids of the companies, in their order.
pub(crate) fn seed(crm: &dyn Crm, companies: &[Company]) -> anyhow::Result<Vec<u64>> {
    for n in 0..REPS {
        crm.put_rep(&Rep {
            id: FIRST_OWNER + n,
            email: rep_mail(n + 1),
            first_name: format!("Rep{}", n + 1),
            last_name: "Agency".to_owned(),
        });
    }
    crm.put_fields()?;
    let firm = |(n, company): (usize, &Company)| {
        let fields = set(&[
            ("name", &company.name),
            ("website", &company.website),
            ("phone", &company.phone),
            ("street", &company.street),
            ("city", &company.city),
            ("state", &company.state),
            ("zip", &company.zip),
            ("country", &company.country),
        ]);
        let owner = (n % 5 < OWNED_OF_FIVE).then(|| FIRST_OWNER + (n as u64 / 5) % REPS);
        Firm { fields, owner, at: LONG_AGO + n as i64 }
    };
    let firms: Vec<Firm> = companies.iter().enumerate().map(firm).collect();
    Ok(crm.put_firms(&firms)?)
}

fn set(pairs: &[(&str, &String)]) -> Map<String, Value> {
    let given = pairs.iter().filter(|(_, value)| !value.is_empty());
    given.map(|(name, value)| ((*name).to_owned(), Value::from((*value).clone()))).collect()
}

/// All that somebody may tell.
fn told(who: &Inquirer) -> Map<String, Value> {
    set(&[
        ("first_name", &who.first_name),
        ("last_name", &who.last_name),
        ("email", &who.email),
        ("phone", &who.phone),
        ("title", &who.title),
        ("company", &who.company),
        ("website", &who.website),
        ("street", &who.street),
        ("city", &who.city),
        ("state", &who.state),
        ("zip", &who.zip),
        ("country", &who.country),
    ])
}

/// The forms that people find.
pub(crate) fn form(id: &str) -> FormSpec {
    let field = |(reference, kind): (&str, &str)| Field {
        id: String::new(),
        reference: reference.to_owned(),
        field_type: kind.to_owned(),
        title: reference.to_owned(),
    };
    FormSpec { id: id.to_owned(), title: "How can we help?".to_owned(), fields: QUESTIONS.map(field).into() }
}

/// How many of so many people come by which door, see [`arrive`].
pub(crate) fn came(people: usize) -> Came {
    Came { entered: people.div_ceil(2), answers: people / 2 }
}

/// Through which door the n-th person comes: every other one is a person, or a lead or deal with its person, that somebody
/// enters in the CRM or that the CRM's own form makes; of the rest, half answer the hooked form and half the polled one.
pub(crate) fn arrive(
    (crm, object): (&dyn Crm, CrmObject),
    forms: &TypeformSim,
    n: usize,
    who: &Inquirer,
) -> anyhow::Result<()> {
    match n % 4 {
        0 => enter(crm, object, who, Actor::Human),
        2 => enter(crm, object, who, Actor::Form),
        1 => answer(forms, who, HOOKED_FORM),
        _ => answer(forms, who, POLLED_FORM),
    }
}

pub(crate) fn enter(crm: &dyn Crm, object: CrmObject, who: &Inquirer, actor: Actor) -> anyhow::Result<()> {
    match object {
        CrmObject::Person => crm.enter(&told(who), actor)?,
        inquiry => crm.enter_inquiry(inquiry, &told(who), actor)?,
    };
    Ok(())
}

pub(crate) fn answer(forms: &TypeformSim, who: &Inquirer, form: &str) -> anyhow::Result<()> {
    let mut answers = told(who);
    answers.retain(|asked, _| QUESTIONS.iter().any(|(question, _)| question == asked));
    forms.submit(&Submission { form: form.to_owned(), answers, ..Submission::default() })?;
    Ok(())
}
