//! The writer: one task that owns the only writing connection and commits queued commands in groups.
//!
//! Each command runs in a savepoint inside one `BEGIN IMMEDIATE … COMMIT`, so that a hundred small commands cost one
//! sync of the disk and a failing one takes nobody with it. Callers are answered after the commit, never before.

use std::time::Instant;

use futures::future::BoxFuture;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use usher_model::crash;

use super::arrivals::{Arrival, Arrivals};
use super::company::Company;
use super::fault::{Fault, GroupFault, is_busy};
use crate::intake::NewDelivery;

/// How urgent a command is. A group takes the more urgent ones first, but at least one of each kind that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// Somebody waits for an answer: webhooks, the API, an operator.
    Acknowledge,
    /// A lead's way through the house.
    Decide,
    /// Directory and upkeep.
    Maintain,
}

/// Capacity of each queue; a full one makes its callers wait.
const QUEUED: [usize; 3] = [1024, 256, 64];
/// How many commands of each priority one group takes at most.
const TAKEN: [usize; 3] = [128, 16, 2];

/// What is run as a whole or not at all.
pub(super) trait Command: Send {
    /// Runs it; false if it failed.
    fn run<'a>(&'a mut self, conn: &'a mut SqliteConnection) -> BoxFuture<'a, bool>;
    /// True if it failed for want of space.
    fn found_no_space(&self) -> bool;
    /// Tells its callers how it went; `failure` is the group's.
    fn answer(self: Box<Self>, failure: Option<GroupFault>);
}

/// How one command of a group went.
enum Ran {
    Fine,
    /// It failed and left no trace.
    Failed,
    /// It failed and took the whole transaction with it, as a full disk does.
    Lost(sqlx::Error),
}

type Queued = Box<dyn Command>;

struct Typed<T, F> {
    work: Option<F>,
    outcome: Result<T, Fault>,
    reply: oneshot::Sender<Result<T, Fault>>,
}

impl<T, F> Command for Typed<T, F>
where
    T: Send,
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Fault>> + Send,
{
    fn run<'a>(&'a mut self, conn: &'a mut SqliteConnection) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            if let Some(work) = self.work.take() {
                self.outcome = work(conn).await;
            }
            self.outcome.is_ok()
        })
    }

    fn found_no_space(&self) -> bool {
        matches!(self.outcome, Err(Fault::NoSpace(_)))
    }

    fn answer(self: Box<Self>, failure: Option<GroupFault>) {
        // A caller that went away does not need the answer; its command was run all the same.
        let _ = self.reply.send(match failure {
            Some(failure) => Err(failure.member()),
            None => self.outcome,
        });
    }
}

/// What was taken from the queues: webhooks that waited together count each.
struct Taken {
    class: usize,
    count: usize,
    command: Queued,
}

impl Taken {
    fn together(first: Arrival, waiting: &mut mpsc::Receiver<Arrival>, most: usize) -> Self {
        let arrivals = Arrivals::gather(first, waiting, most);
        Self { class: 0, count: arrivals.len(), command: Box::new(arrivals) }
    }
}

/// What comes next, the most urgent first; `None` once every queue is closed and empty.
async fn received(
    arrivals: &mut mpsc::Receiver<Arrival>,
    [acknowledge, decide, maintain]: &mut [mpsc::Receiver<Queued>; 3],
) -> Option<Taken> {
    let one = |class, command| Some(Taken { class, count: 1, command });
    tokio::select! {
        biased;
        Some(first) = arrivals.recv() => Some(Taken::together(first, arrivals, TAKEN[0])),
        Some(command) = acknowledge.recv() => one(0, command),
        Some(command) = decide.recv() => one(1, command),
        Some(command) = maintain.recv() => one(2, command),
        else => None,
    }
}

/// The way to the writer.
#[derive(Debug)]
pub(super) struct Writer {
    arrivals: mpsc::Sender<Arrival>,
    queues: [mpsc::Sender<Queued>; 3],
    closing: mpsc::Sender<oneshot::Sender<()>>,
}

impl Writer {
    /// Starts the task. `guard` is dropped when the connection is closed.
    pub(super) fn start<G: Send + 'static>(conn: SqliteConnection, guard: G) -> Self {
        let (arrivals, arrivals_rx) = mpsc::channel(QUEUED[0]);
        let (acknowledge, acknowledge_rx) = mpsc::channel(QUEUED[0]);
        let (decide, decide_rx) = mpsc::channel(QUEUED[1]);
        let (maintain, maintain_rx) = mpsc::channel(QUEUED[2]);
        let (closing, closing_rx) = mpsc::channel(1);
        let queues = [acknowledge_rx, decide_rx, maintain_rx];
        let actor =
            Actor { conn, arrivals: arrivals_rx, queues, closing: closing_rx, company: Company::default() };
        tokio::spawn(async move {
            actor.run().await;
            drop(guard);
        });
        Self { arrivals, queues: [acknowledge, decide, maintain], closing }
    }

    /// Stores a webhook body with those that arrive beside it; returns after it was committed.
    pub(super) async fn arrive(&self, delivery: NewDelivery) -> Result<(), Fault> {
        let (reply, answer) = oneshot::channel();
        self.arrivals.send((delivery, reply)).await.map_err(|_| Fault::Closed)?;
        answer.await.unwrap_or(Err(Fault::Closed))
    }

    /// Runs `work` on the writing connection; returns after it was committed.
    pub(super) async fn run<T, F>(&self, priority: Priority, work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Fault>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let command = Typed { work: Some(work), outcome: Err(Fault::Closed), reply };
        self.queues[priority as usize].send(Box::new(command)).await.map_err(|_| Fault::Closed)?;
        answer.await.unwrap_or(Err(Fault::Closed))
    }

    /// Refuses new commands, runs the queued ones, checkpoints and closes the connection.
    pub(super) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.closing.send(reply).await.is_ok() {
            let _ = closed.await;
        }
    }
}

struct Actor {
    conn: SqliteConnection,
    arrivals: mpsc::Receiver<Arrival>,
    queues: [mpsc::Receiver<Queued>; 3],
    closing: mpsc::Receiver<oneshot::Sender<()>>,
    company: Company,
}

impl Actor {
    async fn run(mut self) {
        let mut closer = None;
        loop {
            let closing = self.closing.recv();
            let first = tokio::select! {
                biased;
                Some(reply) = closing, if closer.is_none() => {
                    closer = Some(reply);
                    self.arrivals.close();
                    for queue in &mut self.queues {
                        queue.close();
                    }
                    continue;
                }
                Some(first) = received(&mut self.arrivals, &mut self.queues) => first,
                else => break,
            };
            self.group(first).await;
        }
        if let Err(error) = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut self.conn).await {
            tracing::warn!(%error, "the last checkpoint failed; the next start makes up for it");
        }
        if let Err(error) = self.conn.close().await {
            tracing::warn!(%error, "closing the database failed");
        }
        if let Some(reply) = closer {
            let _ = reply.send(());
        }
    }

    /// Runs the command and what else is queued in one transaction.
    async fn group(&mut self, Taken { class, count, command: first }: Taken) {
        let mut taken = [0; 3];
        taken[class] = count;
        // A lone command needs no savepoint: the transaction is its own.
        let nobody = self.arrivals.is_empty() && self.queues.iter().all(mpsc::Receiver::is_empty);
        let alone = nobody && !self.company.misses(taken[0]);
        let begin = if alone { "BEGIN IMMEDIATE" } else { "BEGIN IMMEDIATE; SAVEPOINT command" };
        if let Err(error) = self.begin(begin).await {
            first.answer(Some(GroupFault::of(error.into())));
            return;
        }
        let began = Instant::now();
        let mut ran: Vec<Queued> = Vec::new();
        let (mut next, mut dirty) = (Some(first), false);
        while let Some(mut command) = next {
            let outcome = self.member(command.as_mut(), alone, dirty).await;
            dirty = matches!(outcome, Ran::Fine);
            match outcome {
                Ran::Fine => ran.push(command),
                Ran::Failed => command.answer(None),
                Ran::Lost(error) => {
                    let fault = GroupFault::new(error, command.found_no_space());
                    command.answer(None);
                    self.fail(ran, &fault).await;
                    return;
                }
            }
            next = if alone || began.elapsed() > self.company.slice(taken[0]) {
                None
            } else {
                self.next(&mut taken, began).await
            };
        }
        if ran.is_empty() {
            self.statement("ROLLBACK").await.ok();
            return;
        }
        crash::point("store.before_commit");
        let ready = Instant::now();
        match self.statement("COMMIT").await {
            Ok(()) => {
                crash::point("store.after_commit");
                self.company.note(taken[0], self.arrivals.len(), ready.elapsed());
                ran.into_iter().for_each(|command| command.answer(None));
            }
            Err(error) => self.fail(ran, &GroupFault::new(error, false)).await,
        }
    }

    /// The next command whose priority has room in the group that began then. Waits a moment for company.
    async fn next(&mut self, taken: &mut [usize; 3], began: Instant) -> Option<Queued> {
        let mut next = self.queued(taken);
        if next.is_none() && self.company.misses(taken[0]) {
            let left = self.company.patience().saturating_sub(began.elapsed());
            let waited = tokio::time::timeout(left, received(&mut self.arrivals, &mut self.queues));
            next = waited.await.ok().flatten();
        }
        let Taken { class, count, command } = next?;
        taken[class] += count;
        Some(command)
    }

    fn queued(&mut self, taken: &[usize; 3]) -> Option<Taken> {
        if taken[0] < TAKEN[0]
            && let Ok(first) = self.arrivals.try_recv()
        {
            return Some(Taken::together(first, &mut self.arrivals, TAKEN[0] - taken[0]));
        }
        let mut open = (0..).zip(&mut self.queues).filter(|(class, _)| taken[*class] < TAKEN[*class]);
        open.find_map(|(class, queue)| Some(Taken { class, count: 1, command: queue.try_recv().ok()? }))
    }

    /// Runs a command within the open savepoint; a new one is set if the last command has left something in it.
    async fn member(&mut self, command: &mut dyn Command, alone: bool, dirty: bool) -> Ran {
        if dirty && let Err(error) = self.statement("RELEASE command; SAVEPOINT command").await {
            return Ran::Lost(error);
        }
        let fine = command.run(&mut self.conn).await;
        if fine || alone {
            return if fine { Ran::Fine } else { Ran::Failed };
        }
        // A full disk rolls back the whole transaction: then there is no savepoint to go back to, and this fails.
        match self.statement("ROLLBACK TO command").await {
            Ok(()) => Ran::Failed,
            Err(error) => Ran::Lost(error),
        }
    }

    async fn fail(&mut self, ran: Vec<Queued>, fault: &GroupFault) {
        self.statement("ROLLBACK").await.ok();
        for command in ran {
            command.answer(Some(fault.clone()));
        }
    }

    /// Takes the write lock. Another process may hold it for a moment: that is waited for, and never told to a caller.
    async fn begin(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        loop {
            match self.statement(sql).await {
                Err(error) if is_busy(&error) => {
                    tracing::warn!("another process holds the database; still waiting for it");
                }
                result => return result,
            }
        }
    }

    async fn statement(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(sql).execute(&mut self.conn).await.map(drop)
    }
}
