//! How much of a vendor's quota a connection may use.

use std::collections::BTreeMap;

/// A part of a quota, more than 0 and at most 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(f64);

/// A share that is none.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{found} is no share of a quota: write a number above 0 and up to 1, such as 0.5 for half of it")]
pub struct ShareError {
    found: f64,
}

impl Share {
    /// Half: other programs of the account spend the same quota.
    pub const HALF: Self = Self(0.5);
    /// All of it.
    pub const ALL: Self = Self(1.0);

    /// Checks the number.
    pub fn new(part: f64) -> Result<Self, ShareError> {
        if part > 0.0 && part <= 1.0 { Ok(Self(part)) } else { Err(ShareError { found: part }) }
    }

    /// That part of `calls`, rounded down, at least 1.
    #[must_use]
    pub fn of(self, calls: u32) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and `calls`")]
        let part = (f64::from(calls) * self.0) as u32;
        part.max(1)
    }
}

/// What a connection may use of one limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Allowance {
    /// At most this part of the quota, declared or learned.
    Share(Share),
    /// No quota of ours. A vendor's `Retry-After` is obeyed all the same.
    Unlimited,
}

impl Allowance {
    /// What is allowed of `calls`: at least 1 unless there are none.
    pub(super) fn of(self, calls: u32) -> u32 {
        match self {
            Self::Share(share) if calls > 0 => share.of(calls),
            Self::Share(_) => 0,
            Self::Unlimited => calls,
        }
    }
}

/// What a connection may use of its vendor's limits.
#[derive(Debug, Clone, PartialEq)]
pub struct LimiterSettings {
    /// For each limit that is not named in `by_limit`.
    pub default: Allowance,
    /// For single limits, by their names.
    pub by_limit: BTreeMap<String, Allowance>,
}

impl LimiterSettings {
    /// The same for all limits.
    #[must_use]
    pub fn all(allowance: Allowance) -> Self {
        Self { default: allowance, by_limit: BTreeMap::new() }
    }

    /// What is allowed of that limit.
    #[must_use]
    pub fn of(&self, limit: &str) -> Allowance {
        self.by_limit.get(limit).copied().unwrap_or(self.default)
    }
}

impl Default for LimiterSettings {
    fn default() -> Self {
        Self::all(Allowance::Share(Share::HALF))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_checked_and_never_round_to_nothing() {
        for wrong in [0.0, -0.5, 1.01, f64::NAN, f64::INFINITY] {
            assert!(Share::new(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Share::HALF.of(190), 95);
        assert_eq!(Share::HALF.of(5), 2);
        assert_eq!(Share::HALF.of(1), 1);
        assert_eq!(Share::ALL.of(u32::MAX), u32::MAX);
    }
}
