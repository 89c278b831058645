//! Keeps the issuers' keys at hand: no request waits for them, and readiness tells of them.

use std::sync::Arc;
use std::time::Duration;

use google_id_token::verify::Verifier;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::admin::Missing;
use crate::proxy::chain;

/// The verifier of today, and whether it has its keys. The task behind it ends with it.
#[derive(Debug)]
pub(crate) struct Keys {
    verifier: watch::Sender<Verifier>,
    lack: watch::Receiver<Option<String>>,
}

impl Keys {
    /// Asks for this verifier's keys from now on.
    pub(crate) fn keep(verifier: Verifier) -> Self {
        let (sender, verifier) = watch::channel(verifier);
        let (said, lack) = watch::channel(Some("no keys yet to check tokens with".to_owned()));
        tokio::spawn(keep(verifier, said));
        Self {
            verifier: sender,
            lack,
        }
    }

    /// The verifier of today.
    pub(crate) fn verifier(&self) -> Verifier {
        self.verifier.borrow().clone()
    }

    /// Goes on with another one.
    pub(crate) fn replace(&self, verifier: Verifier) {
        self.verifier.send_replace(verifier);
    }

    /// What keeps the process from being ready.
    pub(crate) fn missing(&self) -> Missing {
        let lack = self.lack.clone();
        Arc::new(move || lack.borrow().iter().cloned().collect())
    }
}

async fn keep(mut verifier: watch::Receiver<Verifier>, lack: watch::Sender<Option<String>>) {
    loop {
        let current = verifier.borrow_and_update().clone();
        let failed = current.ready().await.err();
        let pause = if failed.is_some() { SHORT } else { LONG };
        let said = failed.map(|refusal| chain(&refusal));
        lack.send_if_modified(|lack| {
            let news = *lack != said;
            if news {
                match &said {
                    None => tracing::info!("the keys are there"),
                    Some(error) => tracing::warn!(error, "there are no keys to check tokens with"),
                }
                *lack = said;
            }
            news
        });
        tokio::select! {
            () = sleep(pause) => {}
            changed = verifier.changed() => if changed.is_err() { return },
        }
    }
}

/// The cache paces the attempts; this only asks it.
const SHORT: Duration = Duration::from_secs(1);
/// Often enough for keys to be renewed ahead of their end, which is an hour at least.
const LONG: Duration = Duration::from_secs(30);
