//! Typeform's webhook deliveries: signed, retried by the documented schedule, switched off on 404 and 410.
//!
//! API-FACTS Typeform: 30 s timeout; 404 and 410 disable at once; 408, 423, 429, 503 every 2 to 3 minutes for
//! 10 hours; everything else after 5, 10, 20 minutes and 1, 2, 3, 4 hours.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::state::Hook;
use crate::world::World;

const TIMEOUT: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(150);
/// 10 hours at one call every 2.5 minutes.
const SOON_TIMES: usize = 240;
const LATER_MINUTES: [u64; 7] = [5, 10, 20, 60, 120, 180, 240];

/// The value of `Typeform-Signature`.
#[must_use]
pub fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = match Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        Ok(mac) => mac,
        Err(_) => return String::new(),
    };
    mac.update(body);
    format!("sha256={}", base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes()))
}

/// What is sent to whom.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    pub(crate) form: String,
    pub(crate) tag: String,
    pub(crate) hook: Hook,
    pub(crate) body: Vec<u8>,
}

/// Sends a parcel in the background, with the switches' delays and doubles.
pub(crate) fn post(world: &Arc<World>, parcel: &Parcel) {
    let (copies, delay) = {
        let mut hub = world.hub();
        let now = world.clock.now();
        let faults = hub.faults.clone();
        if hub.fires(faults.webhook_drop, "webhook_drop", now, 0) {
            return;
        }
        let twice = hub.fires(faults.webhook_duplicate, "webhook_duplicate", now, 0);
        (if twice { 2 } else { 1 }, Duration::from_millis(hub.dice.span(faults.webhook_delay_ms)))
    };
    for _ in 0..copies {
        let (world, parcel) = (Arc::clone(world), parcel.clone());
        tokio::spawn(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            deliver(&world, &parcel).await;
        });
    }
}

async fn deliver(world: &World, parcel: &Parcel) {
    let scale = world.forms().time_scale;
    let (mut soon, mut later) = (0, 0);
    loop {
        let status = send(world, parcel).await;
        let wait = match status {
            200..=299 => return,
            404 | 410 => return disable(world, parcel),
            408 | 423 | 429 | 503 => {
                soon += 1;
                (soon <= SOON_TIMES).then_some(SOON)
            }
            _ => {
                later += 1;
                LATER_MINUTES.get(later - 1).map(|minutes| Duration::from_secs(minutes * 60))
            }
        };
        let Some(wait) = wait else {
            world.hub().oracle.fire(world.clock.now(), "webhook_given_up", 0);
            return;
        };
        tokio::select! {
            () = world.ended() => return,
            () = tokio::time::sleep(wait.mul_f64(scale).max(Duration::from_millis(1))) => {}
        }
        let enabled = {
            let forms = world.forms();
            forms
                .all
                .get(&parcel.form)
                .and_then(|form| form.hooks.get(&parcel.tag))
                .is_some_and(|hook| hook.enabled)
        };
        if !enabled {
            return;
        }
    }
}

fn disable(world: &World, parcel: &Parcel) {
    world.hub().oracle.fire(world.clock.now(), "webhook_disabled", 0);
    if let Some(hook) =
        world.forms().all.get_mut(&parcel.form).and_then(|form| form.hooks.get_mut(&parcel.tag))
    {
        hook.enabled = false;
    }
}

/// One try; 0 stands for no answer.
async fn send(world: &World, parcel: &Parcel) -> u16 {
    let mut request = world
        .client
        .post(&parcel.hook.url)
        .timeout(TIMEOUT)
        .header("content-type", "application/json")
        .header("user-agent", "Typeform Webhooks")
        .body(parcel.body.clone());
    if let Some(secret) = &parcel.hook.secret {
        request = request.header("typeform-signature", sign(secret, &parcel.body));
    }
    let status = request.send().await.map_or(0, |answer| answer.status().as_u16());
    let what =
        if (200..300).contains(&status) { "typeform webhook accepted" } else { "typeform webhook refused" };
    world.hub().oracle.request(what);
    status
}

#[cfg(test)]
mod tests {
    use super::sign;

    /// Computed apart with Python's hmac.
    #[test]
    fn signature_matches_a_foreign_computation() {
        assert_eq!(
            sign("secret", b"{\"event_id\":\"1\"}"),
            "sha256=yS8v9QizAPx9eUM++qKgk3vvwAtMaAL4zEXj+gy9SUE="
        );
    }
}
