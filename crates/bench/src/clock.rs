//! The stopwatch, in the one file that may read it.

use std::time::Instant;

/// The time now, for measuring how long something took.
#[expect(clippy::disallowed_methods, reason = "what is measured here is real time")]
pub fn now() -> Instant {
    Instant::now()
}
