//! A token as Envoy wants it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    GenericSecret, Secret, secret,
};
use envoy_types::pb::google::protobuf::Any;
use envoy_types::util::pack_any;
use google_id_token::{Clock, IdToken};
use serde_json::json;

/// A secret by protobuf; an empty one where there is no token.
pub(super) fn resource(name: &str, token: Option<&IdToken>) -> Any {
    pack_any(Secret {
        name: name.to_owned(),
        r#type: Some(secret::Type::GenericSecret(GenericSecret {
            secret: Some(DataSource {
                specifier: Some(Specifier::InlineString(value(token))),
                ..DataSource::default()
            }),
            ..GenericSecret::default()
        })),
    })
}

/// A secret by file: a whole discovery response, as `path_config_source` reads it.
pub(super) fn file(name: &str, token: Option<&IdToken>) -> String {
    json!({
        "version_info": Version::next().to_string(),
        "resources": [{
            "@type": SECRET,
            "name": name,
            "generic_secret": { "secret": { "inline_string": value(token) } },
        }],
    })
    .to_string()
}

/// The header's value. Empty, Envoy's injector has no credential, and refuses the request.
fn value(token: Option<&IdToken>) -> String {
    token.map_or_else(String::new, |token| format!("Bearer {}", token.secret()))
}

/// The version of an answer: it grows, across restarts too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version(u64);

impl Version {
    pub(super) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let since = Clock::default().now().duration_since(UNIX_EPOCH);
        let now = since.map_or(0, |since| since.as_micros() as u64);
        let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            Some(now.max(last + 1))
        });
        Self(now.max(last.unwrap_or(0) + 1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The type of the resources that are served here.
pub(super) const SECRET: &str =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
