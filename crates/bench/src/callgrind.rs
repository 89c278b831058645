//! Instructions that a row adds to the bare service, as callgrind counts them.

use std::env;
use std::io;
use std::process::Command;

/// Instructions a request: those of a run with twice as many requests, less those of a run, so
/// that what comes before and after the requests falls out.
///
/// # Errors
///
/// Where valgrind cannot be started, or says something unexpected.
pub fn per_request(row: &str, bare: bool, requests: usize) -> io::Result<f64> {
    let count = |requests: usize| {
        let requests = requests.to_string();
        let mut arguments = vec!["run", row, "--requests", &requests];
        if bare {
            arguments.push("--bare");
        }
        count(&arguments)
    };
    let once = count(requests)?;
    let twice = count(2 * requests)?;
    Ok((twice as f64 - once as f64) / requests as f64)
}

/// Instructions of this program, run with these arguments.
///
/// # Errors
///
/// Where valgrind cannot be started, or says something unexpected.
pub fn count(arguments: &[&str]) -> io::Result<u64> {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .args(arguments);
    let output = command.output().map_err(|error| {
        let hint = "valgrind counts the instructions; on Debian, `apt-get install valgrind`";
        io::Error::new(error.kind(), format!("{hint}: {error}"))
    })?;
    let report = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(io::Error::other(format!(
            "{arguments:?} failed below valgrind:\n{report}"
        )));
    }
    collected(&report).ok_or_else(|| io::Error::other(format!("no count in:\n{report}")))
}

fn collected(report: &str) -> Option<u64> {
    let line = report
        .lines()
        .find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}
