//! The whole program on Postgres: alone, with several nodes, and through restarts and partitions of the database.

use serde_json::{Value, json};
use usher_testkit::{Cluster, Detour};

use crate::installation::{Installation, until};

/// An installation on an empty database; none if this machine has no Postgres, which is said aloud.
pub(crate) async fn installation() -> Option<(&'static Cluster, String, Installation)> {
    let cluster = tokio::task::block_in_place(Cluster::shared)?;
    let url = tokio::task::block_in_place(|| cluster.database());
    let installation = Installation::on_postgres(&url).await;
    Some((cluster, url, installation))
}

fn submit(installation: &Installation, people: std::ops::Range<u32>) {
    for n in people {
        installation.submit(&format!("p{n}@acme{n}.example"), &format!("Person{n} Example"));
    }
}

async fn tasks(installation: &Installation, at_least: usize) {
    until("some tasks are written", async || {
        installation.sandbox.hubspot().summary().tasks_created >= at_least
    })
    .await;
}

/// The name of the node that leads.
async fn leader(installation: &Installation) -> Option<String> {
    let status = installation.json(&["status"]).await;
    let nodes: Vec<Value> = status["nodes"].as_array().unwrap().clone();
    nodes
        .iter()
        .find(|node| node["leads"] == json!(true))
        .map(|node| node["name"].as_str().unwrap().to_owned())
}

/// Everything is written once, and the books agree.
async fn assert_written(installation: &Installation, leads: usize) {
    let status = installation.drained(leads as u64).await;
    assert_eq!(status["records"]["opened"], json!(leads), "{status}");
    let verdict = installation.sandbox.hubspot().summary();
    let counts = (verdict.tasks_created, verdict.duplicate_tasks, verdict.duplicate_persons);
    assert_eq!(counts, (leads, 0, 0));
    installation.assert_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_049_a_human_who_is_overwritten_gets_the_contact_back_on_postgres() {
    let Some((_, _, installation)) = installation().await else { return };
    crate::effects::gives_back(&installation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_taken_back_on_postgres() {
    let Some((_, _, installation)) = installation().await else { return };
    crate::undo::takes_back(&installation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_go_the_whole_way_on_postgres() {
    let Some((_, _, installation)) = installation().await else { return };
    let daemon = installation.start().await;
    submit(&installation, 0..20);
    for n in 0..5 {
        let answer =
            installation.form_hook(&format!("hook{n}"), "SEO \u{0} \u{1F469}\u{200D}\u{1F680}").await;
        assert!(answer.status().is_success());
    }
    assert_written(&installation, 25).await;
    assert!(leader(&installation).await.is_some());
    let tried = installation.json(&["try", "hubspot-main"]).await;
    assert_eq!(tried["ok"], json!(true), "beside the daemon that leads: {tried}");
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(leader(&installation).await, None, "who stops in good order does not lead any more");

    // From cron, without a daemon.
    submit(&installation, 20..25);
    let pass = installation.run(&["sync"]).await;
    assert!(pass.status.success(), "{}", crate::installation::text(&pass.stderr));
    assert_eq!(installation.sandbox.hubspot().summary().tasks_created, 31, "one of them of `usher try`");
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_077_another_node_takes_over_from_one_that_is_killed_or_paused() {
    let Some((_, _, installation)) = installation().await else { return };
    let first = installation.start().await;
    until("the first node leads", async || leader(&installation).await.is_some()).await;
    let killed = leader(&installation).await.unwrap();
    let second = installation.spawn_node("second.yaml", None);
    submit(&installation, 0..40);
    tasks(&installation, 5).await;
    first.kill();
    until("the second node leads", async || leader(&installation).await.is_some_and(|name| name != killed))
        .await;
    submit(&installation, 40..60);
    assert_written(&installation, 60).await;

    // The leader stands still in the middle of its work, and wakes up when it is replaced.
    let third = installation.spawn_node("third.yaml", None);
    let paused = leader(&installation).await.unwrap();
    submit(&installation, 60..100);
    tasks(&installation, 65).await;
    second.signal("STOP");
    until("the third node leads", async || leader(&installation).await.is_some_and(|name| name != paused))
        .await;
    submit(&installation, 100..110);
    tasks(&installation, 105).await;
    second.signal("CONT");
    assert_written(&installation, 110).await;
    assert_eq!(second.stop(), Some(0));
    assert_eq!(third.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_080_a_restart_of_the_database_under_load_heals() {
    let Some(cluster) = tokio::task::block_in_place(Cluster::start) else { return };
    let url = tokio::task::block_in_place(|| cluster.database());
    let installation = Installation::on_postgres(&url).await;
    let daemon = installation.start().await;
    for restart in 0..3 {
        submit(&installation, restart * 20..restart * 20 + 20);
        tasks(&installation, restart as usize * 20 + 5).await;
        tokio::task::block_in_place(|| {
            cluster.crash();
            cluster.up();
        });
    }
    assert_written(&installation, 60).await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_078_a_node_cut_off_from_the_database_writes_nothing_more() {
    let Some((cluster, url, installation)) = installation().await else { return };
    let path = Detour::open(cluster.port()).await.unwrap();
    let detour = url.replace(&format!(":{}/", cluster.port()), &format!(":{}/", path.port()));
    let first = installation.spawn_node("first.yaml", Some(&detour));
    until("the first node leads", async || {
        // Its schema may not be there yet.
        installation.run(&["status"]).await.status.success() && leader(&installation).await.is_some()
    })
    .await;
    let cut_off = leader(&installation).await.unwrap();
    let second = installation.start().await;
    submit(&installation, 0..40);
    tasks(&installation, 5).await;
    path.cut(true);
    until("the second node leads", async || leader(&installation).await.is_some_and(|name| name != cut_off))
        .await;
    submit(&installation, 40..60);
    tasks(&installation, 55).await;
    path.cut(false);
    assert_written(&installation, 60).await;
    assert_eq!(first.stop(), Some(0));
    assert_eq!(second.stop(), Some(0));
}
