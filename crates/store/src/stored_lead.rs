//! Leads as both backends read them.

use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};
use usher_model::Lead;

use crate::codec::{close_reason, from_json, id, instant, lead_state, mode};
use crate::fault::Fault;

/// The columns of a [`StoredLead`], for `lead l`; its further columns come after them.
macro_rules! lead_columns {
    () => {
        "l.id, l.person, l.account, l.state, l.close_reason, l.detail, l.mode, l.connection, l.received_at, \
         l.opened_at, l.fields"
    };
}
pub(crate) use lead_columns;

/// How many columns `lead_columns` names.
const WIDTH: usize = 11;

/// A row that starts with `lead_columns`.
pub(crate) struct StoredLead<const FURTHER: usize> {
    pub(crate) id: String,
    /// The lead and the further columns, or why they can not be read.
    pub(crate) read: Result<(Lead, [Option<String>; FURTHER]), Fault>,
}

impl<'r, R: Row, const FURTHER: usize> FromRow<'r, R> for StoredLead<FURTHER>
where
    usize: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    &'r str: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let read = || {
            let account: Option<&str> = row.try_get(2)?;
            let reason: Option<&str> = row.try_get(4)?;
            let connection: &str = row.try_get(7)?;
            let lead = Lead {
                id: id(row.try_get(0)?)?,
                person: id(row.try_get(1)?)?,
                account: account.map(id).transpose()?,
                state: lead_state(row.try_get(3)?)?,
                close_reason: reason.map(close_reason).transpose()?,
                detail: row.try_get(5)?,
                mode: mode(row.try_get(6)?)?,
                connection: connection.into(),
                received_at: instant(row.try_get(8)?)?,
                opened_at: instant(row.try_get(9)?)?,
                fields: from_json("lead", row.try_get(10)?)?,
            };
            let mut further = [const { None }; FURTHER];
            for (at, column) in (WIDTH..).zip(&mut further) {
                *column = row.try_get(at)?;
            }
            Ok((lead, further))
        };
        Ok(Self { id: row.try_get(0)?, read: read() })
    }
}
