//! Owners: who records can belong to, including those who left.
//!
//! API-FACTS HubSpot: Owners; HubSpot docs "Owners": an archived owner keeps its id, `userId` becomes null
//! and `userIdIncludingInactive` keeps the number.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::{Call, Reply, page_size};
use super::errors::ApiError;
use super::state::Hub;
use crate::clock::{Millis, iso};

/// A team of an owner.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Team {
    /// The team's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it is the owner's main team.
    #[serde(default)]
    pub primary: bool,
}

/// An owner as seeded.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// The owner id, what `hubspot_owner_id` holds.
    pub id: u64,
    /// The e-mail address.
    pub email: String,
    /// First name.
    #[serde(default)]
    pub first_name: String,
    /// Last name.
    #[serde(default)]
    pub last_name: String,
    /// The user id, another number than the owner id.
    #[serde(default)]
    pub user_id: Option<u64>,
    /// Left the account: cannot be set as an owner any more.
    #[serde(default)]
    pub archived: bool,
    /// The owner's teams.
    #[serde(default)]
    pub teams: Vec<Team>,
    /// When it was made, epoch milliseconds.
    #[serde(default)]
    pub created_at: Millis,
    /// When it last changed, epoch milliseconds.
    #[serde(default)]
    pub updated_at: Millis,
}

impl Owner {
    fn json(&self) -> Value {
        let user = self.user_id.unwrap_or(self.id + 1_000_000);
        let mut value = json!({
            "id": self.id.to_string(),
            "email": self.email,
            "type": "PERSON",
            "firstName": self.first_name,
            "lastName": self.last_name,
            "userId": if self.archived { Value::Null } else { user.into() },
            "userIdIncludingInactive": user,
            "createdAt": iso(self.created_at),
            "updatedAt": iso(self.updated_at),
            "archived": self.archived,
        });
        if !self.teams.is_empty() {
            value["teams"] = json!(self.teams);
        }
        value
    }
}

impl Hub {
    /// The owners to whom records can be given.
    pub(crate) fn active_owners(&self) -> Vec<u64> {
        self.owners.values().filter(|owner| !owner.archived).map(|owner| owner.id).collect()
    }
}

/// `GET /crm/v3/owners` and its dated twin.
pub(crate) fn list(hub: &Hub, call: &Call<'_>) -> Result<Reply, ApiError> {
    // The default is 100, the most is 500 (HubSpot docs: Owners).
    let limit = page_size(call, 100, 500)?;
    let archived = call.flag("archived");
    let after = match call.query("after") {
        None => 0,
        Some(text) => {
            text.parse().map_err(|_| ApiError::validation(format!("Invalid paging cursor: {text}")))?
        }
    };
    let email = call.query("email").map(str::to_lowercase);
    let rows: Vec<&Owner> = hub
        .owners
        .range(after..)
        .map(|(_, owner)| owner)
        .filter(|owner| owner.archived == archived)
        .filter(|owner| email.as_ref().is_none_or(|wanted| owner.email.to_lowercase() == *wanted))
        .take(limit + 1)
        .collect();
    let mut body = json!({"results": rows.iter().take(limit).map(|owner| owner.json()).collect::<Vec<_>>()});
    if let Some(next) = rows.get(limit) {
        body["paging"] = json!({"next": {"after": next.id.to_string(),
            "link": format!("?limit={limit}&after={}", next.id)}});
    }
    Ok(Reply::json(200, &body))
}

/// `GET /crm/v3/owners/{id}`.
pub(crate) fn read(hub: &Hub, call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let archived = call.flag("archived");
    let by_user = call.query("idProperty") == Some("userId");
    let number: u64 = id.parse().map_err(|_| ApiError::not_found(id))?;
    let found = if by_user {
        hub.owners.values().find(|owner| owner.user_id == Some(number))
    } else {
        hub.owners.get(&number)
    };
    match found.filter(|owner| owner.archived == archived) {
        Some(owner) => Ok(Reply::json(200, &owner.json())),
        None => Err(ApiError::not_found(id)),
    }
}
