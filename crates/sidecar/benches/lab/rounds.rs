//! The bench's clock: rounds that take turns, and what each row took of a processor.

use std::fmt;
use std::path::PathBuf;

use super::Lab;
use super::wrk::{self, Answers};
use crate::support::process::resident;

/// One load, and the rows that are measured while it runs.
pub struct Load {
    address: String,
    token: Option<String>,
    rows: Vec<Row>,
    per_second: Vec<f64>,
}

/// One row of a table.
struct Row {
    name: &'static str,
    /// The row that it is compared with.
    beside: Option<&'static str>,
    processes: Vec<u32>,
    micros: Vec<f64>,
}

impl Load {
    pub fn of(address: impl ToString) -> Self {
        Self {
            address: address.to_string(),
            token: None,
            rows: Vec::new(),
            per_second: Vec::new(),
        }
    }

    /// Each request carries this token.
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// What these processes take while this load runs, compared with another row of the table.
    pub fn row(
        mut self,
        name: &'static str,
        processes: &[u32],
        beside: impl Into<Option<&'static str>>,
    ) -> Self {
        self.rows.push(Row {
            name,
            beside: beside.into(),
            processes: processes.to_vec(),
            micros: Vec::new(),
        });
        self
    }

    async fn run(&self, through: &[&str]) -> Answers {
        let token = self.token.as_deref();
        wrk::load(through, &self.address, token, CONNECTIONS, SECONDS).await
    }

    async fn measure(&mut self, through: &[&str]) {
        let before: Vec<f64> = self.rows.iter().map(Row::cpu).collect();
        let answers = self.run(through).await;
        self.per_second.push(answers.count / answers.seconds);
        for (row, before) in self.rows.iter_mut().zip(before) {
            row.micros
                .push((row.cpu() - before) / 1000.0 / answers.count);
        }
    }
}

impl Row {
    /// What its processes have used of the processors so far, in nanoseconds.
    fn cpu(&self) -> f64 {
        let thread = |path: PathBuf| -> Option<f64> {
            let text = std::fs::read_to_string(path.join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse().ok()
        };
        self.processes
            .iter()
            .flat_map(|id| std::fs::read_dir(format!("/proc/{id}/task")).expect("Linux"))
            .filter_map(|task| thread(task.ok()?.path()))
            .sum()
    }

    /// This row and the one it is compared with, round by round.
    fn to(&self, other: &Self, compare: impl Fn(f64, f64) -> f64) -> Quartiles {
        let rounds = self.micros.iter().zip(&other.micros);
        Quartiles::of(rounds.map(|(own, other)| compare(*own, *other)).collect())
    }
}

impl Lab {
    /// Takes turns, and prints the rows.
    pub async fn run<const N: usize>(&self, title: &str, rounds: usize, mut loads: [Load; N]) {
        for load in &loads {
            load.run(self.beside).await;
        }
        for round in 0..rounds {
            // There and back, so that no row is always the one after the other.
            for turn in 0..N {
                let turn = if round % 2 == 0 { turn } else { N - 1 - turn };
                loads[turn].measure(self.beside).await;
            }
        }
        println!("\n{title}\n");
        println!("| | CPU per request, µs | beside | ratio | difference, µs | req/s | RSS, MiB |");
        println!("|---|--:|---|--:|--:|--:|--:|");
        let rows = || loads.iter().flat_map(|load| &load.rows);
        for load in &loads {
            let per_second = Quartiles::of(load.per_second.clone()).median / 1000.0;
            for row in &load.rows {
                let micros = Quartiles::of(row.micros.clone()).median;
                let compared = row.beside.map_or("| |".to_owned(), |name| {
                    let other = rows().find(|row| row.name == name).expect("such a row");
                    let ratio = row.to(other, |own, other| own / other);
                    let difference = row.to(other, |own, other| own - other);
                    format!("{name} | {ratio:.3} | {difference:.1}")
                });
                let memory: u64 = row.processes.iter().map(|id| resident(*id)).sum();
                println!(
                    "| {} | {micros:.1} | {compared} | {per_second:.1}k | {:.1} |",
                    row.name,
                    memory as f64 / 1024.0
                );
            }
        }
    }
}

/// The middle of some numbers, and the bounds of their middle half.
pub struct Quartiles {
    low: f64,
    pub median: f64,
    high: f64,
}

impl Quartiles {
    pub fn of(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        let at = |quarter| numbers[(numbers.len() - 1) * quarter / 4];
        Self {
            low: at(1),
            median: at(2),
            high: at(3),
        }
    }
}

impl fmt::Display for Quartiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.median.fmt(f)?;
        f.write_str(" (")?;
        self.low.fmt(f)?;
        f.write_str(" to ")?;
        self.high.fmt(f)?;
        f.write_str(")")
    }
}

const CONNECTIONS: usize = 32;
/// The least that wrk knows.
const SECONDS: u64 = 1;
