//! The command line: each command measures one thing and prints it as a table.

mod commands;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// Measures the layer: what it adds to a request, and how it behaves when tokens rotate and when
/// their endpoint fails.
#[derive(Debug, Parser)]
#[command(about)]
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
    /// Requests at a steady pace while tokens rotate
    Rotation(Rotation),
    /// Many first requests at once
    Cold,
    /// An endpoint that fails for longer than a token lives
    Failure(Failure),
    /// Tokens checked, beside the signature check alone
    Verify(Verify),
    /// Draws the instructions of some rows
    Chart(Chart),
    /// All of the above, one after the other
    All,
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
    /// Only the floor and rows whose name has this in it
    #[arg(long, default_value = "")]
    only: String,
    /// Leaves the allocations out, which a second program counts, built by cargo
    #[arg(long)]
    no_allocations: bool,
}

#[derive(Args, Debug)]
struct Instructions {
    /// Requests in the shorter of two runs
    #[arg(long, default_value_t = 1000)]
    requests: usize,
    /// Only the floor and rows whose name has this in it
    #[arg(long, default_value = "")]
    only: String,
}

#[derive(Args, Debug)]
struct Rotation {
    /// For how many seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many seconds tokens live, one run for each
    #[arg(long, value_delimiter = ',', default_values_t = [15, 8, 3])]
    lives: Vec<u64>,
}

#[derive(Args, Debug)]
struct Failure {
    /// How many seconds tokens live
    #[arg(long, default_value_t = 30)]
    life: u64,
    /// For how many seconds more the endpoint fails
    #[arg(long, default_value_t = 20)]
    outage: u64,
    /// For how many seconds requests go on after it has healed
    #[arg(long, default_value_t = 15)]
    patience: u64,
}

#[derive(Args, Debug)]
struct Verify {
    /// How often every row has its turn
    #[arg(long, default_value_t = 50)]
    rounds: usize,
    /// How long a turn lasts, in milliseconds
    #[arg(long, default_value_t = 20)]
    millis: u64,
    /// Has valgrind count instructions instead
    #[arg(long)]
    instructions: bool,
    /// Runs the one row of this name and measures nothing: for a profiler
    #[arg(long)]
    alone: Option<String>,
}

#[derive(Args, Debug)]
struct Chart {
    /// Where the SVG goes
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/chart.svg"))]
    out: PathBuf,
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

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    dispatch(Cli::parse().command)
}

fn dispatch(command: Command) -> Result<(), Box<dyn Error + Send + Sync>> {
    match command {
        Command::Hot(it) => commands::hot(it.rounds, it.requests, &it.only, !it.no_allocations),
        Command::Instructions(it) => commands::instructions(it.requests, &it.only),
        Command::Rotation(it) => {
            let lives: Vec<_> = it.lives.into_iter().map(Duration::from_secs).collect();
            commands::rotation(Duration::from_secs(it.seconds), &lives)
        }
        Command::Cold => commands::cold(),
        Command::Failure(it) => commands::failure(bench::failure::Plan {
            life: Duration::from_secs(it.life),
            outage: Duration::from_secs(it.outage),
            patience: Duration::from_secs(it.patience),
            ..Default::default()
        }),
        Command::Verify(it) => match it.alone {
            Some(row) => commands::verify_alone(&row, it.rounds),
            None if it.instructions => commands::verify_instructions(),
            None => commands::verify(it.rounds, Duration::from_millis(it.millis)),
        },
        Command::Chart(it) => commands::chart(&it.out),
        Command::Run(it) => commands::run(&it.row, it.requests, it.bare),
        Command::All => {
            for command in [
                "hot",
                "instructions",
                "rotation",
                "cold",
                "failure",
                "verify",
                "chart",
            ] {
                println!("## {command}\n");
                dispatch(Cli::parse_from(["bench", command]).command)?;
                println!();
            }
            Ok(())
        }
    }
}
