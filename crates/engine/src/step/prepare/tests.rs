//! Prepare while the storage fails.

#![allow(clippy::unwrap_used)]

use sqlx::{Connection as _, SqliteConnection};

use crate::tests::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_prepared_waits_for_no_lease() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::in_file(folder.path()).await;
    let file = folder.path().join("usher.db");
    let mut side = SqliteConnection::connect(file.to_str().unwrap()).await.unwrap();
    world.inquire("ann").await;
    sqlx::query("ALTER TABLE account_key RENAME TO away").execute(&mut side).await.unwrap();
    for _ in 0..9 {
        world.engine.prepare().await.unwrap_err();
    }
    sqlx::query("ALTER TABLE away RENAME TO account_key").execute(&mut side).await.unwrap();
    // No time has passed, and nobody blames the record.
    world.decide().await;
    world.deliver().await;
    assert_eq!(world.written().await, 1);
}
