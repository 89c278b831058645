//! What each command measures, and how its table reads.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bench::chart::{Bar, Whose, draw};
use bench::cold::{self, Minted};
use bench::failure::{self, FAILINGS};
use bench::row::{self, FLOOR, Row};
use bench::table::Table;
use bench::{allocations, callgrind, client, contention, hot, rotation, verify as checks};
use tokio::runtime::{Builder, Runtime};
use tower::BoxError;

pub(crate) fn hot(
    rounds: usize,
    requests: usize,
    only: &str,
    allocations: bool,
) -> Result<(), BoxError> {
    let counted = if allocations {
        allocations::added()?
    } else {
        HashMap::new()
    };
    let one = one_thread()?;
    let (mut rows, _world) = one.block_on(row::all())?;
    keep(&mut rows, only);
    let added = one.block_on(hot::added_ns(&rows, rounds, requests));
    let two = two_workers()?;
    let headings = [
        "added to the bare service",
        "ns",
        "× floor",
        "allocations",
        "2 tasks ÷ 1",
        "8 tasks ÷ 1",
    ];
    let mut table = Table::new(&headings);
    for (row, ns) in rows.iter().zip(&added) {
        let scaling = contention::scaling(row, rounds.div_ceil(10), 20 * requests);
        let [two_tasks, eight_tasks] = two.block_on(scaling);
        table.row([
            row.title.clone(),
            format!("{ns:+.1}"),
            format!("{:.2}", ns / added[0]),
            counted
                .get(&row.name)
                .map_or("?".to_owned(), |count| count.to_string()),
            format!("{two_tasks:.2}"),
            format!("{eight_tasks:.2}"),
        ]);
    }
    print!("{table}");
    Ok(())
}

pub(crate) fn instructions(requests: usize, only: &str) -> Result<(), BoxError> {
    let mut table = Table::new(&[
        "added to the bare service",
        "instructions",
        "above the floor",
    ]);
    for (row, added, floor) in counted(requests, only)? {
        table.row([
            row.title,
            format!("{added:+.0}"),
            format!("{:+.0}", added - floor),
        ]);
    }
    print!("{table}");
    Ok(())
}

pub(crate) fn chart(out: &Path) -> Result<(), BoxError> {
    let ours = ["by-host-1", "per-origin-16"];
    let bars: Vec<_> = counted(10_000, "")?
        .into_iter()
        .filter(|(row, ..)| row.name == FLOOR || row.peer || ours.contains(&&*row.name))
        .map(|(row, value, _)| {
            let whose = if ours.contains(&&*row.name) {
                Whose::Ours
            } else {
                Whose::Others
            };
            Bar {
                title: row.title,
                value,
                whose,
            }
        })
        .collect();
    std::fs::write(
        out,
        draw(
            "Instructions added to a request whose token is at hand",
            &bars,
        ),
    )?;
    println!("{}", out.display());
    Ok(())
}

/// The rows with what they and the floor add.
fn counted(requests: usize, only: &str) -> Result<Vec<(Row, f64, f64)>, BoxError> {
    let runtime = one_thread()?;
    let (mut rows, _world) = runtime.block_on(row::all())?;
    keep(&mut rows, only);
    let mut floor = None;
    let mut counted = Vec::new();
    for row in rows {
        let added = callgrind::per_request(&row.name, false, requests)?
            - callgrind::per_request(&row.name, true, requests)?;
        counted.push((row, added, *floor.get_or_insert(added)));
    }
    Ok(counted)
}

pub(crate) fn rotation(length: Duration, lives: &[Duration]) -> Result<(), BoxError> {
    let headings = [
        "",
        "tokens live",
        "requests",
        "failed",
        "over 20 ms",
        "slowest",
        "99.99 %",
        "fetches",
        "least apart",
    ];
    let mut table = Table::new(&headings);
    for kind in client::kinds() {
        for &life in lives {
            let plan = rotation::Plan {
                life,
                length,
                ..Default::default()
            };
            let outcome = two_workers()?.block_on(rotation::run(kind, plan))?;
            let fetches = outcome.fetches;
            let apart = fetches.apart.map_or("–".to_owned(), |apart| {
                format!("{:.1} s", apart.as_secs_f64())
            });
            let seen = [
                (
                    kind.title,
                    &outcome.client,
                    fetches.count.to_string(),
                    apart,
                ),
                (
                    "a constant header meanwhile",
                    &outcome.constant,
                    "–".to_owned(),
                    "–".to_owned(),
                ),
            ];
            for (title, latencies, fetches, apart) in seen {
                table.row([
                    title.to_owned(),
                    format!("{} s", life.as_secs()),
                    latencies.count().to_string(),
                    latencies.failed.to_string(),
                    latencies.stalled().to_string(),
                    ms(latencies.quantile(1.0)),
                    ms(latencies.quantile(0.9999)),
                    fetches,
                    apart,
                ]);
            }
        }
    }
    print!("{table}");
    Ok(())
}

pub(crate) fn cold() -> Result<(), BoxError> {
    let runs = [
        ("1,000 requests, 1 audience", 1, Minted::ByMetadata),
        ("1,000 requests, 50 audiences", 50, Minted::ByMetadata),
        (
            "the same behind one impersonation",
            50,
            Minted::ByImpersonation,
        ),
    ];
    let headings = [
        "first requests at once",
        "ID tokens fetched",
        "access tokens fetched",
        "failed",
        "took",
    ];
    let mut table = Table::new(&headings);
    for (title, audiences, minted) in runs {
        let outcome = two_workers()?.block_on(cold::run(1000, audiences, minted))?;
        table.row([
            title.to_owned(),
            outcome.id_tokens.to_string(),
            outcome.access_tokens.to_string(),
            outcome.failed.to_string(),
            ms(outcome.took),
        ]);
    }
    print!("{table}");
    Ok(())
}

pub(crate) fn failure(plan: failure::Plan) -> Result<(), BoxError> {
    let headings = [
        "",
        "endpoint",
        "last success before `exp`",
        "failed",
        "over 5 ms",
        "slowest failure",
        "asked",
        "least apart",
        "well again after",
    ];
    let mut table = Table::new(&headings);
    for kind in client::kinds() {
        for failing in FAILINGS {
            let outcome = two_workers()?.block_on(failure::run(kind, failing, plan))?;
            let (fetches, failures) = (outcome.fetches, outcome.failures);
            table.row([
                kind.title.to_owned(),
                failing.title.to_owned(),
                format!("{:.2} s", outcome.left.as_secs_f64()),
                failures.count.to_string(),
                failures.slow.to_string(),
                ms(failures.slowest),
                format!(
                    "{} in {:.0} s",
                    fetches.count,
                    outcome.failing.as_secs_f64()
                ),
                fetches.apart.map_or("–".to_owned(), |apart| {
                    format!("{:.2} s", apart.as_secs_f64())
                }),
                outcome.recovered.map_or("never".to_owned(), |after| {
                    format!("{:.1} s", after.as_secs_f64())
                }),
            ]);
        }
    }
    print!("{table}");
    Ok(())
}

pub(crate) fn verify(rounds: usize, turn: Duration) -> Result<(), BoxError> {
    let two = two_workers()?;
    let (rows, server) = two.block_on(checks::rows())?;
    let mut table = Table::new(&[
        "microseconds of a core a token",
        "1 task",
        "÷ floor",
        "2 tasks",
        "÷ floor",
        "8 tasks",
        "÷ floor",
        "sound ones refused",
    ]);
    let measure = |tasks| {
        two.block_on(checks::measure(
            &rows,
            server.emulator(),
            tasks,
            rounds,
            turn,
        ))
    };
    let outcomes = [1, 2, 8].map(measure);
    for (at, row) in rows.iter().enumerate() {
        let outcomes = outcomes.iter().map(|outcomes| outcomes[at]);
        let mut cells = vec![row.title.to_owned()];
        for outcome in outcomes.clone() {
            cells.push(format!("{:.2}", outcome.micros));
            cells.push(format!("{:.3}", outcome.of_floor));
        }
        let refused: usize = outcomes.map(|outcome| outcome.refused).sum();
        cells.push(refused.to_string());
        table.row(cells);
    }
    print!("{table}");
    Ok(())
}

pub(crate) fn verify_instructions() -> Result<(), BoxError> {
    let (rows, _server) = two_workers()?.block_on(checks::rows())?;
    let mut table = Table::new(&["instructions a token", "", "above the floor"]);
    let mut floor = None;
    for row in rows {
        let counted = checks::instructions(&row)?;
        let above = counted - *floor.get_or_insert(counted);
        table.row([
            row.title.to_owned(),
            format!("{counted:.0}"),
            format!("{above:+.0}"),
        ]);
    }
    print!("{table}");
    Ok(())
}

pub(crate) fn verify_alone(row: &str, rounds: usize) -> Result<(), BoxError> {
    one_thread()?.block_on(checks::alone(row, rounds))
}

pub(crate) fn run(name: &str, requests: usize, bare: bool) -> Result<(), BoxError> {
    let runtime = one_thread()?;
    let (row, _world) = runtime.block_on(row::named(name))?;
    let mut runner = if bare {
        row.bare()
    } else {
        runtime.block_on(row.warm())
    };
    runtime.block_on(runner.run(requests));
    Ok(())
}

fn keep(rows: &mut Vec<Row>, only: &str) {
    rows.retain(|row| row.name == FLOOR || row.name.contains(only));
}

fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

fn one_thread() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn two_workers() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}
