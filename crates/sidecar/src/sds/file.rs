//! Secrets as files, for an Envoy that reads its SDS from the disk.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use google_id_token::IdToken;

use super::names::Secrets;
use super::secret;
use crate::error::Error;
use crate::keeper::Token;
use crate::metrics::Metrics;

/// Keeps a file `NAME.json` in this directory for every secret that is named now.
///
/// # Errors
///
/// For a directory that cannot be written to, and for a name that is no file name.
pub(crate) fn write(
    secrets: &Secrets,
    directory: &Path,
    metrics: &Arc<Metrics>,
) -> Result<(), Error> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| {
        Error::run(format!("cannot write {}: {error}", path.display()))
    };
    fs::create_dir_all(directory).map_err(|error| failed(directory, &error))?;
    for name in secrets.all() {
        if name.contains('/') || name.starts_with('.') {
            return Err(Error::config(format!(
                "{name:?} is no file name: give the secret another with --secret NAME=AUDIENCE"
            )));
        }
        let Some(token) = secrets.token(&name) else {
            continue;
        };
        let path = directory.join(format!("{name}.json"));
        // From the start there is a file, without a credential in it: Envoy wants one to watch.
        replace(&path, &secret::file(&name, None)).map_err(|error| failed(&path, &error))?;
        tokio::spawn(keep(name, path, token, Arc::clone(metrics)));
    }
    Ok(())
}

async fn keep(name: String, path: PathBuf, mut token: Token, metrics: Arc<Metrics>) {
    while token.changed().await.is_ok() {
        let now: Option<IdToken> = token.borrow_and_update().clone();
        match replace(&path, &secret::file(&name, now.as_ref())) {
            Ok(()) => {
                metrics.pushes.add();
                tracing::info!(name, empty = now.is_none(), "wrote a secret");
            }
            Err(error) => tracing::error!(name, %error, "cannot write a secret"),
        }
    }
}

/// Puts a file in place whole, or not at all; readable by owner and group.
fn replace(path: &Path, content: &str) -> io::Result<()> {
    let new = path.with_extension("json.new");
    // One that a killed process left behind may have other permissions.
    let _ = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(&new)?;
    file.write_all(content.as_bytes())?;
    drop(file);
    fs::rename(new, path)
}
