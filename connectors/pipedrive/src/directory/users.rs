//! Users, gone ones too. Pipedrive keeps nobody's hours, but everybody's time zone.

use serde::Deserialize;
use usher_connector::{Fault, Http};
use usher_model::{CrmOwner, ExternalId, OwnerAvailability};

use crate::api;
use crate::wire::data;

#[derive(Deserialize)]
struct User {
    id: u64,
    name: String,
    email: String,
    active_flag: bool,
    #[serde(default)]
    is_deleted: bool,
    #[serde(default)]
    timezone_name: Option<String>,
}

pub(super) async fn read(http: &dyn Http) -> Result<Vec<CrmOwner>, Fault> {
    let users: Vec<User> = data(&http.send(api::users()).await?)?;
    Ok(users.into_iter().map(owner).collect())
}

fn owner(user: User) -> CrmOwner {
    let availability = OwnerAvailability { time_zone: user.timezone_name, ..OwnerAvailability::default() };
    CrmOwner {
        id: ExternalId::new(user.id.to_string()),
        email: user.email.trim().to_lowercase(),
        name: user.name,
        active: user.active_flag && !user.is_deleted,
        availability: availability.time_zone.is_some().then_some(availability),
    }
}
