//! The front end of Cloud Run: checks the ID token, and lets the request in or sends it away.

use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use tower::ServiceExt;

use crate::{
    answer::{self, Answer},
    asked::bearer,
    body::Body,
    claims::{Claims, Rejection},
    grant::Permission,
    run::RunService,
    world::World,
};

/// The service that a request is for, and the URL that it is reached at on loopback.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) service: RunService,
    pub(crate) here: Option<String>,
}

impl Door {
    /// Answers a request; tells the journal who called as soon as that is known.
    pub(crate) async fn answer(
        &self,
        world: &World,
        mut request: Request<Body>,
        caller: impl FnOnce(String),
    ) -> Answer {
        if !world.policy.is_public(self.service.name()) {
            let path = request.uri().path().to_owned();
            match self.admit(world, request.headers_mut()) {
                Ok(who) => caller(who),
                Err(Refusal::Unauthenticated) => return unauthorized(&path),
                Err(Refusal::Forbidden(who)) => {
                    if let Some(who) = who {
                        caller(who);
                    }
                    return forbidden(&path);
                }
            }
        }
        match self.service.new_container().oneshot(request).await {
            Ok(answer) => answer,
            Err(_) => answer::text(
                503,
                "The request failed because either the HTTP response was malformed or connection \
                 to the instance had an error.",
            ),
        }
    }

    /// Checks the one header that counts, and takes the signature out of it.
    fn admit(&self, world: &World, headers: &mut HeaderMap) -> Result<String, Refusal> {
        let name = deciding_header(headers);
        let header = headers.get(&name).and_then(|value| value.to_str().ok());
        let Some(token) = header.and_then(bearer) else {
            // Another scheme, or none at all, is no token.
            return Err(Refusal::Forbidden(None));
        };
        let claims = self
            .verify(world, token)
            .map_err(|_| Refusal::Unauthenticated)?;
        let email = claims.email.as_deref();
        let who = email
            .or_else(|| world.email_of(&claims.sub))
            .unwrap_or(&claims.sub)
            .to_owned();
        if !world
            .policy
            .allows(&who, Permission::Invoke, self.service.name())
        {
            return Err(Refusal::Forbidden(Some(who)));
        }
        let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
        let unsigned = format!("Bearer {signed}.{SIGNATURE_REMOVED}");
        if let Ok(mut value) = HeaderValue::from_str(&unsigned) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(who)
    }

    fn verify(&self, world: &World, token: &str) -> Result<Claims, Rejection> {
        let claims = world.verify(token)?;
        let ours = self
            .service
            .accepts_audience(&claims.aud, self.here.as_deref());
        // Users cannot choose an audience, so that those of gcloud's own clients pass everywhere.
        let exempt = world.exempt_clients.contains(&claims.aud);
        if ours || exempt {
            Ok(claims)
        } else {
            Err(Rejection::Audience)
        }
    }
}

enum Refusal {
    Unauthenticated,
    Forbidden(Option<String>),
}

/// The header whose token decides; the other one is the container's business.
pub(crate) fn deciding_header(headers: &HeaderMap) -> HeaderName {
    if headers.contains_key(SERVERLESS) {
        SERVERLESS
    } else {
        header::AUTHORIZATION
    }
}

fn unauthorized(path: &str) -> Answer {
    let mut answer = page(
        401,
        "Unauthorized",
        &format!(
            "Your client does not have permission to the requested URL <code>{}</code>.",
            escape(path)
        ),
    );
    answer.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static(CHALLENGE),
    );
    answer
}

fn forbidden(path: &str) -> Answer {
    page(
        403,
        "Forbidden",
        &format!(
            "Your client does not have permission to get URL <code>{}</code> from this server.",
            escape(path)
        ),
    )
}

fn page(status: u16, title: &str, message: &str) -> Answer {
    answer::html(
        status,
        format!(
            "\n<html><head>\n<meta http-equiv=\"content-type\" content=\"text/html;charset=utf-8\">\n\
             <title>{status} {title}</title>\n</head>\n<body text=#000000 bgcolor=#ffffff>\n\
             <h1>Error: {title}</h1>\n<h2>{message}</h2>\n<h2></h2>\n</body></html>\n"
        ),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

const SERVERLESS: HeaderName = HeaderName::from_static("x-serverless-authorization");

const SIGNATURE_REMOVED: &str = "SIGNATURE_REMOVED_BY_GOOGLE";

pub(crate) const CHALLENGE: &str =
    r#"Bearer error="invalid_token" error_description="The access token could not be verified""#;
