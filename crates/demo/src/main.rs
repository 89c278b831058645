//! Calls a private Cloud Run service from anywhere, through the ID-token layer.

mod args;
mod call;
mod client;
mod embedded;
mod examine;
mod hint;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use args::{Args, Command};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if args.verbose {
        trace();
    }
    let result = match (args.command, args.call) {
        (Some(Command::Token(token)), _) => call::print_token(token).await,
        (Some(Command::Doctor(doctor)), _) => return examine::run(doctor).await,
        (None, call) if call.url.is_some() => call::run(call).await,
        (None, call) if call.who.credentials.is_some() => Args::command()
            .error(
                ErrorKind::MissingRequiredArgument,
                "--credentials goes with --url",
            )
            .exit(),
        (None, call) => embedded::run(call).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Our own crates' events, on stderr. Other crates log requests whole, and tokens with them.
fn trace() {
    let ours = Targets::new()
        .with_target("demo", Level::DEBUG)
        .with_target("google_id_token", Level::DEBUG)
        .with_target("tower_id_token", Level::DEBUG);
    let stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(stderr)
        .with(ours)
        .init();
}
