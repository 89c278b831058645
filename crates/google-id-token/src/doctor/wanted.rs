//! The audience that a URL asks for, explained.

use std::borrow::Cow;

use ::http::Uri;
use serde::Serialize;
use tower_id_token::Audience;

use super::{Finding, Place, Report, Severity, Step, command};
use crate::endpoint::shown;

/// The audience that a token is asked for, and why this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Wanted {
    /// The audience itself.
    pub audience: String,
    /// Whether it was given, rather than derived from the URL.
    pub given: bool,
    /// The URL, without its query.
    pub url: Option<String>,
    /// What the URL leads to.
    pub place: Option<Place>,
    /// Why this audience, in words.
    pub why: Cow<'static, str>,
}

impl Wanted {
    pub(super) fn find(
        url: Option<&Uri>,
        given: Option<Audience>,
    ) -> Result<(Self, Audience), Finding> {
        let place = url.map(Place::of);
        let is_given = given.is_some();
        let derived = url.map(|url| {
            Audience::of(url).ok_or_else(|| {
                Finding::new(
                    Step::Audience,
                    Severity::Problem,
                    "this is no URL that can be called: it wants https:// (http:// for loopback) \
                     and a host",
                )
            })
        });
        let derived = derived.transpose()?;
        let why = match (&place, is_given) {
            (_, true) => "it was given".into(),
            (None, false) => "there is no URL, so this one stands for any".into(),
            (Some(place), false) => place.why(),
        };
        let audience = given
            .or(derived)
            .or_else(|| NOBODY.parse().ok())
            .ok_or_else(|| Finding::new(Step::Audience, Severity::Problem, "no audience"))?;
        let wanted = Self {
            audience: audience.to_string(),
            given: is_given,
            url: url.map(shown),
            place,
            why,
        };
        Ok((wanted, audience))
    }

    /// Says what is worth saying about it.
    pub(super) fn judge(&self, report: &mut Report) {
        let severity = match (&self.place, self.given) {
            (Some(Place::Other), false) => Severity::Warning,
            (None, false) => Severity::Note,
            _ => Severity::Good,
        };
        let message = format!("tokens are for {}: {}", self.audience, self.why);
        let mut finding = Finding::new(Step::Audience, severity, message);
        if severity == Severity::Warning {
            finding = finding
                .command(command::audiences(&Place::Other))
                .command(command::accept(&self.audience));
        }
        report.add(finding);
    }
}

impl Place {
    /// Why a URL of this kind has the audience that it has.
    fn why(&self) -> Cow<'static, str> {
        match self {
            Self::CloudRun { tag: Some(tag), .. } => format!(
                "the traffic tag `{tag}` is no part of it, because a tagged revision's audience \
                 is its service's URL"
            )
            .into(),
            Self::CloudRun { .. } => {
                "a Cloud Run service's audience is its URL, without a path".into()
            }
            Self::CloudFunction {
                function: Some(_), ..
            } => "a function's audience is its URL with its name, the path's first segment".into(),
            Self::CloudFunction { function: None, .. } => {
                "a function's audience has its name in it, and this URL names none: add the path"
                    .into()
            }
            Self::Loopback => "on loopback, the URL without a path stands for the service".into(),
            Self::Other => {
                "this host is a custom domain or a load balancer, and whoever is behind \
                it accepts the audiences that it was told: on Cloud Run the service's own run.app \
                URL and its custom audiences, at an Identity-Aware Proxy its OAuth client id. \
                Unless this URL is among them, name the right one (in code: `ByHost`)"
                    .into()
            }
        }
    }
}

/// A name that no service can ever have (RFC 6761).
const NOBODY: &str = "https://doctor.invalid";
