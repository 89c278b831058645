//! How a row scales when several tasks share one cache.

use tokio::task::JoinSet;

use crate::clock;
use crate::hot::median;
use crate::row::Row;
use crate::runner::Runner;

/// How many tasks run at once; the first is what the others are compared with.
pub const TASKS: [usize; 3] = [1, 2, 8];

/// Requests a second by that many tasks, divided by those of one task: medians over the rounds,
/// for all of [`TASKS`] but the first.
///
/// Wants a runtime of two workers.
pub async fn scaling(row: &Row, rounds: usize, requests: usize) -> [f64; TASKS.len() - 1] {
    let mut ratios: [Vec<f64>; TASKS.len() - 1] = Default::default();
    let mut runners = Vec::new();
    for _ in 0..TASKS[TASKS.len() - 1] {
        runners.push(row.warm().await);
    }
    for _ in 0..rounds {
        let mut rates = [0.0; TASKS.len()];
        for (rate, tasks) in rates.iter_mut().zip(TASKS) {
            (*rate, runners) = throughput(runners, tasks, requests).await;
        }
        for (ratios, rate) in ratios.iter_mut().zip(&rates[1..]) {
            ratios.push(rate / rates[0]);
        }
    }
    ratios.map(median)
}

async fn throughput(
    mut idle: Vec<Box<dyn Runner>>,
    tasks: usize,
    requests: usize,
) -> (f64, Vec<Box<dyn Runner>>) {
    let mut running = JoinSet::new();
    let share = requests / tasks;
    let start = clock::now();
    for mut runner in idle.drain(..tasks).collect::<Vec<_>>() {
        running.spawn(async move {
            runner.run(share).await;
            runner
        });
    }
    idle.extend(running.join_all().await);
    ((share * tasks) as f64 / start.elapsed().as_secs_f64(), idle)
}
