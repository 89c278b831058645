//! The clients whose tokens come from the emulated endpoint: ours, the peers', and one whose
//! token never changes.

use std::fmt;

use google_id_token::{AddIdTokenLayer, HttpClient, Metadata, PerOrigin};
use http::{HeaderValue, Request, header};
use tower::util::BoxCloneService;
use tower::{BoxError, Layer, ServiceExt};
use tower_http::set_header::SetRequestHeaderLayer;
use tower_id_token::Cache;

use crate::request::{Hosts, Requests};
use crate::row::token;
use crate::runner::{Bare, Body};
use crate::world::World;

/// Any of them.
pub type Client = BoxCloneService<Request<()>, http::Response<Body>, BoxError>;

/// A kind of client.
#[derive(Clone, Copy)]
pub struct Kind {
    /// As the tables show it.
    pub title: &'static str,
    make: fn(&World) -> Result<Client, BoxError>,
}

impl Kind {
    /// One with a cache of its own, whose tokens come from this world's metadata server. Call it
    /// inside a runtime.
    ///
    /// # Errors
    ///
    /// The client's own.
    pub fn client(self, world: &World) -> Result<Client, BoxError> {
        (self.make)(world)
    }

    pub(crate) const fn new(
        title: &'static str,
        make: fn(&World) -> Result<Client, BoxError>,
    ) -> Self {
        Self { title, make }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kind").field(&self.title).finish()
    }
}

/// Ours first, and then the peers that this was built with.
pub fn kinds() -> Vec<Kind> {
    let ours = Kind::new("tower-id-token", |world| {
        let source = Metadata::new(HttpClient::new(), &world.server.metadata_host())?;
        let layer = AddIdTokenLayer::new(PerOrigin::new(), Cache::new(source));
        Ok(boxed(layer.layer(Bare)))
    });
    #[allow(unused_mut, reason = "there may be no peers")]
    let mut kinds = vec![ours];
    #[cfg(feature = "peers")]
    kinds.extend(crate::peers::kinds());
    kinds
}

/// A client with a header that was set once and for all.
pub fn constant() -> Client {
    let value = HeaderValue::try_from(format!("Bearer {}", token())).expect("a valid value");
    boxed(SetRequestHeaderLayer::overriding(header::AUTHORIZATION, value).layer(Bare))
}

/// Requests to the one service that all of this is about.
pub fn requests() -> Requests {
    Requests::to(Hosts::Run(1))
}

pub(crate) fn boxed<S>(service: S) -> Client
where
    S: tower::Service<Request<()>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    BoxCloneService::new(service.map_err(Into::into))
}
