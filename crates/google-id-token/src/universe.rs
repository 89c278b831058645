//! Whose Google it is: googleapis.com, or the domain of another universe.

use std::fmt;
use std::sync::Arc;

use crate::endpoint::Endpoint;

/// A universe by its domain. Every endpoint that no file and no variable names follows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Universe(Option<Arc<str>>);

impl Universe {
    /// The universe of this domain; the error says what is wrong with it.
    pub(crate) fn parse(domain: &str) -> Result<Self, String> {
        let is_label = |label: &str| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            (1..=63).contains(&label.len()) && label.bytes().all(inner)
        };
        let domain = domain.trim().to_ascii_lowercase();
        if domain == GOOGLE {
            return Ok(Self(None));
        }
        if domain.len() > LONGEST || !domain.contains('.') || !domain.split('.').all(is_label) {
            return Err("it is no domain name".to_owned());
        }
        Ok(Self(Some(domain.into())))
    }

    /// Whether it is googleapis.com.
    pub(crate) fn is_google(&self) -> bool {
        self.0.is_none()
    }

    /// A service's address in it, such as `https://sts.googleapis.com` with this path.
    pub(crate) fn endpoint(&self, service: &str, path: &str) -> Endpoint {
        Endpoint::own(&format!("https://{service}.{self}{path}"))
    }
}

impl fmt::Display for Universe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or(GOOGLE))
    }
}

const GOOGLE: &str = "googleapis.com";
/// A DNS name, in bytes.
const LONGEST: usize = 253;
