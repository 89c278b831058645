//! One port for the metadata server, OAuth, IAM and a private service.

use std::sync::{Arc, Mutex};

use ring::rsa;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::files::{self, CredentialFile};
use super::http::Asked;

/// A Google that listens until it is dropped.
pub(crate) struct OtherGoogle {
    state: Arc<State>,
    directory: TempDir,
    task: AbortHandle,
}

/// What it knows and what it has seen.
pub(super) struct State {
    pub(super) url: String,
    pub(super) key: rsa::KeyPair,
    pub(super) assertions: Mutex<Vec<(Value, Value)>>,
    pub(super) impersonations: Mutex<Vec<Value>>,
}

impl OtherGoogle {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            url,
            key: files::key(),
            assertions: Mutex::default(),
            impersonations: Mutex::default(),
        });
        let task = tokio::spawn(listen(listener, Arc::clone(&state)));
        Self {
            state,
            directory: tempfile::tempdir().unwrap(),
            task: task.abort_handle(),
        }
    }

    /// Where everything is: `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> &str {
        &self.state.url
    }

    /// The environment in which a client finds these credentials.
    pub(crate) fn env(&self, kind: CredentialFile) -> Vec<(String, String)> {
        kind.env(self.url(), self.directory.path())
    }

    /// Headers and claims of the JWTs that keys have signed.
    pub(crate) fn assertions(&self) -> Vec<(Value, Value)> {
        self.state.assertions.lock().unwrap().clone()
    }

    /// What IAM was asked for.
    pub(crate) fn impersonations(&self) -> Vec<Value> {
        self.state.impersonations.lock().unwrap().clone()
    }
}

impl Drop for OtherGoogle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request a connection.
async fn listen(listener: TcpListener, state: Arc<State>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            if let Ok(Some(asked)) = Asked::read(&mut stream).await {
                // Whoever hangs up has no use for the rest.
                let _ = state.answer(&asked).write(&mut stream).await;
            }
        });
    }
}
