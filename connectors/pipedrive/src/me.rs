//! The user of the token. Everything at Pipedrive has an owner; what nobody gave to anybody belongs to whoever made it, so
//! what that user owns counts as owned by nobody.

use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use usher_connector::{CallLane, Fault, Http};

use crate::api;
use crate::wire::data;

#[derive(Debug, Default)]
pub(crate) struct Me {
    id: Mutex<Option<u64>>,
}

#[derive(Deserialize)]
struct User {
    id: u64,
}

impl Me {
    /// The id, asked for once.
    pub(crate) async fn id(&self, http: &dyn Http, lane: CallLane) -> Result<u64, Fault> {
        if let Some(id) = self.known() {
            return Ok(id);
        }
        let user: User = data(&http.send(api::me(lane)).await?)?;
        *self.id.lock().unwrap_or_else(PoisonError::into_inner) = Some(user.id);
        Ok(user.id)
    }

    /// The id, if it was asked for.
    pub(crate) fn known(&self) -> Option<u64> {
        *self.id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
