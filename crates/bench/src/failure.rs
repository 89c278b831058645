//! An endpoint that fails for longer than a token lives: until when do requests succeed, how fast
//! do they fail then, what does the endpoint see, and how soon is all well again?

use std::time::{Duration, Instant, UNIX_EPOCH};

use google_emulator::{Emulator, Endpoint, Fault};
use tokio::sync::watch;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, sleep_until};
use tower::{BoxError, ServiceExt};
use tower_id_token::Clock;

use crate::client::{self, Client, Kind};
use crate::clock;
use crate::rotation::send;
use crate::world::{Fetches, World};

/// A way to fail.
#[derive(Clone, Copy, Debug)]
pub struct Failing {
    /// As the table shows it.
    pub title: &'static str,
    fault: fn() -> Fault,
}

/// All that are tried.
pub const FAILINGS: [Failing; 4] = [
    Failing {
        title: "500",
        fault: || Fault::status(500),
    },
    Failing {
        title: "403",
        fault: || Fault::status(403),
    },
    Failing {
        title: "hangs",
        fault: Fault::hang,
    },
    Failing {
        title: "resets",
        fault: Fault::reset,
    },
];

/// The times of a run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How long tokens live.
    pub life: Duration,
    /// How long the endpoint goes on failing after the last token's `exp`.
    pub outage: Duration,
    /// For how long requests are sent after the endpoint has healed.
    pub patience: Duration,
    /// How many tasks send requests.
    pub tasks: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            life: Duration::from_secs(30),
            outage: Duration::from_secs(20),
            patience: Duration::from_secs(15),
            tasks: 8,
        }
    }
}

/// What became of it.
#[derive(Debug)]
pub struct Outcome {
    /// How long before the token's `exp` the last request succeeded.
    pub left: Duration,
    /// The requests that failed.
    pub failures: Failures,
    /// What the endpoint saw while it failed.
    pub fetches: Fetches,
    /// For how long it failed.
    pub failing: Duration,
    /// How long after it healed all tasks had succeeded again; none where they had not.
    pub recovered: Option<Duration>,
}

/// Runs the plan. Wants a runtime of two workers.
///
/// # Errors
///
/// Where the endpoint cannot be started or the client cannot be made.
pub async fn run(kind: Kind, failing: Failing, plan: Plan) -> Result<Outcome, BoxError> {
    let world = World::start(Emulator::builder().token_lifetime(plan.life))?;
    let client = kind.client(&world)?;
    // `exp` has whole seconds: a fetch just after one is begun tells it to this clock too.
    let fetched = next_second().await;
    client.clone().oneshot(client::requests().make()).await?;
    let expires = fetched + plan.life;
    world
        .emulator
        .fault(Endpoint::MetadataIdentity, (failing.fault)());
    let broke = clock::now();
    let stop = watch::Sender::new(());
    let mut tasks = JoinSet::new();
    for _ in 0..plan.tasks {
        tasks.spawn(insist(client.clone(), stop.subscribe()));
    }
    sleep_until((expires + plan.outage).into()).await;
    let fetches = world.fetches(broke);
    world.emulator.clear_faults();
    let healed = clock::now();
    sleep(plan.patience).await;
    drop(stop);
    let logs = tasks.join_all().await;
    let last = logs.iter().filter_map(|log| log.last_before(healed)).max();
    let again = logs.iter().map(|log| log.first_after(healed));
    Ok(Outcome {
        left: expires.saturating_duration_since(last.unwrap_or(broke)),
        failures: logs
            .iter()
            .map(|log| log.failures)
            .fold(Failures::default(), Failures::and),
        fetches,
        failing: healed - broke,
        recovered: again
            .collect::<Option<Vec<_>>>()
            .and_then(|all| all.into_iter().max()),
    })
}

/// Requests that failed, and how long they took to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failures {
    /// All of them.
    pub count: u64,
    /// Those that took longer than [`SLOW`].
    pub slow: u64,
    /// The longest.
    pub slowest: Duration,
}

impl Failures {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.slow += u64::from(took > SLOW);
        self.slowest = self.slowest.max(took);
    }

    fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            slow: self.slow + other.slow,
            slowest: self.slowest.max(other.slowest),
        }
    }
}

/// What one task saw.
#[derive(Debug, Default)]
struct Log {
    successes: Vec<Instant>,
    failures: Failures,
}

impl Log {
    fn last_before(&self, time: Instant) -> Option<Instant> {
        self.successes.iter().rev().find(|&&at| at <= time).copied()
    }

    fn first_after(&self, time: Instant) -> Option<Duration> {
        let first = self.successes.iter().find(|&&at| at > time)?;
        Some(*first - time)
    }
}

/// Sends requests, a hundred a second while they succeed, and again at once when they fail; until
/// the sender is dropped, whatever becomes of the request under way then.
async fn insist(mut client: Client, mut stop: watch::Receiver<()>) -> Log {
    let mut requests = client::requests();
    let mut log = Log::default();
    while stop.has_changed().is_ok() {
        let start = clock::now();
        let result = tokio::select! {
            result = send(&mut client, requests.make()) => result,
            _ = stop.changed() => break,
        };
        if result.is_ok() {
            log.successes.push(clock::now());
            sleep(Duration::from_millis(10)).await;
        } else {
            log.failures.add(start.elapsed());
            yield_now().await;
        }
    }
    log
}

/// Waits until a second of the wall clock has just begun, and tells when it did.
async fn next_second() -> Instant {
    let into_it = || {
        let now = Clock::default().now();
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Duration::from_nanos(u64::from(since.subsec_nanos()))
    };
    sleep(Duration::from_secs(1) - into_it() + Duration::from_millis(10)).await;
    clock::now() - into_it()
}

/// A failure that takes longer than this is a slow one.
pub const SLOW: Duration = Duration::from_millis(5);
