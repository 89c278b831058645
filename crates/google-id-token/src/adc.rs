//! Application default credentials: where they are looked for, in Google's order.

mod detect;
mod looked;

use std::path::{Path, PathBuf};

use tower_id_token::{ErrorKind, SourceError};

use self::detect::Detected;
pub use self::looked::{Looked, Sight};
use crate::env::LARGEST_FILE;
use crate::file::CredentialFile;
use crate::source::Metadata;
use crate::{Env, HttpClient};

/// Credentials, and where they were.
pub(crate) struct Found {
    pub(crate) proof: Proof,
    /// For messages: a variable, a path, or the metadata server's URL.
    pub(crate) origin: String,
}

/// What was found.
pub(crate) enum Proof {
    File(CredentialFile),
    Metadata(Metadata),
}

/// Looks in Google's order ([AIP-4110]): the variable, gcloud's own file, the metadata server.
///
/// What is present and broken is an error, and never a reason to look further.
///
/// [AIP-4110]: https://google.aip.dev/auth/4110
pub(crate) async fn find(
    env: &Env,
    http: &HttpClient,
    looked: &mut Vec<Looked>,
) -> Result<Found, SourceError> {
    if let Some(path) = env.value(VARIABLE) {
        let path = PathBuf::from(path);
        tracing::debug!(path = %path.display(), "{VARIABLE} is set");
        let found = read(env, &path, format!("{VARIABLE} ({})", path.display())).await;
        looked.push(Looked::end(VARIABLE, path.display().to_string(), &found));
        return found;
    }
    looked.push(Looked::absent(VARIABLE, "not set"));
    match env.gcloud_directory() {
        None => looked.push(Looked::absent(
            "gcloud's file",
            "the home directory is not known",
        )),
        Some(directory) => {
            let path = env.join(directory, FILE);
            let shown = path.display().to_string();
            match env.has(&path).await {
                Ok(true) => {
                    tracing::debug!(path = shown, "gcloud's file is there");
                    let found = read(env, &path, shown.clone()).await;
                    looked.push(Looked::end(shown, "gcloud's own file", &found));
                    return found;
                }
                Ok(false) => looked.push(Looked::absent(shown, "no such file")),
                // A home directory that belongs to somebody else, as in many containers.
                Err(error) => {
                    let why = format!("cannot be looked at: {error}");
                    looked.push(Looked::absent(shown, why));
                }
            }
        }
    }
    let detected = detect::detect(env, http).await;
    match detected {
        Ok(Detected::Here(metadata, origin)) => {
            tracing::debug!(origin, "there is a metadata server");
            let why = origin.strip_prefix("the metadata server at ");
            let why = why.unwrap_or(&origin).to_owned();
            looked.push(Looked::end(METADATA, why, &Ok::<_, SourceError>(())));
            let proof = Proof::Metadata(metadata);
            return Ok(Found { proof, origin });
        }
        Ok(Detected::Absent(why)) => looked.push(Looked::absent(METADATA, why)),
        Err(error) => {
            let found = Err(error);
            looked.push(Looked::end(METADATA, "", &found));
            return found;
        }
    }
    let places: Vec<_> = looked
        .iter()
        .map(|it| format!("{} ({})", it.place, it.why))
        .collect();
    Err(SourceError::new(
        ErrorKind::NotFound,
        format!(
            "no Google credentials were found. Looked at: {}. {WHAT_TO_DO}",
            places.join("; ")
        ),
    ))
}

/// Reads the credential file at this path, which is there or has to be.
pub(crate) async fn read(env: &Env, path: &Path, origin: String) -> Result<Found, SourceError> {
    let wrong = |what: String| SourceError::new(ErrorKind::Config, format!("{origin}: {what}"));
    let contents = env
        .read(path)
        .await
        .map_err(|error| wrong(format!("the file cannot be read: {error}")))?;
    if contents.len() as u64 > LARGEST_FILE {
        return Err(wrong("the file is larger than 1 MiB".to_owned()));
    }
    parse(contents, origin).await
}

/// Reads credentials. Keys are checked on the way, which takes a look at the disk.
pub(crate) async fn parse(contents: bytes::Bytes, origin: String) -> Result<Found, SourceError> {
    let task = tokio::task::spawn_blocking(move || {
        let proof = Proof::File(CredentialFile::parse(&origin, &contents)?);
        Ok(Found { proof, origin })
    });
    task.await.unwrap_or_else(|error| {
        let message = "reading the credentials was interrupted";
        Err(SourceError::new(ErrorKind::Unavailable, message).with_cause(error))
    })
}

const VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const FILE: &str = "application_default_credentials.json";
const METADATA: &str = "the metadata server";
const WHAT_TO_DO: &str = "What to do: on your own machine, run `gcloud auth application-default \
    login --impersonate-service-account=EMAIL` (or without the flag); elsewhere, set \
    GOOGLE_APPLICATION_CREDENTIALS to the path of a credential file";
