//! Secrets as files, for an Envoy that reads its SDS from the disk.

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use google_id_token::IdToken;

use super::names::Secrets;
use super::secret;
use crate::error::Error;
use crate::keeper::Token;
use crate::metrics::Metrics;

/// Keeps the secrets that are named now in files: the only one in this file, or each in a file
/// `NAME.json`, where the path is a directory's, one that is there or with a slash at its end.
///
/// # Errors
///
/// For several secrets and one file, for a name that is no file name, and for a place that cannot
/// be written to.
pub(crate) fn write(secrets: &Secrets, path: &Path, metrics: &Arc<Metrics>) -> Result<(), Error> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| {
        Error::run(format!("cannot write {}: {error}", path.display()))
    };
    let files = files(secrets.all(), path)?;
    if let Some(directory) = files.first().and_then(|(_, path)| path.parent()) {
        fs::create_dir_all(directory).map_err(|error| failed(directory, &error))?;
    }
    for (name, path) in files {
        // From the start there is a file, without a credential in it: Envoy wants one to watch.
        replace(&path, &secret::file(&name, None)).map_err(|error| failed(&path, &error))?;
        tokio::spawn(keep(name, path, secrets.clone(), Arc::clone(metrics)));
    }
    Ok(())
}

/// Which secret goes into which file.
fn files(names: Vec<String>, path: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let directory = path.is_dir() || path.as_os_str().as_bytes().ends_with(b"/");
    if !directory {
        let count = names.len();
        return match <[String; 1]>::try_from(names) {
            Ok([name]) => Ok(vec![(name, path.to_owned())]),
            Err(_) => Err(Error::config(format!(
                "--write {0}: a file has one secret in it, and there are {count}: give a directory, \
                 which is there already or has a slash at its end ({0}/)",
                path.display()
            ))),
        };
    }
    let in_directory = |name: String| {
        if name.contains('/') || name.starts_with('.') {
            return Err(Error::config(format!(
                "{name:?} is no file name: give the secret another with --secret NAME=AUDIENCE, or \
                 --write a file"
            )));
        }
        let file = path.join(format!("{name}.json"));
        Ok((name, file))
    };
    names.into_iter().map(in_directory).collect()
}

async fn keep(name: String, path: PathBuf, secrets: Secrets, metrics: Arc<Metrics>) {
    let mut names = secrets.changes();
    let mut audience = secrets.audience(&name);
    let mut token = secrets.token(&name);
    loop {
        tokio::select! {
            ended = changed(&mut token) => if ended {
                token = None;
                continue;
            },
            _ = names.changed() => {
                let now = secrets.audience(&name);
                if token.is_some() && now == audience {
                    continue;
                }
                audience = now;
                token = secrets.token(&name);
            }
        }
        let now: Option<IdToken> = token
            .as_mut()
            .and_then(|token| token.borrow_and_update().clone());
        match replace(&path, &secret::file(&name, now.as_ref())) {
            Ok(()) => {
                metrics.pushes.add();
                tracing::info!(name, empty = now.is_none(), "wrote a secret");
            }
            Err(error) => tracing::error!(name, %error, "cannot write a secret"),
        }
    }
}

/// Waits for another token; or for the end of all, where its audience is not wanted any more.
async fn changed(token: &mut Option<Token>) -> bool {
    match token {
        Some(token) => token.changed().await.is_err(),
        None => std::future::pending().await,
    }
}

/// Puts a file in place whole, or not at all; readable by owner and group.
fn replace(path: &Path, content: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
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

#[cfg(test)]
mod tests {
    use super::*;

    fn places(names: &[&str], path: &str) -> Result<Vec<String>, String> {
        let names = names.iter().map(ToString::to_string).collect();
        let place = |(_, path): (String, PathBuf)| path.display().to_string();
        files(names, Path::new(path))
            .map(|files| files.into_iter().map(place).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn one_secret_goes_into_a_file_and_several_into_a_directory() {
        let there = tempfile::tempdir().unwrap();
        let there = there.path().to_str().unwrap();
        assert_eq!(places(&["a"], "/x/a.json"), Ok(vec!["/x/a.json".into()]));
        // Any name will do for a file that has one of its own.
        assert_eq!(places(&["a/b"], "/x/y"), Ok(vec!["/x/y".into()]));
        assert_eq!(
            places(&["a", "b"], "/x/"),
            Ok(vec!["/x/a.json".into(), "/x/b.json".into()])
        );
        assert_eq!(places(&["a"], there), Ok(vec![format!("{there}/a.json")]));
        for names in [&["a", "b"][..], &[]] {
            let error = places(names, "/x/a.json").unwrap_err();
            assert!(error.contains("(/x/a.json/)"), "{error}");
        }
        assert!(places(&["a/b"], there).is_err());
        assert!(places(&["..", "b"], "/x/").is_err());
    }
}
