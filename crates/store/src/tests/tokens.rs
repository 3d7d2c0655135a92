//! Grants: kept whole, replaced by version, renewed by one holder at a time.

use usher_model::{SealedTokens, TokenGrant, TokenRow, TokenTrouble, TroubleKind};

use super::Backend;
use super::fixture::{at, crm};

fn row(version: u64, access: &[u8]) -> TokenRow {
    TokenRow {
        connection: crm(),
        version,
        grant: TokenGrant {
            account: "4711".to_owned(),
            scopes: vec!["contacts.read".to_owned(), "owners.read".to_owned()],
            base_url: Some("https://eu.api.example.com".to_owned()),
            sealed: SealedTokens {
                key: "k1".to_owned(),
                access: access.to_vec(),
                refresh: Some(vec![0, 255, 7]),
            },
            obtained_at: at(1),
            expires_at: Some(at(1801)),
        },
        trouble: None,
    }
}

fn trouble(attempts: u32) -> TokenTrouble {
    TokenTrouble {
        kind: if attempts < 3 { TroubleKind::Outage } else { TroubleKind::Revoked },
        since: at(5),
        attempts,
        retry_at: (attempts < 3).then(|| at(35)),
        problem: "refused".to_owned(),
    }
}

pub(crate) async fn a_grant_is_kept_whole(backend: impl Backend) {
    let store = backend.store();
    assert_eq!(store.token(&crm()).await.unwrap(), None);
    let bare = TokenRow {
        grant: TokenGrant {
            scopes: Vec::new(),
            base_url: None,
            expires_at: None,
            sealed: SealedTokens { refresh: None, ..row(0, b"b").grant.sealed },
            ..row(0, b"b").grant
        },
        connection: "other".into(),
        trouble: Some(trouble(3)),
        version: 0,
    };
    for row in [&row(0, b"a"), &bare] {
        assert!(store.put_token(row).await.unwrap());
        let stored = store.token(&row.connection).await.unwrap();
        assert_eq!(stored, Some(TokenRow { version: 1, ..row.clone() }));
    }
    drop(store);
    let backend = backend.reopen().await;
    let names: Vec<_> =
        backend.store().tokens().await.unwrap().into_iter().map(|row| row.connection).collect();
    assert_eq!(names, [crm(), "other".into()]);
}

pub(crate) async fn fm_058_only_the_version_that_was_read_is_replaced(backend: impl Backend) {
    let store = backend.store();
    assert!(!store.put_token(&row(1, b"a")).await.unwrap(), "no row stands there");
    assert!(store.put_token(&row(0, b"a")).await.unwrap());
    assert!(!store.put_token(&row(0, b"b")).await.unwrap(), "a row stands there");
    assert!(store.put_token(&row(1, b"c")).await.unwrap());
    assert!(!store.put_token(&row(1, b"d")).await.unwrap(), "another one replaced it");
    let stored = store.token(&crm()).await.unwrap().unwrap();
    assert_eq!((stored.version, stored.grant.sealed.access.as_slice()), (2, b"c".as_slice()));
}

pub(crate) async fn fm_058_one_holder_at_a_time_renews(backend: impl Backend) {
    let store = backend.store();
    let lease = async |holder: &str, version, now, until| {
        store.lease_token(&crm(), version, holder, at(now), at(until)).await.unwrap()
    };
    assert!(!lease("a", 1, 0, 10).await, "nothing to renew");
    store.put_token(&row(0, b"a")).await.unwrap();
    assert!(!lease("a", 2, 0, 10).await, "another version");
    assert!(lease("a", 1, 0, 10).await);
    assert!(!lease("b", 1, 9, 20).await, "a holds it");
    store.release_token(&crm(), "b", Some(&trouble(1))).await.unwrap();
    assert_eq!(store.token(&crm()).await.unwrap().unwrap().trouble, None, "b had no lease to end");
    assert!(lease("b", 1, 10, 20).await, "a's time was up");
    store.release_token(&crm(), "b", None).await.unwrap();
    assert!(lease("a", 1, 11, 20).await);
    assert!(store.put_token(&row(1, b"b")).await.unwrap());
    assert!(lease("b", 2, 12, 20).await, "a new grant ends the lease");
}

pub(crate) async fn fm_061_trouble_is_noted_and_ends_with_a_new_grant(backend: impl Backend) {
    let store = backend.store();
    store.put_token(&row(0, b"a")).await.unwrap();
    let stored = async || store.token(&crm()).await.unwrap().unwrap().trouble;
    for (n, noted) in [trouble(1), trouble(3)].into_iter().enumerate() {
        let now = at(100 * (1 + i64::try_from(n).unwrap()));
        assert!(store.lease_token(&crm(), 1, "a", now, now).await.unwrap());
        store.release_token(&crm(), "a", Some(&noted)).await.unwrap();
        assert_eq!(stored().await, Some(noted));
    }
    assert!(store.put_token(&row(1, b"b")).await.unwrap());
    assert_eq!(stored().await, None);
}

pub(crate) async fn tokens_can_be_forgotten(backend: impl Backend) {
    let store = backend.store();
    store.put_token(&row(0, b"a")).await.unwrap();
    assert_eq!(store.forget_tokens().await.unwrap(), 1);
    assert_eq!(store.token(&crm()).await.unwrap(), None);
    assert!(store.put_token(&row(0, b"a")).await.unwrap());
}
