//! The client: the whole stack in one place.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use google_id_token::{
    AddIdTokenLayer, Audience, Cache, IdToken, PerOrigin, Placement, RefreshOnUnauthorized,
};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use tower::retry::RetryLayer;
use tower::timeout::TimeoutLayer;
use tower::{BoxError, Service, ServiceBuilder};
use tower_http::follow_redirect::FollowRedirectLayer;

pub(crate) type Body = Full<Bytes>;

/// A hyper client whose requests carry ID tokens.
///
/// Below redirects, so that each hop is judged by its own URL; below retry, so that the second
/// attempt carries the new token.
pub(crate) fn client(
    host: &str,
    tokens: Cache<Audience, IdToken>,
    placement: Placement,
    timeout: Duration,
) -> Result<impl Service<Request<Body>, Response = Response<Incoming>, Error = BoxError>, BoxError>
{
    let mut roots = RootCertStore::empty();
    // Where there are none, https will say so; plain http on loopback needs none.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let tls =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .build();
    // The host was named on the command line; tokens go to no other, but Google's own.
    let policy = PerOrigin::new().host(host);
    Ok(ServiceBuilder::new()
        .layer(FollowRedirectLayer::new())
        .layer(RetryLayer::new(RefreshOnUnauthorized::new(
            policy.clone(),
            tokens.clone(),
        )))
        .layer(AddIdTokenLayer::new(policy, tokens).placement(placement))
        .layer(TimeoutLayer::new(timeout))
        .service(Client::builder(TokioExecutor::new()).build(connector)))
}
