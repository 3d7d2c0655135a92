//! How long a vendor is left alone after it gave no token (FM-061).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use usher_model::{TokenTrouble, TroubleKind};

use super::answer::GrantError;

/// Vendors have said `invalid_grant` in error; so often a grant may be called gone before we believe it.
const BELIEVED: u32 = 5;
/// The longest pause that a vendor may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(3_600);

/// Whether another attempt may be made.
pub(super) fn is_over(trouble: &TokenTrouble, now: Timestamp) -> bool {
    trouble.retry_at.is_some_and(|at| now >= at)
}

/// The trouble that a grant is in after that failure.
pub(super) fn after(before: Option<&TokenTrouble>, error: &GrantError, now: Timestamp) -> TokenTrouble {
    let kind = error.kind();
    let before = before.filter(|before| before.kind == kind);
    let attempts = before.map_or(0, |before| before.attempts).saturating_add(1);
    let pause = match kind {
        TroubleKind::Outage => growing(Duration::from_secs(2), Duration::from_secs(300), attempts),
        TroubleKind::Refused | TroubleKind::Revoked => refusals(attempts),
    };
    let asked = error.pause().unwrap_or_default().min(LONGEST_ASKED);
    let for_good = kind == TroubleKind::Revoked && attempts >= BELIEVED;
    TokenTrouble {
        kind,
        since: before.map_or(now, |before| before.since),
        attempts,
        retry_at: (!for_good).then(|| now + pause.max(asked)),
        problem: error.to_string(),
    }
}

/// How old a token must be before it is replaced because the API refuses it, after so many refused ones in a row.
pub(super) fn between_refused_tokens(refused: u32) -> SignedDuration {
    let pause = if refused == 0 { Duration::ZERO } else { refusals(refused) };
    SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX)
}

fn refusals(attempts: u32) -> Duration {
    growing(Duration::from_secs(30), Duration::from_secs(3_600), attempts)
}

fn growing(first: Duration, longest: Duration, attempts: u32) -> Duration {
    first.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(longest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Attempts within a day if each fails that way and the next comes as soon as it may.
    fn attempts_in_a_day(kind: TroubleKind) -> u32 {
        let (mut now, end) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH + Duration::from_secs(86_400));
        let (mut trouble, mut attempts): (Option<TokenTrouble>, u32) = (None, 0);
        while now < end {
            attempts += 1;
            let next = after(trouble.as_ref(), &GrantError::new(kind, "no"), now);
            let Some(at) = next.retry_at else { break };
            assert!(!is_over(&next, now) && is_over(&next, at));
            now = at;
            trouble = Some(next);
        }
        attempts
    }

    #[test]
    fn fm_061_a_day_of_refusals_is_few_attempts() {
        assert_eq!(attempts_in_a_day(TroubleKind::Revoked), BELIEVED);
        assert_eq!(attempts_in_a_day(TroubleKind::Refused), 30);
        assert_eq!(attempts_in_a_day(TroubleKind::Outage), 295);
    }

    #[test]
    fn fm_061_the_first_pause_is_half_a_minute_and_an_outage_counts_apart() {
        let now = Timestamp::UNIX_EPOCH;
        let outage = after(None, &GrantError::new(TroubleKind::Outage, "no"), now);
        let outage = after(Some(&outage), &GrantError::new(TroubleKind::Outage, "no"), now);
        assert_eq!((outage.attempts, outage.retry_at), (2, Some(now + Duration::from_secs(4))));
        let later = now + Duration::from_secs(9);
        let gone = after(Some(&outage), &GrantError::new(TroubleKind::Revoked, "no"), later);
        assert_eq!((gone.attempts, gone.since), (1, later));
        assert_eq!(gone.retry_at, Some(later + Duration::from_secs(30)));
        assert_eq!(between_refused_tokens(0), SignedDuration::ZERO);
        assert_eq!(between_refused_tokens(2), SignedDuration::from_secs(60));
    }
}
