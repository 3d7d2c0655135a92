//! Contacts by e-mail, read by key: a strong read, unlike a search.

use std::collections::{BTreeSet, HashMap};

use usher_connector::{CallLane, CrmPerson, Fault, Http};
use usher_model::ExternalId;

use crate::api::{self, BATCH, CONTACTS};
use crate::source::unread;
use crate::wire::{Object, Objects};

/// Who has these addresses, by address in lower case. A secondary address finds its contact too.
pub(crate) async fn by_email<'a>(
    http: &dyn Http,
    emails: impl Iterator<Item = &'a str>,
    lane: CallLane,
) -> Result<HashMap<String, CrmPerson>, Fault> {
    // One address twice would be refused as a duplicate input.
    let emails: BTreeSet<String> = emails.map(str::to_lowercase).collect();
    let emails: Vec<&str> = emails.iter().map(String::as_str).collect();
    let mut known = HashMap::new();
    for asked in emails.chunks(BATCH) {
        let properties = ["email", "hs_additional_emails", "hubspot_owner_id"];
        let request = api::read(CONTACTS, asked.iter().copied(), Some("email"), &properties, lane)?;
        let answer: Objects = http.send(request).await?.json()?;
        if let Some(error) = answer.errors.iter().find(|error| !error.is_not_found()) {
            return Err(unread(error));
        }
        for contact in answer.results.iter().filter(|contact| !contact.archived) {
            let (external_id, owner) = (ExternalId::new(contact.id.as_str()), contact.owner()?);
            let person = CrmPerson { external_id, owner };
            for email in addresses(contact) {
                known.insert(email, person.clone());
            }
        }
    }
    Ok(known)
}

fn addresses(contact: &Object) -> Vec<String> {
    let secondary = contact.get("hs_additional_emails").unwrap_or_default().split(';');
    let all = contact.get("email").into_iter().chain(secondary);
    all.map(|email| email.trim().to_lowercase()).filter(|email| !email.is_empty()).collect()
}
