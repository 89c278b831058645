//! Callers without a pause, and a check of every token that arrives.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use google_emulator::Server;
use http::{Method, StatusCode};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::support::envoy::Envoy;
use crate::support::{Caller, Service};

/// Calls an Envoy without a pause, and checks every token that arrives behind it.
pub(super) struct Load {
    task: tokio::task::JoinHandle<u64>,
    stop: watch::Sender<bool>,
    tokens: watch::Receiver<HashMap<String, i64>>,
}

impl Load {
    pub(super) fn start(
        envoy: &Envoy,
        google: &Server,
        service: &Service,
        audience: &'static str,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (known, tokens) = watch::channel(HashMap::new());
        let emulator = google.emulator().clone();
        let url = envoy.url("/");
        let seen = service.memory();
        let task = tokio::spawn(async move {
            let callers = (0..4).map(|_| {
                let (url, stopped) = (url.clone(), stopped.clone());
                let (known, emulator, seen) = (known.clone(), emulator.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    let caller = Caller::new();
                    let mut requests = 0;
                    while !*stopped.borrow() {
                        let host = [("host", "hello.internal")];
                        let answer = caller.send(Method::GET, &url, &host, "").await;
                        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
                        requests += 1;
                        let arrived = std::mem::take(&mut *seen.lock().unwrap());
                        for seen in arrived {
                            let token = seen.header("authorization").expect("nothing goes bare");
                            let token = token.strip_prefix("Bearer ").expect("a bearer token");
                            let exp = known.borrow().get(token).copied();
                            let exp = exp.unwrap_or_else(|| {
                                let claims =
                                    emulator.verify(token, audience).expect("a good token");
                                known.send_modify(|known| {
                                    known.insert(token.to_owned(), claims.exp);
                                });
                                claims.exp
                            });
                            assert!(now() <= exp, "a dead token arrived");
                        }
                    }
                    requests
                })
            });
            let mut requests = 0;
            for caller in callers.collect::<Vec<_>>() {
                requests += caller.await.expect("every request is good");
            }
            requests
        });
        Self { task, stop, tokens }
    }

    /// Waits until so many tokens have been seen after the first.
    pub(super) async fn rotations(&self, count: usize) {
        let mut tokens = self.tokens.clone();
        let enough = tokens.wait_for(|tokens| tokens.len() > count);
        let enough = timeout(Duration::from_secs(120), enough).await;
        assert!(
            enough.is_ok_and(|enough| enough.is_ok()),
            "it rotates, and every request is good"
        );
    }

    /// Stops, and tells how many requests and tokens there were.
    pub(super) async fn end(self) -> (u64, usize) {
        self.stop.send_replace(true);
        let requests = self.task.await.expect("every request is good");
        (requests, self.tokens.borrow().len())
    }
}

fn now() -> i64 {
    let clock = google_id_token::Clock::default();
    clock.now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}
