//! When to ask again, and what it means when nobody is asked any more.

use std::error::Error;
use std::io;
use std::time::Duration;

use http_body_util::LengthLimitError;
use tokio::time::Instant;
use tower::BoxError;
use tower_id_token::{ErrorKind, SourceError};

use super::{Call, Refusal};
use crate::endpoint::shown;

/// When a token that is asked for now is of no use any more: just before the cache gives the
/// flight up, so that the error can say what happened.
pub(crate) fn deadline() -> Instant {
    Instant::now() + BUDGET
}

/// The timing of one call's attempts.
pub(super) struct Pace {
    attempts: u32,
    started: Instant,
    deadline: Instant,
}

impl Pace {
    pub(super) fn new(deadline: Instant) -> Self {
        Self {
            attempts: 0,
            started: Instant::now(),
            deadline,
        }
    }

    /// An attempt starts; it may take this long.
    pub(super) fn start(&mut self) -> Duration {
        self.attempts += 1;
        self.started = Instant::now();
        ATTEMPT.min(self.deadline.saturating_duration_since(self.started))
    }

    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How long to wait until the next attempt, if there is to be one.
    pub(super) fn next(&self, asked: Option<Duration>) -> Option<Duration> {
        if self.attempts >= ATTEMPTS {
            return None;
        }
        let now = Instant::now();
        let doubled = SPACING * 2_u32.pow(self.attempts - 1);
        // Counted from the start of the last one, so that a hang is not also waited for. The
        // jitter only adds: no endpoint sees us twice a second.
        let own = self.started + doubled.mul_f64(1.0 + fastrand::f64() / 4.0);
        let at = own.max(now + asked.unwrap_or_default());
        (at + SHORTEST_ATTEMPT <= self.deadline).then(|| at.saturating_duration_since(now))
    }

    /// What is left of the second that lies between any two attempts.
    fn spacing_left(&self) -> Duration {
        (self.started + SPACING).saturating_duration_since(Instant::now())
    }
}

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
            let what = "its TLS certificate is not one to trust: if it is an inspecting proxy's, \
                        name its root in SSL_CERT_FILE";
            (ErrorKind::Config, what.to_owned())
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
        if pace.attempts > 1 {
            message.push_str(&format!(" ({} attempts)", pace.attempts));
        }
        let (kind, cause) = match &self {
            Self::Refused(refusal) => match advise(refusal) {
                Some((kind, advice)) => {
                    message.push_str(". ");
                    message.push_str(&advice);
                    (kind, None)
                }
                None => (refusal.kind(), None),
            },
            Self::Broken { kind, .. } => (*kind, None::<BoxError>),
        };
        let asked = self.retry_after();
        let mut error = SourceError::new(kind, message);
        // The next flight may start at once, as its backoff counts from this one's start: have it
        // keep the distance too.
        let left = pace.spacing_left();
        match asked {
            Some(asked) => error = error.with_retry_after(asked.max(left)),
            None if pace.attempts > 1 && !left.is_zero() => error = error.with_retry_after(left),
            None => {}
        }
        match cause.or(match self {
            Self::Broken { cause, .. } => cause,
            Self::Refused(_) => None,
        }) {
            Some(cause) => error.with_cause(cause),
            None => error,
        }
    }
}

/// The innermost cause says most; hyper's outer ones say "client error (Connect)".
fn describe(error: &(dyn Error + 'static)) -> String {
    let innermost = causes(error).last().unwrap_or(error).to_string();
    let outermost = error.to_string();
    if outermost == innermost {
        innermost
    } else {
        format!("{outermost}: {innermost}")
    }
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

/// All attempts of one call, waits included.
const BUDGET: Duration = Duration::from_millis(9_500);
/// One attempt, from connecting to the last byte of the body.
const ATTEMPT: Duration = Duration::from_secs(4);
const ATTEMPTS: u32 = 3;
/// Two attempts start at least this far apart; the second wait is twice as long.
const SPACING: Duration = Duration::from_secs(1);
/// With less time than this left, an attempt is not worth starting.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(500);
