//! Webhook calls: genuine, forged, old, and bodies of any bytes.

use anyhow::{Context as _, anyhow, ensure};
use jiff::SignedDuration;
use proptest::prelude::{ProptestConfig, any};
use proptest::test_runner::{TestCaseError, TestRunner};
use usher_connector::{Check, Inbound, Item, Parts};

use super::Outcome;
use super::bench::Bench;
use super::rig::{Call, InboundWorld};

fn inbound(bench: &Bench) -> anyhow::Result<(&dyn Inbound, &dyn InboundWorld)> {
    let inbound = bench.connection.inbound.as_deref().context("no inbound")?;
    Ok((inbound, bench.world().inbound().context("the rig knows no inbound")?))
}

fn refused(what: &str, check: &Check) -> Outcome {
    match check {
        Check::Refuse(refusal) if (400..500).contains(&refusal.status) => Ok(()),
        other => Err(anyhow!("{what}: {other:?}")),
    }
}

pub(super) async fn genuine(bench: &Bench) -> Outcome {
    let (inbound, world) = inbound(bench)?;
    let call = world.call().await?;
    let check = inbound.check(&call.parts, &call.body, bench.world().now());
    ensure!(check == Check::Store, "a genuine call is not taken: {check:?}");
    let items = inbound.split(&call.body, bench.world().now());
    ensure!(!items.is_empty() && items.iter().all(Result::is_ok), "its items are not understood: {items:?}");
    Ok(())
}

pub(super) async fn forged(bench: &Bench) -> Outcome {
    let (inbound, world) = inbound(bench)?;
    let Call { parts, body, .. } = world.call().await?;
    let now = bench.world().now();
    let places = if world.signs_body() { vec![0, body.len() / 2, body.len() - 1] } else { Vec::new() };
    for at in places {
        let mut flipped = body.clone();
        if let Some(byte) = flipped.get_mut(at) {
            *byte ^= 1;
        }
        refused("a flipped byte is taken", &inbound.check(&parts, &flipped, now))?;
    }
    if world.signs_body() {
        refused("a shortened body is taken", &inbound.check(&parts, &body[..body.len() - 1], now))?;
    }
    for name in world.proofs() {
        let mut without = parts.clone();
        ensure!(without.headers.remove(*name).is_some(), "the rig's call has no header `{name}`");
        refused(&format!("a call without `{name}` is taken"), &inbound.check(&without, &body, now))?;
        let mut empty = parts.clone();
        empty.headers.insert(*name, http::HeaderValue::from_static(""));
        refused(&format!("a call with an empty `{name}` is taken"), &inbound.check(&empty, &body, now))?;
    }
    let other = bench.with_other_secrets()?;
    let other = other.inbound.context("no inbound")?;
    refused("a call signed with another secret is taken", &other.check(&parts, &body, now))
}

pub(super) async fn old(bench: &Bench) -> Outcome {
    let (inbound, world) = inbound(bench)?;
    let Call { parts, body, .. } = world.call().await?;
    for minutes in [-10, 10] {
        let now = bench.world().now().checked_add(SignedDuration::from_mins(minutes))?;
        refused(&format!("a call {minutes} minutes from now is taken"), &inbound.check(&parts, &body, now))?;
    }
    Ok(())
}

/// What an item is, for comparison.
fn name(item: &Item) -> String {
    match item {
        Item::Record(record) => {
            format!("{} {} {} {}", record.object, record.external_id, record.revision, record.payload)
        }
        Item::Hint { object, id } => format!("{object} {id}"),
    }
}

pub(super) async fn stable(bench: &Bench) -> Outcome {
    let (inbound, world) = inbound(bench)?;
    let call = world.call().await?;
    let split = |at| inbound.split(&call.body, at).iter().flatten().map(name).collect::<Vec<_>>();
    let now = bench.world().now();
    let later = now.checked_add(SignedDuration::from_hours(30))?;
    ensure!(split(now) == split(later), "a repeat of the same body makes other records");
    for about in &call.about {
        let text = about.as_str();
        ensure!(
            split(now).iter().any(|name| name.contains(text)),
            "the call's object is not among its items"
        );
    }
    Ok(())
}

pub(super) async fn any_bytes(bench: &Bench) -> Outcome {
    let (inbound, world) = inbound(bench)?;
    let call = world.call().await?;
    let now = bench.world().now();
    let config = ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() };
    let pieces = (any::<Vec<u8>>(), any::<usize>(), any::<u8>());
    let ran = TestRunner::new(config).run(&pieces, |(bytes, at, byte)| {
        let mut bent = call.body.clone();
        let at = at % bent.len();
        bent[at] = byte;
        for body in [bytes.as_slice(), &bent, &call.body[..at]] {
            let items = inbound.split(body, now);
            if items.len() > body.len() + 1 {
                return Err(TestCaseError::fail("more items than bytes"));
            }
            if inbound.check(&empty_parts(&call.parts), body, now) == Check::Store {
                return Err(TestCaseError::fail("a call without headers is taken"));
            }
        }
        Ok(())
    });
    ran.map_err(|error| anyhow!("{error}"))
}

fn empty_parts(parts: &Parts) -> Parts {
    Parts { headers: http::HeaderMap::new(), ..parts.clone() }
}

pub(super) async fn bad_item(bench: &Bench) -> Outcome {
    let (inbound, world) = inbound(bench)?;
    let (body, good) = world.with_one_bad();
    let items = inbound.split(&body, bench.world().now());
    let bad = items.iter().filter(|item| item.is_err()).count();
    ensure!((bad, items.len() - bad) == (1, good), "{good} good items and one bad became {items:?}");
    Ok(())
}
