//! The key that encrypts tokens: lost, wrong, rotated, and killed on the way (FM-098).

use std::fs;

use usher_sandbox::OAuthApp;

use crate::installation::{Installation, text};
use crate::tokens::{connect, oauth, strict, token};

async fn connected() -> Installation {
    let installation = oauth(OAuthApp { rotates: true, ..strict(1_800) }).await;
    assert_eq!(connect(&installation, &[]).await.0, Some(0));
    installation
}

fn key(installation: &Installation) -> String {
    fs::read_to_string(installation.path().join("usher.key")).unwrap()
}

async fn works(installation: &Installation) -> bool {
    installation.run(&["check", "--online"]).await.status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_098_a_lost_or_wrong_key_stops_the_start_and_no_new_one_is_made_over_old_tokens() {
    let installation = connected().await;
    let (right, sealed) = (key(&installation), token(&installation).await["key"].clone());
    fs::remove_file(installation.path().join("usher.key")).unwrap();
    for verb in ["run", "sync"] {
        let said = installation.refused(&[verb]).await;
        assert!(said.contains("key") && said.contains("usher.key") && said.contains("backup"), "{said}");
    }
    let said = installation.refused(&["key", "new"]).await;
    assert!(said.contains(sealed.as_str().unwrap()) && said.contains("--forget-tokens"), "{said}");
    assert!(!installation.path().join("usher.key").exists());
    let other = Installation::with("live", "key: { file: usher.key }").await;
    assert!(other.run(&["key", "new"]).await.status.success());
    installation.write("usher.key", &key(&other));
    let said = installation.refused(&["run"]).await;
    assert!(said.contains(sealed.as_str().unwrap()), "the key that is needed is named: {said}");
    assert!(installation.refused(&["key", "rotate"]).await.contains("sealed with the key"));
    installation.write("usher.key", "not a key\n");
    assert!(installation.refused(&["run"]).await.contains("no key"));
    installation.write("usher.key", &right);
    assert!(works(&installation).await, "nothing was harmed");
    fs::remove_file(installation.path().join("usher.key")).unwrap();
    assert!(installation.run(&["key", "new", "--forget-tokens"]).await.status.success());
    assert!(token(&installation).await.is_null());
    assert_eq!(connect(&installation, &[]).await.0, Some(0));
    assert!(works(&installation).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_098_a_rotation_may_be_killed_anywhere_and_run_again() {
    for point in ["key.after_write", "key.after_reseal"] {
        let installation = connected().await;
        let (old, before) = (key(&installation), token(&installation).await["key"].clone());
        let mut command = installation.command();
        command.args(["key", "rotate"]).env("USHER_CRASH_AT", point);
        let crashed = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(!crashed.status.success());
        assert!(works(&installation).await, "after a crash at {point}");
        let rotated = installation.run(&["key", "rotate"]).await;
        assert!(rotated.status.success(), "{}", text(&rotated.stderr));
        assert_ne!(token(&installation).await["key"], before);
        assert!(key(&installation).contains(old.trim()), "older keys stay for backups");
        assert!(works(&installation).await);
        assert!(installation.run(&["key", "prune"]).await.status.success());
        assert!(!key(&installation).contains(old.trim()) && key(&installation).lines().count() == 1);
        assert!(works(&installation).await);
        assert_private(&installation);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fm_098_a_running_daemon_goes_on_through_a_rotation() {
    let installation = oauth(strict(2)).await;
    assert_eq!(connect(&installation, &[]).await.0, Some(0));
    let daemon = installation.start().await;
    for _ in 0..3 {
        for verb in ["rotate", "prune"] {
            let output = installation.run(&["key", verb]).await;
            assert!(output.status.success(), "{}", text(&output.stderr));
        }
        let crm = installation.sandbox.hubspot();
        let renewed = crm.oauth_counts().refreshes + 2;
        crate::installation::until("the token is renewed twice", async || {
            crm.oauth_counts().refreshes >= renewed
        })
        .await;
    }
    installation.submit("ana@acme.example", "Ana Acme");
    installation.drained(1).await;
    let counts = installation.sandbox.hubspot().oauth_counts();
    assert_eq!((counts.reused, counts.revoked), (0, 0), "{counts:?}");
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn init_makes_a_key_and_never_replaces_one() {
    let installation = Installation::new().await;
    assert!(installation.run(&["init", "."]).await.status.code() == Some(1), "its files are there already");
    assert!(!installation.path().join("usher.key").exists());
    fs::create_dir(installation.path().join("agency")).unwrap();
    installation.write("agency/usher.key", "an older one");
    assert!(installation.run(&["init", "agency"]).await.status.success());
    assert_eq!(fs::read_to_string(installation.path().join("agency/usher.key")).unwrap(), "an older one");
    assert!(installation.run(&["init", "branch"]).await.status.success());
    fs::rename(installation.path().join("branch/usher.key"), installation.path().join("usher.key")).unwrap();
    assert_private(&installation);
}

fn assert_private(installation: &Installation) {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::metadata(installation.path().join("usher.key")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let text = key(installation);
    assert!(text.lines().all(|line| line.starts_with("usher-key-1:")), "{} lines", text.lines().count());
}
