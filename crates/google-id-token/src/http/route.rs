//! The way to a host: straight, or through the proxy that the environment names.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower::{BoxError, Service, ServiceExt};
use tower_id_token::{ErrorKind, SourceError, is_loopback};

use super::failure::describe;
use crate::Env;

/// Connects to hosts by the rules that curl has for `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.
///
/// Only https gets here. This machine, and whoever speaks for the machine, is never asked for
/// through a proxy, whatever the variables say.
#[derive(Clone)]
pub(super) struct Route {
    straight: HttpConnector,
    /// To the proxy itself, which may want TLS too.
    to_proxy: HttpsConnector<HttpConnector>,
    proxy: Option<Arc<Proxy>>,
}

struct Proxy {
    matcher: Matcher,
    /// The variable that names it.
    named_by: &'static str,
}

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

impl Route {
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for a variable that names no proxy that can be used.
    pub(super) fn new(
        env: &Env,
        straight: HttpConnector,
        tls: ClientConfig,
    ) -> Result<Self, SourceError> {
        let to_proxy = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(straight.clone());
        Ok(Self {
            straight,
            to_proxy,
            proxy: Proxy::find(env)?.map(Arc::new),
        })
    }

    async fn through(self, proxy: &Proxy, stop: &Intercept, to: Uri) -> Result<Stream, BoxError> {
        let address = stop.uri().clone();
        let connected = match address.scheme_str() {
            Some("http" | "https") => {
                let mut tunnel = Tunnel::new(address, self.to_proxy);
                if let Some(auth) = stop.basic_auth() {
                    tunnel = tunnel.with_auth(auth.clone());
                }
                tunnel.oneshot(to).await.map_err(BoxError::from)
            }
            scheme => {
                // The `h` has the proxy look names up, which is safe with either.
                let local_names = scheme == Some("socks5");
                let mut socks = SocksV5::new(address, self.straight).local_dns(local_names);
                if let Some((user, password)) = stop.raw_auth() {
                    socks = socks.with_auth(user.to_owned(), password.to_owned());
                }
                let stream = socks.oneshot(to).await.map_err(BoxError::from);
                stream.map(MaybeHttpsStream::Http)
            }
        };
        connected.map_err(|error| proxy.failed(stop, error).into())
    }
}

impl Proxy {
    fn find(env: &Env) -> Result<Option<Self>, SourceError> {
        let first = |names: [&'static str; 2]| {
            let found = names.map(|name| Ok((name, env.text(name)?)));
            let mut found = found.into_iter().collect::<Result<Vec<_>, SourceError>>()?;
            found.retain(|(_, value)| value.is_some());
            Ok::<_, SourceError>(found.into_iter().next())
        };
        let named = match first(["HTTPS_PROXY", "https_proxy"])? {
            Some(named) => Some(named),
            None => first(["ALL_PROXY", "all_proxy"])?,
        };
        let Some((named_by, Some(address))) = named else {
            return Ok(None);
        };
        let exceptions = match first(["NO_PROXY", "no_proxy"])? {
            Some((_, Some(exceptions))) => exceptions,
            _ => String::new(),
        };
        // What cannot be read would be passed over in silence.
        let bare = Matcher::builder().https(address.as_str()).build();
        let scheme = bare.intercept(&Uri::from_static(ANYWHERE));
        let scheme = scheme.as_ref().and_then(|it| it.uri().scheme_str());
        if !scheme.is_some_and(|scheme| SCHEMES.contains(&scheme)) {
            return Err(SourceError::new(
                ErrorKind::Config,
                format!(
                    "the variable {named_by} names no proxy: http://HOST:PORT is wanted, or \
                     https, socks5 or socks5h in place of http"
                ),
            ));
        }
        let matcher = Matcher::builder().https(address).no(exceptions).build();
        Ok(Some(Self { matcher, named_by }))
    }

    fn for_host(&self, to: &Uri) -> Option<Intercept> {
        let host = to.host().unwrap_or_default();
        let is_machine = MACHINE.iter().any(|name| host.eq_ignore_ascii_case(name));
        if is_machine || is_loopback(host) {
            return None;
        }
        self.matcher.intercept(to)
    }

    fn failed(&self, stop: &Intercept, error: BoxError) -> SourceError {
        let what = describe(&*error);
        let kind = match what.contains("authorization required") {
            true => ErrorKind::Config,
            false => ErrorKind::Unavailable,
        };
        // Without who logs in there: that has a password.
        let (host, port) = (stop.uri().host().unwrap_or_default(), stop.uri().port());
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        SourceError::new(
            kind,
            format!(
                "the proxy {host}{port} ({}) let nobody through: {what}",
                self.named_by
            ),
        )
    }
}

impl Service<Uri> for Route {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            if let Some(proxy) = this.proxy.clone()
                && let Some(stop) = proxy.for_host(&to)
            {
                return this.through(&proxy, &stop, to).await;
            }
            let stream = this.straight.oneshot(to).await?;
            Ok(MaybeHttpsStream::Http(stream))
        })
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named_by = self.proxy.as_ref().map(|proxy| proxy.named_by);
        f.debug_struct("Route").field("proxy", &named_by).finish()
    }
}

const SCHEMES: [&str; 4] = ["http", "https", "socks5", "socks5h"];
const ANYWHERE: &str = "https://googleapis.com";
/// Google's and everybody else's metadata servers, AWS's by IPv6 the last.
const MACHINE: [&str; 5] = [
    "metadata.google.internal",
    "metadata",
    "169.254.169.254",
    "[fd20:ce::254]",
    "[fd00:ec2::254]",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(no_proxy: &str, url: &str) -> bool {
        let env = Env::empty()
            .variable("https_proxy", "proxy.example:3128")
            .variable("no_proxy", no_proxy);
        let proxy = Proxy::find(&env).unwrap().unwrap();
        proxy.for_host(&url.parse().unwrap()).is_some()
    }

    #[test]
    fn no_proxy_and_this_machine_are_left_out() {
        for (no_proxy, url, through) in [
            ("", "https://oauth2.googleapis.com/token", true),
            ("example.com", "https://oauth2.googleapis.com/token", true),
            (
                "googleapis.com",
                "https://oauth2.googleapis.com/token",
                false,
            ),
            (
                ".googleapis.com",
                "https://oauth2.googleapis.com/token",
                false,
            ),
            ("*", "https://oauth2.googleapis.com/token", false),
            ("10.0.0.0/8", "https://10.1.2.3/", false),
            ("", "https://127.0.0.1:8080/", false),
            ("", "https://[::1]:8080/", false),
            ("", "https://localhost/", false),
            ("", "https://metadata.google.internal/", false),
            ("", "https://Metadata.Google.Internal/", false),
            ("", "https://169.254.169.254/", false),
            ("", "https://[fd00:ec2::254]/latest/", false),
        ] {
            assert_eq!(passes(no_proxy, url), through, "{no_proxy} {url}");
        }
    }

    #[test]
    fn without_a_variable_there_is_no_proxy() {
        let env = Env::empty().variable("HTTP_PROXY", "http://proxy.example");
        assert!(Proxy::find(&env).unwrap().is_none());
        let empty = Env::empty().variable("HTTPS_PROXY", "");
        assert!(Proxy::find(&empty).unwrap().is_none());
    }
}
