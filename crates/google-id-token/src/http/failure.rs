//! Why an attempt gave no answer to use, and the error that becomes of it.

use std::error::Error;
use std::io;
use std::time::Duration;

use http_body_util::LengthLimitError;
use tower::BoxError;
use tower_id_token::{ErrorKind, SourceError};

use super::pace::Pace;
use super::{Call, Refusal};
use crate::endpoint::shown;

/// Why an attempt gave no answer to use.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An answer that is not 2xx.
    Refused(Refusal),
    /// No answer: connection, TLS, time.
    Broken {
        what: String,
        cause: Option<BoxError>,
        kind: ErrorKind,
        /// Somebody is there, and not listening yet.
        connection_refused: bool,
    },
}

impl Failure {
    pub(super) fn silence(limit: Duration) -> Self {
        let what = format!("no answer within {:.1} s", limit.as_secs_f32());
        Self::broken(ErrorKind::Unavailable, what, None)
    }

    pub(super) fn transport(error: BoxError) -> Self {
        if let Some(own) = SourceError::find(&*error) {
            return Self::broken(own.kind(), own.to_string(), None);
        }
        let refused = causes(&*error)
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .any(|cause| cause.kind() == io::ErrorKind::ConnectionRefused);
        let (kind, what) = if causes(&*error).any(is_bad_certificate) {
            (ErrorKind::Config, BAD_CERTIFICATE.to_owned())
        } else if causes(&*error)
            .filter_map(|cause| cause.downcast_ref::<hyper::Error>())
            .any(hyper::Error::is_parse)
        {
            (
                ErrorKind::Malformed,
                "what answers there is no HTTP".to_owned(),
            )
        } else {
            (ErrorKind::Unavailable, describe(&*error))
        };
        let mut failure = Self::broken(kind, what, Some(error));
        if let Self::Broken {
            connection_refused, ..
        } = &mut failure
        {
            *connection_refused = refused;
        }
        failure
    }

    /// What a transport's error says, in words.
    pub(crate) fn transport_words(error: &(dyn Error + 'static)) -> String {
        if causes(error).any(is_bad_certificate) {
            return BAD_CERTIFICATE.to_owned();
        }
        describe(error)
    }

    pub(super) fn body(error: BoxError) -> Self {
        if error.is::<LengthLimitError>() {
            let what = "the answer is longer than 1 MiB, and no token is".to_owned();
            return Self::broken(ErrorKind::Malformed, what, None);
        }
        let what = format!("the answer broke off: {}", describe(&*error));
        Self::broken(ErrorKind::Unavailable, what, Some(error))
    }

    fn broken(kind: ErrorKind, what: String, cause: Option<BoxError>) -> Self {
        Self::Broken {
            what,
            cause,
            kind,
            connection_refused: false,
        }
    }

    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.may_pass(),
            Self::Broken { kind, .. } => *kind == ErrorKind::Unavailable,
        }
    }

    /// Whether somebody is there who does not listen yet.
    pub(crate) fn is_connection_refused(&self) -> bool {
        matches!(
            self,
            Self::Broken {
                connection_refused: true,
                ..
            }
        )
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after(),
            Self::Broken { .. } => None,
        }
    }

    /// What happened, in words.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.to_string(),
            Self::Broken { what, .. } => what.clone(),
        }
    }

    pub(super) fn into_error(
        self,
        call: &Call,
        pace: &Pace,
        advise: impl FnOnce(&Refusal) -> Option<(ErrorKind, String)>,
    ) -> SourceError {
        let mut message = format!("{} at {}: {}", call.whom, shown(&call.uri), self.told());
        if pace.attempts() > 1 {
            message.push_str(&format!(" ({} attempts)", pace.attempts()));
        }
        let asked = self.retry_after();
        let (kind, cause) = match self {
            Self::Refused(refusal) => match advise(&refusal) {
                Some((kind, advice)) => {
                    message.push_str(". ");
                    message.push_str(&advice);
                    (kind, None)
                }
                None => (refusal.kind(), None),
            },
            Self::Broken { kind, cause, .. } => {
                if kind == ErrorKind::Unavailable {
                    message.push_str(". Check the network between this machine and it");
                }
                (kind, cause)
            }
        };
        let mut error = SourceError::new(kind, message);
        if let Some(wait) = asked {
            error = error.with_retry_after(wait);
        }
        match cause {
            Some(cause) => error.with_cause(cause),
            None => error,
        }
    }
}

/// The innermost cause: hyper's outer ones say no more than "client error (Connect)".
pub(super) fn describe(error: &(dyn Error + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| below(*error))
}

fn below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    // An io::Error's own `source` skips the error that it wraps.
    match error.downcast_ref::<io::Error>() {
        Some(wrapper) => wrapper.get_ref().map(|inner| inner as _),
        None => error.source(),
    }
}

fn is_bad_certificate(error: &(dyn Error + 'static)) -> bool {
    matches!(
        error.downcast_ref(),
        Some(rustls::Error::InvalidCertificate(_))
    )
}

const BAD_CERTIFICATE: &str = "its TLS certificate is not one to trust: if it is an inspecting \
    proxy's, name its root in SSL_CERT_FILE";
