//! The log, on standard error: text for people, JSON for collectors.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

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
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Error::config(format!("{filter:?} is no log filter: {error}")))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        Format::Text => lines.init(),
        Format::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}
