//! Who a lead is about, where the CRM knows more than we do.

use usher_connector::CrmPerson;

use super::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn fm_020_another_address_of_a_merged_contact_is_the_same_person() {
    let world = World::new().await;
    world.inquire("ann").await;
    world.decide().await;
    world.deliver().await;
    let contact = world.crm.persons.lock().unwrap()[0].clone();
    // Somebody has merged the contact with one that has another address.
    *world.crm.everybody.lock().unwrap() = Some(CrmPerson { external_id: contact.into(), owner: None });
    world.inquire("anne").await;
    world.decide().await;
    world.deliver().await;
    assert_eq!(world.written().await, 1, "it is the inquiry that is open already");
    let counts = world.engine.store().counts().await.unwrap();
    assert_eq!((counts.records["opened"], counts.records["updated"]), (1, 1));
}
