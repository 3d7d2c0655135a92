//! Users and activity types, v1 only and never paged (API-FACTS Pipedrive: Users, Writes).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::{Answer, Call, ok};
use super::errors::Problem;
use super::state::Drive;
use crate::clock::{Millis, iso_seconds};

/// A user of the account; users own records. There is no word on who is available.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipedriveUser {
    /// The number that `owner_id` names.
    pub id: u64,
    /// Full name.
    pub name: String,
    /// E-mail address.
    pub email: String,
    /// False once deactivated: still listed, owns nothing new.
    #[serde(default = "yes")]
    pub active: bool,
    /// True once removed from the account: still listed.
    #[serde(default)]
    pub deleted: bool,
    /// IANA name of the time zone.
    #[serde(default = "berlin")]
    pub timezone: String,
    /// The role.
    #[serde(default = "one")]
    pub role_id: u64,
    /// An administrator of sales and of the account.
    #[serde(default)]
    pub admin: bool,
}

fn yes() -> bool {
    true
}

fn one() -> u64 {
    1
}

fn berlin() -> String {
    "Europe/Berlin".to_owned()
}

/// The older v1 form of a time, `YYYY-MM-DD HH:MM:SS` in UTC (API-FACTS Pipedrive: Time).
pub(crate) fn old_time(at: Millis) -> String {
    iso_seconds(at).replace('T', " ").replace('Z', "")
}

impl PipedriveUser {
    /// Whether records may be given to the user.
    pub(crate) fn can_own(&self) -> bool {
        self.active && !self.deleted
    }

    /// The offset of the zone now, as `+01:00`.
    fn offset(&self, now: Millis) -> String {
        let zone = jiff::tz::TimeZone::get(&self.timezone).unwrap_or(jiff::tz::TimeZone::UTC);
        let at = jiff::Timestamp::from_millisecond(now).unwrap_or_default();
        let minutes = zone.to_offset(at).seconds() / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
    }

    /// v1 document, getUsers.
    fn json(&self, by: u64, now: Millis) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "default_currency": "EUR",
            "locale": "en_US",
            "lang": 1,
            "email": self.email,
            "phone": null,
            "activated": self.active,
            "last_login": old_time(now - 3_600_000),
            "created": "2024-01-08 09:00:00",
            "modified": old_time(now - 86_400_000),
            "has_created_company": self.id == 1,
            "access": [
                {"app": "sales", "admin": self.admin, "permission_set_id": "62cc4d7f-0000-4352-abf3-000000000001"},
                {"app": "global", "admin": self.admin, "permission_set_id": "62cc4d7f-0000-4352-abf3-000000000002"},
            ],
            "active_flag": self.active,
            "timezone_name": self.timezone,
            "timezone_offset": self.offset(now),
            "role_id": self.role_id,
            "icon_url": null,
            "is_you": self.id == by,
            "is_deleted": self.deleted,
        })
    }
}

/// `GET /v1/users`: all of them, gone ones too.
pub(crate) fn list(drive: &mut Drive, call: &Call<'_>) -> Answer {
    let users: Vec<Value> = drive.users.values().map(|user| user.json(call.by.user, call.by.at)).collect();
    ok(&json!({"success": true, "data": users}))
}

/// `GET /v1/users/{id}`.
pub(crate) fn read(drive: &mut Drive, call: &Call<'_>) -> Answer {
    let id: u64 = call.id.parse().map_err(|_| Problem::user_not_found())?;
    let user = drive.users.get(&id).ok_or_else(Problem::user_not_found)?;
    ok(&json!({"success": true, "data": user.json(call.by.user, call.by.at)}))
}

/// `GET /v1/users/me`: the user of the token, with the company.
pub(crate) fn me(drive: &mut Drive, call: &Call<'_>) -> Answer {
    let user = drive.users.get(&call.by.user).ok_or_else(Problem::unauthorized)?;
    let mut data = user.json(call.by.user, call.by.at);
    data["company_id"] = COMPANY.into();
    data["company_name"] = "Sandbox Agency".into();
    data["company_domain"] = COMPANY_DOMAIN.into();
    data["company_country"] = "DE".into();
    data["company_industry"] = "Marketing".into();
    data["language"] = json!({"language_code": "en", "country_code": "US"});
    ok(&json!({"success": true, "data": data}))
}

/// The company's id in webhooks and `users/me`.
pub(crate) const COMPANY: u64 = 6_083_095;
pub(crate) const COMPANY_DOMAIN: &str = "sandbox-agency";

/// An activity type: its key is what `type` of an activity names.
#[derive(Debug, Clone)]
pub(crate) struct ActivityType {
    pub(crate) id: u64,
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) active: bool,
}

impl ActivityType {
    /// What a new account has.
    pub(crate) fn usual() -> Vec<Self> {
        let names = ["Call", "Meeting", "Task", "Deadline", "Email", "Lunch"];
        (1..)
            .zip(names)
            .map(|(id, name)| Self { id, key: name.to_lowercase(), name: name.to_owned(), active: true })
            .collect()
    }

    /// v1 document, getActivityTypes.
    fn json(&self) -> Value {
        let icon = if self.id <= 6 { self.key.as_str() } else { "task" };
        json!({
            "id": self.id,
            "name": self.name,
            "icon_key": icon,
            "color": "FFFFFF",
            "order_nr": self.id,
            "key_string": self.key,
            "active_flag": self.active,
            "is_custom_flag": self.id > 6,
            "add_time": "2024-01-08 09:00:00",
            "update_time": "2024-01-08 09:00:00",
        })
    }
}

/// `GET /v1/activityTypes`, switched-off ones too.
pub(crate) fn activity_types(drive: &mut Drive, _call: &Call<'_>) -> Answer {
    let types: Vec<Value> = drive.activity_types.iter().map(ActivityType::json).collect();
    ok(&json!({"success": true, "data": types}))
}
