//! Where an external account's own proof comes from: the subject token that is exchanged.

mod aws;
mod certificate;
mod executable;
mod file;
mod format;
mod url;

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use tower_id_token::SourceError;

use self::aws::AwsSubject;
use self::certificate::CertificateSubject;
use self::executable::ExecutableSubject;
use self::file::FileSubject;
use self::format::Format;
use self::url::UrlSubject;
use crate::file::Fields;
use crate::{Env, HttpClient};

/// The `credential_source` of a file, read ([AIP-4117]).
///
/// [AIP-4117]: https://google.aip.dev/auth/4117
pub(crate) enum Subject {
    File(FileSubject),
    Url(UrlSubject),
    Executable(ExecutableSubject),
    Aws(AwsSubject),
    Certificate(CertificateSubject),
}

/// Who asks for a subject token, and what for.
pub(crate) struct Asking<'a> {
    pub(crate) env: &'a Env,
    pub(crate) http: &'a HttpClient,
    pub(crate) deadline: Instant,
    /// The provider of the pool, as the file names it.
    pub(crate) audience: &'a str,
    pub(crate) token_type: &'a str,
    /// The service account that the file impersonates.
    pub(crate) impersonated: Option<&'a str>,
}

/// Where the subject token of an external account comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SubjectSource {
    /// A file, such as a Kubernetes pod's projected token.
    File,
    /// A URL, such as that of Azure's metadata server.
    Url,
    /// A program that is run.
    Executable,
    /// AWS: a signed request that names the caller there.
    Aws,
    /// An X.509 certificate of this machine's, shown in TLS.
    Certificate,
}

impl Subject {
    /// Reads the object `credential_source`, which names exactly one source.
    pub(crate) fn read(fields: &Fields<'_>) -> Result<Self, SourceError> {
        let named: Vec<_> = SOURCES
            .into_iter()
            .filter(|name| fields.has(name))
            .collect();
        match *named {
            // AWS's has URLs of its own.
            ["environment_id"] | ["url", "environment_id"] => {
                AwsSubject::read(fields).map(Self::Aws)
            }
            ["certificate"] => CertificateSubject::read(fields).map(Self::Certificate),
            ["executable"] => ExecutableSubject::read(fields).map(Self::Executable),
            ["file"] => FileSubject::read(fields).map(Self::File),
            ["url"] => UrlSubject::read(fields).map(Self::Url),
            [] | [_] => Err(fields.wrong_all(
                "it names no source of subject tokens: file, url, executable, environment_id (AWS) \
                 or certificate",
            )),
            [one, other, ..] => {
                let what =
                    format!("`{one}` and `{other}` are both there, and one source is wanted");
                Err(fields.wrong_all(&what))
            }
        }
    }

    /// A new subject token.
    pub(crate) async fn token(&self, asking: &Asking<'_>) -> Result<String, SourceError> {
        match self {
            Self::File(subject) => subject.token(asking).await,
            Self::Url(subject) => subject.token(asking).await,
            Self::Executable(subject) => subject.token(asking).await,
            Self::Aws(subject) => subject.token(asking).await,
            Self::Certificate(subject) => subject.token(asking).await,
        }
    }

    pub(crate) fn source(&self) -> SubjectSource {
        match self {
            Self::File(_) => SubjectSource::File,
            Self::Url(_) => SubjectSource::Url,
            Self::Executable(_) => SubjectSource::Executable,
            Self::Aws(_) => SubjectSource::Aws,
            Self::Certificate(_) => SubjectSource::Certificate,
        }
    }

    /// The client for everything that its tokens are shown to.
    pub(crate) fn client(&self, http: HttpClient, env: &Env) -> HttpClient {
        match self {
            Self::Certificate(subject) => http.showing(subject.config(), env),
            _ => http,
        }
    }

    /// Checks what the environment has to say to it, before it is used.
    pub(crate) fn check(&self, env: &Env) -> Result<(), SourceError> {
        match self {
            Self::Executable(_) => ExecutableSubject::check(env),
            _ => Ok(()),
        }
    }

    /// How much longer than a request this may take.
    pub(crate) fn patience(&self) -> Duration {
        match self {
            Self::Executable(subject) => subject.limit(),
            _ => Duration::ZERO,
        }
    }
}

impl fmt::Display for SubjectSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "a file",
            Self::Url => "a URL",
            Self::Executable => "a program",
            Self::Aws => "AWS",
            Self::Certificate => "a certificate",
        })
    }
}

/// The fields of which there has to be one.
const SOURCES: [&str; 5] = ["file", "url", "executable", "environment_id", "certificate"];
