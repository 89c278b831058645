//! Subject tokens from a URL, such as Azure's metadata server.

use ::http::{HeaderMap, HeaderName, HeaderValue};
use tower_id_token::{ErrorKind, SourceError};

use super::{Asking, Format};
use crate::endpoint::Endpoint;
use crate::file::Fields;
use crate::http::{Call, Refusal};

/// `credential_source.url`.
pub(crate) struct UrlSubject {
    url: Endpoint,
    headers: HeaderMap,
    format: Format,
}

impl UrlSubject {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, SourceError> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields.texts("headers")? {
            let name = HeaderName::try_from(name);
            let value = HeaderValue::try_from(value);
            let (Ok(name), Ok(mut value)) = (name, value) else {
                return Err(fields.wrong("headers", "one of them cannot stand in a request"));
            };
            // Azure's says `True`, GitHub's is a bearer token.
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Self {
            url: Endpoint::parse_near(fields.required("url")?, fields.place("url"))?,
            headers,
            format: Format::read(fields)?,
        })
    }

    pub(super) async fn token(&self, asking: &Asking<'_>) -> Result<String, SourceError> {
        let uri = self.url.uri().clone();
        let mut call = Call::get("the subject token's URL", uri, asking.deadline);
        for (name, value) in &self.headers {
            if let Ok(secret) = value.to_str() {
                call = call.secret(secret);
                // An endpoint that quotes the token quotes it without the scheme.
                call = call.secret(secret.split_once(' ').map_or("", |(_, token)| token));
            }
            call = call.header(name.clone(), value.clone());
        }
        let answer = asking.http.ask(call, advise).await?;
        // 204 has nothing in it, and the rest of 2xx is no answer to a GET.
        self.format
            .token(answer.text()?)
            .map_err(|what| answer.malformed(&what))
    }
}

fn advise(refusal: &Refusal) -> Option<(ErrorKind, String)> {
    let advice = "This is where the credential file has its subject token from (the field \
                  `credential_source.url`, with `credential_source.headers`)";
    (refusal.status().is_client_error()).then(|| (refusal.kind(), advice.to_owned()))
}
