//! The one lock over the graph of leads, effects and slots.
//!
//! An effect waits for slots, a lead for effects, and who is last to finish frees or closes the next. Two transactions
//! that each see the graph without the other's change would each leave the last step to the other. Claims do not take the
//! lock: they change single effects and never wait.

use sqlx::postgres::PgConnection;

use crate::fault::Fault;

/// "usher", so that no other program on the database takes it by chance.
const GRAPH: i64 = 0x75_73_68_65_72;

/// Waits for the lock and holds it to the end of the transaction. To be called before anything else is read.
pub(super) async fn graph(conn: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(GRAPH).execute(conn).await?;
    Ok(())
}
