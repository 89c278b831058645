//! The command line: each command measures one thing and prints it as a table.

use std::error::Error;

use bench::hot;
use bench::row::{self, FLOOR};
use bench::table::Table;
use bench::{allocations, callgrind, contention};
use clap::{Args, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

/// Measures the layer: what it adds to a request, and how it behaves when tokens rotate and when
/// their endpoint fails.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Nanoseconds and allocations a request, and how they scale
    Hot(Hot),
    /// Instructions a request, counted by valgrind
    Instructions(Instructions),
    /// Runs one row and measures nothing: for a profiler
    Run(Run),
}

#[derive(Args, Debug)]
struct Hot {
    /// How often every row has its turn
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// Requests in a turn
    #[arg(long, default_value_t = 10_000)]
    requests: usize,
    /// Only rows whose name has this in it
    #[arg(long, default_value = "")]
    only: String,
}

#[derive(Args, Debug)]
struct Instructions {
    /// Requests in the shorter of two runs
    #[arg(long, default_value_t = 1000)]
    requests: usize,
    /// Only rows whose name has this in it
    #[arg(long, default_value = "")]
    only: String,
}

#[derive(Args, Debug)]
struct Run {
    /// The row's name
    row: String,
    /// How many requests it sends
    #[arg(long, default_value_t = 1000)]
    requests: usize,
    /// Calls the bare service instead
    #[arg(long)]
    bare: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    match Cli::parse().command {
        Command::Hot(command) => hot(&command),
        Command::Instructions(command) => instructions(&command),
        Command::Run(command) => run(&command),
    }
}

fn hot(Hot { rounds, requests, only }: &Hot) -> Result<(), Box<dyn Error>> {
    let counted = allocations::added()?;
    let one = one_thread()?;
    let mut rows = one.block_on(row::all());
    rows.retain(|row| row.name == FLOOR || row.name.contains(only));
    let added = one.block_on(hot::added_ns(&rows, *rounds, *requests));
    let two = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut table = Table::new(&[
        "added to the bare service", "ns", "× floor", "allocations", "2 tasks ÷ 1", "8 tasks ÷ 1",
    ]);
    for (row, ns) in rows.iter().zip(&added) {
        let [two_tasks, eight_tasks] =
            two.block_on(contention::scaling(row, rounds.div_ceil(10), 20 * requests));
        table.row([
            row.title.clone(),
            format!("{ns:+.1}"),
            format!("{:.2}", ns / added[0]),
            counted.get(&row.name).map_or("?".to_owned(), |count| count.to_string()),
            format!("{two_tasks:.2}"),
            format!("{eight_tasks:.2}"),
        ]);
    }
    print!("{table}");
    Ok(())
}

fn instructions(Instructions { requests, only }: &Instructions) -> Result<(), Box<dyn Error>> {
    let mut rows = one_thread()?.block_on(row::all());
    rows.retain(|row| row.name == FLOOR || row.name.contains(only));
    let mut table = Table::new(&["added to the bare service", "instructions", "above the floor"]);
    let mut floor = None;
    for row in rows {
        let added = callgrind::per_request(&row.name, false, *requests)?
            - callgrind::per_request(&row.name, true, *requests)?;
        let floor = *floor.get_or_insert(added);
        table.row([row.title, format!("{added:+.0}"), format!("{:+.0}", added - floor)]);
    }
    print!("{table}");
    Ok(())
}

fn run(Run { row, requests, bare }: &Run) -> Result<(), Box<dyn Error>> {
    let runtime = one_thread()?;
    let rows = runtime.block_on(row::all());
    let row = rows.iter().find(|known| known.name == *row).ok_or("no such row")?;
    let mut runner = if *bare { row.bare() } else { runtime.block_on(row.warm()) };
    runtime.block_on(runner.run(*requests));
    Ok(())
}

fn one_thread() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
