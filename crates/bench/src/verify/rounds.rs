//! All rows in turns, each with so many tasks that check tokens for as long as a turn lasts.

use std::sync::Arc;
use std::time::Duration;

use google_emulator::Emulator;
use tokio::sync::Barrier;
use tokio::task::{JoinSet, yield_now};

use super::{Row, Tokens, mint};
use crate::clock;
use crate::hot::median;

/// What a row does with this many tasks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Microseconds of a core for each token: the time of a turn, by how many tokens were checked
    /// in it, times the cores that the tasks had.
    pub micros: f64,
    /// Its verifications a second, by those of the first row in the same round.
    pub of_floor: f64,
    /// Sound tokens that were refused in all rounds.
    pub refused: usize,
}

/// All rows with this many tasks at once: medians over the rounds, in which the rows take turns of
/// this length.
///
/// The tasks of a turn are there, and at work, before its time begins, and check one list of tokens
/// after the other until its end. Wants a runtime of two workers.
pub async fn measure(
    rows: &[Row],
    emulator: &Emulator,
    tasks: usize,
    rounds: usize,
    turn: Duration,
) -> Vec<Outcome> {
    let many: Vec<_> = (0..tasks)
        .map(|task| lists(emulator, task, tasks))
        .collect();
    let one = |list: &Lists| Lists::from([vec![list[0][0].clone(); AT_ONCE].into()]);
    let own: Vec<_> = many.iter().map(one).collect();
    let mut times = vec![Vec::new(); rows.len()];
    let mut ratios = vec![Vec::new(); rows.len()];
    let mut refused = vec![0; rows.len()];
    let cores = tasks.min(CORES) as f64;
    for round in 0..=rounds {
        let mut floor = None;
        for (at, row) in rows.iter().enumerate() {
            let given = (0..tasks).map(|task| match row.tokens {
                Tokens::Many => Arc::clone(&many[task]),
                Tokens::One => Arc::clone(&own[task]),
                Tokens::Shared => Arc::clone(&own[0]),
            });
            let (checked, of_these) = take_turn(row, given, turn).await;
            // The first round fetches keys.
            if round > 0 {
                let micros = turn.as_secs_f64() * 1e6 * cores / checked as f64;
                times[at].push(micros);
                ratios[at].push(*floor.get_or_insert(micros) / micros);
                refused[at] += of_these;
            }
        }
    }
    let seen = times.into_iter().zip(ratios).zip(refused);
    seen.map(|((times, ratios), refused)| Outcome {
        micros: median(times),
        of_floor: median(ratios),
        refused,
    })
    .collect()
}

/// How many tokens were checked in that time, and how many sound ones were refused.
async fn take_turn(
    row: &Row,
    given: impl ExactSizeIterator<Item = Lists>,
    turn: Duration,
) -> (usize, usize) {
    let start_line = Arc::new(Barrier::new(given.len()));
    let settled = clock::now() + SETTLE;
    let end = settled + turn;
    let mut running = JoinSet::new();
    for lists in given {
        let (row, start_line) = (row.clone(), Arc::clone(&start_line));
        running.spawn(async move {
            start_line.wait().await;
            let (mut checked, mut refused) = (0, 0);
            let mut yielded = clock::now();
            for list in lists.iter().cycle() {
                let good = (row.check)(Arc::clone(list)).await;
                let now = clock::now();
                if now >= end {
                    break;
                }
                refused += list.len() - good;
                if now >= settled {
                    checked += list.len();
                }
                if now - yielded >= SETTLE / 4 {
                    // To the others on this core, or to be taken by the other one.
                    yield_now().await;
                    yielded = clock::now();
                }
            }
            (checked, refused)
        });
    }
    let done = running.join_all().await;
    let checked = done.iter().map(|(checked, _)| checked).sum();
    let refused = done.iter().map(|(_, refused)| refused).sum();
    (checked, refused)
}

type Lists = Arc<[Arc<[String]>]>;

/// This task's share of the tokens, none of which another task has.
fn lists(emulator: &Emulator, task: usize, tasks: usize) -> Lists {
    let share = ALL / tasks;
    let numbers: Vec<_> = (task * share..(task + 1) * share).collect();
    let list = |numbers: &[usize]| numbers.iter().map(|&at| mint(emulator, at)).collect();
    numbers.chunks(AT_ONCE).map(list).collect()
}

/// Tokens of all tasks.
const ALL: usize = 1024;
/// Tokens between two looks at the clock.
const AT_ONCE: usize = 4;
/// In this time the workers share the tasks out, and the processor's caches get warm.
const SETTLE: Duration = Duration::from_millis(2);
const CORES: usize = 2;
