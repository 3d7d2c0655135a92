//! Organizations: found by name, where the website does not speak against it, else created; and persons tied to them.

use serde_json::{Value, json};
use usher_connector::{CallLane, Fault, Request, SendFailure, Write, Written};
use usher_model::{EffectBody, SlotOrigin};

use super::{PipedriveTarget, Sent, created, defect, found, known, number, read};
use crate::api::{self, ORGANIZATIONS, PERSONS};
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

/// A person has one organization at most; another one is somebody's choice and stays.
pub(super) async fn associate(target: &PipedriveTarget, item: &Write) -> Sent {
    let EffectBody::Associate { from, to } = &item.body else {
        return Err(defect("a write of another kind was taken for an association"));
    };
    let (person, (_, organization)) = (read(target, from, CallLane::Write).await?, known(to)?);
    match wire::refers(&person, "org_id") {
        Some(present) if present != organization => {
            let note = "left as it is: the person belongs to another organization already".to_owned();
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
        ((PERSONS, person), (ORGANIZATIONS, organization)) => {
            Ok(api::change(PERSONS, person, &json!({ "org_id": Value::from(number(organization)?) }))?)
        }
        _ => Err(defect("only a person can belong to an organization")),
    }
}
