//! The pull: one page of responses a step, with the questions' titles from the form.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use serde_json::value::RawValue;
use usher_connector::signature::fingerprint;
use usher_connector::{
    Batch, CallLane, Fault, FaultClass, Fetched, Http, Pull, Request, RowProblem, Source, StreamSpec,
};
use usher_model::{ConnectionName, ExternalId, Lane, ObjectType};

use crate::payload::{RESPONSES, Titles, record, submitted_at};
use crate::protocol::CALLS;
use crate::window::{PAGE_SIZE, Progress, Seen, Window};
use crate::wire::{Form, Page, Response};

/// Titles are read again after this long, because a form may be reworded.
const TITLES_LAST: SignedDuration = SignedDuration::from_hours(1);
/// A response to a question that the titles lack makes them be read again, but not more often than this: the question
/// may be deleted.
const TITLES_REST: SignedDuration = SignedDuration::from_mins(5);

/// Pulls the responses of one form.
pub(crate) struct Responses {
    connection: ConnectionName,
    form: String,
    http: Arc<dyn Http>,
    titles: Mutex<Option<(Timestamp, Arc<Titles>)>>,
}

impl fmt::Debug for Responses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responses").field("form", &self.form).finish_non_exhaustive()
    }
}

/// One item of a page, read if it has the shape of a response.
struct Item {
    raw: Box<RawValue>,
    response: Option<Response>,
}

impl Responses {
    /// A source for that form.
    pub(crate) fn new(connection: ConnectionName, form: String, http: Arc<dyn Http>) -> Self {
        Self { connection, form, http, titles: Mutex::new(None) }
    }

    async fn page(&self, window: &Window, lane: CallLane) -> Result<(u64, Vec<Item>), Fault> {
        let mut request = Request::get(format!("/forms/{}/responses", self.form))
            .lane(lane)
            .limits(&[CALLS])
            .query("page_size", PAGE_SIZE.to_string())
            // Explicit although it is the vendor's default: `since` and `until` mean the submission only with it.
            .query("response_type", "completed");
        for (name, value) in window.query() {
            request = request.query(name, value);
        }
        let page: Page = self.http.send(request).await?.json()?;
        let read = |raw: Box<RawValue>| Item { response: serde_json::from_str(raw.get()).ok(), raw };
        Ok((page.total_items, page.items.into_iter().map(read).collect()))
    }

    /// The titles, read again where these responses show that they are out of date.
    async fn titles(&self, items: &[Item], now: Timestamp, lane: CallLane) -> Result<Arc<Titles>, Fault> {
        if items.is_empty() {
            return Ok(Arc::default());
        }
        let known = self.titles.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, titles)) = known {
            let age = now.duration_since(at);
            let lasts = if titles.cover(items.iter().filter_map(|item| item.response.as_ref())) {
                TITLES_LAST
            } else {
                TITLES_REST
            };
            if age < lasts {
                return Ok(titles);
            }
        }
        let request = Request::get(format!("/forms/{}", self.form)).lane(lane).limits(&[CALLS]);
        let form: Form = self.http.send(request).await?.json()?;
        let titles = Arc::new(Titles::new(&form.fields));
        *self.titles.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&titles)));
        Ok(titles)
    }

    fn batch(
        &self,
        window: &Window,
        items: &[Item],
        titles: &Titles,
        next: &Progress,
    ) -> Result<Batch, Fault> {
        let mut batch = Batch::empty(next.cursor()?, next.rests());
        for item in items {
            let read = item.response.as_ref().ok_or("the response has an unexpected shape");
            match read.and_then(|response| record(&self.connection, &self.form, response, titles)) {
                Ok(record) if record.created_at.is_some_and(|at| !window.wants(at.as_second())) => {}
                Ok(record) => batch.records.push(record),
                Err(reason) => batch.problems.push(item.problem(reason)),
            }
        }
        Ok(batch)
    }
}

#[async_trait]
impl Source for Responses {
    fn streams(&self) -> Vec<StreamSpec> {
        const LANES: &[Lane] = &[Lane::Live, Lane::Sweep, Lane::Backfill];
        vec![StreamSpec { object: ObjectType::new(RESPONSES), lanes: LANES, horizon: None }]
    }

    async fn pull(&self, ask: &Pull) -> Result<Batch, Fault> {
        if ask.object.as_str() != RESPONSES {
            return Err(Fault::new(
                FaultClass::Defect,
                "the source was asked for a stream that it does not have",
            ));
        }
        let progress = Progress::read(ask.cursor.as_ref())?;
        let Some(window) = progress.open(ask) else {
            return Ok(Batch::empty(progress.cursor()?, true));
        };
        let lane = if ask.lane == Lane::Backfill { CallLane::Backfill } else { CallLane::Pull };
        let (total, items) = self.page(&window, lane).await?;
        let (after, ended) = window.clone().advance(&seen(total, &items))?;
        let titles = self.titles(&items, ask.now, lane).await?;
        let next = if ended { progress.closed(ask.lane, &after) } else { progress.within(after) };
        self.batch(&window, &items, &titles, &next)
    }

    async fn fetch(
        &self,
        _object: &ObjectType,
        _ids: &[ExternalId],
    ) -> Result<Vec<(ExternalId, Fetched)>, Fault> {
        Err(Fault::new(FaultClass::Defect, "responses are not fetched by id: webhooks bring them whole"))
    }

    fn fetch_limit(&self) -> usize {
        0
    }
}

impl Item {
    fn problem(&self, reason: &str) -> RowProblem {
        let content = fingerprint(&[self.raw.get().as_bytes()]);
        let token = |item: Value| item.get("token").and_then(Value::as_str).map(str::to_owned);
        let token = serde_json::from_str(self.raw.get()).ok().and_then(token);
        RowProblem {
            external_id: ExternalId::new(token.unwrap_or_else(|| content.clone())),
            revision: content,
            reason: format!("{reason}: look at it in Typeform and enter it by hand with `usher leads add`"),
        }
    }
}

fn seen(total: u64, items: &[Item]) -> Seen {
    let place = |response: &Response| Some((response.token.clone(), submitted_at(response)?.as_second()));
    let readable = items.iter().filter_map(|item| item.response.as_ref());
    Seen { total, delivered: items.len(), items: readable.filter_map(place).collect() }
}
