//! The conformance suite: what every connector must do, offline and in seconds, with a fixed list of named checks.
//!
//! ```text
//! #[tokio::test]
//! async fn conformance() {
//!     let report = usher_testkit::conformance::run(usher_testkit::rigs::files(Csv)).await;
//!     assert_eq!(report.passed_over(), ["cap", "fetch", "inbound", "directory", "target", "activity"]);
//! }
//! ```
//!
//! Which checks run follows from what the connector is: its roles, whether it makes calls, whether objects can be
//! fetched by id. Whatever does not run is listed with the reason, and the test names what it expects to be passed
//! over, so that nothing is skipped in silence.

mod activity;
mod bench;
mod calls;
mod directory;
mod inbound;
mod redaction;
mod report;
mod rig;
mod source;
mod source_paging;
mod statics;
mod target;
mod target_faults;
mod target_rows;
mod target_samples;

use std::future::Future;
use std::pin::Pin;

use self::bench::Bench;
pub use self::report::Report;
pub use self::rig::{
    ActivityWorld, CANARY, Call, DirectoryWorld, InboundWorld, Rig, Said, SourceWorld, TargetWorld, When,
    World,
};

/// What a check comes to: nothing, or why it failed.
type Outcome = anyhow::Result<()>;
type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// What a connector must have for a check to be about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Needs {
    Nothing,
    Source,
    Inbound,
    Directory,
    Target,
    Activity,
    /// It sends several writes in one call.
    Batches,
    /// It makes calls.
    Calls,
    /// Its objects can be fetched by id.
    Fetch,
    /// Its vendor refuses to page beyond some row.
    Cap,
    /// Its senders sign the time.
    SignedTime,
    /// It pulls over HTTP.
    SourceCalls,
    /// It takes webhooks of objects that it also pulls.
    HookAndPull,
}

struct Check {
    name: &'static str,
    needs: Needs,
    run: for<'a> fn(&'a Bench) -> Running<'a>,
}

macro_rules! checks {
    ($($needs:ident $name:literal => $run:path,)*) => {
        &[$(Check { name: $name, needs: Needs::$needs, run: |bench| Box::pin($run(bench)) },)*]
    };
}

/// Every check, in the order in which they run.
const CHECKS: &[Check] = checks![
    Nothing "manifest is complete" => statics::manifest,
    Nothing "example configures" => statics::example,
    Nothing "all wrong settings are told at once" => statics::wrong_settings,
    Nothing "roles are those of the manifest" => statics::roles,
    Source "every record is read though the process dies after each step" => source_paging::resume,
    Source "rows on one instant are all read" => source_paging::ties,
    Cap "rows behind the result cap are read" => source_paging::cap,
    Source "empty polls bring nothing new" => source_paging::empty_polls,
    Fetch "fetched and pulled are the same record" => source::fetch_equals_pull,
    Fetch "a removed object is gone" => source::gone,
    HookAndPull "hooked and pulled are the same record" => source::hook_equals_pull,
    SourceCalls "a malformed answer ends no window" => source::malformed,
    SourceCalls "a repeated page is an error within three requests" => source::repeated_page,
    Calls "a throttled call says how long to wait" => calls::throttled,
    Calls "a refused token is unauthorized" => calls::unauthorized,
    Calls "a missing scope is named" => calls::forbidden,
    Calls "a read that fails at the vendor is transient" => calls::server_error,
    Calls "a read with a malformed answer shows nothing" => calls::malformed,
    Inbound "a genuine call is taken" => inbound::genuine,
    Inbound "a forged call is refused" => inbound::forged,
    SignedTime "an old call is refused" => inbound::old,
    Inbound "a body is split the same way twice" => inbound::stable,
    Inbound "any bytes can be split" => inbound::any_bytes,
    Inbound "a bad item costs only itself" => inbound::bad_item,
    Directory "owners include those who left" => directory::owners,
    Directory "companies are complete across pages" => directory::companies,
    Directory "persons are known by a strong read" => directory::people,
    Target "every kind of write that is planned is offered" => target::offers,
    Target "a dry run is the real request" => target::dry_run,
    Target "a write is applied" => target::applies,
    Target "an answer that is lost leaves the outcome unknown" => target_faults::lost,
    Target "a repeated intent makes one object" => target_faults::repeated,
    Target "a late commit is absent, then found" => target_faults::late,
    Target "a task under a forgotten key is found" => target::forgotten,
    Target "a write that fails at the vendor is of unknown outcome" => target_faults::server_error,
    Target "a write with a malformed answer is of unknown outcome" => target_faults::malformed,
    Target "a throttled write did nothing" => target_faults::throttled,
    Target "a write without a valid token did nothing" => target_faults::unauthorized,
    Batches "each row of a batch has its own outcome" => target_rows::partial,
    Batches "a row that the answer leaves out is of unknown outcome" => target_rows::omitted,
    Batches "one bad row does not sink the batch" => target_rows::one_bad,
    Target "a lead or deal that somebody has entered is taken, an old one is not" => target::entered,
    Target "a human's choice of owner stands" => target::human_won,
    Target "only who is made is made with an owner" => target::made_with_owner,
    Target "an owner who left is rejected" => target::owner_left,
    Target "an object that is gone is told" => target::gone,
    Target "a dropped owner is noticed" => target::owner_dropped,
    Activity "every touch is read though the process dies after each step" => activity::resume,
    Activity "touches of one instant are all read" => activity::ties,
    Activity "what is read again is the same event" => activity::repeats,
    Activity "what nobody did is no touch" => activity::no_touches,
    Activity "our own writes are no touches" => activity::own_writes,
    Activity "an outcome is told with its worth" => activity::outcome,
    Activity "another owner is seen, and who chose" => activity::owner_change,
    Nothing "no secret and no person in logs and faults" => redaction::canary,
];

impl Needs {
    /// Why a check with this need is not about the connector; none if it is.
    fn lacking(self, bench: &Bench) -> Option<&'static str> {
        let (connection, world) = (&bench.connection, bench.world());
        let calls = bench.configured.protocol().is_some();
        let (has, word) = match self {
            Self::Nothing => (true, ""),
            Self::Source => (connection.source.is_some(), "source"),
            Self::Inbound => (connection.inbound.is_some(), "inbound"),
            Self::Directory => (connection.directory.is_some(), "directory"),
            Self::Target => (connection.target.is_some(), "target"),
            Self::Activity => (connection.activity.is_some(), "activity"),
            Self::Batches => {
                let target = connection.target.as_ref();
                (
                    target.is_some_and(|target| target.capabilities().iter().any(|can| can.max_batch > 1)),
                    "batches",
                )
            }
            Self::Calls => (calls, "calls"),
            Self::Fetch => {
                (connection.source.as_ref().is_some_and(|source| source.fetch_limit() > 0), "fetch")
            }
            Self::Cap => (world.source().is_some_and(|source| source.cap(usize::MAX)), "cap"),
            Self::SignedTime => (world.inbound().is_some_and(InboundWorld::signs_time), "signed time"),
            Self::SourceCalls => (connection.source.is_some() && calls, "source calls"),
            Self::HookAndPull => {
                (connection.source.is_some() && connection.inbound.is_some(), "hook and pull")
            }
        };
        (!has).then_some(word)
    }
}

/// Runs every check that is about this connector and prints what ran, what failed and what was passed over.
///
/// # Panics
/// If a check failed, with every failure.
pub async fn run(rig: Rig) -> Report {
    let report = examine(rig).await;
    eprintln!("{report}");
    assert!(report.failures().is_empty(), "{report}");
    report
}

/// As [`run`], but leaves the judgement to the caller.
pub async fn examine(rig: Rig) -> Report {
    let mut report = Report::new(rig.connector.manifest().id);
    let bench = match Bench::set_up(rig).await {
        Ok(bench) => bench,
        Err(error) => {
            report.failed("the connection is set up", &error);
            return report;
        }
    };
    for check in CHECKS {
        bench.calm();
        if let Some(word) = check.needs.lacking(&bench) {
            report.pass_over(check.name, word);
            continue;
        }
        match (check.run)(&bench).await {
            Ok(()) => report.passed(check.name),
            Err(error) => report.failed(check.name, &error),
        }
    }
    report
}
