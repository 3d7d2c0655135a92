//! Times, sizes and counts of a connection's calls.

use std::time::Duration;

use crate::limiter::LimiterSettings;

/// Times, sizes and counts of a connection's calls.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpSettings {
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// From connecting to the answer's last byte, for each attempt. Longer than `connect_timeout`.
    pub request_timeout: Duration,
    /// From the call to its outcome, waits for limits and repeats included. At least `request_timeout`.
    pub deadline: Duration,
    /// The longest body that is read, in bytes after content decoding.
    pub max_body: usize,
    /// Repeats of a read, or of a write that was not sent, within one call.
    pub retries: usize,
    /// The bound of the first random pause before a repeat; it doubles with each.
    pub first_backoff: Duration,
    /// A read is repeated within the call only if the vendor asks for no longer pause.
    pub longest_inline_pause: Duration,
    /// What may be used of the vendor's limits.
    pub limits: LimiterSettings,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            deadline: Duration::from_secs(60),
            max_body: 32 * 1024 * 1024,
            retries: 3,
            first_backoff: Duration::from_millis(250),
            longest_inline_pause: Duration::from_secs(5),
            limits: LimiterSettings::default(),
        }
    }
}

/// Settings that contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HttpSettingsError {
    /// A request that times out while it connects could not be told from one that was sent.
    #[error("the connect timeout must be shorter than the request timeout")]
    ConnectTimeout,
    /// No attempt would fit.
    #[error("the deadline of a call must be at least its request timeout")]
    Deadline,
}

impl HttpSettings {
    /// Checks that the times fit each other.
    pub fn check(&self) -> Result<(), HttpSettingsError> {
        if self.connect_timeout >= self.request_timeout {
            return Err(HttpSettingsError::ConnectTimeout);
        }
        if self.deadline < self.request_timeout {
            return Err(HttpSettingsError::Deadline);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_found() {
        let settings = HttpSettings::default();
        assert_eq!(settings.check(), Ok(()));
        let slow = HttpSettings { connect_timeout: settings.request_timeout, ..settings.clone() };
        assert_eq!(slow.check(), Err(HttpSettingsError::ConnectTimeout));
        let short = HttpSettings { deadline: Duration::from_secs(29), ..settings };
        assert_eq!(short.check(), Err(HttpSettingsError::Deadline));
    }
}
