//! A Cloud Run service: its names, its audiences, and the container behind its door.

use std::{fmt, io};

use bytes::Bytes;
use http::{Request, Response};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use crate::{body::Body, hello};

/// A container: what answers the requests that were let in.
pub(crate) type Container = BoxCloneSyncService<Request<Body>, Response<Body>, io::Error>;

/// A Cloud Run service that asks for ID tokens.
///
/// ```
/// use google_emulator::{Body, RunService};
/// use http::{Request, Response};
///
/// let service = RunService::new("orders")
///     .host("orders-abc123-uc.a.run.app")
///     .custom_audience("https://orders.example.com")
///     .container(tower::service_fn(|request: Request<Body>| async move {
///         Ok::<_, std::convert::Infallible>(Response::new(Body::from(format!(
///             "you asked for {}",
///             request.uri().path()
///         ))))
///     }));
/// assert_eq!(service.name(), "orders");
/// ```
#[derive(Clone)]
pub struct RunService {
    name: String,
    hosts: Vec<String>,
    custom_audiences: Vec<String>,
    container: Container,
}

impl RunService {
    /// A service at `https://NAME-abc123-uc.a.run.app` that says hello to its caller.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            hosts: Vec::new(),
            custom_audiences: Vec::new(),
            container: container(hello::Hello),
        }
    }

    /// A run.app host of its own instead of the default one; may be given more than once, as a
    /// real service has two.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into().to_ascii_lowercase());
        self
    }

    /// An audience that is accepted beside the service's URLs.
    pub fn custom_audience(mut self, audience: impl Into<String>) -> Self {
        self.custom_audiences.push(audience.into());
        self
    }

    /// What answers requests that were let in. Bodies stream and trailers pass, so that a gRPC
    /// server fits.
    pub fn container<S, B>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.container = container(service);
        self
    }

    /// The service's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The service's URL: `https` and its first run.app host.
    pub fn url(&self) -> String {
        format!("https://{}", self.host_names().swap_remove(0))
    }

    pub(crate) fn host_names(&self) -> Vec<String> {
        if self.hosts.is_empty() {
            return vec![format!("{}-abc123-uc.a.run.app", self.name)];
        }
        self.hosts.clone()
    }

    /// Whether a host name is the service's, a traffic tag (`TAG---HOST`) included.
    pub(crate) fn answers_to(&self, host: &str) -> bool {
        let untagged = host.split_once("---").map_or(host, |(_, rest)| rest);
        self.host_names().iter().any(|name| name == untagged)
    }

    /// Whether a token for `audience` is for this service, reachable at `here` besides.
    pub(crate) fn accepts_audience(&self, audience: &str, here: Option<&str>) -> bool {
        let of_host = audience.strip_prefix("https://");
        of_host.is_some_and(|host| self.host_names().iter().any(|name| name == host))
            || self
                .custom_audiences
                .iter()
                .any(|custom| custom == audience)
            || here.is_some_and(|here| {
                here == audience || here.replace("127.0.0.1", "localhost") == audience
            })
    }

    pub(crate) fn new_container(&self) -> Container {
        self.container.clone()
    }
}

impl fmt::Debug for RunService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunService")
            .field("name", &self.name)
            .field("hosts", &self.host_names())
            .field("custom_audiences", &self.custom_audiences)
            .finish_non_exhaustive()
    }
}

impl<T: Into<String>> From<T> for RunService {
    fn from(name: T) -> Self {
        Self::new(name)
    }
}

fn container<S, B>(service: S) -> Container
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let service = service
        .map_response(|answer| answer.map(Body::new))
        .map_err(io::Error::other);
    BoxCloneSyncService::new(service)
}
