//! `GET /forms/{id}/responses`: windows by time, pages by token, never both.
//!
//! API-FACTS Typeform; Typeform docs "Retrieve responses": since and until are inclusive and to the second,
//! after and before are exclusive tokens in the order of processing. FM-014: mixing them is refused.

use serde_json::{Value, json};

use super::state::{Form, Response};
use crate::clock::{Millis, parse_time};
use crate::reply::Reply;

const DEFAULT_PAGE: usize = 25;
const MAX_PAGE: usize = 1_000;

/// The vendor's error body.
pub(crate) fn problem(status: u16, code: &str, description: &str) -> Reply {
    Reply::json(status, &json!({"code": code, "description": description}))
}

fn invalid(description: &str) -> Reply {
    problem(400, "VALIDATION_ERROR", description)
}

/// Seconds since the epoch: an integer, or ISO 8601 in UTC.
fn seconds(text: &str) -> Result<i64, Reply> {
    if let Ok(number) = text.parse::<i64>() {
        return Ok(number);
    }
    let at = parse_time(text).ok_or_else(|| invalid(&format!("{text} is not a date and time")))?;
    Ok(at.div_euclid(1_000))
}

/// Answers the list.
/// `untidy` puts the rows of the page out of order.
pub(crate) fn list(
    form: &Form,
    query: &[(String, String)],
    now: Millis,
    untidy: impl FnOnce(&mut Vec<Value>),
) -> Reply {
    match page(form, query, now, untidy) {
        Ok(reply) | Err(reply) => reply,
    }
}

fn page(
    form: &Form,
    query: &[(String, String)],
    now: Millis,
    untidy: impl FnOnce(&mut Vec<Value>),
) -> Result<Reply, Reply> {
    let get = |key: &str| query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let (after, before) = (get("after"), get("before"));
    if after.is_some() && before.is_some() {
        return Err(invalid("after and before cannot be used together"));
    }
    let token = after.or(before);
    if token.is_some() && ["since", "until", "sort"].iter().any(|key| get(key).is_some()) {
        return Err(invalid("after and before cannot be used together with since, until or sort"));
    }
    let size = match get("page_size").map(str::parse::<usize>) {
        None => DEFAULT_PAGE,
        Some(Ok(size)) if (1..=MAX_PAGE).contains(&size) => size,
        Some(_) => return Err(invalid("page_size must be between 1 and 1000")),
    };
    let since = get("since").map(seconds).transpose()?;
    let until = get("until").map(seconds).transpose()?;
    let completed = get("response_type").is_none_or(|types| types.split(',').any(|one| one == "completed"));
    let completed = completed && get("completed") != Some("false");
    let shown = |response: &&Response| {
        let at = response.submitted_at.div_euclid(1_000);
        completed
            && response.visible_at <= now
            && since.is_none_or(|since| at >= since)
            && until.is_none_or(|until| at <= until)
    };
    let place = |token: &str| {
        let found = form.responses.iter().position(|response| response.token == token);
        found.ok_or_else(|| invalid(&format!("there is no response with token {token}")))
    };
    let rows: Vec<&Response> = match (after, before) {
        (Some(token), _) => form.responses[place(token)? + 1..].iter().filter(shown).collect(),
        // The page just before the token, walking back towards the oldest.
        (_, Some(token)) => form.responses[..place(token)?].iter().rev().filter(shown).collect(),
        _ => {
            let mut rows: Vec<&Response> = form.responses.iter().rev().filter(shown).collect();
            rows.sort_by_key(|response| std::cmp::Reverse(response.submitted_at));
            rows
        }
    };
    let mut items: Vec<Value> = rows.iter().take(size).map(|response| response.item()).collect();
    untidy(&mut items);
    Ok(Reply::json(
        200,
        &json!({"total_items": rows.len(), "page_count": rows.len().div_ceil(size), "items": items}),
    ))
}
