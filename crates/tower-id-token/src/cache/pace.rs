//! When to fetch: ahead of the end, and not too soon after a failure.

use std::time::Duration;

use crate::clock::saturating_ms;

/// The timing rules of a cache. Wall-clock times are in milliseconds since the epoch.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    ahead: Duration,
}

/// The life of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    /// From here on, a look-up starts a refresh.
    pub(crate) refresh_at: u64,
    /// From here on, it is not handed out.
    pub(crate) dead_at: u64,
}

impl Pace {
    pub(crate) fn new(ahead: Duration) -> Self {
        Self { ahead }
    }

    /// The life of a value that was fetched now, or `None` where it is dead on arrival.
    pub(crate) fn life(&self, now: u64, expires_at: u64) -> Option<Life> {
        let dead_at = expires_at.saturating_sub(saturating_ms(MARGIN));
        if dead_at <= now {
            return None;
        }
        let left = expires_at - now;
        // The jitter keeps a fleet that started together from refreshing together.
        let ahead = saturating_ms(self.ahead) as f64 * (1.0 + fastrand::f64() / 10.0);
        let lead = (ahead as u64).min(left / 2);
        // A server may hand out the same value again: never ask twice within a second.
        let refresh_at = (expires_at - lead)
            .max(now + saturating_ms(SPACING))
            .min(dead_at);
        Some(Life {
            refresh_at,
            dead_at,
        })
    }

    /// How long to leave the source alone after the `streak`th failure in a row, counted from 1.
    pub(crate) fn backoff(&self, streak: u32) -> Duration {
        let doubled = FIRST_BACKOFF.saturating_mul(1 << streak.saturating_sub(1).min(16));
        jitter(doubled.min(LONGEST_BACKOFF))
    }
}

/// Up to a fifth more or less, and never less than the shortest backoff.
fn jitter(wait: Duration) -> Duration {
    wait.mul_f64(0.8 + fastrand::f64() * 0.4).max(FIRST_BACKOFF)
}

/// A value is dropped this long before its end: clocks differ, and requests take time.
pub(crate) const MARGIN: Duration = Duration::from_secs(2);
/// Two fetches for one key lie at least this far apart.
pub(crate) const SPACING: Duration = Duration::from_secs(1);
/// A value younger than this is not refreshed on request, unless the builder says otherwise.
pub(crate) const YOUNG: Duration = Duration::from_secs(10);
/// The longest wait between two attempts while there is nothing to serve, unless the other side
/// asked for more.
pub(crate) const LONGEST_OUTAGE_BACKOFF: Duration = Duration::from_secs(5);
/// For this long after an attempt is due, requests still fail at once while it is made.
pub(crate) const FAIL_FAST: Duration = Duration::from_secs(1);
/// The longest `Retry-After` that is believed.
pub(crate) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_life_is_renewed_225_s_before_its_end_plus_a_jitter() {
        let pace = Pace::new(Duration::from_secs(225));
        for _ in 0..100 {
            let life = pace.life(0, 3_600_000).unwrap();
            assert_eq!(life.dead_at, 3_598_000);
            assert!(
                (3_352_500..=3_375_000).contains(&life.refresh_at),
                "{life:?}"
            );
        }
    }

    #[test]
    fn a_short_life_is_renewed_halfway_and_never_twice_a_second() {
        let pace = Pace::new(Duration::from_secs(225));
        assert_eq!(
            pace.life(0, 15_000),
            Some(Life {
                refresh_at: 7_500,
                dead_at: 13_000
            })
        );
        assert_eq!(
            pace.life(0, 3_000),
            Some(Life {
                refresh_at: 1_000,
                dead_at: 1_000
            })
        );
        assert_eq!(pace.life(5_000, 7_000), None);
    }

    #[test]
    fn the_backoff_doubles_from_one_second_to_sixty() {
        let pace = Pace::new(Duration::from_secs(225));
        for (streak, seconds) in [(1, 1.0), (2, 2.0), (3, 4.0), (7, 60.0), (1000, 60.0)] {
            for _ in 0..100 {
                let wait = pace.backoff(streak).as_secs_f64();
                assert!(
                    (0.8 * seconds..=1.2 * seconds).contains(&wait),
                    "{streak}: {wait}"
                );
                assert!(wait >= 1.0);
            }
        }
    }
}
