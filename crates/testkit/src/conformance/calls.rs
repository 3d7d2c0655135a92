//! What failed calls come to, for every role that reads.

use anyhow::{Context as _, bail, ensure};
use jiff::SignedDuration;
use usher_connector::{Fault, FaultClass, Pull, Role, SendFailure, Subscription};
use usher_model::{IdentityKey, IdentityKind, SlotKind};

use super::bench::Bench;
use super::source_paging::{Band, streams};
use super::{CANARY, Outcome, activity, target_samples};
use crate::relay::{Aim, Answer, Meddle};

/// Makes one call of each sort that reads, each over a connection of its own, since a call that is refused may rest
/// the calls after it.
async fn probe(bench: &Bench) -> anyhow::Result<Vec<(String, Option<Fault>)>> {
    let mut probes = Vec::new();
    let band = Band { start: bench.world().now(), ..Band::open(bench) };
    if let Some(source) = bench.connection.source.as_deref() {
        for (object, lane) in streams(source) {
            let name = format!("pull {object} {lane:?}");
            let ask = Pull { object, lane, cursor: None, now: band.now, start: band.start };
            let own = bench.connect()?.source.context("no source")?;
            probes.push((name, own.pull(&ask).await.err()));
        }
    }
    if let Some(activity) = bench.connection.activity.as_deref() {
        for (object, lane) in activity::streams(activity) {
            let name = format!("watch {object} {lane:?}");
            let ask = Pull { object, lane, cursor: None, now: band.now, start: band.start };
            let own = bench.connect()?.activity.context("no activity")?;
            probes.push((name, own.pull(&ask).await.err()));
        }
    }
    if bench.connection.directory.is_some() {
        let own = || bench.connect()?.directory.context("no directory");
        let key = IdentityKey { kind: IdentityKind::Email, value: format!("{CANARY}-probe@acme.example") };
        probes.push(("owners".to_owned(), own()?.owners().await.err()));
        let before = bench.asked();
        let accounts = own()?.accounts(None, band.now).await.err();
        // A vendor without companies is not asked for any.
        if bench.asked() > before {
            probes.push(("accounts".to_owned(), accounts));
        }
        probes.push(("people".to_owned(), own()?.people(&[key]).await.err()));
    }
    if bench.connection.subscriber.is_some() {
        let own = bench.connect()?.subscriber.context("no subscriber")?;
        let url = "https://usher.example/hooks/probe".to_owned();
        let wanted = Subscription { wanted: vec![url.clone()], url, marker: "usher-probe".to_owned() };
        probes.push(("subscribe".to_owned(), own.ensure(&wanted).await.err()));
    }
    if let Some(target) = bench.connection.target.as_deref() {
        for capability in target_samples::verifiable(target) {
            let write = target_samples::write(bench, capability.kind)?;
            let own = bench.connect()?.target.context("no target")?;
            probes.push((
                format!("verify {}", capability.kind.as_str()),
                own.verify(&write, target_samples::since(bench)).await.err(),
            ));
        }
    }
    Ok(probes)
}

/// Every read must fail, each with a class that fits.
async fn every_read_fails(bench: &Bench, answer: Answer, fits: impl Fn(FaultClass) -> bool) -> Outcome {
    bench.relay()?.meddle(Aim::All, 0, Meddle::Instead(answer));
    for (name, fault) in probe(bench).await? {
        let fault = fault.with_context(|| format!("{name} succeeded"))?;
        let class = bench.class(&fault);
        ensure!(fits(class), "{name} came out as {class:?}: {fault}");
    }
    Ok(())
}

pub(super) async fn throttled(bench: &Bench) -> Outcome {
    let protocol = bench.configured.protocol().context("no protocol")?;
    let limits: Vec<&str> = protocol.limits().iter().map(|limit| limit.name).collect();
    let answer = Answer::json(429, "{}").with("retry-after", "7");
    let wait = SignedDuration::from_secs(7);
    every_read_fails(bench, answer, |class| match class {
        FaultClass::Throttled { limit, retry_after } => limits.contains(&limit) && retry_after == Some(wait),
        _ => false,
    })
    .await
}

pub(super) async fn unauthorized(bench: &Bench) -> Outcome {
    every_read_fails(bench, Answer::json(401, "{}"), |class| class == FaultClass::Unauthorized).await
}

pub(super) async fn server_error(bench: &Bench) -> Outcome {
    for status in [500, 502, 503, 504] {
        let answer = Answer::new(status, "text/html", "<html>Bad gateway</html>");
        every_read_fails(bench, answer, |class| class == FaultClass::Transient).await?;
    }
    Ok(())
}

/// FM-017: what a read does not show must not count as absent, or what is there is made a second time.
pub(super) async fn malformed(bench: &Bench) -> Outcome {
    let html = Answer::new(200, "text/html", "<html>Sign in</html>");
    for answer in bench.no_answers().map(|body| Answer::json(200, body)).chain([html]) {
        let place = String::from_utf8_lossy(&answer.body).into_owned();
        every_read_fails(bench, answer, |class| class == FaultClass::Transient).await.context(place)?;
    }
    Ok(())
}

/// FM-018: the operator reads which scope is missing.
pub(super) async fn forbidden(bench: &Bench) -> Outcome {
    let scopes = bench.rig.connector.manifest().scopes.iter();
    for scope in scopes.chain(bench.configured.further_scopes()) {
        bench.calm();
        if let Some(said) = bench.world().forbid(scope.name) {
            let aim = said.only.map_or(Aim::All, Aim::Path);
            bench.relay()?.meddle(aim, 0, Meddle::Instead(Answer::json(said.status, &said.body)));
        }
        let faults = match scope.role {
            Role::Target => write_once(bench).await?,
            _ => probe(bench).await?.into_iter().filter_map(|(_, fault)| fault).collect(),
        };
        let told = |fault: &Fault| {
            bench.class(fault) == FaultClass::Misconfigured && fault.to_string().contains(scope.name)
        };
        if !faults.iter().any(told) {
            let words: Vec<String> = faults.iter().map(Fault::to_string).collect();
            bail!("without the scope `{}` nothing names it: {words:?}", scope.name);
        }
    }
    Ok(())
}

async fn write_once(bench: &Bench) -> anyhow::Result<Vec<Fault>> {
    let target = bench.connection.target.as_deref().context("no target")?;
    let mut faults = Vec::new();
    for capability in target.capabilities() {
        let write = target_samples::write(bench, capability.kind)?;
        faults.extend(target.send(&[write]).await.into_iter().filter_map(|sent| match sent {
            Err(SendFailure::Fault(fault)) => Some(fault),
            _ => None,
        }));
    }
    if target.history_batch() > 0 {
        let person = target_samples::target(bench)?.1.make(SlotKind::Person);
        faults.extend(target.owner_history(&[(SlotKind::Person, person)]).await.err());
    }
    Ok(faults)
}
