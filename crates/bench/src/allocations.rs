//! Allocations a request: asked of the program `allocations`, so that its counter costs the
//! timings nothing.

use std::collections::HashMap;
use std::io;
use std::process::{Command, Stdio};

/// Allocations that each row adds to a request, by the row's name.
///
/// # Errors
///
/// Where cargo cannot build or start the counting program.
pub fn added() -> io::Result<HashMap<String, f64>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--release", "--package", "bench", "--bin", "allocations"]);
    if cfg!(feature = "peers") {
        cargo.args(["--features", "peers"]);
    }
    let output = cargo.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other("the counting program failed"));
    }
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

fn parse(lines: &str) -> HashMap<String, f64> {
    lines
        .lines()
        .filter_map(|line| {
            let (name, count) = line.split_once(' ')?;
            Some((name.to_owned(), count.parse().ok()?))
        })
        .collect()
}
