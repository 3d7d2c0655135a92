//! Named crash points: places where a test may kill the process to prove that a restart loses and repeats nothing.
//!
//! Off unless the environment variable `USHER_CRASH_AT` names a point (`deliver.after_send` or `deliver.after_send:3`
//! for the third time it is reached). Reading the variable costs once per process; a release that never sets it pays
//! one atomic load per point.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What makes the program panic or die, from `USHER_POISON`.
struct Poison {
    point: String,
    word: String,
    aborts: bool,
}

static POISON: OnceLock<Option<Poison>> = OnceLock::new();

fn poison_of(value: &str) -> Option<Poison> {
    let (point, word) = value.split_once('=')?;
    let (word, aborts) = word.strip_suffix('!').map_or((word, false), |word| (word, true));
    Some(Poison { point: point.to_owned(), word: word.to_owned(), aborts })
}

/// Panics at `point` if what is handled there holds the poisonous word: how a test proves that one poison record costs
/// only itself. `USHER_POISON` arms it as `prepare=word`, or as `prepare=word!` for a death instead of a panic.
///
/// # Panics
/// If armed, and the word is there.
pub fn poison(point: &str, text: impl FnOnce() -> String) {
    let armed = POISON.get_or_init(|| poison_of(&std::env::var("USHER_POISON").ok()?));
    let Some(poison) = armed.as_ref().filter(|poison| poison.point == point) else { return };
    if text().contains(&poison.word) {
        if poison.aborts {
            std::process::abort();
        }
        panic!("poison at {point}");
    }
}

struct Armed {
    point: String,
    remaining: AtomicU64,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

fn armed() -> Option<&'static Armed> {
    ARMED
        .get_or_init(|| {
            let value = std::env::var("USHER_CRASH_AT").ok()?;
            let (point, nth) = value.rsplit_once(':').unwrap_or((&value, "1"));
            Some(Armed { point: point.to_owned(), remaining: AtomicU64::new(nth.parse().unwrap_or(1)) })
        })
        .as_ref()
}

/// Aborts the process when `point` is the armed crash point and its turn has come.
pub fn point(point: &str) {
    if let Some(armed) = armed()
        && armed.point == point
        && armed.remaining.fetch_sub(1, Ordering::SeqCst) == 1
    {
        // Abort, not exit: destructors and buffered writers must not run, as in a real crash.
        std::process::abort();
    }
}
