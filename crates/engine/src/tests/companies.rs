//! Companies that the CRM lacks.

use serde_json::json;
use usher_connector::CrmAccount;
use usher_model::EffectKind::{Associate, CreateTask, EnsureCompany};
use usher_model::{EffectBody, ObjectRef, SlotKind};

use super::world::{Crm, World};

/// A CRM that knows this company, and gets those that it lacks.
async fn world(known: Option<(&str, &str)>) -> World {
    let crm = Crm::default();
    *crm.lacks_companies.lock().unwrap() = true;
    crm.companies.lock().unwrap().extend(known.map(|(name, website)| company("a1", name, website)));
    World::also_owned(SlotKind::Deal, crm, &[]).await
}

fn company(id: &str, name: &str, website: &str) -> CrmAccount {
    CrmAccount {
        external_id: id.into(),
        name: name.to_owned(),
        websites: vec![website.to_owned()],
        owner: None,
        country: None,
        gone: false,
    }
}

async fn ask(world: &World, email: &str, company: &str) {
    let lead = json!({ "full_name": "Ann", "email": email, "company": company });
    let payload = serde_json::value::to_raw_value(&lead).unwrap();
    world.engine.add_lead(payload, None).await.unwrap().unwrap();
    world.decide().await;
    world.deliver().await;
}

/// The names and domains of what was made.
fn made(world: &World) -> Vec<(String, Option<String>)> {
    let made = world.crm.did(EnsureCompany).into_iter().map(|write| match write.body {
        EffectBody::EnsureCompany { name, domain, .. } => (name, domain),
        other => panic!("{other:?}"),
    });
    made.collect()
}

fn tied_to(world: &World, company: &str) -> Vec<SlotKind> {
    let ties = world.crm.did(Associate).into_iter().filter_map(|write| match write.body {
        EffectBody::Associate { from: ObjectRef::Id { kind, .. }, to: ObjectRef::Id { id, .. } } => {
            (id.as_str() == company).then_some(kind)
        }
        other => panic!("{other:?}"),
    });
    ties.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_is_made_once_for_its_people_and_their_tasks_do_not_wait_for_it() {
    let world = world(None).await;
    ask(&world, "ann@acme.example", "").await;
    ask(&world, "bob@acme.example", "Acme GmbH").await;
    assert_eq!(world.crm.did(CreateTask).len(), 2);
    assert_eq!((made(&world), world.written().await), (vec![], 0), "the CRM may make one by itself");
    world.clock.advance(90);
    world.deliver().await;
    assert_eq!(made(&world), [("acme.example".to_owned(), Some("acme.example".to_owned()))]);
    let id = world.crm.did(EnsureCompany)[0].key.to_string();
    use SlotKind::{Deal, Person};
    let mut tied = tied_to(&world, &id);
    tied.sort();
    assert_eq!(tied, [Person, Person, Deal, Deal]);
    assert_eq!(world.written().await, 2);
    // It comes back as an account, under whatever name, and later records match it.
    world.crm.companies.lock().unwrap().push(company(&id, "Acme Inc", "acme.example"));
    world.engine.refresh().await.unwrap();
    ask(&world, "eva@acme.example", "").await;
    assert!(world.story().await.lead.account.is_some());
    assert_eq!((made(&world).len(), tied_to(&world, &id).len()), (1, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_doubt_no_company_is_made() {
    for (known, email, company) in [
        (None, "ann@gmail.com", "Acme"),
        (Some(("Acme", "acme.example")), "ann@acme.example", "Acme"),
        // Another name at that domain, and another domain of that name, in another country.
        (Some(("Acme", "acme.example")), "ann@acme.example", "Zeta Partners"),
        (Some(("Acme", "acme.de")), "ann@acme.fr", "Acme"),
    ] {
        let world = world(known).await;
        ask(&world, email, company).await;
        world.clock.advance(90);
        world.deliver().await;
        assert_eq!(made(&world), [], "{known:?} {email} {company}");
        assert_eq!(world.written().await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_052_a_company_that_somebody_deleted_is_not_made_again() {
    let world = world(None).await;
    ask(&world, "ann@acme.example", "").await;
    world.clock.advance(90);
    world.deliver().await;
    let id = world.crm.did(EnsureCompany)[0].key.to_string();
    let gone = CrmAccount { gone: true, ..company(&id, "Acme", "acme.example") };
    world.crm.companies.lock().unwrap().push(gone);
    world.engine.refresh().await.unwrap();
    ask(&world, "bob@acme.example", "").await;
    world.clock.advance(90);
    world.deliver().await;
    assert_eq!((made(&world).len(), tied_to(&world, &id).len()), (1, 2));
    assert_eq!(world.written().await, 2);
}
