//! Every simulated CRM keeps the same promise to whoever works with any of them.

use serde_json::{Map, Value, json};
use usher_sandbox::{Actor, Change, CrmObject, CrmVendor, Firm, Options, Rep, Sandbox};

/// More than any of them takes at once.
const CALLS: u64 = 250;

fn fields(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
async fn reps_firms_and_people_are_the_same_in_every_crm() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    for vendor in CrmVendor::ALL {
        let crm = sandbox.crm(vendor);
        assert_eq!(crm.vendor(), vendor);
        crm.put_rep(&Rep {
            id: 101,
            first_name: "Ana".to_owned(),
            last_name: "Alves".to_owned(),
            email: "ana@agency.example".to_owned(),
        });
        let address = json!({ "name": "Acme", "website": "acme.example", "street": "Weg 1", "city": "Bonn", "state": "NW",
                              "zip": "53111", "country": "Germany", "phone": "+49 228 1" });
        let firms = [Firm { fields: fields(address), owner: Some(101), at: 1_700_000_000_000 }];
        let ids = crm.put_firms(&firms).unwrap();
        let firm = crm.look(CrmObject::Company, ids[0]).unwrap();
        assert_eq!((firm.owner, firm.text.as_str()), (Some(101), "Acme"), "{vendor}");

        crm.put_fields().unwrap();
        let who = json!({ "first_name": "Jo", "last_name": "Doe", "email": "jo@acme.example", "phone": "+49 228 2",
                          "title": "CEO", "company": "Acme", "country": "Germany" });
        let jo = crm.enter(&fields(who), Actor::Human).unwrap();
        let person = crm.look(CrmObject::Person, jo).unwrap();
        assert_eq!(person.text, "+49 228 2", "{vendor}");
        let persons = crm.persons();
        let email = persons.iter().find(|person| person.id == jo).and_then(|person| person.email.as_deref());
        assert_eq!(email, Some("jo@acme.example"), "{vendor}");
        assert_eq!(crm.number(&jo.to_string()), Some(jo));
        let last = *crm.events(0).last().unwrap();
        let told = (last.crm_object(), last.change, last.actor, last.id);
        assert_eq!(told, (Some(CrmObject::Person), Change::Create, Actor::Human, jo), "{vendor}");
        let summary = crm.summary();
        assert_eq!(summary.objects[vendor.objects(CrmObject::Person)].created_by_others, 1);
        assert_eq!((summary.calls, summary.over_limit), (0, 0));
    }
}

#[tokio::test]
async fn leads_are_entered_with_their_persons_and_all_that_they_told() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let (crm, sim) = (sandbox.crm(CrmVendor::Pipedrive), sandbox.pipedrive());
    crm.put_fields().unwrap();
    let who = json!({ "first_name": "Jo", "email": "jo@acme.example", "company": "Acme" });
    for object in [CrmObject::Lead, CrmObject::Deal] {
        let objects = CrmVendor::Pipedrive.objects(object);
        let number = crm.enter_inquiry(object, &fields(who.clone()), Actor::Form).unwrap();
        let inquiry = sim.read(objects, number).unwrap();
        assert_eq!(inquiry["title"], format!("Jo {object}"));
        let person = sim.read("persons", inquiry["person_id"].as_u64().unwrap()).unwrap();
        assert_eq!(person["emails"][0]["value"], "jo@acme.example");
        let custom = person["custom_fields"].as_object().unwrap();
        assert_eq!(custom.values().filter(|value| *value == "Acme").count(), 1, "{custom:?}");
    }
}

#[tokio::test]
async fn an_inquiry_is_about_whom_was_entered_with_it_in_every_crm() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    for vendor in CrmVendor::ALL {
        let crm = sandbox.crm(vendor);
        crm.put_fields().unwrap();
        for object in [CrmObject::Lead, CrmObject::Deal] {
            let who = json!({ "first_name": "Jo", "email": format!("{object}@acme.example") });
            let made = crm.enter_inquiry(object, &fields(who), Actor::Human).unwrap();
            let inquiry = crm.look(object, made).unwrap();
            let created = crm.events(0).into_iter().filter(|event| event.change == Change::Create);
            let created: Vec<_> = created.map(|event| (event.crm_object(), event.actor, event.id)).collect();
            let [.., (Some(CrmObject::Person), Actor::Human, person), (kind, Actor::Human, id)] = created[..]
            else {
                panic!("{vendor}: {created:?}")
            };
            assert_eq!((kind, id, inquiry.person), (Some(object), made, Some(person)), "{vendor}");
            assert!(inquiry.text.starts_with(&format!("Jo {object}")), "{vendor}: {}", inquiry.text);
            let owned = inquiry.owner.is_some_and(|owner| owner != 0);
            assert_eq!(owned, vendor == CrmVendor::Pipedrive, "there everything is somebody's");
        }
        assert!(crm.enter_inquiry(CrmObject::Task, &Map::new(), Actor::Human).is_err(), "{vendor}");
    }
}

#[tokio::test]
async fn calls_and_refusals_are_counted_alike() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (vendor, path, header, scheme) in [
        (CrmVendor::Hubspot, "/crm/v3/owners", "authorization", "Bearer "),
        (CrmVendor::Pipedrive, "/v1/users", "x-api-token", ""),
    ] {
        let token = format!("{scheme}{}", Options::default().crm_token(vendor));
        let url = format!("{}{path}", sandbox.crm_url(vendor));
        let mut refused = 0;
        for _ in 0..CALLS {
            let answer = client.get(&url).header(header, &token).send().await.unwrap();
            refused += u64::from(matches!(answer.status().as_u16(), 429 | 403));
        }
        let summary = sandbox.crm(vendor).summary();
        assert!(refused > 0, "{vendor}");
        assert_eq!((summary.calls, summary.over_limit), (CALLS, refused), "{vendor}");
    }
}
