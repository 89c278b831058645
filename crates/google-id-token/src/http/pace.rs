//! When to ask again.

use std::time::Duration;

use tokio::time::Instant;

/// When a token that is asked for now is of no use any more: just before the cache gives the
/// flight up, so that the error can say what happened.
pub(crate) fn deadline() -> Instant {
    Instant::now() + BUDGET
}

/// The timing of one call's attempts.
pub(super) struct Pace {
    attempts: u32,
    started: Instant,
    deadline: Instant,
}

impl Pace {
    pub(super) fn new(deadline: Instant) -> Self {
        Self {
            attempts: 0,
            started: Instant::now(),
            deadline,
        }
    }

    /// An attempt starts; it may take this long.
    pub(super) fn start(&mut self) -> Duration {
        self.attempts += 1;
        self.started = Instant::now();
        ATTEMPT.min(self.deadline.saturating_duration_since(self.started))
    }

    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How long to wait until the next attempt, if there is to be one.
    pub(super) fn next(&self, asked: Option<Duration>) -> Option<Duration> {
        if self.attempts >= ATTEMPTS {
            return None;
        }
        let now = Instant::now();
        let doubled = SPACING * 2_u32.pow(self.attempts - 1);
        // Counted from the start of the last one, so that a hang is not also waited for. The
        // jitter only adds: no endpoint sees us twice a second.
        let own = self.started + doubled.mul_f64(1.0 + fastrand::f64() / 4.0);
        let at = own.max(now + asked.unwrap_or_default());
        (at + SHORTEST_ATTEMPT <= self.deadline).then(|| at.saturating_duration_since(now))
    }
}

/// All attempts of one call, waits included.
const BUDGET: Duration = Duration::from_millis(9_500);
/// One attempt, from connecting to the last byte of the body.
const ATTEMPT: Duration = Duration::from_secs(4);
const ATTEMPTS: u32 = 3;
/// Two attempts start at least this far apart; the second wait is twice as long.
const SPACING: Duration = Duration::from_secs(1);
/// With less time than this left, an attempt is not worth starting.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(500);
