//! Envoy's Secret Discovery Service: each token is pushed the moment that it rotates.
//!
//! A secret holds a whole header value, `Bearer TOKEN`, for Envoy's `credential_injector`. While
//! there is no token, Envoy is told nothing, and answers 401 by itself; where a token ends without
//! a successor, it is told an empty secret, which does the same.

mod file;
mod names;
mod secret;
mod stream;

use std::pin::Pin;
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server::SecretDiscoveryService;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

pub(crate) use self::file::write;
pub(crate) use self::names::Secrets;
use self::secret::{SECRET, Version};
use self::stream::{Delta, Subscription, Whole};
use crate::drain::Drain;
use crate::metrics::Metrics;

/// The service that Envoy's `sds_config` talks to.
#[derive(Debug)]
pub(crate) struct Sds {
    pub(crate) secrets: Secrets,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) drain: Drain,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl SecretDiscoveryService for Sds {
    type StreamSecretsStream = Answers<DiscoveryResponse>;
    type DeltaSecretsStream = Answers<DeltaDiscoveryResponse>;

    /// State of the world: each request names all the secrets that are wanted.
    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        Ok(Response::new(self.subscribe::<Whole>(request.into_inner())))
    }

    /// Delta: each request names the secrets that are wanted more, and less.
    async fn delta_secrets(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        Ok(Response::new(self.subscribe::<Delta>(request.into_inner())))
    }

    /// Once: what is there now.
    async fn fetch_secrets(
        &self,
        request: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        let mut resources = Vec::new();
        for name in &request.get_ref().resource_names {
            let token = self
                .secrets
                .token(name)
                .ok_or_else(|| Status::not_found(format!("no secret is called {name:?}")))?;
            let token = token.borrow().clone();
            let token =
                token.ok_or_else(|| Status::unavailable(format!("no token for {name:?} now")))?;
            resources.push(secret::resource(name, Some(&token)));
        }
        Ok(Response::new(DiscoveryResponse {
            version_info: Version::next().to_string(),
            resources,
            type_url: SECRET.to_owned(),
            ..DiscoveryResponse::default()
        }))
    }
}

impl Sds {
    fn subscribe<P: stream::Protocol>(
        &self,
        requests: Streaming<P::Request>,
    ) -> Answers<P::Answer> {
        let subscription = Subscription::<P>::new(self.secrets.clone(), Arc::clone(&self.metrics));
        subscription.run(requests, self.drain.clone())
    }
}
