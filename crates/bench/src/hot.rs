//! Nanoseconds that a row adds to the bare service.

use std::time::Duration;

use crate::clock;
use crate::row::Row;
use crate::runner::Runner;

/// The median over all rounds, for each row, in nanoseconds a request.
///
/// In a round every row has its turn, bare first and then with its service, so that whatever else
/// the machine does falls on all rows alike.
pub async fn added_ns(rows: &[Row], rounds: usize, requests: usize) -> Vec<f64> {
    let mut lanes = Vec::new();
    for row in rows {
        lanes.push((row.bare(), row.warm().await, Vec::with_capacity(rounds)));
    }
    for _ in 0..rounds {
        for (bare, service, added) in &mut lanes {
            let below = time(&mut **bare, requests).await;
            let whole = time(&mut **service, requests).await;
            added.push((whole.as_nanos() as f64 - below.as_nanos() as f64) / requests as f64);
        }
    }
    lanes.into_iter().map(|(_, _, added)| median(added)).collect()
}

/// The value in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn time(runner: &mut dyn Runner, requests: usize) -> Duration {
    let start = clock::now();
    runner.run(requests).await;
    start.elapsed()
}
