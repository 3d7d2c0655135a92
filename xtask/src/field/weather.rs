//! The vendor's bad days for a run: every switch on at a moderate rate, the sweeping ones for moments.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio_util::sync::CancellationToken;
use usher_sandbox::{CrmVendor, Faults, Sandbox, Span};

/// Between two storms.
const CALM: Duration = Duration::from_secs(20);
/// How long a storm lasts.
const STORM: Duration = Duration::from_secs(2);

/// The longest that the weather hides a change from searches and lists.
pub(super) const HIDDEN_FOR: Duration = Duration::from_secs(3);

/// Every switch that has a rate.
pub(crate) fn rain() -> Faults {
    Faults {
        latency_ms: Span(0, 5),
        drop_owner: 0.002,
        late_commit_hold_ms: 50,
        search_cap: Some(2_000),
        ..Faults::moderate()
    }
}

/// The switches that hit everything at once, for a moment each: a token that has expired or may not do what it could, batches
/// that fail whole, the daily limit. Pipedrive's token has no scopes, but the account may not be paid for; there are no batches,
/// but cursors that are refused and pages in disorder; and a spent day is no moment.
fn storm(crm: CrmVendor, kind: u32) -> Faults {
    match (kind % 5, crm) {
        (0, _) => Faults { expired_token: true, ..rain() },
        (1, CrmVendor::Hubspot) => {
            Faults { revoked_scopes: vec!["crm.objects.contacts.write".to_owned()], ..rain() }
        }
        (1, CrmVendor::Pipedrive) => Faults { unpaid: 1.0, ..rain() },
        (2, CrmVendor::Hubspot) => Faults { batch_fails_whole: true, partial_row: 0.05, ..rain() },
        (2, CrmVendor::Pipedrive) => Faults { cursor_refused: 1.0, shuffled: 1.0, ..rain() },
        (3, CrmVendor::Hubspot) => Faults { throttle_daily: 1.0, ..rain() },
        _ => Faults { throttle_burst: 0.5, server_error: 0.2, ..rain() },
    }
}

/// Changes the weather until told to stop, then leaves a clear sky.
pub(crate) async fn blow(sandbox: &Sandbox, crm: CrmVendor, seed: u64, stop: &CancellationToken) {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut kind = dice.random_range(0..5_u32);
    loop {
        sandbox.set_faults(rain());
        tokio::select! {
            () = tokio::time::sleep(CALM.mul_f64(dice.random_range(0.5..1.5))) => {}
            () = stop.cancelled() => break,
        }
        kind += 1;
        sandbox.set_faults(storm(crm, kind));
        tokio::select! {
            () = tokio::time::sleep(STORM) => {}
            () = stop.cancelled() => break,
        }
    }
    sandbox.set_faults(Faults::default());
}
