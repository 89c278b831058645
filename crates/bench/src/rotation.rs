//! Requests at a steady pace while tokens rotate beneath them: does any of them stall?

use std::time::{Duration, Instant};

use google_emulator::{Emulator, Endpoint, Fault};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};
use tower::{BoxError, Service, ServiceExt};

use crate::client::{self, Client, Kind};
use crate::clock;
use crate::world::{Fetches, World};

/// What is asked of a client.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How long tokens live.
    pub life: Duration,
    /// How long the endpoint takes to answer.
    pub delay: Duration,
    /// How many tasks send requests.
    pub tasks: u32,
    /// How many requests a second each of them sends.
    pub rate: u32,
    /// For how long.
    pub length: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            life: Duration::from_secs(15),
            delay: Duration::from_millis(300),
            tasks: 8,
            rate: 500,
            length: Duration::from_secs(60),
        }
    }
}

/// What became of it.
#[derive(Debug)]
pub struct Outcome {
    /// The requests with tokens.
    pub client: Latencies,
    /// Those with a constant header, sent at the same times by the same runtime.
    pub constant: Latencies,
    /// What the endpoint saw, the first fetch included.
    pub fetches: Fetches,
}

/// How late requests were answered, each counted from when it was due.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    late: Vec<Duration>,
    /// How many failed.
    pub failed: usize,
}

impl Latencies {
    /// How many requests there were.
    pub fn count(&self) -> usize {
        self.late.len()
    }

    /// How many were later than [`STALL`].
    pub fn stalled(&self) -> usize {
        self.late.iter().filter(|&&late| late > STALL).count()
    }

    /// The latest, up to this fraction of all.
    pub fn quantile(&self, fraction: f64) -> Duration {
        let mut sorted = self.late.clone();
        sorted.sort_unstable();
        let at = (fraction * sorted.len() as f64) as usize;
        sorted
            .get(at.min(sorted.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }
}

/// Runs the plan. Wants a runtime of two workers.
///
/// # Errors
///
/// Where the endpoint cannot be started or the client cannot be made.
pub async fn run(kind: Kind, plan: Plan) -> Result<Outcome, BoxError> {
    let world = World::start(Emulator::builder().token_lifetime(plan.life))?;
    world
        .emulator
        .fault(Endpoint::MetadataIdentity, Fault::delay(plan.delay));
    let began = clock::now();
    let client = kind.client(&world)?;
    // The first token is the cold start's business.
    client.clone().oneshot(client::requests().make()).await?;
    let (client, constant) = tokio::join!(load(client, plan), load(client::constant(), plan));
    Ok(Outcome {
        client,
        constant,
        fetches: world.fetches(began),
    })
}

async fn load(client: Client, plan: Plan) -> Latencies {
    let start = clock::now() + Duration::from_millis(50);
    let mut tasks = JoinSet::new();
    for task in 0..plan.tasks {
        // Not all at the same time: the tasks' dues are spread evenly.
        let first = start + Duration::from_secs(1) / plan.rate * task / plan.tasks;
        tasks.spawn(pace(client.clone(), plan, first));
    }
    let mut all = Latencies::default();
    for one in tasks.join_all().await {
        all.late.extend(one.late);
        all.failed += one.failed;
    }
    all
}

async fn pace(mut client: Client, plan: Plan, first: Instant) -> Latencies {
    let mut requests = client::requests();
    let mut seen = Latencies::default();
    let total = (plan.length.as_secs_f64() * f64::from(plan.rate)) as u32;
    for number in 0..total {
        let due = first + Duration::from_secs(1) * number / plan.rate;
        sleep_until(due.into()).await;
        if send(&mut client, requests.make()).await.is_err() {
            seen.failed += 1;
        }
        seen.late.push(clock::now().saturating_duration_since(due));
    }
    // Lets a refresh that the last request started come to its end.
    sleep(plan.delay).await;
    seen
}

pub(crate) async fn send(client: &mut Client, request: http::Request<()>) -> Result<(), BoxError> {
    client.ready().await?.call(request).await.map(drop)
}

/// A request that is this late has stalled.
pub const STALL: Duration = Duration::from_millis(20);
