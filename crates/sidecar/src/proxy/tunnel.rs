//! Connections that switched protocols: bytes both ways until either side ends.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use crate::drain::Drain;

/// Joins the two connections of an upgrade, and keeps the process alive for them.
#[derive(Clone, Debug)]
pub(crate) struct Tunnels {
    drain: Drain,
}

impl Tunnels {
    pub(crate) fn new(drain: Drain) -> Self {
        Self { drain }
    }

    /// Carries bytes both ways in a task of its own, from when both sides have switched.
    pub(crate) fn join(&self, caller: OnUpgrade, service: OnUpgrade) {
        let guard = self.drain.guard();
        tokio::spawn(async move {
            match tokio::try_join!(caller, service) {
                Ok((caller, service)) => {
                    let (mut caller, mut service) = (TokioIo::new(caller), TokioIo::new(service));
                    let ended = copy_bidirectional(&mut caller, &mut service).await;
                    tracing::debug!(?ended, "a tunnel ended");
                }
                Err(error) => tracing::warn!(%error, "an upgrade did not come about"),
            }
            drop(guard);
        });
    }
}
