//! Hears everything that is printed, and knows what must not be.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Debug;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing::Level;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

/// Clones are the same ear.
#[derive(Clone, Default)]
pub(crate) struct Ear {
    heard: Arc<Mutex<Vec<u8>>>,
    secrets: Arc<Mutex<BTreeSet<String>>>,
}

impl Ear {
    /// Hears all events and spans on this thread of our crates, and of the layers around ours.
    /// What hyper, h2 and rustls log of the wire is theirs to answer for.
    pub(crate) fn listen(&self) -> DefaultGuard {
        let ear = self.clone();
        let theirs = ["hyper", "hyper_util", "h2", "rustls", "hyper_rustls"];
        let ours = Targets::new()
            .with_default(Level::TRACE)
            .with_targets(theirs.map(|it| (it, tracing::level_filters::LevelFilter::OFF)));
        let printed = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
            .with_writer(move || ear.clone());
        let subscriber = tracing_subscriber::registry().with(ours).with(printed);
        tracing::subscriber::set_default(subscriber)
    }

    /// This must not be heard.
    pub(crate) fn secret(&self, secret: &str) {
        assert!(secret.len() >= 8, "too short to be told apart");
        self.secrets.lock().unwrap().insert(secret.to_owned());
    }

    /// Nor the secrets of a credential file; of a key, any line.
    pub(crate) fn secrets_of(&self, file: &Value) {
        for name in ["client_secret", "refresh_token"] {
            if let Some(secret) = file[name].as_str() {
                self.secret(secret);
            }
        }
        let key = file["private_key"].as_str().unwrap_or_default();
        for line in key
            .lines()
            .filter(|it| !it.starts_with('-') && it.len() >= 24)
        {
            self.secret(&line[..24]);
        }
        if file["source_credentials"].is_object() {
            self.secrets_of(&file["source_credentials"]);
        }
    }

    /// Hears something as anybody could print it.
    pub(crate) fn show(&self, it: impl Debug) {
        writeln!(self.clone(), "{it:?}\n{it:#?}").unwrap();
    }

    /// Hears an error and all its causes.
    pub(crate) fn show_error(&self, error: &(dyn Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            writeln!(self.clone(), "{error}\n{error:?}\n{error:#?}").unwrap();
            next = error.source();
        }
    }

    pub(crate) fn has_heard_from<const N: usize>(&self, crates: [&str; N]) {
        for name in crates {
            let target = format!(" {name}::");
            assert!(self.text().contains(&target), "nothing was heard of {name}");
        }
    }

    pub(crate) fn has_heard_no_secret(&self) {
        let secrets = self.secrets.lock().unwrap().clone();
        for line in self.text().lines() {
            let known = secrets.iter().any(|secret| line.contains(secret.as_str()));
            let looks_so = LOOKS.iter().any(|look| line.contains(look));
            assert!(!known && !looks_so, "a secret was told: {line}");
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }
}

impl Write for Ear {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.heard.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How JWTs, access tokens, refresh tokens and keys begin.
const LOOKS: [&str; 4] = ["eyJ", "ya29.", "1//0", "-----BEGIN"];
