//! Named crash points: places where a test may end the process to prove that a restart loses and repeats nothing.
//!
//! They exist only in builds with the feature `crash-points`, which the workspace's tests turn on and no release does.
//! There the environment variable `USHER_CRASH_AT` arms one: `deliver.after_send`, or `deliver.after_send:3` for the
//! third time that it is passed.

/// Panics at `point` if what is handled there holds the poisonous word: how a test proves that one poison record costs
/// only itself. `USHER_POISON` arms it as `prepare=word`, or as `prepare=word!` for a death instead of a panic.
///
/// # Panics
/// If armed, and the word is there.
#[cfg(feature = "crash-points")]
pub fn poison(point: &str, text: impl FnOnce() -> String) {
    use std::sync::OnceLock;

    static ARMED: OnceLock<Option<(String, String)>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| {
        let value = std::env::var("USHER_POISON").ok()?;
        let (point, word) = value.split_once('=')?;
        Some((point.to_owned(), word.to_owned()))
    });
    let Some((_, word)) = armed.as_ref().filter(|(armed, _)| armed == point) else { return };
    let (word, aborts) = word.strip_suffix('!').map_or((word.as_str(), false), |word| (word, true));
    if text().contains(word) {
        if aborts {
            std::process::abort();
        }
        panic!("poison at {point}");
    }
}

/// Nothing, in this build.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn poison(_point: &str, _text: impl FnOnce() -> String) {}

/// Ends the process when `point` is armed and its turn has come.
#[cfg(feature = "crash-points")]
pub fn point(point: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ARMED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| {
        let value = std::env::var("USHER_CRASH_AT").ok()?;
        let (name, nth) = value.rsplit_once(':').unwrap_or((&value, "1"));
        Some((name.to_owned(), AtomicU64::new(nth.parse().unwrap_or(1))))
    });
    if let Some((name, left)) = armed
        && name == point
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        // Abort, not exit: destructors and buffered writers must not run, as in a real crash.
        std::process::abort();
    }
}

/// Nothing, in this build.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn point(_point: &str) {}
