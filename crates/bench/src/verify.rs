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
    /// Whether all tokens are one and the same.
    same: bool,
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
            same: false,
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
    rows.push(Row::new(
        "Verifier, each token for the first time",
        ours(1024)?,
    ));
    let mut again = Row::new("Verifier, the same token again", ours(1024)?);
    again.same = true;
    rows.push(again);
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
    let mut number = 0;
    for round in 0..=rounds {
        for (at, row) in rows.iter().enumerate() {
            let mut running = JoinSet::new();
            let shares: Vec<Arc<[String]>> = (0..tasks)
                .map(|_| {
                    let share = (0..tokens / tasks).map(|_| {
                        number += usize::from(!row.same);
                        mint(emulator, number)
                    });
                    if row.same {
                        vec![mint(emulator, 0); tokens / tasks].into()
                    } else {
                        share.collect()
                    }
                })
                .collect();
            if round == 0 && row.same {
                (row.check)(Arc::from([mint(emulator, 0)])).await;
            }
            let start = clock::now();
            for share in shares {
                running.spawn((row.check)(share));
            }
            let good: usize = running.join_all().await.into_iter().sum();
            let took: Duration = start.elapsed();
            // The first round fetches keys.
            if round > 0 {
                times[at].push(took.as_secs_f64() * 1e6 / (tokens / tasks * tasks) as f64);
                refused[at] += tokens / tasks * tasks - good;
            }
        }
    }
    let outcome = |(times, refused)| Outcome {
        micros: median(times),
        refused,
    };
    times.into_iter().zip(refused).map(outcome).collect()
}

/// A sound token; each number has one of its own.
fn mint(emulator: &Emulator, number: usize) -> String {
    let mut claims = emulator.claims("caller@demo-project.iam.gserviceaccount.com", AUDIENCE);
    if number == 0 {
        // Whenever it is minted, it is the same one.
        claims.iat -= claims.iat % 1000;
        claims.exp = claims.iat + 3600;
    }
    claims.sub = format!("{:021}", number);
    emulator.mint(claims)
}

pub(crate) const AUDIENCE: &str = "https://hello-abc123-uc.a.run.app";
