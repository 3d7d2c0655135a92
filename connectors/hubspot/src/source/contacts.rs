//! The contacts of leads and deals: without them nobody knows who asks. Strong reads, two calls for a hundred.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use usher_connector::{CallLane, Fault, FaultClass};

use super::{HubSpotSource, PROPERTIES, Row, Rows, page, unread};
use crate::api::{self, BATCH, CONTACTS};
use crate::wire::{AssociationRow, Associations};

/// Where the payload of a lead or deal has its contact.
const CONTACT: &str = "contact";

impl HubSpotSource {
    /// Puts the first contact of each lead or deal into its payload; contacts stay as they are.
    pub(super) async fn with_contacts(&self, mut rows: Rows, lane: CallLane) -> Result<Rows, Fault> {
        if self.pulled.object == CONTACTS || rows.records.is_empty() {
            return Ok(rows);
        }
        let ids: BTreeSet<&str> = rows.records.iter().map(|record| record.external_id.as_str()).collect();
        let tied = self.tied(ids, lane).await?;
        let contacts = self.contacts(tied.values().map(String::as_str).collect(), lane).await?;
        for record in &mut rows.records {
            let contact =
                tied.get(record.external_id.as_str()).and_then(|id| contacts.get(id)).map(AsRef::as_ref);
            record.payload = with_contact(&record.payload, contact).map_err(|error| {
                Fault::new(FaultClass::Defect, "a payload has no JSON form").because(error)
            })?;
        }
        Ok(rows)
    }

    /// The first contact of each.
    async fn tied(&self, ids: BTreeSet<&str>, lane: CallLane) -> Result<HashMap<String, String>, Fault> {
        let request = api::read_many_associations(self.pulled.object, ids, CONTACTS, lane)?;
        let answer: Associations = self.http.send(request).await?.json()?;
        let serious = answer.errors.iter().find(|error| !error.is_not_found() && !error.is_no_association());
        if let Some(error) = serious {
            return Err(unread(error));
        }
        let first = |row: AssociationRow| Some((row.from?.id, row.to.into_iter().next()?.id));
        Ok(answer.results.into_iter().filter_map(first).collect())
    }

    /// The contacts of these ids that live, as they came.
    async fn contacts(
        &self,
        ids: BTreeSet<&str>,
        lane: CallLane,
    ) -> Result<HashMap<String, Box<RawValue>>, Fault> {
        let ids: Vec<&str> = ids.into_iter().collect();
        let mut found = HashMap::with_capacity(ids.len());
        for ids in ids.chunks(BATCH) {
            let request = api::read(CONTACTS, ids.iter().copied(), None, &self.with_extra(PROPERTIES), lane)?;
            let answer = self.http.send(request).await?;
            let page = page(&answer)?;
            if let Some(error) = page.errors.iter().find(|error| !error.is_not_found()) {
                return Err(unread(error));
            }
            for raw in &page.results {
                if let Ok(row) = serde_json::from_str::<Row<'_>>(raw.get())
                    && !row.archived
                {
                    found.insert(row.id.as_str().to_owned(), (*raw).to_owned());
                }
            }
        }
        Ok(found)
    }
}

fn with_contact(payload: &RawValue, contact: Option<&RawValue>) -> Result<Box<RawValue>, serde_json::Error> {
    let mut whole: Value = serde_json::from_str(payload.get())?;
    let contact = contact.map_or(Ok(Value::Null), |contact| serde_json::from_str(contact.get()))?;
    if let Some(object) = whole.as_object_mut() {
        object.insert(CONTACT.to_owned(), contact);
    }
    to_raw_value(&whole)
}
