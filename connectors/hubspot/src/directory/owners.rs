//! Owners, archived ones too, and their availability from the users object.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Deserialize;
use usher_connector::{CallLane, Fault, FaultClass, Http, Shape};
use usher_model::{CrmOwner, ExternalId, OutOfOffice, OwnerAvailability, WeeklyHours};

use crate::api::{self, USERS, VERSION};
use crate::source::{page, repeats};
use crate::wire::Object;

/// Pages that a list of people may have before it counts as endless.
const MOST_PAGES: usize = 1_000;
const USER_PROPERTIES: &str = "hs_internal_user_id,hs_email,hs_availability_status,hs_out_of_office_hours,\
                               hs_working_hours,hs_standard_time_zone";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Owner {
    id: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    first_name: Option<String>,
    #[serde(default)]
    last_name: Option<String>,
    #[serde(default)]
    user_id: Option<u64>,
    #[serde(default)]
    archived: bool,
}

/// Every owner. Owners and users have ids of their own; the user's id in the account joins them.
pub(super) async fn read(http: &dyn Http, availability: bool) -> Result<Vec<CrmOwner>, Fault> {
    let mut owners: Vec<Owner> = Vec::new();
    for archived in ["false", "true"] {
        let path = format!("/crm/owners/{VERSION}");
        owners.extend(list(http, &path, &[("archived", archived)]).await?.into_iter().map(
            |mut owner: Owner| {
                owner.archived |= archived == "true";
                owner
            },
        ));
    }
    let users: Vec<Object> = if availability {
        list(http, &api::objects(USERS), &[("properties", USER_PROPERTIES)]).await.map_err(advise)?
    } else {
        Vec::new()
    };
    let by_key: HashMap<String, &Object> = users
        .iter()
        .flat_map(|user| {
            let email = user.get("hs_email").map(str::to_lowercase);
            user.get("hs_internal_user_id")
                .map(str::to_owned)
                .into_iter()
                .chain(email)
                .map(move |key| (key, user))
        })
        .collect();
    Ok(owners.into_iter().map(|owner| crm_owner(owner, &by_key)).collect())
}

/// Reads a list to its end; only a well-formed last page ends it.
async fn list<T: for<'de> Deserialize<'de>>(
    http: &dyn Http,
    path: &str,
    query: &[(&str, &str)],
) -> Result<Vec<T>, Fault> {
    let mut rows = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let request = api::list(path.to_owned(), after.as_deref(), CallLane::Refresh);
        let request = query.iter().fold(request, |request, (name, value)| request.query(*name, *value));
        let answer = http.send(request).await?;
        let page = page(&answer)?;
        for raw in &page.results {
            rows.push(serde_json::from_str(raw.get()).map_err(|error| {
                Fault::new(FaultClass::Transient, "a row in HubSpot's list has an unexpected shape")
                    .because(Shape::from(error))
            })?);
        }
        match page.after() {
            None => return Ok(rows),
            Some(next) if Some(next) == after.as_deref() => break,
            Some(next) => after = Some(next.to_owned()),
        }
    }
    Err(repeats())
}

fn advise(fault: Fault) -> Fault {
    match fault.class() {
        FaultClass::Misconfigured => {
            let message = format!("working hours and absences can not be read: {}", fault.message());
            Fault::new(FaultClass::Misconfigured, message).because(fault).advise(
                "add the scope crm.objects.users.read in HubSpot, or set `availability: false` to route without them",
            )
        }
        _ => fault,
    }
}

fn crm_owner(owner: Owner, users: &HashMap<String, &Object>) -> CrmOwner {
    let email = owner.email.unwrap_or_default().to_lowercase();
    let user = owner.user_id.and_then(|id| users.get(&id.to_string())).or_else(|| users.get(&email));
    let parts: Vec<String> = [owner.first_name, owner.last_name].into_iter().flatten().collect();
    let name = parts.join(" ").trim().to_owned();
    CrmOwner {
        id: ExternalId::new(owner.id),
        name: if name.is_empty() { email.clone() } else { name },
        email,
        active: !owner.archived,
        availability: user.map(|user| availability(user)),
    }
}

fn availability(user: &Object) -> OwnerAvailability {
    OwnerAvailability {
        away: user.get("hs_availability_status") == Some("away"),
        time_zone: user.get("hs_standard_time_zone").map(str::to_owned),
        out_of_office: embedded(user, "hs_out_of_office_hours").iter().filter_map(absence).collect(),
        hours: embedded(user, "hs_working_hours").iter().filter_map(block).collect(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Absence {
    start_timestamp: i64,
    end_timestamp: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    days: String,
    start_minute: u16,
    end_minute: u16,
}

/// A property that holds a list as JSON text.
fn embedded<T: for<'de> Deserialize<'de>>(user: &Object, property: &str) -> Vec<T> {
    user.get(property).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn absence(absence: &Absence) -> Option<OutOfOffice> {
    let from = Timestamp::from_millisecond(absence.start_timestamp).ok()?;
    let until = Timestamp::from_millisecond(absence.end_timestamp).ok()?;
    (from < until).then_some(OutOfOffice { from, until })
}

fn block(block: &Block) -> Option<WeeklyHours> {
    let days = match block.days.as_str() {
        "MONDAY" => vec![1],
        "TUESDAY" => vec![2],
        "WEDNESDAY" => vec![3],
        "THURSDAY" => vec![4],
        "FRIDAY" => vec![5],
        "SATURDAY" => vec![6],
        "SUNDAY" => vec![7],
        "MONDAY_TO_FRIDAY" => vec![1, 2, 3, 4, 5],
        "SATURDAY_SUNDAY" => vec![6, 7],
        "EVERY_DAY" => vec![1, 2, 3, 4, 5, 6, 7],
        _ => return None,
    };
    Some(WeeklyHours { days, start_minute: block.start_minute, end_minute: block.end_minute })
}
