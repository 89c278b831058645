//! The call itself, and what its answer means.

use std::fmt;

use ::http::{HeaderMap, Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use serde::Serialize;
use tower::{Layer, ServiceExt};
use tower_id_token::{AddIdTokenLayer, Audience, Cache, IdToken, RequestAudience, SourceError};

use super::page::Page;
use super::{Finding, Place, Report, Severity, Step, command};
use crate::HttpClient;
use crate::endpoint::shown;
use crate::http::Failure;

/// What the service said to one GET with the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Called {
    /// The URL, without its query.
    pub url: String,
    /// The status that it answered with.
    pub status: u16,
    /// Its `WWW-Authenticate`, where it had one.
    pub challenge: Option<String>,
    /// Whether the answer is of Google's front end, rather than of the service behind it.
    pub front_end: bool,
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GET {} answered {}", self.url, self.status)
    }
}

/// Calls, and adds to the report what came of it.
pub(super) async fn call(
    report: &mut Report,
    http: HttpClient,
    tokens: Cache<Audience, IdToken>,
    url: Uri,
    audience: Audience,
) {
    if let Some(refusal) = refuse(report) {
        return report.add(refusal);
    }
    let place = Place::of(&url);
    // Whoever runs the doctor names this one place.
    let nowhere_else = |_: &Uri| None;
    let service = AddIdTokenLayer::new(nowhere_else, tokens).layer(http.service());
    let mut request = Request::new(Full::<Bytes>::default());
    request
        .extensions_mut()
        .insert(RequestAudience::new(&url, audience));
    *request.uri_mut() = url.clone();
    let answer = match service.oneshot(request).await {
        Ok(answer) => answer,
        Err(error) => return report.add(no_answer(&url, &*error)),
    };
    let (parts, body) = answer.into_parts();
    // What kind of page it is matters for refusals only; a service's own answer may be endless.
    let page = if parts.status.is_success() {
        Page::default()
    } else {
        let body = body.collect().await.map(|body| body.to_bytes());
        Page::read(&parts.headers, &body.unwrap_or_default())
    };
    let challenge = parts.headers.get(header::WWW_AUTHENTICATE);
    report.call = Some(Called {
        url: shown(&url),
        status: parts.status.as_u16(),
        challenge: challenge
            .and_then(|it| it.to_str().ok())
            .map(|it| it.chars().take(LONGEST).collect()),
        front_end: page != Page::Own,
    });
    let finding = judge(report, parts.status, &parts.headers, page, &place);
    report.add(finding);
}

/// A user's token opens Cloud Run as that user, whoever has it: it goes where Cloud Run is.
fn refuse(report: &Report) -> Option<Finding> {
    let wanted = report.audience.as_ref()?;
    let is_users = report.token.as_ref()?.is_gclouds();
    let is_elsewhere = wanted.place == Some(Place::Other) && !wanted.given;
    (is_users && is_elsewhere).then(|| {
        Finding::new(
            Step::Call,
            Severity::Problem,
            "not called: whoever gets a user's token can use it at any Cloud Run service, and \
             this host is not one by its name. Give the audience to say that it is",
        )
    })
}

fn no_answer(url: &Uri, error: &(dyn std::error::Error + 'static)) -> Finding {
    if let Some(error) = SourceError::find(error) {
        return Finding::of(Step::Call, error);
    }
    let error = Failure::transport_words(error);
    Finding::new(
        Step::Call,
        Severity::Problem,
        format!(
            "{} gave no answer: {error}. Check the address, the network and the proxy's variables",
            shown(url)
        ),
    )
}

fn judge(
    report: &Report,
    status: StatusCode,
    headers: &HeaderMap,
    page: Page,
    place: &Place,
) -> Finding {
    let identity = report.identity.as_ref();
    let principal = identity.and_then(|it| it.principal.as_deref());
    let who = principal.unwrap_or("this principal");
    let audience = report.token.as_ref().and_then(|it| it.aud.as_deref());
    let audience = audience.unwrap_or("nobody");
    let finding = |severity, message: String| Finding::new(Step::Call, severity, message);
    let problem = |message| finding(Severity::Problem, message);
    match (status.as_u16(), page) {
        (200..=299, _) => finding(Severity::Good, format!("the service let {who} in")),
        (_, Page::Iap) if matches!(status.as_u16(), 401 | 403) => problem(format!(
            "Identity-Aware Proxy refused the token, which is for {audience}: it takes its own \
             OAuth client id (ID.apps.googleusercontent.com) as the audience, and {who} needs \
             roles/iap.httpsResourceAccessor"
        ))
        .command(command::allow_iap(principal)),
        (401, _) if blames_token(headers) => problem(format!(
            "the token was refused, most likely because {audience} is no audience of this \
             service: its own run.app URL is one, and so are its custom audiences"
        ))
        .command(command::audiences(place))
        .command(command::accept(audience)),
        (401, Page::FrontEnd) => problem(format!(
            "the front end refused the token, which is for {audience}"
        ))
        .command(command::audiences(place)),
        (403, Page::FrontEnd) => {
            let denied = problem(format!(
                "{who} may not call this service: it needs roles/run.invoker on it (a new grant \
                 takes a minute to work)"
            ));
            match command::allow(place, principal) {
                Some(command) => denied.command(command),
                None => denied,
            }
        }
        (401 | 403, Page::Own) => problem(format!(
            "the request got through to the app, and the app itself refused it with {}: ask its \
             authors what it wants to see",
            status.as_u16()
        )),
        (404, Page::FrontEnd) => problem(
            "the front end knows no service by this name, or hides it from this network \
             (ingress): check the URL"
                .to_owned(),
        )
        .command("gcloud run services list"),
        (300..=399, _) => match sign_in(headers) {
            true => problem(
                "the answer is a redirection to Google's sign-in page: Identity-Aware Proxy saw \
                 no token that it takes"
                    .to_owned(),
            ),
            false => finding(
                Severity::Note,
                format!("the service answered {}, a redirection", status.as_u16()),
            ),
        },
        (500..=599, _) => finding(
            Severity::Warning,
            format!(
                "the service, or the way to it, is not well: {}",
                status.as_u16()
            ),
        ),
        (other, _) => finding(
            Severity::Note,
            format!("the request got through to the app, which answered {other}"),
        ),
    }
}

/// Cloud Run's challenge (RFC 6750, section 3).
fn blames_token(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::WWW_AUTHENTICATE)
        .iter()
        .filter_map(|it| it.to_str().ok())
        .any(|it| it.contains("invalid_token"))
}

fn sign_in(headers: &HeaderMap) -> bool {
    let to = headers
        .get(header::LOCATION)
        .and_then(|it| it.to_str().ok());
    to.is_some_and(|it| it.starts_with("https://accounts.google.com/"))
}

/// How much of a challenge is kept, in characters.
const LONGEST: usize = 300;
