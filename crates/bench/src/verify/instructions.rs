//! Instructions that a verification takes, as callgrind counts them.

use std::sync::Arc;

use tower::BoxError;

use super::{Row, Tokens, mint, rows};
use crate::callgrind;

/// Instructions a token: those of a run with more rounds, less those of a run with fewer.
///
/// # Errors
///
/// Where valgrind cannot be started, or says something unexpected.
pub fn instructions(row: &Row) -> Result<f64, BoxError> {
    let count = |rounds: usize| {
        let rounds = rounds.to_string();
        callgrind::count(&["verify", "--alone", row.name, "--rounds", &rounds])
    };
    Ok((count(1 + ROUNDS)? as f64 - count(1)? as f64) / (ROUNDS * TOKENS) as f64)
}

/// Checks the same tokens so many times and measures nothing: for a profiler.
///
/// # Errors
///
/// Where there is no such row, or it does not accept its tokens.
pub async fn alone(name: &str, rounds: usize) -> Result<(), BoxError> {
    let (rows, server) = rows().await?;
    let row = rows.into_iter().find(|row| row.name == name);
    let row = row.ok_or_else(|| format!("there is no row {name}"))?;
    let number = |at| if row.tokens == Tokens::Many { at } else { 0 };
    let tokens: Arc<[String]> = (0..TOKENS)
        .map(|at| mint(server.emulator(), number(at)))
        .collect();
    for _ in 0..rounds {
        let good = (row.check)(Arc::clone(&tokens)).await;
        if good != TOKENS {
            return Err(format!("{name} accepts {good} of {TOKENS} sound tokens").into());
        }
    }
    Ok(())
}

const TOKENS: usize = 256;
const ROUNDS: usize = 6;
