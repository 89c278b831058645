//! The log, on standard error: text for people, JSON for collectors.

use clap::ValueEnum;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::error::Error;

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For collectors: one object a line.
    Json,
}

/// Starts logging.
///
/// # Errors
///
/// For a filter that is none.
pub(crate) fn start(format: Format, filter: &str) -> Result<(), Error> {
    let filter: Targets = filter
        .parse()
        .map_err(|error| Error::config(format!("{filter:?} is no log filter: {error}")))?;
    let log = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(std::io::stderr);
    match format {
        Format::Text => log.with(lines).init(),
        Format::Json => log.with(lines.json().flatten_event(true)).init(),
    }
    Ok(())
}
