//! The suite itself is tested: a good connector is spoilt on purpose, and the checks that must notice do.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use usher_connector::{
    AccountBatch, Batch, Capability, Check, Configured, Connection, Connector, CrmPerson, Cursor, Directory,
    Fault, FaultClass, Fetched, Host, Http, Inbound, Item, KeyProperty, Manifest, OwnerEntry, Parts,
    Protocol, Pull, Request, Response, SendFailure, Source, SplitError, StreamSpec, Target, Verdict, Write,
    Written,
};
use usher_document::{MapReader, SecretRef};
use usher_model::{CrmOwner, ExternalId, IdentityKey, ObjectType, OwnedObject, SlotKind, SlotOrigin};
use usher_testkit::conformance::{DirectoryWorld, InboundWorld, Rig, Said, SourceWorld, TargetWorld, World};
use usher_testkit::{conformance, rigs};

/// What is wrong with the connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoilt {
    /// Takes the first page for the last, changes what it fetches, believes every caller, forgets who left, and talks.
    Reader,
    /// Takes what is unknown for done, finds whatever it looks for, and describes other requests than it makes.
    Credulous,
    /// Sends everything twice and never finds it again.
    Forgetful,
    /// Takes a bare `[]` for a page without rows, as is right where lists are bare arrays.
    BareLists,
}

struct Hostile(Spoilt);

#[derive(Debug)]
struct Settings(Arc<dyn Configured>, Spoilt);

struct Roles(Connection, Spoilt);

impl Connector for Hostile {
    fn manifest(&self) -> &'static Manifest {
        usher_hubspot::HubSpot.manifest()
    }

    fn configure(&self, settings: &mut MapReader<'_>) -> Option<Arc<dyn Configured>> {
        let good = usher_hubspot::HubSpot.configure(settings)?;
        Some(Arc::new(Settings(good, self.0)))
    }
}

impl Configured for Settings {
    fn secrets(&self) -> Vec<(&'static str, SecretRef)> {
        self.0.secrets()
    }

    fn protocol(&self) -> Option<Arc<dyn Protocol>> {
        self.0.protocol()
    }

    fn connect(&self, mut host: Host) -> Connection {
        if self.1 == Spoilt::BareLists {
            host.http = Arc::new(BareLists(host.http));
            return self.0.connect(host);
        }
        let good = self.0.connect(host);
        let roles = Arc::new(Roles(good.clone(), self.1));
        match self.1 {
            Spoilt::Reader => Connection {
                source: Some(Arc::<Roles>::clone(&roles)),
                inbound: Some(Arc::<Roles>::clone(&roles)),
                directory: Some(roles),
                ..good
            },
            Spoilt::Credulous | Spoilt::Forgetful | Spoilt::BareLists => {
                Connection { target: Some(roles), ..good }
            }
        }
    }
}

#[derive(Debug)]
struct BareLists(Arc<dyn Http>);

#[async_trait]
impl Http for BareLists {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let mut answer = self.0.send(request).await?;
        if answer.body == b"[]" {
            answer.body = br#"{"results":[]}"#.to_vec();
        }
        Ok(answer)
    }
}

/// A world whose vendor says `[]` when there is nothing.
struct Bare(Arc<dyn World>);

impl World for Bare {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    fn calm(&self) {
        self.0.calm();
    }

    fn forbid(&self, scope: &str) -> Option<Said> {
        self.0.forbid(scope)
    }

    fn empty_answers(&self) -> &'static [&'static str] {
        &["[]"]
    }

    fn source(&self) -> Option<&dyn SourceWorld> {
        self.0.source()
    }

    fn inbound(&self) -> Option<&dyn InboundWorld> {
        self.0.inbound()
    }

    fn directory(&self) -> Option<&dyn DirectoryWorld> {
        self.0.directory()
    }

    fn target(&self) -> Option<&dyn TargetWorld> {
        self.0.target()
    }
}

#[async_trait]
impl Source for Roles {
    fn streams(&self) -> Vec<StreamSpec> {
        self.0.source.as_ref().unwrap().streams()
    }

    async fn pull(&self, ask: &Pull) -> Result<Batch, Fault> {
        let batch = self.0.source.as_ref().unwrap().pull(ask).await?;
        if let Some(record) = batch.records.first() {
            tracing::debug!(payload = record.payload.get(), "read a record");
        }
        Ok(Batch { done: true, ..batch })
    }

    async fn fetch(
        &self,
        object: &ObjectType,
        ids: &[ExternalId],
    ) -> Result<Vec<(ExternalId, Fetched)>, Fault> {
        let mut fetched = self.0.source.as_ref().unwrap().fetch(object, ids).await?;
        for (_, found) in &mut fetched {
            if let Fetched::Found(record) = found {
                record.revision.push('0');
            }
        }
        Ok(fetched)
    }

    fn fetch_limit(&self) -> usize {
        self.0.source.as_ref().unwrap().fetch_limit()
    }
}

impl Inbound for Roles {
    fn check(&self, _parts: &Parts, _body: &[u8], _now: Timestamp) -> Check {
        Check::Store
    }

    fn event(&self, parts: &Parts) -> Option<String> {
        self.0.inbound.as_ref().unwrap().event(parts)
    }

    fn split(&self, body: &[u8], received_at: Timestamp) -> Vec<Result<Item, SplitError>> {
        self.0.inbound.as_ref().unwrap().split(body, received_at).into_iter().filter(Result::is_ok).collect()
    }
}

#[async_trait]
impl Directory for Roles {
    async fn owners(&self) -> Result<Vec<CrmOwner>, Fault> {
        let all = self.0.directory.as_ref().unwrap().owners().await?;
        Ok(all.into_iter().filter(|owner| owner.active).collect())
    }

    async fn accounts(&self, cursor: Option<&Cursor>, now: Timestamp) -> Result<AccountBatch, Fault> {
        let batch = self.0.directory.as_ref().unwrap().accounts(cursor, now).await?;
        Ok(AccountBatch { done: true, ..batch })
    }

    async fn people(&self, keys: &[IdentityKey]) -> Result<Vec<Option<CrmPerson>>, Fault> {
        let mut people = self.0.directory.as_ref().unwrap().people(keys).await?;
        // In no order: who is known first.
        people.sort_by_key(Option::is_none);
        Ok(people)
    }

    async fn open_deals(&self, persons: &[ExternalId]) -> Result<Vec<Option<OwnedObject>>, Fault> {
        self.0.directory.as_ref().unwrap().open_deals(persons).await
    }

    fn people_limit(&self) -> usize {
        self.0.directory.as_ref().unwrap().people_limit()
    }
}

#[async_trait]
impl Target for Roles {
    fn object_of(&self, kind: SlotKind) -> Option<ObjectType> {
        self.0.target.as_ref().unwrap().object_of(kind)
    }

    fn carrier(&self) -> SlotKind {
        self.0.target.as_ref().unwrap().carrier()
    }

    fn capabilities(&self) -> Vec<Capability> {
        self.0.target.as_ref().unwrap().capabilities()
    }

    async fn send(&self, writes: &[Write]) -> Vec<Result<Written, SendFailure>> {
        let target = self.0.target.as_ref().unwrap();
        if self.1 == Spoilt::Forgetful {
            let first = target.send(writes).await;
            // A throttled call rests the next one, for which nobody wants to wait here.
            let rests = |sent: &Result<Written, SendFailure>| match sent {
                Err(SendFailure::Fault(fault)) => matches!(fault.class(), FaultClass::Throttled { .. }),
                _ => false,
            };
            return if first.iter().any(rests) { first } else { target.send(writes).await };
        }
        let done = Written::whole(None, SlotOrigin::Found);
        let believe = |sent| match sent {
            Err(SendFailure::Fault(fault)) if fault.class() == FaultClass::OutcomeUnknown => Ok(done.clone()),
            Err(SendFailure::HumanWon { .. } | SendFailure::Gone) => Ok(done.clone()),
            other => other,
        };
        target.send(writes).await.into_iter().map(believe).collect()
    }

    async fn verify(&self, write: &Write, since: Timestamp) -> Result<Verdict, Fault> {
        let verdict = self.0.target.as_ref().unwrap().verify(write, since).await?;
        Ok(match (self.1, verdict) {
            (Spoilt::Forgetful, _) => Verdict::Absent,
            (_, Verdict::Absent) => Verdict::Found(Written::whole(None, SlotOrigin::Found)),
            (_, other) => other,
        })
    }

    async fn ours_since(&self, write: &Write, since: Timestamp) -> Result<Vec<ExternalId>, Fault> {
        match self.1 {
            Spoilt::Forgetful => Ok(Vec::new()),
            _ => self.0.target.as_ref().unwrap().ours_since(write, since).await,
        }
    }

    async fn key_properties(&self, create: bool) -> Result<Vec<KeyProperty>, Fault> {
        self.0.target.as_ref().unwrap().key_properties(create).await
    }

    fn history_batch(&self) -> usize {
        self.0.target.as_ref().unwrap().history_batch()
    }

    async fn owner_history(&self, objects: &[(SlotKind, ExternalId)]) -> Result<Vec<Vec<OwnerEntry>>, Fault> {
        self.0.target.as_ref().unwrap().owner_history(objects).await
    }

    fn describe(&self, writes: &[Write]) -> Result<Vec<Request>, Fault> {
        let mut requests = self.0.target.as_ref().unwrap().describe(writes)?;
        if self.1 == Spoilt::Credulous {
            requests.iter_mut().for_each(|request| request.path.push('s'));
        }
        Ok(requests)
    }
}

async fn failures(spoilt: Spoilt) -> Vec<&'static str> {
    let report = conformance::examine(rigs::hubspot(Hostile(spoilt)).await).await;
    report.failures().iter().map(|(name, _)| *name).collect()
}

#[tokio::test]
async fn a_spoilt_reader_is_found_out() {
    let noticed = [
        "every record is read though the process dies after each step",
        "rows on one instant are all read",
        "rows behind the result cap are read",
        "empty polls bring nothing new",
        "fetched and pulled are the same record",
        "hooked and pulled are the same record",
        "a malformed answer ends no window",
        "a repeated page is an error within three requests",
        "a forged call is refused",
        "an old call is refused",
        "any bytes can be split",
        "a bad item costs only itself",
        "owners include those who left",
        "companies are complete across pages",
        "persons are known by a strong read",
        "no secret and no person in logs and faults",
    ];
    assert_eq!(failures(Spoilt::Reader).await, noticed);
}

#[tokio::test]
async fn a_credulous_writer_is_found_out() {
    let noticed = [
        "a dry run is the real request",
        "an answer that is lost leaves the outcome unknown",
        "a repeated intent makes one object",
        "a late commit is absent, then found",
        "a write that fails at the vendor is of unknown outcome",
        "a write with a malformed answer is of unknown outcome",
        "a row that the answer leaves out is of unknown outcome",
        "a human's choice of owner stands",
        "only who is made is made with an owner",
        "an object that is gone is told",
    ];
    assert_eq!(failures(Spoilt::Credulous).await, noticed);
}

#[tokio::test]
async fn a_forgetful_writer_is_found_out() {
    let noticed = [
        "a dry run is the real request",
        "a write is applied",
        "an answer that is lost leaves the outcome unknown",
        "a repeated intent makes one object",
        "a late commit is absent, then found",
        "a task under a forgotten key is found",
        "a write with a malformed answer is of unknown outcome",
        "each row of a batch has its own outcome",
        "a row that the answer leaves out is of unknown outcome",
        "one bad row does not sink the batch",
    ];
    assert_eq!(failures(Spoilt::Forgetful).await, noticed);
}

#[tokio::test]
async fn a_bare_empty_list_is_a_page_where_the_vendor_says_so() {
    let noticed = ["a malformed answer ends no window", "a read with a malformed answer shows nothing"];
    assert_eq!(failures(Spoilt::BareLists).await, noticed);
    let rig = rigs::hubspot(Hostile(Spoilt::BareLists)).await;
    let world = Arc::new(Bare(Arc::clone(&rig.world)));
    let report = conformance::examine(Rig { world, ..rig }).await;
    assert!(report.failures().is_empty(), "{report}");
}
