//! The standing of connections.

use super::Backend;
use super::fixture::{at, crm, form};
use crate::{HookTally, Recount};

pub(crate) async fn troubles_come_and_go(backend: impl Backend) {
    let store = backend.store();
    store.set_trouble(&crm(), "contacts/live", Some("the token lacks a scope"), at(1)).await.unwrap();
    store.set_trouble(&crm(), "contacts/live", Some("it still does"), at(5)).await.unwrap();
    store.set_trouble(&form(), "webhooks", Some("none for 3 h"), at(2)).await.unwrap();
    let troubles = store.troubles().await.unwrap();
    let told: Vec<_> = troubles.iter().map(|t| (t.topic.as_str(), t.since, t.problem.as_str())).collect();
    assert_eq!(told, [("contacts/live", at(1), "it still does"), ("webhooks", at(2), "none for 3 h")]);
    store.set_trouble(&crm(), "contacts/live", None, at(6)).await.unwrap();
    store.set_trouble(&crm(), "never was", None, at(6)).await.unwrap();
    assert_eq!(store.troubles().await.unwrap().len(), 1);
}

pub(crate) async fn hook_tallies_add_up(backend: impl Backend) {
    let store = backend.store();
    let refused = |refused, second| HookTally {
        heard_at: None,
        refused,
        last_refused: Some((at(second), "no active secret matches".to_owned())),
    };
    let heard = HookTally { heard_at: Some(at(3)), ..HookTally::default() };
    store.add_hook_tallies(vec![(form(), refused(2, 1)), (crm(), heard.clone())]).await.unwrap();
    store.add_hook_tallies(vec![(form(), refused(3, 4))]).await.unwrap();
    store.add_hook_tallies(vec![(form(), heard.clone())]).await.unwrap();
    let expected = HookTally { heard_at: Some(at(3)), ..refused(5, 4) };
    assert_eq!(store.hook_tallies().await.unwrap(), [(crm(), heard), (form(), expected)]);
}

pub(crate) async fn the_last_recount_is_kept(backend: impl Backend) {
    let store = backend.store();
    let recount = |second, missed| Recount {
        connection: crm(),
        stream: "contacts/reconcile".to_owned(),
        at: at(second),
        seen: 1_000,
        missed,
        gone: 1,
    };
    store.put_recount(recount(1, 7)).await.unwrap();
    store.put_recount(recount(2, 0)).await.unwrap();
    assert_eq!(store.recounts().await.unwrap(), [recount(2, 0)]);
    assert_eq!(store.cursor_moved_at(&crm(), "contacts/live").await.unwrap(), None);
    let commit = crate::PullCommit {
        connection: crm(),
        stream: "contacts/live".to_owned(),
        previous: None,
        cursor: serde_json::json!(1),
        records: Vec::new(),
        now: at(8),
    };
    store.commit_pull(commit).await.unwrap();
    assert_eq!(store.cursor_moved_at(&crm(), "contacts/live").await.unwrap(), Some(at(8)));
}
