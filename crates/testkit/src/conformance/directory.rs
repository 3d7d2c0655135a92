//! Who can own, which companies there are, and who is known.

use std::collections::BTreeSet;

use anyhow::{Context as _, anyhow, bail, ensure};
use usher_connector::{Directory, Fault};
use usher_model::{ExternalId, IdentityKey, IdentityKind};

use super::bench::Bench;
use super::rig::DirectoryWorld;
use super::{CANARY, Outcome};

fn directory(bench: &Bench) -> anyhow::Result<(&dyn Directory, &dyn DirectoryWorld)> {
    let directory = bench.connection.directory.as_deref().context("no directory")?;
    Ok((directory, bench.world().directory().context("the rig knows no directory")?))
}

fn told(bench: &Bench) -> impl Fn(Fault) -> anyhow::Error {
    |fault| anyhow!("{:?}: {fault}", bench.class(&fault))
}

pub(super) async fn owners(bench: &Bench) -> Outcome {
    let (directory, world) = directory(bench)?;
    let listed = directory.owners().await.map_err(told(bench))?;
    let ids: BTreeSet<&ExternalId> = listed.iter().map(|owner| &owner.id).collect();
    ensure!(ids.len() == listed.len(), "an owner is listed twice");
    let truth = world.owners();
    ensure!(truth.iter().any(|(_, active)| !active), "the rig has no owner who left");
    ensure!(listed.len() == truth.len(), "{} owners are listed of {}", listed.len(), truth.len());
    for (id, active) in truth {
        let owner = listed.iter().find(|owner| owner.id == id).context("an owner is missing")?;
        ensure!(owner.active == active, "owner {id} is listed as active: {}", owner.active);
        ensure!(owner.email == owner.email.to_lowercase(), "an owner's address is not in lower case");
    }
    Ok(())
}

/// Every step is taken twice from the same position, as after a death before the commit.
pub(super) async fn companies(bench: &Bench) -> Outcome {
    let (directory, world) = directory(bench)?;
    let added = world.add_companies();
    let (mut seen, mut cursor) = (BTreeSet::new(), None);
    let now = bench.world().now();
    for _ in 0..200 {
        let _lost = directory.accounts(cursor.as_ref(), now).await.map_err(told(bench))?;
        let batch = directory.accounts(cursor.as_ref(), now).await.map_err(told(bench))?;
        seen.extend(batch.accounts.into_iter().map(|account| account.external_id));
        cursor = Some(serde_json::from_str(&serde_json::to_string(&batch.next)?)?);
        if batch.done {
            let lacks = added.iter().filter(|id| !seen.contains(*id)).count();
            ensure!(lacks == 0, "{lacks} of {} companies were not listed", added.len());
            return Ok(());
        }
    }
    bail!("the companies never end")
}

pub(super) async fn people(bench: &Bench) -> Outcome {
    let (directory, world) = directory(bench)?;
    let email = format!("{CANARY}.unseen@acme.example");
    let id = world.add_person_unseen(&email);
    let key = |kind, value: &str| IdentityKey { kind, value: value.to_owned() };
    let keys = [
        key(IdentityKind::Email, &format!("{CANARY}.nobody@acme.example")),
        key(IdentityKind::Email, &email),
        key(IdentityKind::Phone, "+15550142000"),
    ];
    let known = directory.people(&keys).await.map_err(told(bench))?;
    let ids: Vec<Option<ExternalId>> =
        known.into_iter().map(|person| person.map(|person| person.external_id)).collect();
    ensure!(ids == [None, Some(id), None], "the persons are not in the order of their keys: {ids:?}");
    ensure!(directory.people(&[]).await.map_err(told(bench))?.is_empty(), "no key has an answer");
    ensure!(directory.people_limit() > 0, "no key can be asked for");
    Ok(())
}
