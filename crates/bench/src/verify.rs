//! Verifications a second, beside the signature check that no verifier can do without.

#[cfg(feature = "peers")]
mod peers;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use google_emulator::{Emulator, Server};
use google_id_token::verify::Verifier;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use tokio::task::JoinSet;
use tower::BoxError;

use crate::clock;
use crate::hot::median;

/// Something that checks the tokens of a list, and says how many it accepted.
pub type Check =
    Arc<dyn Fn(Arc<[String]>) -> Pin<Box<dyn Future<Output = usize> + Send>> + Send + Sync>;

/// One line of the table.
pub struct Row {
    /// As the table shows it.
    pub title: String,
    check: Check,
    tokens: Tokens,
}

/// Which tokens a row is given.
#[derive(Clone, Copy, Debug)]
enum Tokens {
    Any,
    /// Such as it has not seen yet.
    New,
    /// One, again and again.
    Same,
}

/// What a row does with this many tasks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Microseconds a token: the time of a round, by its number of tokens.
    pub micros: f64,
    /// Sound tokens that were refused in all rounds.
    pub refused: usize,
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Row")
            .field("title", &self.title)
            .finish_non_exhaustive()
    }
}

impl Row {
    pub(crate) fn new<F, Fut>(title: &str, check: F) -> Self
    where
        F: Fn(Arc<[String]>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = usize> + Send + 'static,
    {
        Self {
            title: title.to_owned(),
            check: Arc::new(move |tokens| Box::pin(check(tokens))),
            tokens: Tokens::Any,
        }
    }
}

/// The floor, and each verifier. The emulator lives as long as the server.
///
/// # Errors
///
/// Where the emulator finds no port, or a peer does not get along with it.
pub async fn rows() -> Result<(Vec<Row>, Server), BoxError> {
    let server = Emulator::new().serve().await?;
    let mut rows = vec![signature_alone(server.emulator())];
    let ours = |remember| {
        let verifier = Verifier::builder()
            .audience(AUDIENCE)
            .keys_url(google_id_token::verify::Issuer::Google, server.certs_url())
            .remember(remember)
            .build()?;
        Ok::<_, BoxError>(move |tokens: Arc<[String]>| {
            let verifier = verifier.clone();
            async move {
                let mut good = 0;
                for token in &*tokens {
                    good += usize::from(verifier.verify(token).await.is_ok());
                }
                good
            }
        })
    };
    rows.push(Row::new("Verifier, nothing remembered", ours(0)?));
    let title = "Verifier, each token for the first time";
    let first = Row::new(title, ours(1024)?);
    rows.push(Row {
        tokens: Tokens::New,
        ..first
    });
    let again = Row::new("Verifier, the same token again", ours(1024)?);
    rows.push(Row {
        tokens: Tokens::Same,
        ..again
    });
    #[cfg(feature = "peers")]
    rows.extend(peers::rows(&server)?);
    Ok((rows, server))
}

/// RS256 and nothing else, of signatures that are decoded beforehand.
fn signature_alone(emulator: &Emulator) -> Row {
    let jwk = emulator.jwk();
    let number = |name: &str| {
        let text = jwk[name].as_str().unwrap_or_default();
        URL_SAFE_NO_PAD.decode(text).unwrap_or_default()
    };
    let key = Arc::new(RsaPublicKeyComponents {
        n: number("n"),
        e: number("e"),
    });
    Row::new("the signature alone (ring, RS256)", move |tokens| {
        let key = Arc::clone(&key);
        async move {
            let mut good = 0;
            for token in &*tokens {
                let (signed, signature) = token.rsplit_once('.').unwrap_or_default();
                let mut bytes = [0; 256];
                let decoded = URL_SAFE_NO_PAD.decode_slice(signature, &mut bytes);
                let verified = key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &bytes);
                good += usize::from(decoded.is_ok() && verified.is_ok());
            }
            good
        }
    })
}

/// All rows with this many tasks at once: medians over the rounds, in which the rows take turns.
///
/// Wants a runtime of two workers.
pub async fn measure(
    rows: &[Row],
    emulator: &Emulator,
    tasks: usize,
    rounds: usize,
    tokens: usize,
) -> Vec<Outcome> {
    let mut times = vec![Vec::new(); rows.len()];
    let mut refused = vec![0; rows.len()];
    let share = tokens.div_ceil(tasks);
    let kept: Vec<Arc<[String]>> = lists(emulator, 0, tasks, share);
    let same: Vec<Arc<[String]>> = vec![vec![mint(emulator, 0); share].into(); tasks];
    for round in 0..=rounds {
        for (at, row) in rows.iter().enumerate() {
            let lists = match row.tokens {
                Tokens::Any => kept.clone(),
                Tokens::New => lists(emulator, round + 1, tasks, share),
                Tokens::Same => same.clone(),
            };
            let (good, took) = turn(row, lists).await;
            // The first round fetches keys.
            if round > 0 {
                times[at].push(took.as_secs_f64() * 1e6 / (share * tasks) as f64);
                refused[at] += share * tasks - good;
            }
        }
    }
    let outcome = |(times, refused)| Outcome {
        micros: median(times),
        refused,
    };
    times.into_iter().zip(refused).map(outcome).collect()
}

/// How many tokens are accepted, and how long that takes.
async fn turn(row: &Row, mut lists: Vec<Arc<[String]>>) -> (usize, Duration) {
    if lists.len() == 1 {
        // What was done meanwhile has cooled the caches: check one that does not count.
        let warm = lists[0][..1].into();
        (row.check)(warm).await;
        let check = (row.check)(lists.swap_remove(0));
        let start = clock::now();
        return (check.await, start.elapsed());
    }
    let mut running = JoinSet::new();
    let start = clock::now();
    for list in lists {
        running.spawn((row.check)(list));
    }
    (running.join_all().await.into_iter().sum(), start.elapsed())
}

/// Sound tokens for one round: a list for each task, and no token in two of them.
fn lists(emulator: &Emulator, round: usize, tasks: usize, share: usize) -> Vec<Arc<[String]>> {
    let number = |task: usize, at: usize| 1 + (round * tasks + task) * share + at;
    let list = |task| {
        (0..share)
            .map(|at| mint(emulator, number(task, at)))
            .collect()
    };
    (0..tasks).map(list).collect()
}

/// A sound token; each number has one of its own.
fn mint(emulator: &Emulator, number: usize) -> String {
    let mut claims = emulator.claims("caller@demo-project.iam.gserviceaccount.com", AUDIENCE);
    claims.sub = format!("{number:021}");
    emulator.mint(claims)
}

pub(crate) const AUDIENCE: &str = "https://hello-abc123-uc.a.run.app";
