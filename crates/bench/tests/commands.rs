//! Each command runs to its end, on a scale too small to measure anything by.

use std::process::{Command, Stdio};

#[test]
fn the_hot_path_is_timed_and_scaled() {
    let table = bench(&[
        "hot",
        "--rounds",
        "2",
        "--requests",
        "20",
        "--no-allocations",
    ]);
    assert!(table.contains("| ByHost, 1,000 hosts "), "{table}");
    assert!(table.contains("| PerOrigin, 16 origins "), "{table}");
    assert_eq!(table.lines().count(), 13, "{table}");
}

#[test]
fn a_hit_allocates_nothing() {
    let counts = run(env!("CARGO_BIN_EXE_allocations"), &[]);
    let ours: Vec<_> = counts
        .lines()
        .filter(|line| line.starts_with("by-host") || line.starts_with("per-origin"))
        .collect();
    assert_eq!(ours.len(), 8, "{counts}");
    assert!(ours.iter().all(|line| line.ends_with(" 0")), "{counts}");
}

#[test]
fn instructions_are_counted_where_valgrind_is_there() {
    let there = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if !there.is_ok_and(|status| status.success()) {
        return;
    }
    let table = bench(&["instructions", "--requests", "10", "--only", "by-host-16"]);
    assert_eq!(table.lines().count(), 4, "{table}");
}

#[test]
fn tokens_rotate_beneath_a_steady_load() {
    let table = bench(&["rotation", "--seconds", "1", "--lives", "60"]);
    assert!(table.contains("a constant header meanwhile"), "{table}");
}

#[test]
fn a_cold_start_fetches_each_token_once() {
    let table = bench(&["cold"]);
    let numbers = |row: &str| -> Vec<String> {
        let line = table
            .lines()
            .find(|line| line.contains(row))
            .unwrap_or_default();
        line.split('|')
            .skip(2)
            .take(3)
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    assert_eq!(numbers("1 audience"), ["1", "0", "0"], "{table}");
    assert_eq!(numbers("50 audiences"), ["50", "0", "0"], "{table}");
    assert_eq!(numbers("impersonation"), ["50", "1", "0"], "{table}");
}

#[test]
fn an_endpoint_fails_and_heals() {
    let table = bench(&["failure", "--life", "3", "--outage", "0", "--patience", "1"]);
    assert_eq!(table.lines().count(), 6, "{table}");
}

#[test]
fn sound_tokens_are_checked_and_none_is_refused() {
    let table = bench(&["verify", "--rounds", "1", "--millis", "5"]);
    let rows: Vec<_> = table.lines().skip(2).collect();
    assert_eq!(rows.len(), 5, "{table}");
    for row in rows {
        assert!(row.ends_with(" 0 |"), "{table}");
        assert!(!row.contains("NaN") && !row.contains("inf"), "{table}");
    }
}

fn bench(arguments: &[&str]) -> String {
    run(env!("CARGO_BIN_EXE_bench"), arguments)
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("the program starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?} failed: {error}"
    );
    String::from_utf8(output.stdout).expect("a table is text")
}
