//! Carries webhooks to their receivers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::hooks::Parcel;
use crate::world::World;

/// A receiver has this long (API-FACTS Pipedrive: Webhooks v2).
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends parcels as they come, each by itself, until the world ends.
pub(crate) async fn run(world: Arc<World>, mut parcels: mpsc::UnboundedReceiver<Parcel>) {
    loop {
        tokio::select! {
            () = world.ended() => return,
            parcel = parcels.recv() => {
                let Some(parcel) = parcel else { return };
                tokio::spawn(deliver(Arc::clone(&world), parcel));
            }
        }
    }
}

async fn deliver(world: Arc<World>, parcel: Parcel) {
    let request = {
        let drive = world.drive();
        // A webhook that was deleted sends nothing more.
        let Some(hook) = drive.hooks.get(&parcel.hook) else { return };
        let request = world
            .client
            .post(&hook.url)
            .timeout(TIMEOUT)
            .header("content-type", "application/json")
            .header("user-agent", "Pipedrive Webhooks")
            .body(parcel.body.to_string());
        match &hook.auth_user {
            Some(user) => request.basic_auth(user, hook.auth_password.as_deref()),
            None => request,
        }
    };
    let status = request.send().await.map_or(0, |answer| answer.status().as_u16());
    let now = world.clock.now();
    world.drive().delivered(parcel, status, now);
}
