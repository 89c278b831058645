//! What the tests share: a world with a clock that they hold, and a verifier in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use google_emulator::{Emulator, Endpoint};
use google_id_token::verify::{Caller, RefusalKind, Verifier, VerifierBuilder};
use google_id_token::{Clock, HttpClient};

use crate::forge::{AUDIENCE, Forge, IAP_AUDIENCE};

/// Where tests begin, in seconds since 1970.
pub(crate) const NOW: u64 = 1_700_000_000;

/// An emulated Google, and the one clock of the test.
pub(crate) struct World {
    pub(crate) google: Emulator,
    pub(crate) forge: Forge,
    now: Arc<AtomicU64>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(|builder| builder)
    }

    pub(crate) fn of(
        furnish: impl FnOnce(google_emulator::Builder) -> google_emulator::Builder,
    ) -> Self {
        let now = Arc::new(AtomicU64::new(NOW * 1000));
        let google = furnish(Emulator::builder().clock(reader(&now))).build();
        Self {
            forge: Forge::new(&google, NOW),
            google,
            now,
        }
    }

    pub(crate) fn builder(&self) -> VerifierBuilder {
        Verifier::builder()
            .http(HttpClient::from_service(self.google.clone()))
            .clock(Clock::from_fn(reader(&self.now)))
    }

    /// A verifier that listens to Google and to IAP.
    pub(crate) fn verifier(&self) -> Verifier {
        self.builder()
            .audience(AUDIENCE)
            .iap_audience(IAP_AUDIENCE)
            .build()
            .unwrap()
    }

    /// Moves the wall clock, and tokio's with it.
    pub(crate) async fn pass(&self, time: Duration) {
        self.now.fetch_add(time.as_millis() as u64, Relaxed);
        tokio::time::advance(time).await;
    }

    /// How often the certs were asked for.
    pub(crate) fn fetches(&self) -> u64 {
        self.google.journal().count(Endpoint::Certs)
    }

    /// A token as the emulator mints it now.
    pub(crate) fn token(&self) -> String {
        self.google
            .mint(self.google.claims(crate::forge::EMAIL, AUDIENCE))
    }
}

fn reader(now: &Arc<AtomicU64>) -> impl Fn() -> SystemTime + Send + Sync + 'static {
    let now = Arc::clone(now);
    move || UNIX_EPOCH + Duration::from_millis(now.load(Relaxed))
}

/// Why this verifier refuses the token, if it does.
pub(crate) async fn refused(verifier: &Verifier, token: &str) -> Option<RefusalKind> {
    verifier
        .verify(token)
        .await
        .err()
        .map(|refusal| refusal.kind())
}

pub(crate) async fn accepted(verifier: &Verifier, token: &str) -> Caller {
    verifier.verify(token).await.unwrap()
}
