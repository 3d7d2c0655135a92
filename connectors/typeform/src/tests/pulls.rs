//! Pulls: paging, resuming, ties, lies, and the same payload as by webhook.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use usher_connector::{Cursor, FaultClass, Item, Protocol, Request, Response};
use usher_model::Lane;

use super::form::{Form, ask, at, connect, fails, pull_all};
use super::hooks::hook_body;
use crate::protocol::TypeformProtocol;

fn set(tokens: &[String]) -> BTreeSet<&str> {
    tokens.iter().map(String::as_str).collect()
}

fn asked(request: &Request, name: &str) -> bool {
    request.query.iter().any(|(key, _)| key == name)
}

#[tokio::test]
async fn fm_014_follow_up_pages_never_mix_filters_and_read_everything() {
    let form = Arc::new(Form::new((0..3_005).map(|n| n / 2)));
    let (tokens, _) = pull_all(&form, Lane::Live, None, 5_000).await;
    assert_eq!(set(&tokens).len(), 3_005);
    assert_eq!(form.calls("/responses").len(), 4);
}

#[tokio::test]
async fn fm_014_more_responses_in_one_second_than_a_page_are_walked_by_token_alone() {
    // 2,500 in second 7 with others on both sides: (0..5) older, (8..10) newer.
    let seconds = (0..5).chain(std::iter::repeat_n(7, 2_500)).chain(8..10);
    let form = Arc::new(Form::new(seconds));
    let (tokens, cursor) = pull_all(&form, Lane::Live, None, 5_000).await;
    assert_eq!(set(&tokens).len(), 2_507);
    let calls = form.calls("/responses");
    assert!(calls.iter().any(|call| asked(call, "before")));
    assert!(
        calls.iter().all(|call| !(asked(call, "before") && (asked(call, "since") || asked(call, "until"))))
    );
    assert!(calls.len() <= 7, "{} calls", calls.len());
    assert_eq!(cursor.state["mark"], json!(at(9).as_second()));
}

#[tokio::test]
async fn fm_014_the_walk_by_token_hands_back_to_the_window_below_it() {
    // The page behind the crowded second and the first page of the window below it hold the same responses.
    let seconds = (0..3_000).map(|n| n / 4).chain(std::iter::repeat_n(900, 1_000)).chain([901]);
    let form = Arc::new(Form::new(seconds));
    let (tokens, _) = pull_all(&form, Lane::Live, None, 5_000).await;
    assert_eq!(set(&tokens).len(), 4_001);
}

#[tokio::test]
async fn fm_015_order_and_repeats_within_pages_do_not_matter() {
    let mut untidy = Form::new((0..2_300).map(|n| n / 3).chain(std::iter::repeat_n(900, 1_700)));
    untidy.untidy = true;
    let form = Arc::new(untidy);
    let (tokens, _) = pull_all(&form, Lane::Live, None, 5_000).await;
    assert_eq!(set(&tokens).len(), 4_000);
}

#[tokio::test]
async fn fm_013_a_smaller_page_than_asked_for_is_no_end() {
    let mut clamped = Form::new(0..730);
    clamped.page = 100;
    let form = Arc::new(clamped);
    let (tokens, _) = pull_all(&form, Lane::Live, None, 5_000).await;
    assert_eq!(set(&tokens).len(), 730);
}

#[tokio::test]
async fn fm_013_a_page_that_comes_again_is_a_fault() {
    let mut stuck = Form::new(0..5_000);
    // Call 0 is page one, call 1 the titles; a fresh connection reads titles with every page.
    stuck.stuck_from = Some(2);
    let form = Arc::new(stuck);
    let mut cursor = None;
    for step in 0..3 {
        let source = connect(&form, &[]).source.unwrap();
        match source.pull(&ask(Lane::Live, cursor.clone(), 5_000)).await {
            Ok(batch) => cursor = Some(batch.next),
            Err(fault) => {
                assert_eq!((step, fault.class()), (2, FaultClass::Transient));
                assert!(fault.to_string().contains("same page twice"));
                return;
            }
        }
    }
    panic!("the repeated page was taken for a new one");
}

#[tokio::test]
async fn fm_017_nothing_but_a_proper_page_ends_a_window() {
    const BAD: [(u16, &str); 9] = [
        (500, ""),
        (502, "<html>bad gateway</html>"),
        (429, "{}"),
        (401, "{\"code\":\"AUTHENTICATION_FAILED\"}"),
        (200, "<html>hello</html>"),
        (200, ""),
        (200, "{}"),
        (200, "{\"total_items\": 5, \"items\": []}"),
        (200, "{\"total_items\": 3, \"items\": [{\"token\": \"tok"),
    ];
    for bad in BAD {
        for page in 0..3 {
            let mut small = Form::new(0..250);
            small.page = 100;
            let form = Arc::new(small);
            // Every page is followed by a call for the titles.
            form.faults.lock().unwrap().insert(2 * page, bad);
            let mut cursor: Option<Cursor> = None;
            for _ in 0..page {
                let source = connect(&form, &[]).source.unwrap();
                let batch = source.pull(&ask(Lane::Live, cursor, 5_000)).await.unwrap();
                assert!(!batch.done);
                cursor = Some(batch.next);
            }
            let (class, _) = fails(&form, cursor.clone()).await;
            assert_ne!(class, FaultClass::Defect);
            let (tokens, _) = pull_all(&form, Lane::Live, cursor, 5_000).await;
            assert!(set(&tokens).contains("tok-0"), "{bad:?} on page {page} closed the window");
        }
    }
}

#[tokio::test]
async fn fm_017_a_form_without_questions_is_no_form_and_its_titles_do_not_count_as_read() {
    for body in ["{}", "[]", "null", "{\"id\":\"abc123\"}", "{\"fields\":{}}"] {
        let form = Arc::new(Form::new(0..3));
        // Call 0 is the page, call 1 the titles.
        form.faults.lock().unwrap().insert(1, (200, body));
        let (class, _) = fails(&form, None).await;
        assert_eq!(class, FaultClass::Transient, "{body}");
        let (tokens, _) = pull_all(&form, Lane::Live, None, 100).await;
        assert_eq!(set(&tokens).len(), 3, "nothing is lost");
    }
}

#[tokio::test]
async fn responses_that_arrive_between_pages_are_not_lost() {
    let form = Arc::new(Form::new(0..2_500));
    let mut cursor = None;
    let mut tokens = BTreeSet::new();
    for step in 0..3 {
        let source = connect(&form, &[]).source.unwrap();
        let batch = source.pull(&ask(Lane::Live, cursor, 5_000)).await.unwrap();
        tokens.extend(batch.records.iter().map(|record| record.external_id.to_string()));
        cursor = Some(batch.next);
        for late in 0..40 {
            form.add(&format!("late-{step}-{late}"), 2_500 + step);
        }
        assert_eq!(batch.done, step == 2);
    }
    let (rest, _) = pull_all(&form, Lane::Live, cursor, 5_001).await;
    tokens.extend(rest);
    assert_eq!(tokens.len(), 2_620);
}

#[tokio::test]
async fn an_idle_poll_costs_one_call_and_keeps_the_mark() {
    let form = Arc::new(Form::new(0..20));
    let (_, cursor) = pull_all(&form, Lane::Live, None, 100).await;
    let before = form.calls("").len();
    let (tokens, again) = pull_all(&form, Lane::Live, Some(cursor.clone()), 9_999).await;
    assert_eq!(again, cursor);
    assert_eq!(set(&tokens).len(), 11, "the overlap of 10 seconds, both ends included");
    assert_eq!(form.calls("").len(), before + 2, "the page, and the titles of a fresh process");
}

#[tokio::test]
async fn fm_007_a_row_from_the_future_never_moves_the_mark_past_the_bound() {
    let form = Arc::new(Form::new([10, 90_000]));
    let (tokens, cursor) = pull_all(&form, Lane::Live, None, 100).await;
    assert_eq!(set(&tokens).len(), 2);
    assert_eq!(cursor.state["mark"], json!(at(100).as_second()));
}

#[tokio::test]
async fn the_sweep_reads_an_hour_behind_what_the_list_showed_late() {
    let form = Arc::new(Form::new([]));
    let (_, live) = pull_all(&form, Lane::Live, None, 1_000).await;
    let (_, sweep) = pull_all(&form, Lane::Sweep, None, 1_000).await;
    assert!(form.requests.lock().unwrap().len() == 1, "the sweep has nothing to read in the first hour");
    form.add("newest", 2_000);
    let (_, live) = pull_all(&form, Lane::Live, Some(live), 2_100).await;
    // Submitted long before, shown by the list only now: the live lane is past it.
    form.add("hidden", 300);
    let (tokens, _) = pull_all(&form, Lane::Live, Some(live), 2_200).await;
    assert!(!set(&tokens).contains("hidden"));
    let (tokens, sweep) = pull_all(&form, Lane::Sweep, Some(sweep), 4_000).await;
    assert_eq!(set(&tokens), BTreeSet::from(["hidden"]));
    let (tokens, _) = pull_all(&form, Lane::Sweep, Some(sweep), 7_000).await;
    assert_eq!(set(&tokens), BTreeSet::from(["newest"]));
}

#[tokio::test]
async fn backfill_reads_history_once_and_ends() {
    let form = Arc::new(Form::new(-4_000..50));
    let (live, _) = pull_all(&form, Lane::Live, None, 100).await;
    assert_eq!(set(&live).len(), 50, "live starts when the connection was made");
    let (tokens, cursor) = pull_all(&form, Lane::Backfill, None, 100).await;
    assert_eq!(set(&tokens).len(), 4_050);
    let calls = form.calls("").len();
    let (again, _) = pull_all(&form, Lane::Backfill, Some(cursor), 200).await;
    assert!(again.is_empty() && form.calls("").len() == calls);
}

#[tokio::test]
async fn a_pull_and_a_webhook_bring_the_same_record() {
    let form = Arc::new(Form::new([0]));
    let page = format!("{{\"total_items\":1,\"items\":[{}]}}", include_str!("../../fixtures/response.json"));
    form.faults.lock().unwrap().insert(0, (200, page.leak()));
    let connection = connect(&form, &["s"]);
    let batch = connection.source.unwrap().pull(&ask(Lane::Live, None, 100)).await.unwrap();
    let items = connection.inbound.unwrap().split(&serde_json::to_vec(&hook_body()).unwrap(), at(0));
    let [Ok(Item::Record(hooked))] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!(&batch.records[0], hooked);
}

#[tokio::test]
async fn a_bad_item_is_reported_and_harms_no_other() {
    let form = Arc::new(Form::new([]));
    let good = include_str!("../../fixtures/response.json");
    let page = format!("{{\"total_items\":3,\"items\":[{{\"token\":7}},{good},{{\"token\":\"tok-2\"}}]}}");
    form.faults.lock().unwrap().insert(0, (200, page.leak()));
    let batch = connect(&form, &[]).source.unwrap().pull(&ask(Lane::Live, None, 100)).await.unwrap();
    assert!(batch.done);
    assert_eq!(batch.records.len(), 1);
    let ids: Vec<&str> = batch.problems.iter().map(|problem| problem.external_id.as_str()).collect();
    assert_eq!(ids[1], "tok-2");
    assert!(batch.problems[1].reason.contains("submitted_at"));
}

#[tokio::test]
async fn titles_are_read_once_and_again_when_the_form_changes() {
    let form = Arc::new(Form::new(0..3));
    let source = connect(&form, &[]).source.unwrap();
    let mut cursor = None;
    for second in [100, 160, 220, 3_690, 3_710] {
        cursor = Some(source.pull(&ask(Lane::Live, cursor, second)).await.unwrap().next);
    }
    assert_eq!(form.calls("/forms/abc123").len(), 2, "at first, and after an hour");
    let item = json!({ "token": "t", "submitted_at": "2026-11-22T10:00:00Z", "answers": [
        { "type": "text", "text": "x", "field": { "id": "f-new", "ref": "new", "type": "short_text" } }] });
    let page = json!({ "total_items": 1, "items": [item] }).to_string();
    let page: &'static str = page.leak();
    for (second, expected) in [(3_800, 2), (4_020, 3), (4_100, 3)] {
        let call = form.calls("").len();
        form.faults.lock().unwrap().insert(call, (200, page));
        let _ = source.pull(&ask(Lane::Live, cursor.clone(), second)).await.unwrap();
        assert_eq!(form.calls("/forms/abc123").len(), expected, "at {second}");
    }
}

#[tokio::test]
async fn a_cursor_of_another_version_is_refused() {
    let form = Arc::new(Form::new(0..3));
    for cursor in
        [Cursor { version: 9, state: json!({}) }, Cursor { version: 1, state: json!({ "window": 7 }) }]
    {
        assert_eq!(fails(&form, Some(cursor)).await.0, FaultClass::Misconfigured);
    }
}

fn judge(
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: &str,
) -> Result<(), usher_connector::Fault> {
    let headers =
        headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let response = Response { status, headers, body: body.as_bytes().to_vec() };
    TypeformProtocol.judge(&Request::get("/forms/abc123"), &response)
}

#[test]
fn every_status_has_its_class() {
    for status in 100..600 {
        let class = judge(status, &[], "").err().map(|fault| fault.class());
        let expected = match status {
            200..=299 => None,
            401 => Some(FaultClass::Unauthorized),
            403 | 404 => Some(FaultClass::Misconfigured),
            429 => Some(FaultClass::Throttled { limit: "calls", retry_after: None }),
            408 | 500..=599 => Some(FaultClass::Transient),
            _ => Some(FaultClass::Rejected),
        };
        assert_eq!(class, expected, "{status}");
    }
    let fault =
        judge(403, &[], r#"{"code":"FORBIDDEN","description":"ana@acme.example may not"}"#).unwrap_err();
    let words = fault.to_string();
    assert!(
        words.contains("403 (FORBIDDEN)") && words.contains("responses:read") && !words.contains("ana@"),
        "{words}"
    );
    let odd = judge(400, &[], r#"{"code":"who is ana@acme.example"}"#).unwrap_err().to_string();
    assert!(!odd.contains("ana@"), "{odd}");
}

#[test]
fn fm_065_retry_after_in_seconds_and_as_a_date() {
    let wait = |headers: &[(&'static str, &'static str)]| match judge(429, headers, "").unwrap_err().class() {
        FaultClass::Throttled { retry_after, .. } => retry_after.map(|wait| wait.as_secs()),
        other => panic!("{other:?}"),
    };
    const DATE: (&str, &str) = ("date", "Sun, 22 Nov 2026 10:00:00 GMT");
    assert_eq!(wait(&[("retry-after", "7")]), Some(7));
    assert_eq!(wait(&[DATE, ("retry-after", "Sun, 22 Nov 2026 10:01:30 GMT")]), Some(90));
    assert_eq!(wait(&[DATE, ("retry-after", "Sun, 22 Nov 2026 09:00:00 GMT")]), Some(0));
    assert_eq!(wait(&[("retry-after", "Sun, 22 Nov 2026 10:01:30 GMT")]), None, "no date to hold it against");
    for odd in ["soon", "-3", "", "99999999999999999999"] {
        assert_eq!(wait(&[("retry-after", odd)]), None, "{odd:?}");
    }
}

#[tokio::test]
async fn fm_016_the_filter_that_hides_responses_is_sent_and_stated() {
    let form = Arc::new(Form::new(0..3));
    let _ = pull_all(&form, Lane::Live, None, 100).await;
    let sent = &form.calls("/responses")[0].query;
    assert!(sent.contains(&("response_type".to_owned(), "completed".to_owned())));
    assert!(
        crate::MANIFEST.example.yaml.contains("responses: completed                        # only finished")
    );
}

#[tokio::test]
async fn fm_088_odd_texts_pass_unchanged() {
    let texts =
        ["\u{202e}abc", "a\u{200b}b", "<b>x</b>", "👩‍👩‍👧", "e\u{301} \u{e9}", &"x".repeat(100_000), "", " "];
    let items: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            json!({ "token": format!("t{index}"), "submitted_at": "2026-11-22T10:00:00Z", "answers": [
            { "type": "text", "text": text, "field": { "id": "f-again", "ref": "again", "type": "short_text" } }] })
        })
        .collect();
    let form = Arc::new(Form::new([]));
    let page = json!({ "total_items": items.len(), "items": items }).to_string();
    form.faults.lock().unwrap().insert(0, (200, page.leak()));
    let batch = connect(&form, &[]).source.unwrap().pull(&ask(Lane::Live, None, 100)).await.unwrap();
    for (record, text) in batch.records.iter().zip(texts) {
        let payload: Value = serde_json::from_str(record.payload.get()).unwrap();
        assert_eq!(payload["answers"]["again"], json!(text));
    }
    assert_eq!(batch.records.len(), texts.len());
}

#[tokio::test]
async fn fm_021_times_need_an_offset_and_become_one_instant() {
    let form = Arc::new(Form::new([]));
    let item = |token: &str, at: &str| json!({ "token": token, "submitted_at": at });
    let page = json!({ "total_items": 4, "items": [
        item("utc", "2026-11-22T10:00:00Z"), item("berlin", "2026-11-22T11:00:00+01:00"),
        item("local", "2026-11-22T11:00:00"), item("seconds", "1795341600")] });
    form.faults.lock().unwrap().insert(0, (200, page.to_string().leak()));
    let batch = connect(&form, &[]).source.unwrap().pull(&ask(Lane::Live, None, 100)).await.unwrap();
    let stamps: Vec<_> = batch.records.iter().map(|record| record.modified_at.unwrap().to_string()).collect();
    assert_eq!(stamps, ["2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"]);
    let refused: Vec<_> = batch.problems.iter().map(|problem| problem.external_id.as_str()).collect();
    assert_eq!(refused, ["local", "seconds"], "a time without a zone is not guessed at");
    let sent = form.calls("/responses").remove(0).query;
    assert!(sent.iter().filter(|(name, _)| name == "since").all(|(_, at)| at.ends_with('Z')), "{sent:?}");
}
