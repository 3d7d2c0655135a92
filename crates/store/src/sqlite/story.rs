//! One lead's story: what it was made from, how it was decided, what was written.

use sqlx::SqliteConnection;
use usher_model::LeadId;

use super::fault::Fault;
use crate::inspection::LeadStory;
use crate::inspection_rows as rows;
use crate::stored_lead::{StoredLead, lead_columns};

pub(super) async fn read(conn: &mut SqliteConnection, wanted: LeadId) -> Result<Option<LeadStory>, Fault> {
    let sql = concat!("SELECT ", lead_columns!(), " FROM lead l WHERE l.id = ?");
    let row: Option<StoredLead<0>> =
        sqlx::query_as(sql).bind(wanted.to_string()).fetch_optional(&mut *conn).await?;
    let Some(StoredLead { read, .. }) = row else { return Ok(None) };
    let (lead, []) = read?;
    let wanted = wanted.to_string();
    let records: Vec<_> = sqlx::query_as(rows::RECORDS).bind(wanted.clone()).fetch_all(&mut *conn).await?;
    let decisions: Vec<String> = sqlx::query_scalar("SELECT body FROM decision WHERE lead = $1 ORDER BY seq")
        .bind(wanted.clone())
        .fetch_all(&mut *conn)
        .await?;
    let effects: Vec<_> = sqlx::query_as(rows::EFFECTS).bind(wanted.clone()).fetch_all(&mut *conn).await?;
    let attempts: Vec<_> = sqlx::query_as(rows::ATTEMPTS).bind(wanted).fetch_all(conn).await?;
    rows::story(lead, records, &decisions, effects, attempts).map(Some)
}
