//! `usher demo`: simulators and engine on this machine, leads arriving; told on the terminal, or counted with `--json`.
//!
//! This file is the demo's script: the simulated accounts, the people who ask, the files that an admin would write.

mod count;
mod tale;
mod world;

use std::sync::Arc;

use clap::Args;
use serde_json::{Map, Value, json};
use usher_sandbox::{
    Actor, Crm, CrmObject, CrmVendor, Field, Firm, FormSpec, Options, Rep, Sandbox, Submission, TypeformSim,
};

use crate::cli::{Common, Outcome};

/// See the product work against simulators on this machine
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Whose CRM is simulated
    #[arg(long, default_value_t)]
    crm: CrmVendor,
    /// Run so many leads to the end, as fast as it goes, and count
    #[arg(long)]
    leads: Option<usize>,
    /// Seconds between two leads of the told demo
    #[arg(long, default_value_t = 6)]
    pace: u64,
}

pub(crate) async fn run(common: &Common, args: Demo) -> Outcome {
    match args.leads {
        Some(leads) => count::run(args.crm, leads, common.json).await,
        None => tale::run(args.crm, args.pace).await,
    }
}

/// The form that visitors of the agency's site fill in.
const FORM: &str = "demo1";

/// usher.yaml of the demo; `{crm}` and `{form}` are the simulators' addresses, `{vendor}` and `{persons}` the CRM's words.
const SETTINGS: &str = r#"
version: 1
mode: live
store: sqlite://usher.db
connections:
  {vendor}-main:
    connector: {vendor}
    base_url: {crm}
    auth: { token: { file: crm.token } }
    timeout: 5s
    limits: off
    pull: { objects: [{persons}], every: 1s }
  site-form:
    connector: typeform
    base_url: {form}
    form: demo1
    auth: { token: { file: form.token } }
    limits: off
    pull: { every: 1s }
    mapping: site-form.yaml
crm: {vendor}-main
write: { treat_as_unowned: [admin@agency.example], guard: off, settle: 10s }
routing: routing.yaml
"#;

const MAPPING: &str = r#"
version: 1
enroll: { on: every_time }
lead:
  full_name:     { from: answers.name }
  email:         { from: answers.email, clean: email, required: true }
  company:       { from: answers.company }
  country:       { from: answers.country, clean: country }
  service_line:  { from: answers.need, values: { SEO: seo, Paid ads: ppc }, default: other }
  message:       { from: answers.message }
  source_detail: { value: website form }
"#;

const ROUTING: &str = r#"
version: 1
reps:
  ana:   { email: ana@agency.example }
  ben:   { email: ben@agency.example }
  carla: { email: carla@agency.example }
  dora:  { email: dora@agency.example }
pools:
  dach-seo:
    members: { ana: 2, ben: 1 }
    strategy: weighted_round_robin
    if_nobody: { wait: 30m, then: { rep: carla } }
  everyone:
    members: [ana, ben, dora]
    strategy: round_robin
    if_nobody: { wait: 30m, then: { rep: carla } }
rules:
  - name: Customers keep their owner
    when: 'account.owner != null'
    assign: { to: account.owner, if_unavailable: { rep: carla } }
  - name: Students are not our market
    when: 'lead.company == "student"'
    assign: { drop: student }
  - name: SEO in DACH
    when: 'lead.service_line == "seo" && lead.country in ["DE", "AT", "CH"]'
    assign: { pool: dach-seo }
  - name: Everyone else
    when: 'true'
    assign: { pool: everyone }
fallback: { rep: carla }
"#;

/// First name, last name, owner id: who works at the agency.
const TEAM: [(&str, &str, u64); 4] =
    [("Ana", "Alves", 101), ("Ben", "Berg", 102), ("Carla", "Conti", 103), ("Dora", "Dahl", 104)];

/// Name, domain, country, owner id: companies that the CRM knows.
const COMPANIES: [(&str, &str, &str, Option<u64>); 4] = [
    ("Keller Bau GmbH", "keller-bau.example", "Germany", Some(104)),
    ("Northwind Traders Ltd", "northwind.example", "United Kingdom", Some(102)),
    ("Alpenglow AG", "alpenglow.example", "Switzerland", None),
    ("Rossi & Figli S.r.l.", "rossi-figli.example", "Italy", None),
];

/// How somebody gets in touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// Fills in the form.
    Form,
    /// A colleague enters the contact in the CRM.
    Crm,
}

/// Somebody who gets in touch, and what the narrator says about it.
struct Visitor {
    door: Door,
    name: &'static str,
    email: &'static str,
    company: &'static str,
    country: &'static str,
    need: &'static str,
    told: &'static str,
}

const VISITORS: [Visitor; 8] = [
    Visitor {
        door: Door::Form,
        name: "Mia Huber",
        email: "mia.huber@huberundsohn.example",
        company: "Huber & Sohn KG",
        country: "Deutschland",
        need: "SEO",
        told: "A stranger from Germany asks for SEO on the website.",
    },
    Visitor {
        door: Door::Form,
        name: "Jonas Keller",
        email: "jonas@keller-bau.example",
        company: "Keller Bau",
        country: "Germany",
        need: "Paid ads",
        told: "Somebody from a company that is a customer already; Dora owns it.",
    },
    Visitor {
        door: Door::Crm,
        name: "Priya Nair",
        email: "priya@nairlogistics.example",
        company: "Nair Logistics",
        country: "India",
        need: "",
        told: "A colleague types a new contact into the CRM.",
    },
    Visitor {
        door: Door::Form,
        name: "Mia Huber",
        email: "Mia.Huber@HuberUndSohn.example",
        company: "Huber & Sohn KG",
        country: "Germany",
        need: "SEO",
        told: "Mia sends the form again: same person, same inquiry.",
    },
    Visitor {
        door: Door::Form,
        name: "Luca Rossi",
        email: "luca@rossi-figli.example",
        company: "Rossi e Figli",
        country: "Italien",
        need: "Paid ads",
        told: "A known company without an owner.",
    },
    Visitor {
        door: Door::Form,
        name: "Noah Steiner",
        email: "noah.steiner@gmail.com",
        company: "student",
        country: "Austria",
        need: "SEO",
        told: "A student; a rule says not to route these.",
    },
    Visitor {
        door: Door::Form,
        name: "Lea Baumann",
        email: "lea@alpenglow.example",
        company: "Alpenglow AG",
        country: "Schweiz",
        need: "SEO",
        told: "SEO again, from Switzerland: whose turn is it?",
    },
    Visitor {
        door: Door::Form,
        name: "Broken Form",
        email: "not an address",
        company: "",
        country: "",
        need: "SEO",
        told: "Somebody mistypes the address; nothing is lost, it waits in the failed list.",
    },
];

/// The simulators, without the vendors' limits.
fn options() -> Options {
    Options::default().without_limits()
}

/// The files of the installation, by name.
fn files(sandbox: &Sandbox, options: &Options, crm: CrmVendor) -> [(&'static str, String); 5] {
    let settings = SETTINGS
        .replace("{crm}", sandbox.crm_url(crm))
        .replace("{form}", &sandbox.typeform_url)
        .replace("{vendor}", crm.id())
        .replace("{persons}", crm.objects(CrmObject::Person));
    [
        ("usher.yaml", settings.trim_start().to_owned()),
        ("site-form.yaml", MAPPING.trim_start().to_owned()),
        ("routing.yaml", ROUTING.trim_start().to_owned()),
        ("crm.token", options.crm_token(crm).to_owned()),
        ("form.token", options.typeform_token.clone()),
    ]
}

/// The simulated accounts that people turn to.
struct Accounts {
    crm: Arc<dyn Crm>,
    forms: TypeformSim,
}

/// Whether a simulated account took it.
type Taken = Result<(), usher_sandbox::Error>;

impl Accounts {
    fn of(sandbox: &Sandbox, crm: CrmVendor) -> Self {
        Self { crm: sandbox.crm(crm), forms: sandbox.typeform() }
    }

    /// Fills them with the team, its companies and the form.
    fn seed(&self) -> Taken {
        self.forms.define(form());
        for (first, last, id) in TEAM {
            let email = format!("{}@agency.example", first.to_lowercase());
            self.crm.put_rep(&Rep { id, first_name: first.to_owned(), last_name: last.to_owned(), email });
        }
        let firms = COMPANIES.map(|(name, website, country, owner)| Firm {
            fields: object(json!({ "name": name, "website": website, "country": country })),
            owner,
            at: 0,
        });
        self.crm.put_firms(&firms).map(|_| ())
    }

    /// Lets somebody get in touch.
    fn arrive(&self, visitor: &Visitor) -> Taken {
        match visitor.door {
            Door::Form => {
                let answers = json!({ "name": visitor.name, "email": visitor.email, "company": visitor.company, "country": visitor.country, "need": visitor.need });
                self.forms.submit(&submission(answers)).map(|_| ())
            }
            Door::Crm => {
                let (first, last) = visitor.name.split_once(' ').unwrap_or((visitor.name, ""));
                let who = json!({ "first_name": first, "last_name": last, "email": visitor.email, "company": visitor.company, "country": visitor.country });
                self.crm.enter(&object(who), Actor::Human).map(|_| ())
            }
        }
    }

    /// The n-th of many invented people: every other one is entered in the CRM, the rest answer the form.
    fn arrive_numbered(&self, n: usize) -> Taken {
        let (country, need) = (["Germany", "France", "US"][n % 3], ["SEO", "Paid ads"][n / 2 % 2]);
        let (email, company) = (format!("person{n}@company{}.example", n / 3), format!("Company {}", n / 3));
        if n.is_multiple_of(2) {
            let who = json!({ "first_name": format!("Given{n}"), "last_name": format!("Family{n}"), "email": email, "company": company, "country": country });
            return self.crm.enter(&object(who), Actor::Human).map(|_| ());
        }
        let answers = json!({ "name": format!("Given{n} Family{n}"), "email": email, "company": company, "country": country, "need": need });
        self.forms.submit(&submission(answers)).map(|_| ())
    }
}

/// The form's questions.
fn form() -> FormSpec {
    let field = |reference: &str, title: &str, kind: &str| -> Field {
        Field {
            reference: reference.to_owned(),
            title: title.to_owned(),
            field_type: kind.to_owned(),
            id: String::new(),
        }
    };
    FormSpec {
        id: FORM.to_owned(),
        title: "How can we help?".to_owned(),
        fields: vec![
            field("name", "Your name", "short_text"),
            field("email", "Your e-mail", "email"),
            field("company", "Your company", "short_text"),
            field("country", "Your country", "short_text"),
            field("need", "What do you need?", "short_text"),
            field("message", "Anything else?", "long_text"),
        ],
    }
}

fn submission(answers: Value) -> Submission {
    Submission { form: FORM.to_owned(), answers: object(answers), ..Submission::default() }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
