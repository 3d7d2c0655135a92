//! Dispatch: which writes go next. While the vendor's limits have room, everything that is due goes at once, kinds and
//! batches side by side; while they are short, each call that they allow carries as much as it can.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;
use usher_connector::{CallLane, Capability, Target};
use usher_model::EffectKind;
use usher_store::{Direction, DueEffects};

use super::deliver::{Claim, DeliverReport};
use crate::breaker::Leave;
use crate::connected::Connected;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::wake::Step;

/// Batches of a connection under way at a time, and those of one kind.
const MOST: usize = 16;
const MOST_OF_A_KIND: usize = 8;
/// A batch that is not full waits so long for company if one of its kind has just gone: long enough that under load
/// calls carry more than one write, short enough that one that hangs holds up nobody.
const LINGER: Duration = Duration::from_millis(50);
/// Until a batch that was taken up has made its call.
const MOMENT: Duration = Duration::from_millis(2);
/// Limits that were short count as short for so long, and are looked at again after it at the latest.
const SHORT: Duration = Duration::from_secs(1);
/// A pass outlasts a limit's window, not a vendor's day.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The writes of one connection.
struct Dispatch<'a> {
    engine: &'a Engine,
    connected: &'a Connected,
    target: &'a dyn Target,
    /// The last step of a lead's way first: what has begun is finished before more is begun.
    capabilities: Vec<Capability>,
    work: FuturesUnordered<BoxFuture<'a, Event>>,
    traffic: Vec<Batch>,
    /// What is due, as far as we know: counted anew once anything but a claim of ours may have changed it.
    due: Vec<DueEffects>,
    counted: bool,
    /// Until then the limits count as short: one batch is taken up at a time.
    short_until: Instant,
    /// When the limits last had room for a call, somebody else's waited for it.
    overtaken: bool,
    turns: u64,
    report: DeliverReport,
    failed: Option<EngineError>,
}

/// A batch under way.
#[derive(Debug)]
struct Batch {
    number: u64,
    kind: EffectKind,
    since: Instant,
    /// It was taken up while the limits were short, so no other is before it has called.
    alone: bool,
    /// It has made its call, so that the limits know of it; before that its writes are being taken up.
    called: Arc<AtomicBool>,
}

/// What happened to a batch, by its number.
enum Event {
    Claimed(u64, Capability, Leave, Result<Claim, EngineError>),
    Sent(u64, Result<DeliverReport, EngineError>),
}

impl Batch {
    fn has_called(&self) -> bool {
        self.called.load(Ordering::Relaxed)
    }
}

impl Engine {
    /// Sends what is planned and due at a connection until nothing of it is left and everything sent is answered.
    ///
    /// # Errors
    /// If the storage fails. A vendor's faults are outcomes of the writes.
    pub(super) async fn dispatch(
        &self,
        connected: &Connected,
        target: &dyn Target,
    ) -> Result<DeliverReport, EngineError> {
        let mut capabilities = target.capabilities();
        capabilities.sort_by_key(|capability| std::cmp::Reverse(capability.kind));
        let dispatch = Dispatch {
            engine: self,
            connected,
            target,
            capabilities,
            work: FuturesUnordered::new(),
            traffic: Vec::new(),
            due: Vec::new(),
            counted: false,
            short_until: Instant::now(),
            overtaken: false,
            turns: 0,
            report: DeliverReport::default(),
            failed: None,
        };
        dispatch.run().await
    }
}

impl Dispatch<'_> {
    async fn run(mut self) -> Result<DeliverReport, EngineError> {
        let mut bell = self.engine.wake().listen(Step::Deliver);
        let mut again = self.launch().await;
        while !self.work.is_empty() || again.is_some() {
            tokio::select! {
                Some(event) = self.work.next(), if !self.work.is_empty() => self.heard(event),
                () = bell.rung(), if self.is_open() => self.counted = false,
                () = tokio::time::sleep(again.unwrap_or_default()), if again.is_some() => self.counted = false,
            }
            again = self.launch().await;
        }
        self.failed.map_or(Ok(self.report), Err)
    }

    fn is_open(&self) -> bool {
        self.failed.is_none() && !self.engine.is_stopping()
    }

    /// Takes up what may go now. Says when to look again, if something waits for time only.
    async fn launch(&mut self) -> Option<Duration> {
        if !self.is_open() || self.traffic.len() >= MOST {
            return None;
        }
        if !self.counted
            && let Err(error) = self.count().await
        {
            self.failed = Some(error);
            return None;
        }
        if self.due.is_empty() {
            return None;
        }
        loop {
            let gauge = &self.connected.gauge;
            let (wait, waiting) = (gauge.wait(CallLane::Write), gauge.waiting(CallLane::Write));
            if !wait.is_zero() {
                self.short_until = Instant::now() + SHORT;
                self.engine.signs().moved(Step::Deliver);
                if wait > SHORT || !has_place(waiting, self.overtaken, self.has_backlog()) {
                    self.overtaken = waiting > 0;
                    return (wait <= LONGEST_WAIT).then_some(wait.min(SHORT));
                }
            }
            if waiting > 1 {
                return Some(MOMENT);
            }
            let short = Instant::now() < self.short_until;
            if self.traffic.len() >= MOST {
                return None;
            }
            if self.traffic.iter().any(|batch| (short || batch.alone) && !batch.has_called()) {
                return Some(MOMENT);
            }
            let capability = match self.choose(short) {
                Ok(capability) => capability,
                Err(again) => return again,
            };
            match self.engine.may_call(&self.connected.name, Direction::Write) {
                Leave::Go => self.take_up(capability, Leave::Go, short),
                Leave::Probe => self.take_up(Capability { max_batch: 1, ..capability }, Leave::Probe, short),
                Leave::Rest(_) => {
                    self.engine.signs().moved(Step::Deliver);
                    return None;
                }
            }
        }
    }

    /// Counts what is due. What the settings have ceased to offer since it was planned is refused: it would wait for ever.
    async fn count(&mut self) -> Result<(), EngineError> {
        let due = self.engine.store.due_effects(&self.connected.name, self.most(), self.engine.now()).await?;
        let offered = |kind| self.capabilities.iter().any(|capability| capability.kind == kind);
        let (due, unoffered): (Vec<DueEffects>, Vec<DueEffects>) =
            due.into_iter().partition(|due| offered(due.kind));
        (self.due, self.counted) = (due, true);
        for due in unoffered {
            while self.engine.refuse_kind(self.connected, due.kind).await? {}
        }
        Ok(())
    }

    /// The kind to send next. If there is none: when a batch has waited long enough for company.
    fn choose(&mut self, short: bool) -> Result<Capability, Option<Duration>> {
        let now = Instant::now();
        let (mut ready, mut again): (Vec<(Capability, DueEffects)>, Option<Duration>) = (Vec::new(), None);
        for capability in &self.capabilities {
            let Some(due) = self.due.iter().find(|due| due.kind == capability.kind) else { continue };
            let alike = || self.traffic.iter().filter(|batch| batch.kind == capability.kind);
            if !alike().all(Batch::has_called) || alike().count() >= MOST_OF_A_KIND {
                continue;
            }
            let lingers = alike().map(|batch| (batch.since + LINGER).saturating_duration_since(now)).max();
            match lingers.filter(|wait| !wait.is_zero() && due.count < count(capability.max_batch)) {
                Some(wait) => again = Some(again.map_or(wait, |again| again.min(wait))),
                None => ready.push((*capability, *due)),
            }
        }
        self.turns += 1;
        next(&ready, short, self.turns.is_multiple_of(2)).ok_or(again)
    }

    fn take_up(&mut self, capability: Capability, leave: Leave, alone: bool) {
        let (engine, connected, number) = (self.engine, self.connected, self.turns);
        let called = Arc::default();
        self.overtaken = false;
        self.traffic.push(Batch { number, kind: capability.kind, since: Instant::now(), alone, called });
        self.work.push(Box::pin(async move {
            Event::Claimed(number, capability, leave, engine.claim_batch(connected, &capability).await)
        }));
    }

    fn send(&mut self, number: u64, capability: Capability, claim: Claim) {
        let (engine, connected, target) = (self.engine, self.connected, self.target);
        let Some(called) =
            self.traffic.iter().find(|batch| batch.number == number).map(|batch| &batch.called)
        else {
            return;
        };
        let called = Arc::clone(called);
        self.work.push(Box::pin(async move {
            Event::Sent(number, engine.send_batch(connected, target, &capability, claim, &called).await)
        }));
    }

    /// Whether a call of some kind would be full.
    fn has_backlog(&self) -> bool {
        let full = |each: &Capability| {
            self.due.iter().any(|due| due.kind == each.kind && due.count >= count(each.max_batch))
        };
        self.capabilities.iter().any(full)
    }

    /// What is counted of a kind at most: two full calls.
    fn most(&self) -> u32 {
        2 * count(self.capabilities.iter().map(|each| each.max_batch).max().unwrap_or_default())
    }

    /// So many of a kind are not due any more.
    fn taken(&mut self, kind: EffectKind, taken: usize) {
        let most = self.most();
        for due in self.due.iter_mut().filter(|due| due.kind == kind) {
            // There may have been more than were counted.
            self.counted &= due.count < most;
            due.count = due.count.saturating_sub(count(taken));
        }
        self.due.retain(|due| due.count > 0);
    }

    fn heard(&mut self, event: Event) {
        self.counted &= matches!(event, Event::Claimed(_, _, _, Ok(_)));
        let number = match event {
            Event::Claimed(number, capability, _, Ok(claim)) if !claim.effects.is_empty() => {
                self.taken(capability.kind, claim.effects.len());
                return self.send(number, capability, claim);
            }
            Event::Claimed(number, _, leave, Ok(_)) => {
                self.engine.unasked(&self.connected.name, Direction::Write, leave);
                self.counted = false;
                number
            }
            Event::Sent(number, Ok(report)) => {
                self.engine.signs().moved(Step::Deliver);
                self.report.sent += report.sent;
                self.report.done += report.done;
                number
            }
            Event::Claimed(number, _, _, Err(error)) | Event::Sent(number, Err(error)) => {
                self.failed.get_or_insert(error);
                number
            }
        };
        self.traffic.retain(|batch| batch.number != number);
    }
}

/// Whether a write is put behind the calls that wait: behind one, if it gains no company by waiting itself, or if another
/// has been quicker before. Whoever went there beside nobody would only go with fewer others.
fn has_place(waiting: usize, overtaken: bool, backlog: bool) -> bool {
    waiting == 1 && (overtaken || backlog)
}

/// Which of the kinds goes next, of those that are ready, the last step first. With room for every call what has begun is
/// finished first. While the limits are short, a fresh lead goes first if the backlog fills its call, else in turn with
/// the others; and of each step the backlog leaves one full call behind, so that there is something to fill it with.
fn next(ready: &[(Capability, DueEffects)], short: bool, turn: bool) -> Option<Capability> {
    let percent = |each: &(Capability, DueEffects)| each.1.count * 100 / count(each.0.max_batch).max(1);
    let fresh = || ready.iter().find(|each| each.1.fresh && (turn || percent(each) >= 100));
    let to_spare = || ready.iter().find(|each| percent(each) >= 200);
    let fullest = || ready.iter().max_by_key(|each| percent(each).min(100));
    let next = if short { fresh().or_else(to_spare).or_else(fullest) } else { ready.first() };
    next.map(|(capability, _)| *capability)
}

fn count(most: usize) -> u32 {
    u32::try_from(most).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
