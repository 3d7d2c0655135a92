//! The door to a vendor that behaves badly: classes, repeats, bounds, and what gets into logs.

#![allow(clippy::unwrap_used)]

use std::error::Error;

use ::http::Method;
use usher_connector::{Auth, CallLane, LimitReport, LimitSpec, Secret};
use usher_model::SystemClock;

use super::*;
use crate::limiter::{Allowance, LimiterSettings, Share};
use crate::testing::{Act, Log, Vendor};

/// A vendor's usual manners; `x-left` tells what remains of the limit.
struct Manners;

impl Protocol for Manners {
    fn limits(&self) -> Vec<LimitSpec> {
        vec![LimitSpec::calls("burst", 1000, Duration::from_secs(1))]
    }

    fn read_limits(&self, _request: &Request, response: &Response) -> Vec<LimitReport> {
        let remaining = response.header("x-left").and_then(|left| left.parse().ok());
        remaining
            .map(|_| LimitReport { name: "burst", units: None, per: None, remaining })
            .into_iter()
            .collect()
    }

    fn judge(&self, _request: &Request, response: &Response) -> Result<(), Fault> {
        let class = match response.status {
            200..300 | 404 | 555 => return Ok(()),
            401 => FaultClass::Unauthorized,
            403 => FaultClass::Misconfigured,
            418 => FaultClass::Throttled { limit: "undeclared", retry_after: None },
            429 => FaultClass::Throttled { limit: "burst", retry_after: None },
            400..500 => FaultClass::Rejected,
            _ => FaultClass::Transient,
        };
        Err(Fault::new(class, format!("status {}", response.status)))
    }
}

fn settings() -> HttpSettings {
    HttpSettings {
        connect_timeout: Duration::from_millis(200),
        request_timeout: Duration::from_millis(400),
        deadline: Duration::from_secs(20),
        max_body: 10_000,
        retries: 3,
        first_backoff: Duration::from_millis(1),
        longest_inline_pause: Duration::from_secs(2),
        limits: LimiterSettings::all(Allowance::Share(Share::ALL)),
    }
}

fn door(base: &str, settings: HttpSettings) -> VendorHttp {
    let spec = VendorSpec {
        connection: ConnectionName::new("crm"),
        base_url: BaseUrl::parse(base, false).unwrap(),
        credential: Credential::new(Auth::Bearer, Some(&Secret::new("canary-token"))).unwrap(),
        protocol: Arc::new(Manners),
    };
    VendorHttp::new(spec, settings, Arc::new(SystemClock)).unwrap()
}

fn http(vendor: &Vendor) -> VendorHttp {
    door(&format!("http://{}/base", vendor.address), settings())
}

fn read() -> Request {
    Request::get("/things").query("q", "1").limits(&["burst"])
}

fn write() -> Request {
    let request = Request::new(Method::POST, "/things", Access::Write).limits(&["burst"]);
    request.json(&"canary-body").unwrap()
}

async fn class(http: &VendorHttp, request: Request) -> &'static str {
    http.send(request).await.map_or_else(|fault| fault.class().as_str(), |_| "ok")
}

/// Acts after which nobody can say what the vendor did.
fn unclear() -> Vec<Act> {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"half\":";
    vec![
        Act::Break(Vec::new()),
        Act::Reset,
        Act::Stall,
        Act::Break(b"HTTP/1.1 200".to_vec()),
        Act::Break(half.as_bytes().to_vec()),
        Act::Break(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        Act::answer("500 Oops", &[], "{}"),
        Act::answer("502 Bad Gateway", &["content-type: text/html"], "<html>"),
        Act::answer("503 Busy", &[], ""),
        Act::answer("504 Late", &[], ""),
        Act::answer("555 Odd", &[], ""),
    ]
}

#[tokio::test]
async fn fm_049_a_call_that_came_too_late_is_not_sent() {
    let vendor = Vendor::start([Act::answer("200 OK", &[], "{}")]).await;
    let http = http(&vendor);
    let passed = std::time::Instant::now();
    assert_eq!(class(&http, write().before(Some(passed))).await, "transient", "nothing was sent");
    assert!(vendor.requests().is_empty());
    let soon = passed + Duration::from_secs(60);
    assert_eq!(class(&http, write().before(Some(soon))).await, "ok");
    // A full limit makes it wait no longer than the call is of use.
    http.limiter.block("burst", Some(Duration::from_secs(30)));
    let soon = std::time::Instant::now() + Duration::from_secs(1);
    assert_eq!(class(&http, write().before(Some(soon))).await, "throttled");
}

#[tokio::test]
async fn a_good_answer_comes_back_whole() {
    let vendor = Vendor::start([Act::answer("200 OK", &["x-left: 7"], r#"{"ok":true}"#)]).await;
    let http = http(&vendor);
    let response = http.send(read()).await.unwrap();
    assert_eq!((response.status, response.body.as_slice()), (200, br#"{"ok":true}"#.as_slice()));
    let request = vendor.requests().remove(0).to_ascii_lowercase();
    assert!(request.starts_with("get /base/things?q=1 http/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nauthorization: bearer canary-token\r\n"));
    assert!(request.contains(&format!("\r\nuser-agent: usher/{}\r\n", env!("CARGO_PKG_VERSION"))));
    assert_eq!(http.limits()[0].remaining, Some(7));
    assert_eq!(http.limits()[0].in_flight, 0);
}

#[tokio::test]
async fn fm_039_an_unclear_write_is_never_sent_twice() {
    for act in unclear() {
        let vendor = Vendor::start([act.clone()]).await;
        assert_eq!(class(&http(&vendor), write()).await, "outcome_unknown", "{act:?}");
        assert_eq!(vendor.requests().len(), 1, "{act:?}");
    }
}

#[tokio::test]
async fn fm_039_nor_is_one_on_a_reused_connection() {
    for act in unclear() {
        let vendor = Vendor::start([]).await;
        let http = http(&vendor);
        assert_eq!(class(&http, read()).await, "ok");
        vendor.next(act.clone());
        assert_eq!(class(&http, write()).await, "outcome_unknown", "{act:?}");
        assert_eq!(vendor.requests().len(), 2, "{act:?}");
    }
}

#[tokio::test]
async fn an_unclear_read_is_repeated_and_succeeds() {
    for act in unclear() {
        let vendor = Vendor::start([act.clone(), act.clone()]).await;
        assert_eq!(class(&http(&vendor), read()).await, "ok", "{act:?}");
        assert_eq!(vendor.requests().len(), 3, "{act:?}");
    }
}

#[tokio::test]
async fn repeats_end_and_a_read_is_never_unknown() {
    for act in unclear() {
        let vendor = Vendor::start(vec![act.clone(); 9]).await;
        assert_eq!(class(&http(&vendor), read()).await, "transient", "{act:?}");
        assert_eq!(vendor.requests().len(), 4, "{act:?}");
    }
}

#[tokio::test]
async fn a_write_that_was_not_sent_is_repeated_and_stays_transient() {
    let log = Log::capture();
    // A port that nobody listens on any more.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let fault = door(&format!("http://{address}"), settings()).send(write()).await.unwrap_err();
    assert_eq!(fault.class(), FaultClass::Transient);
    assert_eq!(fault.message(), "no connection to 127.0.0.1");
    assert_eq!(log.text().matches("called the vendor").count(), 4);
}

#[tokio::test]
async fn a_handshake_that_never_ends_sent_nothing() {
    let vendor = Vendor::start([]).await;
    let once = HttpSettings { retries: 0, ..settings() };
    let http = door(&format!("https://{}", vendor.address), once);
    assert_eq!(class(&http, write()).await, "transient");
    assert_eq!(vendor.requests().len(), 0);
}

#[tokio::test]
async fn answers_keep_the_connectors_class() {
    for (status, access_read, access_write) in [
        ("400 Bad", "rejected", "rejected"),
        ("401 Who", "unauthorized", "unauthorized"),
        ("403 No", "misconfigured", "misconfigured"),
        ("404 None", "ok", "ok"),
        ("422 Odd", "rejected", "rejected"),
        ("307 There", "misconfigured", "misconfigured"),
        ("302 There", "misconfigured", "outcome_unknown"),
    ] {
        let act = Act::answer(status, &["location: http://127.0.0.1:1/evil"], "");
        let vendor = Vendor::start([act.clone(), act]).await;
        let http = http(&vendor);
        assert_eq!(class(&http, read()).await, access_read, "{status}");
        assert_eq!(class(&http, write()).await, access_write, "{status}");
        assert_eq!(vendor.requests().len(), 2, "{status}");
    }
}

#[tokio::test]
async fn fm_065_a_throttled_read_waits_as_long_as_asked() {
    let vendor = Vendor::start([Act::answer("429 Slow", &["retry-after: 1"], "")]).await;
    let http = http(&vendor);
    let start = Instant::now();
    assert_eq!(class(&http, read()).await, "ok");
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(vendor.requests().len(), 2);
}

#[tokio::test]
async fn fm_065_a_long_pause_is_reported_and_kept_by_the_next_calls() {
    // A date, told by a vendor whose clock is decades off.
    let dates = ["date: Sun, 06 Nov 1994 08:49:37 GMT", "retry-after: Sun, 06 Nov 1994 08:51:37 GMT"];
    let vendor = Vendor::start([Act::answer("429 Slow", &dates, "")]).await;
    let http = http(&vendor);
    let fault = http.send(read()).await.unwrap_err();
    let retry_after = Some(SignedDuration::from_secs(120));
    assert_eq!(fault.class(), FaultClass::Throttled { limit: "burst", retry_after });
    assert_eq!(class(&http, write()).await, "throttled");
    assert_eq!(vendor.requests().len(), 1);
}

#[tokio::test]
async fn a_throttled_write_was_not_done_and_is_left_to_the_engine() {
    let vendor = Vendor::start([Act::answer("429 Slow", &[], "")]).await;
    let fault = http(&vendor).send(write()).await.unwrap_err();
    // Nothing was said about how long: a period of the limit.
    let retry_after = Some(SignedDuration::from_secs(1));
    assert_eq!(fault.class(), FaultClass::Throttled { limit: "burst", retry_after });
    assert_eq!(vendor.requests().len(), 1);
}

#[tokio::test]
async fn an_undeclared_limit_pauses_the_calls_own_limits() {
    let vendor = Vendor::start([Act::answer("418 Tea", &["retry-after: 60"], "")]).await;
    let http = http(&vendor);
    assert_eq!(class(&http, write()).await, "throttled");
    assert!(http.limits()[0].blocked_for.unwrap() > Duration::from_secs(50));
}

#[tokio::test]
async fn an_outage_with_a_retry_after_is_not_probed_before() {
    let vendor = Vendor::start([Act::answer("503 Busy", &["retry-after: 60"], "")]).await;
    let http = http(&vendor);
    assert_eq!(class(&http, read()).await, "transient");
    assert_eq!(class(&http, read().lane(CallLane::Write)).await, "throttled");
    assert_eq!(vendor.requests().len(), 1);
}

#[tokio::test]
async fn fm_099_long_and_endless_bodies_are_cut_off() {
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 10_u64 << 30);
    for act in [Act::Flood, Act::Break(long.into_bytes())] {
        let vendor = Vendor::start([act.clone(), act]).await;
        let http = http(&vendor);
        assert_eq!(class(&http, read()).await, "misconfigured");
        assert_eq!(class(&http, write()).await, "outcome_unknown");
        assert_eq!(vendor.requests().len(), 2);
    }
}

fn gzipped(hex: &str) -> Act {
    let body: Vec<u8> = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
    Act::Answer([head.into_bytes(), body].concat())
}

#[tokio::test]
async fn fm_099_the_bound_counts_what_comes_out_of_gzip() {
    // `{"ok":true}`, and 100,000 times `x`.
    let small = "1f8b0800000000000203ab56cacf56b22a292a4dad0500905fd4a70b000000";
    let bomb = "1f8b0800000000000203edc13101000000c2a0da8b6f0d0fa0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000805703711107fea0860100";
    let vendor = Vendor::start([gzipped(small), gzipped(bomb)]).await;
    let http = http(&vendor);
    assert_eq!(http.send(read()).await.unwrap().body, br#"{"ok":true}"#);
    assert_eq!(class(&http, read()).await, "misconfigured");
}

#[tokio::test]
async fn a_call_ends_within_its_deadline() {
    let tight = HttpSettings { deadline: Duration::from_millis(700), ..settings() };
    let vendor = Vendor::start(vec![Act::Stall; 9]).await;
    let http = door(&format!("http://{}", vendor.address), tight);
    assert_eq!(class(&http, read()).await, "transient");
    // The second attempt of 400 ms would not have fitted.
    assert_eq!(vendor.requests().len(), 1);
    assert_eq!(http.longest_call(), Duration::from_millis(700));
}

#[tokio::test]
async fn a_dropped_call_gives_its_permit_back() {
    let vendor = Vendor::start([Act::Stall]).await;
    let http = Arc::new(http(&vendor));
    let call = tokio::spawn({
        let http = Arc::clone(&http);
        async move { http.send(read()).await.map(drop) }
    });
    while vendor.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(http.limits()[0].in_flight, 1);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(http.limits()[0].in_flight, 0);
}

/// The fault as anybody could print it, causes included.
fn told(fault: &Fault) -> String {
    let mut text = format!("{fault} {fault:?}");
    let mut cause = fault.source();
    while let Some(error) = cause {
        text.push_str(&format!(" {error} {error:?}"));
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn fm_091_no_secret_and_no_person_gets_into_logs_or_faults() {
    let log = Log::capture();
    let leaky =
        ["x-echo: canary-echo", "set-cookie: canary-cookie", "location: http://127.0.0.1/?canary-location"];
    let mut acts = unclear();
    for status in ["200 OK", "302 There", "307 There", "400 Bad", "401 Who", "403 No", "418 Tea", "429 Slow"]
    {
        acts.push(Act::answer(status, &leaky, "canary-answer"));
    }
    acts.extend([Act::Flood, Act::Break(b"canary-noise\r\n\r\n".to_vec())]);
    let mut told_all = String::new();
    let mut faults = 0;
    for act in acts {
        for mut request in [read(), write()] {
            let vendor = Vendor::start(vec![act.clone(); 9]).await;
            let once_more = HttpSettings { retries: 1, ..settings() };
            let http = door(&format!("http://{}", vendor.address), once_more);
            request.path = "/contacts/canary%40example.com".to_owned();
            request.headers = vec![("x-own", "canary-header".into())];
            request = request.query("email", "canary@example.com");
            if let Err(fault) = http.send(request).await {
                faults += 1;
                told_all.push_str(&told(&fault));
            }
            told_all.push_str(&format!("{http:?} {:?}", http.limits()));
            assert!(!vendor.requests().is_empty());
        }
    }
    for base in ["http://127.0.0.1:1", "https://localhost:1"] {
        let fault = door(base, settings()).send(write().query("token", "canary")).await.unwrap_err();
        assert_eq!(fault.class(), FaultClass::Transient);
        told_all.push_str(&told(&fault));
    }
    assert_eq!(faults, 2 * 20);
    let log = log.text();
    assert!(log.matches("called the vendor").count() >= 44, "the log was not captured");
    assert!(log.contains("TRACE"), "the libraries' own traces are missing");
    for text in [log, told_all] {
        let leak = text.lines().find(|line| line.contains("canary"));
        assert_eq!(leak, None);
    }
}

#[tokio::test]
async fn fm_078_no_write_starts_after_the_lease_and_reads_go_on() {
    use crate::lease::{Lease, Life, Moment, under};
    let ok = || Act::answer("200 OK", &[], "{}");
    let vendor = Vendor::start([ok(), ok()]).await;
    let http = http(&vendor);
    // Shorter than a request may take: its end could come after the lease's.
    let short = Lease::new(Moment::now(), settings().request_timeout / 2);
    let fault = under(short, Life::default(), http.send(write())).await.unwrap_err();
    assert_eq!(fault.class(), FaultClass::Transient, "proven unsent, so it may be planned again");
    assert!(vendor.requests().is_empty());
    under(short, Life::default(), http.send(read())).await.unwrap();
    let (long, dead) = (Lease::new(Moment::now(), Duration::from_secs(60)), Life::default());
    dead.end();
    assert!(under(long, dead, http.send(write())).await.is_err());
    assert_eq!(vendor.requests().len(), 1);
    under(long, Life::default(), http.send(write())).await.unwrap();
    assert_eq!(vendor.requests().len(), 2);
}
