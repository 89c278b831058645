//! The wall clock, read in one place so that tests can move it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where a [`Cache`](crate::Cache) reads the wall clock from.
///
/// Tokens die by the wall clock, not by a monotonic one: a laptop that slept through a token's
/// life must not wake up believing in it.
///
/// The default reads the operating system's coarse clock where it has one (Linux: some 4 ms
/// behind the precise clock at most, far inside the two seconds that a token is dropped early).
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<dyn Fn() -> SystemTime + Send + Sync>>);

impl Clock {
    /// A clock of the caller's own, for tests that move time.
    pub fn from_fn(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(now)))
    }

    /// The time now.
    pub fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.now_ms())
    }

    /// Milliseconds since the Unix epoch.
    #[inline]
    pub(crate) fn now_ms(&self) -> u64 {
        match &self.0 {
            None => system_ms(),
            Some(now) => to_ms(now()),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_none() {
            "Clock::System"
        } else {
            "Clock::Custom"
        })
    }
}

/// Milliseconds since the Unix epoch; times before it count as the epoch.
pub(crate) fn to_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, saturating_ms)
}

/// Whole milliseconds of a duration.
pub(crate) fn saturating_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[inline]
fn system_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    (now.tv_sec as u64) * 1000 + (now.tv_nsec as u64) / 1_000_000
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the file that owns the wall clock"
)]
fn system_ms() -> u64 {
    to_ms(SystemTime::now())
}
