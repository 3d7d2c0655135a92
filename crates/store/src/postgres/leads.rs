//! Reading rows of leads.

use sqlx::Row;
use sqlx::postgres::PgRow;
use usher_model::Lead;

use crate::codec::{close_reason, from_json, id, instant, lead_state, mode};
use crate::fault::Fault;

/// The columns of [`lead`], for `lead l`; further columns of a query start at [`LEAD_WIDTH`].
macro_rules! lead_columns {
    () => {
        "l.id, l.person, l.account, l.state, l.close_reason, l.detail, l.mode, l.connection, l.received_at, \
         l.opened_at, l.fields"
    };
}
pub(super) use lead_columns;

/// How many columns [`lead`] reads.
pub(super) const LEAD_WIDTH: usize = 11;

/// The lead in a row that starts with [`lead_columns`].
pub(super) fn lead(row: &PgRow) -> Result<Lead, Fault> {
    let account: Option<&str> = row.try_get(2)?;
    let reason: Option<&str> = row.try_get(4)?;
    Ok(Lead {
        id: id(row.try_get(0)?)?,
        person: id(row.try_get(1)?)?,
        account: account.map(id).transpose()?,
        state: lead_state(row.try_get(3)?)?,
        close_reason: reason.map(close_reason).transpose()?,
        detail: row.try_get(5)?,
        mode: mode(row.try_get(6)?)?,
        connection: row.try_get::<&str, _>(7)?.into(),
        received_at: instant(row.try_get(8)?)?,
        opened_at: instant(row.try_get(9)?)?,
        fields: from_json("lead", row.try_get(10)?)?,
    })
}
