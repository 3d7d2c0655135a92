//! Organizations: that of the person, else found by name, where the website does not speak against it, else created; and persons tied to them.

use serde_json::{Value, json};
use usher_connector::{CallLane, Fault, Request, SendFailure, Write, Written};
use usher_model::{EffectBody, ExternalId, SlotOrigin};

use super::{PipedriveTarget, Sent, created, defect, found, known, number, read};
use crate::api::{self, DEALS, LEADS, ORGANIZATIONS, PERSONS};
use crate::find;
use crate::wire::{self, Object};

/// The company of a write.
pub(super) struct Company<'a> {
    name: &'a str,
    domain: Option<&'a str>,
}

impl<'a> Company<'a> {
    pub(super) fn of(item: &'a Write) -> Result<Self, SendFailure> {
        match &item.body {
            EffectBody::EnsureCompany { name, domain, .. } => {
                Ok(Self { name: name.trim(), domain: domain.as_deref() })
            }
            _ => Err(defect("a write of another kind was taken for a company")),
        }
    }

    /// The same name, and no website of another domain.
    pub(super) fn is(&self, organization: &Object) -> bool {
        let same = |text: &str| text.trim().to_lowercase() == self.name.to_lowercase();
        let domain = |text: &str| usher_normalize::domain(text).ok().map(|domain| domain.registrable);
        let theirs = wire::text(organization, "website").and_then(domain);
        let ours = self.domain.and_then(domain);
        wire::text(organization, "name").is_some_and(same)
            && (theirs.is_none() || ours.is_none() || theirs == ours)
    }
}

pub(super) async fn send(target: &PipedriveTarget, item: &Write) -> Sent {
    let company = Company::of(item)?;
    if let EffectBody::EnsureCompany { person, .. } = &item.body {
        let person = read(target, person, CallLane::Write).await?;
        if let Some(id) = wire::refers(&person, "org_id") {
            return Ok(Written::whole(Some(ExternalId::new(id)), SlotOrigin::Found));
        }
    }
    if let Some(organization) = look(target, &company).await? {
        return Ok(found(&organization));
    }
    target.write(request(item)?).await.map(|made| created(&made))
}

/// The oldest that the search shows, else one of those that changed last.
async fn look(target: &PipedriveTarget, company: &Company<'_>) -> Result<Option<Object>, Fault> {
    let http = &*target.http;
    let shown = find::by_search(http, ORGANIZATIONS, "name", company.name, CallLane::Write).await?;
    if let Some(organization) = shown.into_iter().find(|organization| company.is(organization)) {
        return Ok(Some(organization));
    }
    let recent = find::recent(http, ORGANIZATIONS, CallLane::Write).await?;
    Ok(recent.into_iter().find(|organization| company.is(organization)))
}

pub(super) fn request(item: &Write) -> Result<Request, SendFailure> {
    let company = Company::of(item)?;
    let mut body = json!({ "name": company.name });
    if let Some(domain) = company.domain {
        body["website"] = json!(domain);
    }
    Ok(api::create(ORGANIZATIONS, &body)?)
}

/// A person, lead or deal has one organization at most; another one is somebody's choice and stays.
pub(super) async fn associate(target: &PipedriveTarget, item: &Write) -> Sent {
    let EffectBody::Associate { from, to } = &item.body else {
        return Err(defect("a write of another kind was taken for an association"));
    };
    let (object, (_, organization)) = (read(target, from, CallLane::Write).await?, known(to)?);
    match wire::refers(&object, field(known(from)?.0)) {
        Some(present) if present != organization => {
            let note = "left as it is: it belongs to another organization already".to_owned();
            return Ok(Written { note: Some(note), ..Written::whole(None, SlotOrigin::Found) });
        }
        Some(_) => {}
        None => drop(target.write(association(item)?).await?),
    }
    Ok(Written::whole(None, SlotOrigin::Found))
}

pub(super) fn association(item: &Write) -> Result<Request, SendFailure> {
    let EffectBody::Associate { from, to } = &item.body else {
        return Err(defect("a write of another kind was taken for an association"));
    };
    match (known(from)?, known(to)?) {
        ((objects @ (PERSONS | LEADS | DEALS), id), (ORGANIZATIONS, organization)) => {
            let body = json!({ field(objects): Value::from(number(organization)?) });
            Ok(api::change(objects, id, &body)?)
        }
        _ => Err(defect("only a person, lead or deal can belong to an organization")),
    }
}

/// The field that names the organization.
pub(super) fn field(objects: &str) -> &'static str {
    if objects == LEADS { "organization_id" } else { "org_id" }
}
