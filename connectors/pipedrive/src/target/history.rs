//! Which owners persons and deals had, by Pipedrive's changelog.

use futures::future::try_join_all;
use usher_connector::{CallLane, Fault, OwnerEntry};
use usher_model::{ExternalId, SlotKind};

use super::{PipedriveTarget, objects_of};
use crate::api::{DEALS, PERSONS};
use crate::changelog::{self, Change};
use crate::find::is_id;

/// Objects per look: each is a call of its own.
pub(super) const MOST: usize = 10;

/// What was overwritten is told by the latest two owners.
const LATEST: usize = 2;

/// The latest owners of each object, newest first. What the token's user owns is owned by nobody.
pub(super) async fn owners(
    target: &PipedriveTarget,
    objects: &[(SlotKind, ExternalId)],
) -> Result<Vec<Vec<OwnerEntry>>, Fault> {
    let mut histories = try_join_all(objects.iter().map(|(kind, id)| entries(target, *kind, id))).await?;
    let me = ExternalId::new(target.me.id(&*target.http, CallLane::Refresh).await?.to_string());
    for entry in histories.iter_mut().flatten() {
        entry.owner = entry.owner.take().filter(|owner| *owner != me);
    }
    Ok(histories)
}

async fn entries(
    target: &PipedriveTarget,
    kind: SlotKind,
    id: &ExternalId,
) -> Result<Vec<OwnerEntry>, Fault> {
    let Some(objects @ (PERSONS | DEALS)) = objects_of(kind).filter(|_| is_id(id.as_str())) else {
        return Ok(Vec::new());
    };
    let owners = |changes: &[Change]| changes.iter().filter(|change| change.is_of_owner()).count();
    let object = (objects, id.as_str(), CallLane::Refresh);
    let changes = changelog::read(&*target.http, object, |read| owners(read) >= LATEST).await?;
    let of_owner = changes.iter().filter(|change| change.is_of_owner());
    Ok(of_owner
        .filter_map(|change| Some(OwnerEntry { owner: change.after(), at: change.at()?, by: change.by() }))
        .collect())
}
