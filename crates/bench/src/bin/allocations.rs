//! Counts what each row allocates for a request. Prints a line for each: its name and the number.

use allocation_counter::measure;
use bench::row;
use bench::runner::Runner;
use tokio::runtime::Runtime;

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for row in runtime.block_on(row::all()) {
        let mut service = runtime.block_on(row.warm());
        let whole = count(&runtime, &mut *service);
        let below = count(&runtime, &mut *row.bare());
        println!("{} {}", row.name, (whole as f64 - below as f64) / REQUESTS as f64);
    }
    Ok(())
}

/// The allocations of a run of twice as many requests, less those of a run.
fn count(runtime: &Runtime, runner: &mut dyn Runner) -> u64 {
    let mut run = |requests| measure(|| runtime.block_on(runner.run(requests))).count_total;
    let once = run(REQUESTS);
    run(2 * REQUESTS) - once
}

const REQUESTS: usize = 1000;
