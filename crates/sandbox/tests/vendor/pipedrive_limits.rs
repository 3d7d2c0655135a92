//! Tokens of Pipedrive: who may call at all, the daily budget, the bursts, the page for those who do not listen.

use std::time::Duration;

use usher_sandbox::{Faults, Options, PipedriveLimits, PipedrivePlan, PipedriveToken};

use crate::pipedrive::{ANA, Pipe};

async fn with(limits: PipedriveLimits) -> Pipe {
    Pipe::with(Options { pipedrive_limits: Some(limits), ..Options::default() }).await
}

fn token(token: &str, user: u64, oauth: bool) -> PipedriveToken {
    PipedriveToken { token: token.to_owned(), user, oauth, expired: false, scopes: None }
}

#[tokio::test]
async fn each_kind_of_token_comes_in_its_own_place() {
    let pipe = Pipe::start().await;
    pipe.sim().put_token(token("access", ANA, true));
    pipe.sim().put_token(PipedriveToken { expired: true, ..token("old", ANA, true) });
    let url = format!("{}/api/v1/users/me", pipe.sandbox.pipedrive_url);
    let key = |key: &str| pipe.client.get(&url).header("x-api-token", key);
    let bearer = |token: &str| pipe.client.get(&url).bearer_auth(token);
    for (request, status) in [
        (key(&pipe.token), 200),
        (pipe.client.get(format!("{url}?api_token={}", pipe.token)), 200),
        (bearer("access"), 200),
        (key("access"), 401),
        (bearer(&pipe.token), 401),
        (bearer("old"), 401),
        (key("wrong"), 401),
        (pipe.client.get(&url), 401),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status);
        if status == 401 {
            let body: serde_json::Value = answer.json().await.unwrap();
            assert_eq!(
                body,
                serde_json::json!({"success": false, "error": "unauthorized access", "errorCode": 401})
            );
        }
    }
    let me: serde_json::Value = bearer("access").send().await.unwrap().json().await.unwrap();
    assert_eq!(me["data"]["id"], ANA);
    pipe.sandbox.set_faults(Faults { expired_token: true, ..Faults::default() });
    assert_eq!(pipe.get("v1/users/me").await.status, 401);
    let gone = pipe.client.get(format!("{}/v2/persons", pipe.sandbox.pipedrive_url));
    pipe.sandbox.set_faults(Faults::default());
    assert_eq!(
        gone.header("x-api-token", &pipe.token).send().await.unwrap().status(),
        404,
        "v2 is below /api only"
    );
    assert_eq!(pipe.call("PUT", "v2/persons", None).await.status, 405);
}

#[tokio::test]
async fn fm_064_a_spent_day_is_429_until_the_servers_midnight() {
    // East and west of UTC.
    for midnight_offset_min in [60, -300] {
        spent_day(midnight_offset_min).await;
    }
}

async fn spent_day(midnight_offset_min: i32) {
    let limits = PipedriveLimits {
        plan: PipedrivePlan::Growth,
        seats: 2,
        top_up: 5,
        midnight_offset_min,
        ..PipedriveLimits::default()
    };
    assert_eq!(limits.daily_tokens(), 120_005);
    let pipe = with(limits).await;
    let day = 86_400_000;
    let since_midnight = (pipe.sandbox.now() + i64::from(midnight_offset_min) * 60_000).rem_euclid(day);
    // To one in the morning of the server's next day, so that the day has a known length.
    let ahead = u64::try_from(day - since_midnight + 3_600_000).unwrap();
    pipe.sandbox.advance(Duration::from_millis(ahead));
    for (path, cost) in [
        ("v2/persons", 10),
        ("v1/leads", 20),
        ("v1/leads/archived", 40),
        ("v2/persons/search?term=ab", 20),
        ("v1/users/me", 2),
        ("v2/none", 0),
    ] {
        let before = pipe.sim().tokens_spent();
        pipe.get(path).await;
        assert_eq!(pipe.sim().tokens_spent() - before, cost, "{path}");
    }
    pipe.sim().exhaust_tokens();
    let spent = pipe.get("v2/persons").await;
    spent.refused(429, "Daily API token limit");
    assert_eq!(spent.headers["x-daily-ratelimit-token-remaining"], "0");
    let reset: u64 = spent.headers["x-ratelimit-reset"].to_str().unwrap().parse().unwrap();
    assert!(reset <= 2, "the reset of the burst helps nobody");
    pipe.sandbox.advance(Duration::from_secs(22 * 3_600));
    pipe.get("v2/persons").await.refused(429, "Daily");
    pipe.sandbox.advance(Duration::from_secs(3_600));
    assert_eq!(pipe.get("v2/persons").await.status, 200);
}

#[tokio::test]
async fn fm_064_bursts_are_counted_per_token_and_searches_apart() {
    let pipe = with(PipedriveLimits { ignored_before_block: 1_000, ..PipedriveLimits::default() }).await;
    pipe.sim().put_token(token("other", ANA, false));
    let first = pipe.get("v1/users/me").await;
    assert_eq!(first.headers["x-ratelimit-limit"], "20");
    assert_eq!(first.headers["x-ratelimit-remaining"], "19");
    assert!(first.headers.contains_key("x-daily-requests-left"));
    let mut status = 200;
    for _ in 0..20 {
        status = pipe.get("v1/users/me").await.status;
    }
    assert_eq!(status, 429, "the twenty-first within two seconds");
    let other = pipe.client.get(format!("{}/api/v1/users/me", pipe.sandbox.pipedrive_url));
    assert_eq!(other.header("x-api-token", "other").send().await.unwrap().status(), 200);
    pipe.sandbox.advance(Duration::from_millis(2_000));
    let search = "v2/persons/search?term=ab";
    for _ in 0..10 {
        assert_eq!(pipe.get(search).await.status, 200);
    }
    let eleventh = pipe.get(search).await;
    eleventh.refused(429, "Rate limit");
    assert_eq!(eleventh.headers["x-ratelimit-limit"], "10");
    assert_eq!(pipe.get("v1/users/me").await.status, 200);
    // A token of OAuth has four times the burst.
    pipe.sim().put_token(token("access", ANA, true));
    let oauth =
        pipe.client.get(format!("{}/api/v1/users/me", pipe.sandbox.pipedrive_url)).bearer_auth("access");
    let answer = oauth.send().await.unwrap();
    assert_eq!(answer.headers()["x-ratelimit-limit"], "80");
    assert!(!answer.headers().contains_key("x-daily-requests-left"), "of API tokens only");
}

#[tokio::test]
async fn the_token_headers_are_missing_after_a_pause() {
    let pipe = with(PipedriveLimits::default()).await;
    let header = "x-daily-ratelimit-token-remaining";
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(pipe.get("v1/users/me").await.headers.contains_key(header));
    }
    assert_eq!(seen, [false, false, false, true, true]);
    pipe.sandbox.advance(Duration::from_secs(600));
    assert!(!pipe.get("v1/users/me").await.headers.contains_key(header));
}

#[tokio::test]
async fn fm_064_a_limit_that_a_switch_calls_used_up_shows_nothing_left() {
    let pipe = with(PipedriveLimits::default()).await;
    for _ in 0..3 {
        pipe.get("v1/users/me").await;
    }
    let (burst, day) = ("x-ratelimit-remaining", "x-daily-ratelimit-token-remaining");
    for (faults, empty, roomy) in [
        (Faults { throttle_burst: 1.0, ..Faults::default() }, burst, day),
        (Faults { throttle_daily: 1.0, ..Faults::default() }, day, burst),
    ] {
        pipe.once(faults);
        let refused = pipe.get("v1/users/me").await;
        assert_eq!(refused.status, 429);
        assert_eq!(refused.headers[empty], "0");
        assert_ne!(refused.headers[roomy], "0");
        assert_ne!(pipe.get("v1/users/me").await.headers[empty], "0", "the meter has counted nothing else");
    }
}

#[tokio::test]
async fn who_does_not_listen_gets_a_403_page() {
    let limits = PipedriveLimits { ignored_before_block: 3, block_s: 30, ..PipedriveLimits::default() };
    let pipe = with(limits).await;
    pipe.sim().exhaust_tokens();
    for _ in 0..3 {
        assert_eq!(pipe.get("v2/persons").await.status, 429);
    }
    let blocked = pipe.get("v1/users/me").await;
    assert_eq!((blocked.status, &blocked.headers["content-type"]), (403, &"text/html".parse().unwrap()));
    assert!(blocked.body.as_str().unwrap().starts_with("<!DOCTYPE html>"));
    pipe.sandbox.advance(Duration::from_secs(31));
    assert_eq!(pipe.get("v2/persons").await.status, 429);
    let requests = pipe.sim().summary().requests;
    assert_eq!((requests["pipedrive 429"], requests["pipedrive 403 page"]), (4, 1));
}
