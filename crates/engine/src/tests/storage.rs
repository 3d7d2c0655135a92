//! Steps whose storage fails in the middle: what they have taken up waits for no lease.

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tempfile::TempDir;
use usher_model::EffectKind;

use super::world::World;

/// A world, and somebody who takes tables away from it.
struct Thief {
    world: World,
    side: SqliteConnection,
    _folder: TempDir,
}

impl Thief {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = World::in_file(folder.path()).await;
        let file = folder.path().join("usher.db");
        let side = SqliteConnection::connect(file.to_str().unwrap()).await.unwrap();
        Self { world, side, _folder: folder }
    }

    async fn rename(&mut self, from: &str, to: &str) {
        let rename = format!("ALTER TABLE {from} RENAME TO {to}");
        sqlx::query(AssertSqlSafe(rename)).execute(&mut self.side).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_prepared_waits_for_no_lease() {
    let mut thief = Thief::new().await;
    thief.world.inquire("ann").await;
    thief.rename("account_key", "away").await;
    for _ in 0..9 {
        thief.world.engine.prepare().await.unwrap_err();
    }
    thief.rename("away", "account_key").await;
    // No time has passed, and nobody blames the record.
    thief.world.decide().await;
    thief.world.deliver().await;
    assert_eq!(thief.world.written().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_sent_waits_for_no_lease() {
    let mut thief = Thief::new().await;
    thief.world.inquire("ann").await;
    thief.world.decide().await;
    thief.rename("owner_write", "away").await;
    thief.world.engine.deliver(thief.world.engine.crm()).await.unwrap_err();
    assert_eq!(thief.world.crm.sizes(EffectKind::EnsurePerson), [1], "the step before it went well");
    assert!(thief.world.crm.sizes(EffectKind::UpdateObject).is_empty(), "nobody knows its budget");
    thief.rename("away", "owner_write").await;
    // No time has passed: what was taken up is neither lost nor in doubt.
    thief.world.deliver().await;
    assert_eq!(thief.world.written().await, 1);
    assert_eq!(thief.world.crm.sizes(EffectKind::UpdateObject), [1]);
}
