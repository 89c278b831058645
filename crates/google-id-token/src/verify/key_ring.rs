//! An issuer's keys at hand, and the way to newer ones when a token names a key that is not there.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::http::Uri;
use tokio::sync::watch;
use tokio::time::Instant;
use tower_id_token::{Cache, Clock, ErrorKind, Lookup, SourceError};

use super::Issuer;
use super::keys::Keys;
use super::source::{self, GRACE};
use crate::HttpClient;

/// The keys of one issuer, by way of the same cache that tokens have.
pub(super) struct KeyRing {
    uri: Uri,
    cache: Cache<(), Keys>,
    latest: Mutex<Option<Refetch>>,
}

/// The last time that keys were fetched because one was missing.
struct Refetch {
    started: Instant,
    outcome: watch::Receiver<Option<Result<(), SourceError>>>,
}

impl KeyRing {
    pub(super) fn new(http: HttpClient, issuer: Issuer, uri: Uri, clock: Clock) -> Self {
        let source = source::keys(http, issuer, uri.clone(), clock.clone());
        let cache = Cache::builder()
            .refresh_ahead(GRACE)
            // How often is our own business, in `newer`.
            .young(Duration::ZERO)
            .clock(clock)
            .build(source);
        Self {
            uri,
            cache,
            latest: Mutex::new(None),
        }
    }

    /// Where the keys are fetched from.
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The keys at hand, or those that are being fetched.
    pub(super) fn current(&self) -> Lookup<Keys> {
        self.cache.get(&())
    }

    /// The keys, fetched anew because a token names one that is not among them; but not if that
    /// was done in the last 30 s, when everybody shares in what came of it.
    pub(super) async fn newer(&self) -> Result<Keys, SourceError> {
        let mut outcome = self.latest()?;
        let outcome = outcome.wait_for(Option::is_some).await;
        // Where the runtime of the fetch went away, the keys at hand have to do.
        if let Some(Err(error)) = outcome.ok().and_then(|it| it.clone()) {
            return Err(error);
        }
        self.current().await
    }

    fn latest(&self) -> Result<watch::Receiver<Option<Result<(), SourceError>>>, SourceError> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(latest) = &*latest
            && latest.started.elapsed() < AT_MOST_EVERY
        {
            return Ok(latest.outcome.clone());
        }
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
            SourceError::new(
                ErrorKind::Unavailable,
                "keys are fetched inside a tokio runtime, and there is none here",
            )
        })?;
        let (landed, outcome) = watch::channel(None);
        let flight = self.cache.refresh(&());
        // A task, so that the one who asked first may go away.
        runtime.spawn(async move { landed.send(Some(flight.await.map(drop))) });
        *latest = Some(Refetch {
            started: Instant::now(),
            outcome: outcome.clone(),
        });
        Ok(outcome)
    }
}

/// Whoever makes up key ids makes us ask the issuer this often, and not more.
const AT_MOST_EVERY: Duration = Duration::from_secs(30);
