//! Leads mapped per second on one core: `cargo run --release -p usher-mapping --example throughput`.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use usher_document::{Diagnostics, SourceFile};
use usher_mapping::{Mapped, Mapping};

const MAPPING: &str = r#"
version: 1
enroll: { on: becomes_true, when: 'lead.email != null' }
lead:
  email: { from: properties.email, clean: email, required: true }
  first_name: { from: properties.firstname, clean: text }
  last_name: { from: properties.lastname, clean: text }
  phone: { from: properties.phone, clean: { phone: { region: DE } } }
  company: { from: properties.company, clean: company }
  website: { from: properties.website, clean: domain }
  country: { from: properties.country, clean: country }
  city: { from: properties.city }
  title: { from: properties.jobtitle }
  lifecycle: { from: properties.lifecyclestage, values: { lead: lead, marketingqualifiedlead: mql } }
  budget: { from: properties.budget, clean: number }
  source: { value: crm }
keep: [properties.utm_source, properties.utm_campaign]
reject:
  - { when: 'record.properties.test == "1"', reason: test }
"#;

const LEADS: u32 = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mapping =
        Mapping::load(&SourceFile::new("m.yaml", MAPPING), &Diagnostics::default()).ok_or("wrong file")?;
    let payload = |index: u32, phone: &str| {
        format!(
            r#"{{"id": "{index}", "properties": {{"email": "Ana.{index}@Acme{index}.example.com", "firstname": "Ana",
            "lastname": "Müller", "phone": "{phone}", "company": "Acme {index} GmbH & Co. KG", "website":
            "https://www.acme{index}.com/about?x=1", "country": "Germany", "city": "Berlin", "jobtitle": "CEO",
            "lifecyclestage": "lead", "budget": "20,000", "utm_source": "ads", "utm_campaign": "autumn"}}}}"#
        )
    };
    for (what, phone) in [("with a phone number", true), ("without", false)] {
        let payloads: Vec<String> = (0..LEADS)
            .map(|index| {
                payload(index, &if phone { format!("030 {}", 1_000_000 + index) } else { String::new() })
            })
            .collect();
        let _ = mapping.map(&payloads[0]);
        let start = Instant::now();
        let leads = payloads.iter().filter(|one| matches!(mapping.map(one), Mapped::Lead { .. })).count();
        let seconds = start.elapsed().as_secs_f64();
        println!("{what}: {leads} leads in {seconds:.2} s, {:.0} a second", f64::from(LEADS) / seconds);
    }
    Ok(())
}
