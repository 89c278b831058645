//! What goes wrong on purpose: one fault, and how often.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;

use crate::door::CHALLENGE;

/// Something that goes wrong at an endpoint, at the next requests or until it is cleared.
///
/// ```
/// use google_emulator::{Emulator, Endpoint, Fault};
///
/// let emulator = Emulator::new();
/// emulator.fault(Endpoint::Token, Fault::status(503).header("retry-after", "7").times(2));
/// emulator.fault(Endpoint::MetadataIdentity, Fault::hang());
/// emulator.clear_faults();
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    pub(crate) kind: Kind,
    pub(crate) delay: Option<Duration>,
    remaining: Option<u64>,
}

#[derive(Clone)]
pub(crate) enum Kind {
    /// Nothing but the delay.
    Late,
    Answer {
        status: u16,
        headers: HeaderMap,
        body: Option<Bytes>,
    },
    Hang,
    Reset,
    Close,
    Half,
    Endless,
    /// The usual answer with one header set, or taken out.
    Header(HeaderName, Option<HeaderValue>),
    Mint(Mint),
}

/// What can be wrong with a minted ID token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Mint {
    /// It has no `exp`.
    NoExpiry,
    /// It expired an hour ago.
    Expired,
    /// It lives as long as this instead of as long as the emulator was told.
    Lifetime(Duration),
    /// It is for somebody else.
    Audience(String),
    /// It has a line break and a forged header line in it.
    LineBreak,
    /// It is the same as last time, whatever its `exp` (metadata server).
    Again,
    /// It is not a JWT at all.
    NotAJwt,
    /// These claims are laid over the usual ones; a `null` takes a claim out.
    Claims(Value),
}

impl Fault {
    /// Answers with this status, and a body in the endpoint's usual style of error.
    ///
    /// # Panics
    /// If it is not between 200 and 999.
    pub fn status(status: u16) -> Self {
        assert!((200..1000).contains(&status), "{status} is no final status");
        Self::new(Kind::Answer {
            status,
            headers: HeaderMap::new(),
            body: None,
        })
    }

    /// Answers as a captive portal does: 200, a page of HTML, none of Google's headers.
    pub fn html() -> Self {
        Self::status(200)
            .body("<!doctype html><title>Welcome</title><p>Please log in to this network.")
            .header("content-type", "text/html")
            .header("server", "portal")
    }

    /// Answers 401 with the challenge that Cloud Run gives to tokens it does not accept.
    pub fn invalid_token() -> Self {
        Self::status(401).header("www-authenticate", CHALLENGE)
    }

    /// Answers as usual, but this much later.
    pub fn delay(delay: Duration) -> Self {
        Self::new(Kind::Late).after(delay)
    }

    /// Takes the request and never answers.
    pub fn hang() -> Self {
        Self::new(Kind::Hang)
    }

    /// Resets the connection: on loopback, a TCP RST.
    pub fn reset() -> Self {
        Self::new(Kind::Reset)
    }

    /// Closes the connection politely, without an answer.
    pub fn close() -> Self {
        Self::new(Kind::Close)
    }

    /// Announces the usual answer, sends half of it, and closes.
    pub fn half() -> Self {
        Self::new(Kind::Half)
    }

    /// Starts the usual answer with a body that never ends.
    pub fn endless() -> Self {
        Self::new(Kind::Endless)
    }

    /// Gives the usual answer another content type.
    pub fn content_type(value: &'static str) -> Self {
        let value = HeaderValue::from_static(value);
        Self::new(Kind::Header(header::CONTENT_TYPE, Some(value)))
    }

    /// Gives the usual answer without this header, such as `metadata-flavor`.
    pub fn without_header(name: &'static str) -> Self {
        Self::new(Kind::Header(HeaderName::from_static(name), None))
    }

    /// Mints ID tokens that have something wrong with them.
    pub fn mint(mint: Mint) -> Self {
        Self::new(Kind::Mint(mint))
    }

    /// With this body; makes an answer of 200 of a fault that was none.
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        if !matches!(self.kind, Kind::Answer { .. }) {
            self.kind = Kind::Answer {
                status: 200,
                headers: HeaderMap::new(),
                body: None,
            };
        }
        if let Kind::Answer { body, .. } = &mut self.kind {
            *body = Some(bytes.into());
        }
        self
    }

    /// With this header, in a fault that is an answer of its own.
    ///
    /// # Panics
    /// If name or value cannot stand in a header.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Kind::Answer { headers, .. } = &mut self.kind {
            let value = HeaderValue::from_str(value).expect("a fault's header has a valid value");
            headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Only after this time.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// For the next `n` requests only; without it, until it is cleared.
    pub fn times(mut self, n: u64) -> Self {
        self.remaining = Some(n);
        self
    }

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            delay: None,
            remaining: None,
        }
    }

    /// Takes one turn; `false` once there is none left.
    pub(crate) fn take_turn(&mut self) -> bool {
        match &mut self.remaining {
            Some(0) => false,
            Some(turns) => {
                *turns -= 1;
                true
            }
            None => true,
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A test's made-up answer may well have a token in it.
            Self::Answer { status, .. } => write!(f, "Answer({status})"),
            Self::Late => f.write_str("Late"),
            Self::Hang => f.write_str("Hang"),
            Self::Reset => f.write_str("Reset"),
            Self::Close => f.write_str("Close"),
            Self::Half => f.write_str("Half"),
            Self::Endless => f.write_str("Endless"),
            Self::Header(name, _) => write!(f, "Header({name})"),
            Self::Mint(mint) => write!(f, "Mint({mint:?})"),
        }
    }
}
