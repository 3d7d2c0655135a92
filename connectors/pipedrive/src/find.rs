//! Reads by id, by time and by value. A search proposes, the object itself confirms; what no index shows yet is found
//! among the objects that changed last, which are listed as they are.

use std::collections::HashMap;

use futures::future::try_join_all;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use usher_connector::{CallLane, Fault, FaultClass, Http, Request, Response};

use crate::api::{self, IDS, PERSONS};
use crate::protocol::refusal;
use crate::wire::{self, Next, Object, data, page, repeats};

/// From so many ids on, a list of them costs less than reading each.
const SINGLES: usize = 10;
/// Pages of changes that are looked through before they count as endless: 20,000 objects.
const MOST_PAGES: usize = 40;

#[derive(Deserialize)]
struct Found {
    items: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    item: Item,
}

#[derive(Deserialize)]
struct Item {
    id: u64,
}

/// One object, also a deleted one while it can be read; none if it is gone.
pub(crate) async fn one(
    http: &dyn Http,
    objects: &str,
    id: &str,
    lane: CallLane,
) -> Result<Option<Object>, Fault> {
    if !is_id(id) {
        return Ok(None);
    }
    object(&http.send(api::one(objects, id, lane)).await?)
}

/// The object in an answer that may also say that there is none.
pub(crate) fn object(answer: &Response) -> Result<Option<Object>, Fault> {
    match refusal(answer) {
        Some(refusal) if matches!(answer.status, 404 | 410) || refusal.is_not_found() => Ok(None),
        Some(refusal) => {
            let message = format!("Pipedrive refused to show an object: {}", refusal.words());
            Err(Fault::new(FaultClass::Rejected, message))
        }
        None => data(answer).map(Some),
    }
}

/// One object that lives and that we can change: an archived lead or deal takes no change through the API.
pub(crate) async fn living(
    http: &dyn Http,
    objects: &str,
    id: &str,
    lane: CallLane,
) -> Result<Option<Object>, Fault> {
    Ok(one(http, objects, id, lane).await?.filter(lives))
}

/// Neither deleted nor archived.
pub(crate) fn lives(object: &Object) -> bool {
    !wire::flag(object, "is_deleted") && !wire::flag(object, "is_archived")
}

/// The objects of these ids, in no order; those that are gone are missing or deleted. At most [`IDS`].
pub(crate) async fn several(
    http: &dyn Http,
    objects: &str,
    ids: &[&str],
    lane: CallLane,
) -> Result<Vec<Object>, Fault> {
    let mut found =
        if is_cheaper_listed(objects, ids) { listed(http, objects, ids, lane).await? } else { Vec::new() };
    // A list leaves out what is deleted; read singly it tells who it was.
    let listed = |id: &&str| found.iter().any(|row| wire::id(row).as_deref() == Some(*id));
    let missing: Vec<&str> = ids.iter().copied().filter(|id| !listed(id)).collect();
    let read = try_join_all(missing.into_iter().map(|id| one(http, objects, id, lane))).await?;
    found.extend(read.into_iter().flatten());
    Ok(found)
}

/// The living ones among these objects, in no order. At most [`IDS`].
pub(crate) async fn present(
    http: &dyn Http,
    objects: &str,
    ids: &[&str],
    lane: CallLane,
) -> Result<Vec<Object>, Fault> {
    if is_cheaper_listed(objects, ids) {
        return listed(http, objects, ids, lane).await;
    }
    let read = try_join_all(ids.iter().map(|id| living(http, objects, id, lane))).await?;
    Ok(read.into_iter().flatten().collect())
}

/// Leads can not be listed by id.
fn is_cheaper_listed(objects: &str, ids: &[&str]) -> bool {
    ids.len() >= SINGLES && objects != api::LEADS
}

async fn listed(http: &dyn Http, objects: &str, ids: &[&str], lane: CallLane) -> Result<Vec<Object>, Fault> {
    let asked: Vec<&str> = ids.iter().copied().filter(|id| is_id(id)).take(IDS).collect();
    let page = page(&http.send(api::several(objects, &asked, lane)).await?)?;
    Ok(page.rows.into_iter().filter_map(into_object).collect())
}

/// The living objects of which that field has that whole value by the search, the oldest first, as they are now.
pub(crate) async fn by_search(
    http: &dyn Http,
    objects: &str,
    field: &str,
    value: &str,
    lane: CallLane,
) -> Result<Vec<Object>, Fault> {
    let found: Found = data(&http.send(api::search(objects, field, value, lane)).await?)?;
    let mut ids: Vec<u64> = found.items.into_iter().map(|hit| hit.item.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).take(IDS).collect();
    let mut living = several(http, objects, &ids, lane).await?;
    living.retain(|object| !wire::flag(object, "is_deleted"));
    living.sort_by_key(|object| object.get("id").and_then(Value::as_u64));
    Ok(living)
}

/// The objects that changed last, the newest first: one page.
pub(crate) async fn recent(http: &dyn Http, objects: &str, lane: CallLane) -> Result<Vec<Object>, Fault> {
    let request = api::list(objects, lane).query("sort_by", "update_time").query("sort_direction", "desc");
    let page = page(&http.send(request).await?)?;
    Ok(page.rows.into_iter().filter_map(into_object).collect())
}

/// Every row of a list, whichever version it comes from.
pub(crate) async fn all(http: &dyn Http, request: &Request) -> Result<Vec<Value>, Fault> {
    let (mut rows, mut next): (Vec<Value>, Option<Next>) = (Vec::new(), None);
    for _ in 0..MOST_PAGES {
        let page = page(&http.send(api::behind(request.clone(), next.as_ref())).await?)?;
        rows.extend(page.rows);
        match page.next {
            None => return Ok(rows),
            found if found == next => return Err(repeats()),
            found => next = found,
        }
    }
    let message = format!("Pipedrive lists more than {MOST_PAGES} pages of what belongs to one object");
    Err(Fault::new(FaultClass::Defect, message)
        .advise("look whether a program fills that object in Pipedrive, then `usher failed retry`"))
}

/// The first living object that fits and was made or changed since then. None if there is none: the list is complete.
pub(crate) async fn since(
    http: &dyn Http,
    objects: &str,
    since: Timestamp,
    mut fits: impl FnMut(&Object) -> bool,
) -> Result<Option<Object>, Fault> {
    let request = api::list(objects, CallLane::Verify)
        .query("updated_since", api::second(since))
        .query("sort_by", "update_time")
        .query("sort_direction", "asc");
    let mut cursor: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let answer = http.send(api::after(request.clone(), cursor.as_deref())).await?;
        let page = page(&answer)?;
        if let Some(found) = page.rows.into_iter().filter_map(into_object).find(|row| fits(row)) {
            return Ok(Some(found));
        }
        match page.next {
            None => return Ok(None),
            Some(Next::Cursor(next)) if Some(&next) != cursor.as_ref() => cursor = Some(next),
            Some(_) => return Err(repeats()),
        }
    }
    Err(Fault::new(
        FaultClass::Transient,
        "too much has changed at Pipedrive since to prove that something was not made",
    ))
}

/// Who has these addresses, by address in lower case. A hit is as the person is now; a miss means that neither the index
/// nor the latest changes show anybody.
pub(crate) async fn by_email(
    http: &dyn Http,
    emails: &[String],
    lane: CallLane,
) -> Result<HashMap<String, Object>, Fault> {
    let search = async |email: &String| {
        let found = by_search(http, PERSONS, "email", email, lane).await?;
        let own = found.into_iter().find(|person| has_email(person, email));
        Ok::<_, Fault>(own.map(|person| (email.to_lowercase(), person)))
    };
    let found = try_join_all(emails.iter().map(search)).await?;
    let mut found: HashMap<String, Object> = found.into_iter().flatten().collect();
    let missing: Vec<String> =
        emails.iter().map(|email| email.to_lowercase()).filter(|email| !found.contains_key(email)).collect();
    if !missing.is_empty() {
        let recent = recent(http, PERSONS, lane).await?;
        for email in missing {
            if let Some(person) = recent.iter().find(|person| has_email(person, &email)) {
                found.insert(email, person.clone());
            }
        }
    }
    Ok(found)
}

pub(crate) fn has_email(person: &Object, email: &str) -> bool {
    let email = email.to_lowercase();
    wire::values(person, "emails").iter().any(|own| own.trim().to_lowercase() == email)
}

/// A number, or the UUID of a lead: nothing else may become part of a path.
pub(crate) fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

pub(crate) fn into_object(row: Value) -> Option<Object> {
    match row {
        Value::Object(object) => Some(object),
        _ => None,
    }
}
