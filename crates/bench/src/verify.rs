//! Verifications a second, beside the signature check that no verifier can do without.

mod instructions;
#[cfg(feature = "peers")]
mod peers;
mod rounds;

use std::pin::Pin;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use google_emulator::{Emulator, Server};
use google_id_token::verify::{Issuer, Verifier};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use tower::BoxError;

pub use self::instructions::{alone, instructions};
pub use self::rounds::{Outcome, measure};

/// Something that checks the tokens of a list, and says how many it accepted.
type Check =
    Arc<dyn Fn(Arc<[String]>) -> Pin<Box<dyn Future<Output = usize> + Send>> + Send + Sync>;

/// One line of the table.
#[derive(Clone)]
pub struct Row {
    /// What the command line calls it.
    pub name: &'static str,
    /// As the table shows it.
    pub title: &'static str,
    check: Check,
    tokens: Tokens,
}

/// Which tokens a task is given.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tokens {
    /// So many of its own that none of them is remembered when it comes again.
    Many,
    /// One of its own, again and again.
    One,
    /// The one that all tasks have, again and again.
    Shared,
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Row")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Row {
    fn new<F, Fut>(name: &'static str, title: &'static str, check: F) -> Self
    where
        F: Fn(Arc<[String]>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = usize> + Send + 'static,
    {
        Self {
            name,
            title,
            check: Arc::new(move |tokens| Box::pin(check(tokens))),
            tokens: Tokens::Many,
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
    let mut rows = vec![ring_alone(server.emulator())];
    let ours = |name, title, remember, tokens| {
        let verifier = Verifier::builder()
            .audience(AUDIENCE)
            .keys_url(Issuer::Google, server.certs_url())
            .remember(remember)
            .build()?;
        let row = Row::new(name, title, move |list: Arc<[String]>| {
            let verifier = verifier.clone();
            async move {
                let mut good = 0;
                for token in &*list {
                    good += usize::from(verifier.verify(token).await.is_ok());
                }
                good
            }
        });
        Ok::<_, BoxError>(Row { tokens, ..row })
    };
    let title = "Verifier, nothing remembered";
    rows.push(ours("verifier", title, 0, Tokens::Many)?);
    let title = "Verifier, each token for the first time";
    rows.push(ours("first", title, FEW, Tokens::Many)?);
    let title = "Verifier, again: each task its own token";
    rows.push(ours("again", title, 1024, Tokens::One)?);
    let title = "Verifier, again: all tasks the same token";
    rows.push(ours("shared", title, 1024, Tokens::Shared)?);
    #[cfg(feature = "peers")]
    rows.extend(peers::rows(&server)?);
    Ok((rows, server))
}

/// ring's RS256 and nothing else.
fn ring_alone(emulator: &Emulator) -> Row {
    let (n, e) = modulus_and_exponent(emulator);
    let key = RsaPublicKeyComponents { n, e };
    let title = "the signature alone (ring, RS256)";
    signature_alone(FLOOR, title, move |signed, signature| {
        key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
            .is_ok()
    })
}

/// A signature check and nothing else: the key is read beforehand, the signature is decoded each
/// time.
fn signature_alone(
    name: &'static str,
    title: &'static str,
    verifies: impl Fn(&[u8], &[u8]) -> bool + Send + Sync + 'static,
) -> Row {
    let verifies = Arc::new(verifies);
    Row::new(name, title, move |tokens| {
        let verifies = Arc::clone(&verifies);
        async move { tokens.iter().filter(|it| split(it, &*verifies)).count() }
    })
}

/// Whether what is signed and its signature are what this function wants.
fn split(token: &str, verifies: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    let (signed, signature) = token.rsplit_once('.').unwrap_or_default();
    let mut bytes = [0; 256];
    let decoded = URL_SAFE_NO_PAD.decode_slice(signature, &mut bytes);
    decoded.is_ok() && verifies(signed.as_bytes(), &bytes)
}

fn modulus_and_exponent(emulator: &Emulator) -> (Vec<u8>, Vec<u8>) {
    let jwk = emulator.jwk();
    let number = |name: &str| {
        let text = jwk[name].as_str().unwrap_or_default();
        URL_SAFE_NO_PAD.decode(text).unwrap_or_default()
    };
    (number("n"), number("e"))
}

/// A sound token; each number has one of its own.
fn mint(emulator: &Emulator, number: usize) -> String {
    let mut claims = emulator.claims("caller@demo-project.iam.gserviceaccount.com", AUDIENCE);
    claims.sub = format!("{number:021}");
    emulator.mint(claims)
}

const FLOOR: &str = "signature";
const AUDIENCE: &str = "https://hello-abc123-uc.a.run.app";
/// How many tokens are remembered where none is to be found again: far fewer than a task has.
const FEW: usize = 32;
