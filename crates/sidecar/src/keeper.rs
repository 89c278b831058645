//! Keeps the tokens of known audiences at hand: the first request finds one, and so does every
//! one after.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use google_id_token::{Audience, Cache, Clock, Expires, IdToken, Lookup};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::metrics::Metrics;

/// One task for each audience that is known beforehand.
///
/// The cache renews by demand; this is the demand. Whoever wants a token pushed instead of
/// fetched watches here.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    tokens: Cache<Audience, IdToken>,
    metrics: Arc<Metrics>,
    kept: Arc<Mutex<HashMap<Audience, Kept>>>,
}

/// The token of one audience, as of now: `None` while there is none that lives.
pub(crate) type Token = watch::Receiver<Option<IdToken>>;

#[derive(Debug)]
struct Kept {
    token: Token,
    task: AbortHandle,
}

impl Keeper {
    pub(crate) fn new(tokens: Cache<Audience, IdToken>, metrics: Arc<Metrics>) -> Self {
        Self {
            tokens,
            metrics,
            kept: Arc::default(),
        }
    }

    /// Keeps exactly these audiences from now on.
    pub(crate) fn only(&self, audiences: &[Audience]) {
        self.lock().retain(|audience, kept| {
            let stays = audiences.contains(audience);
            if !stays {
                kept.task.abort();
            }
            stays
        });
        for audience in audiences {
            self.keep(audience);
        }
    }

    /// Keeps this audience too, and hands out its token.
    pub(crate) fn keep(&self, audience: &Audience) -> Token {
        let mut all = self.lock();
        if let Some(kept) = all.get(audience) {
            return kept.token.clone();
        }
        let (sender, token) = watch::channel(None);
        let keeping = keep(
            self.tokens.clone(),
            audience.clone(),
            self.metrics.landings(),
            sender,
        );
        let kept = Kept {
            token: token.clone(),
            task: tokio::spawn(keeping).abort_handle(),
        };
        all.insert(audience.clone(), kept);
        token
    }

    /// The kept audiences that have no token now.
    pub(crate) fn missing(&self) -> Vec<Audience> {
        let all = self.lock();
        all.iter()
            .filter(|(_, kept)| kept.token.borrow().is_none())
            .map(|(audience, _)| audience.clone())
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Audience, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn keep(
    tokens: Cache<Audience, IdToken>,
    audience: Audience,
    mut landings: watch::Receiver<u64>,
    token: watch::Sender<Option<IdToken>>,
) {
    let clock = Clock::default();
    loop {
        landings.mark_unchanged();
        let found = match tokens.get(&audience) {
            Lookup::Hit(found) => Ok(found),
            Lookup::Wait(wait) => {
                // The old one is dead, and a flight may take long: say so before it lands.
                publish(&token, None);
                wait.await
            }
        };
        let pause = match found {
            Ok(found) => {
                let left = found.expires_at().duration_since(clock.now());
                publish(&token, Some(found));
                // Often enough to ask for the renewal soon after it is due, and to see the end
                // before it comes; seldom enough to let a laptop sleep.
                (left.unwrap_or_default() / 8).clamp(SHORTEST, LONGEST)
            }
            Err(_told_by_the_cache) => {
                publish(&token, None);
                SHORTEST
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            // A new one is there, perhaps: at once, then.
            landed = landings.changed() => if landed.is_err() { return },
        }
    }
}

fn publish(token: &watch::Sender<Option<IdToken>>, new: Option<IdToken>) {
    token.send_if_modified(|old| {
        let same = old.as_ref().map(IdToken::header) == new.as_ref().map(IdToken::header);
        if !same {
            *old = new;
        }
        !same
    });
}

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::SystemTime;

    use google_id_token::{ErrorKind, SourceError};
    use tower::service_fn;

    use super::*;

    fn keeper(
        mint: impl Fn(u64) -> Result<IdToken, SourceError> + Clone + Send + Sync + 'static,
    ) -> Keeper {
        let minted = Arc::new(AtomicU64::new(0));
        let metrics = Arc::new(Metrics::default());
        let tokens = Cache::new(service_fn(move |_: Audience| {
            let token = mint(minted.fetch_add(1, Ordering::Relaxed));
            async move { token }
        }));
        metrics.watch(&tokens);
        Keeper::new(tokens, metrics)
    }

    fn later(seconds: u64) -> SystemTime {
        Clock::default().now() + Duration::from_secs(seconds)
    }

    fn audience() -> Audience {
        "https://hello-abc123-uc.a.run.app".parse().unwrap()
    }

    #[tokio::test]
    async fn a_token_is_there_before_anybody_asks_and_its_successor_before_its_end() {
        let keeper = keeper(|number| IdToken::new(&format!("t{number}"), later(3)));
        let mut token = keeper.keep(&audience());
        let mut seen = Vec::new();
        while seen.len() < 2 {
            token.changed().await.unwrap();
            let now = token.borrow_and_update().clone();
            seen.push(now.expect("it never goes without one").secret().to_owned());
        }
        assert_eq!(seen, ["t0", "t1"]);
        assert!(keeper.missing().is_empty());
    }

    #[tokio::test]
    async fn what_cannot_be_had_is_missing_and_what_is_not_wanted_any_more_is_forgotten() {
        let keeper = keeper(|_| Err(SourceError::new(ErrorKind::Denied, "the role is missing")));
        keeper.only(&[audience()]);
        keeper.metrics.landings().changed().await.unwrap();
        assert_eq!(keeper.missing(), [audience()]);
        keeper.only(&[]);
        assert!(keeper.missing().is_empty());
    }
}
