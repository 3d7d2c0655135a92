//! Who is told when something is wrong, and how long raw data is kept.

use std::time::Duration;

use usher_document::{Cursor, Decode, SecretRef};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// `alerts:`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertSettings {
    /// The URL that alerts are posted to. A secret: whoever knows it can post there too.
    pub to: Option<SecretRef>,
    /// The key that alerts are signed with.
    pub secret: Option<SecretRef>,
    /// The URL that is called every minute while all is well.
    pub heartbeat: Option<SecretRef>,
    /// A record may wait so long for its decision.
    pub undecided_after: Duration,
    /// A decision may wait so long to be written.
    pub unwritten_after: Duration,
    /// So many parked or rejected writes within a day are an alert.
    pub failed_writes: u64,
    /// So many refused webhooks of one connection within ten minutes are an alert.
    pub refused_webhooks: u64,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            to: None,
            secret: None,
            heartbeat: None,
            undecided_after: Duration::from_secs(10 * 60),
            unwritten_after: Duration::from_secs(15 * 60),
            failed_writes: 10,
            refused_webhooks: 5,
        }
    }
}

impl Decode for AlertSettings {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        let default = Self::default();
        let mut map = at.map()?;
        let to = map.optional_at("to").map(|at| address(&at));
        let secret = map.optional::<SecretRef>("secret");
        let heartbeat = map.optional::<SecretRef>("heartbeat");
        let settings = Self {
            to: None,
            secret,
            heartbeat,
            undecided_after: map.or("undecided_after", default.undecided_after),
            unwritten_after: map.or("unwritten_after", default.unwritten_after),
            failed_writes: map.or("failed_writes", default.failed_writes),
            refused_webhooks: map.or("refused_webhooks", default.refused_webhooks),
        };
        map.not_in_this_version(&["daily_digest"]);
        map.finish();
        match to {
            Some(None) => None,
            to => Some(Self { to: to.flatten(), ..settings }),
        }
    }
}

/// A name stands for a notifier connection, which comes later; a URL belongs into the environment or a file.
fn address(at: &Cursor<'_>) -> Option<SecretRef> {
    let name = at.is_scalar().then(|| at.raw()).filter(|text| !text.contains("://"));
    if name.is_some() {
        at.not_in_this_version("a notifier connection");
        return None;
    }
    at.read()
}

/// `retention:`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Raw payloads of records that have ended and whose lead is closed: so far back a changed mapping can be tried on them.
    pub payloads: Duration,
    /// Raw webhook bodies that were split.
    pub deliveries: Duration,
    /// Single attempts of writes that are done.
    pub attempts: Duration,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self { payloads: DAY * 90, deliveries: DAY * 30, attempts: DAY * 90 }
    }
}

impl Decode for RetentionSettings {
    fn decode(at: &Cursor<'_>) -> Option<Self> {
        let default = Self::default();
        let mut map = at.map()?;
        let settings = Self {
            payloads: map.or("payloads", default.payloads),
            deliveries: map.or("deliveries", default.deliveries),
            attempts: map.or("attempts", default.attempts),
        };
        map.finish();
        Some(settings)
    }
}
