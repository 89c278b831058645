//! The flags; each can also come from the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use google_id_token::Placement;

use crate::error::Error;
use crate::listen::Listen;
use crate::log;
#[cfg(feature = "inbound")]
use crate::rules;
use crate::rules::Rules;

/// Google ID tokens for programs that cannot be recompiled: puts them on requests, or checks them.
///
/// Every flag can come from the environment: ID_TOKEN_SIDECAR_ and its name. What decides where
/// requests go can also stand in a file (--config), which is read again on SIGHUP.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Forwards requests to their services, with a token on each.
    Proxy(Proxy),
    /// Hands tokens to an Envoy by its Secret Discovery Service, or by a file.
    #[cfg(feature = "sds")]
    Sds(Sds),
    /// Answers an Envoy's external authorization with a token for each request.
    #[cfg(feature = "ext-authz")]
    ExtAuthz(ExtAuthz),
    /// Lets in only requests with a good token, and tells the app beside it who calls.
    #[cfg(feature = "inbound")]
    Inbound(Inbound),
}

/// What all commands have.
#[derive(Args, Debug)]
pub(crate) struct Common {
    /// Where to answer /healthz, /readyz and /metrics; nowhere unless given.
    #[arg(long, env = "ID_TOKEN_SIDECAR_ADMIN")]
    pub(crate) admin: Option<Listen>,

    /// Let --admin be an address that other machines can reach, as the kubelet's probes and
    /// Prometheus want: there are no tokens there, but your audiences' names.
    #[arg(long, env = "ID_TOKEN_SIDECAR_ADMIN_BEYOND_LOOPBACK")]
    pub(crate) admin_beyond_loopback: bool,

    /// A TOML file of routes, audiences, secrets and callers; read again on SIGHUP. Flags go
    /// before it.
    #[arg(long, env = "ID_TOKEN_SIDECAR_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// How log lines look.
    #[arg(long, env = "ID_TOKEN_SIDECAR_LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: log::Format,

    /// What is logged: a level, or a filter as in `info,hyper_util=debug`.
    #[arg(long, env = "ID_TOKEN_SIDECAR_LOG", default_value = "info")]
    pub(crate) log: String,

    /// Seconds that open requests have after SIGTERM.
    #[arg(long, env = "ID_TOKEN_SIDECAR_DRAIN", default_value = "25", value_parser = seconds)]
    pub(crate) drain: Duration,

    /// Threads that serve. One serves tens of thousands of requests a second.
    #[arg(long, env = "ID_TOKEN_SIDECAR_THREADS", default_value = "1")]
    pub(crate) threads: usize,
}

/// What the commands have that give out tokens.
#[derive(Args, Debug)]
pub(crate) struct Outbound {
    #[command(flatten)]
    common: Common,

    /// Where to listen: IP:PORT on loopback, or unix:PATH. Port 0 takes a free one, and logs it.
    #[arg(
        long,
        env = "ID_TOKEN_SIDECAR_LISTEN",
        default_value = "127.0.0.1:8080"
    )]
    listen: Listen,

    /// Let --listen be an address that other machines can reach: whoever reaches it can call your
    /// services as you, without a password.
    #[arg(long, env = "ID_TOKEN_SIDECAR_LISTEN_BEYOND_LOOPBACK")]
    pub(crate) listen_beyond_loopback: bool,

    /// The audience of a host whose origin is not its audience: HOST=AUDIENCE.
    #[arg(long = "audience", env = "ID_TOKEN_SIDECAR_AUDIENCE", value_delimiter = ',', value_parser = pair)]
    audiences: Vec<(String, String)>,

    /// One more host that may get tokens, its origin being its audience: HOST or *.DOMAIN.
    #[arg(long = "host", env = "ID_TOKEN_SIDECAR_HOST", value_delimiter = ',')]
    hosts: Vec<String>,

    /// The credentials file; by default, application default credentials are looked for.
    #[arg(long, env = "ID_TOKEN_SIDECAR_CREDENTIALS")]
    pub(crate) credentials: Option<PathBuf>,

    /// Impersonate this service account.
    #[arg(long, env = "ID_TOKEN_SIDECAR_IMPERSONATE")]
    pub(crate) impersonate: Option<String>,

    /// Service accounts on the way to the impersonated one, in order.
    #[arg(
        long = "delegate",
        env = "ID_TOKEN_SIDECAR_DELEGATE",
        value_delimiter = ','
    )]
    pub(crate) delegates: Vec<String>,
}

/// How connections to services, and to an app, are made and kept.
#[derive(Args, Debug)]
pub(crate) struct Connections {
    /// Seconds to connect to a service.
    #[arg(long, env = "ID_TOKEN_SIDECAR_CONNECT_TIMEOUT", default_value = "10", value_parser = seconds)]
    pub(crate) connect_timeout: Duration,

    /// Seconds until a service begins its answer, the upload included; no limit unless given.
    /// Cloud Run itself ends a request after an hour at the most.
    #[arg(long, env = "ID_TOKEN_SIDECAR_RESPONSE_TIMEOUT", value_parser = seconds)]
    pub(crate) response_timeout: Option<Duration>,

    /// Seconds that an idle connection to a service is kept.
    #[arg(long, env = "ID_TOKEN_SIDECAR_IDLE_TIMEOUT", default_value = "90", value_parser = seconds)]
    pub(crate) idle_timeout: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct Proxy {
    #[command(flatten)]
    pub(crate) outbound: Outbound,

    /// The service that gets what no route names: https://HOST[/PREFIX], or http:// or h2c:// on
    /// this machine.
    #[arg(long, env = "ID_TOKEN_SIDECAR_URL")]
    url: Option<String>,

    /// Send requests for a host to a service: HOST=URL, where HOST is the name that callers use.
    #[arg(long = "route", env = "ID_TOKEN_SIDECAR_ROUTE", value_delimiter = ',', value_parser = pair)]
    routes: Vec<(String, String)>,

    /// Forward requests to the service that they name themselves, as an HTTP_PROXY does: to
    /// *.run.app, *.cloudfunctions.net, and every --host and --audience.
    #[arg(long, env = "ID_TOKEN_SIDECAR_EGRESS")]
    egress: bool,

    /// With --egress, let requests to other hosts pass without a token instead of refusing them.
    #[arg(long, env = "ID_TOKEN_SIDECAR_PASS_OTHERS")]
    pass_others: bool,

    /// One more name under which callers reach --url. Other names than loopback ones are refused,
    /// because web pages can make browsers use them.
    #[arg(
        long = "local-host",
        env = "ID_TOKEN_SIDECAR_LOCAL_HOST",
        value_delimiter = ','
    )]
    local_hosts: Vec<String>,

    /// The header that the token goes into.
    #[arg(long, env = "ID_TOKEN_SIDECAR_HEADER", default_value = "authorization")]
    pub(crate) header: Header,

    /// A PEM file of certificates to trust besides the system's.
    #[arg(long = "ca", env = "ID_TOKEN_SIDECAR_CA", value_delimiter = ',')]
    pub(crate) authorities: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) connections: Connections,
}

#[cfg(feature = "sds")]
#[derive(Args, Debug)]
pub(crate) struct Sds {
    #[command(flatten)]
    pub(crate) outbound: Outbound,

    /// A secret's name, as Envoy asks for it, and its audience: NAME=AUDIENCE.
    #[arg(long = "secret", env = "ID_TOKEN_SIDECAR_SECRET", value_delimiter = ',', value_parser = pair)]
    secrets: Vec<(String, String)>,

    /// Let Envoy ask for any audience, by a secret of that name.
    #[arg(long, env = "ID_TOKEN_SIDECAR_ANY_AUDIENCE")]
    pub(crate) any_audience: bool,

    /// Write the secret into this file too, for an Envoy whose SDS is `path_config_source`; with
    /// `watched_directory`, it sees each change at once. Several secrets want a directory, which is
    /// there already or has a slash at its end: they go into files NAME.json.
    #[arg(long, env = "ID_TOKEN_SIDECAR_WRITE")]
    pub(crate) write: Option<PathBuf>,
}

#[cfg(feature = "ext-authz")]
#[derive(Args, Debug)]
pub(crate) struct ExtAuthz {
    #[command(flatten)]
    pub(crate) outbound: Outbound,

    /// Let requests to other hosts pass without a token instead of refusing them.
    #[arg(long, env = "ID_TOKEN_SIDECAR_PASS_OTHERS")]
    pass_others: bool,

    /// The header that the token goes into.
    #[arg(long, env = "ID_TOKEN_SIDECAR_HEADER", default_value = "authorization")]
    pub(crate) header: Header,
}

#[cfg(feature = "inbound")]
#[derive(Args, Debug)]
pub(crate) struct Inbound {
    #[command(flatten)]
    common: Common,

    /// Where to listen: IP:PORT or unix:PATH. Every request is checked, so any address will do;
    /// TLS ends before it, at the mesh or the ingress. Port 0 takes a free one, and logs it.
    #[arg(long, env = "ID_TOKEN_SIDECAR_LISTEN", default_value = "0.0.0.0:8000")]
    listen: Listen,

    /// The app that gets the requests: http://127.0.0.1:PORT, or h2c:// for gRPC. Only on this
    /// machine: who reaches the app past the sidecar can be anybody.
    #[arg(long, env = "ID_TOKEN_SIDECAR_APP")]
    app: Option<String>,

    /// An audience of Google's ID tokens that is the app's, byte for byte.
    #[arg(
        long = "audience",
        env = "ID_TOKEN_SIDECAR_AUDIENCE",
        value_delimiter = ','
    )]
    audiences: Vec<String>,

    /// An audience of Identity-Aware Proxy's assertions that is the app's:
    /// /projects/NUMBER/apps/PROJECT_ID or /projects/NUMBER/global/backendServices/ID.
    #[arg(
        long = "iap-audience",
        env = "ID_TOKEN_SIDECAR_IAP_AUDIENCE",
        value_delimiter = ','
    )]
    iap_audiences: Vec<String>,

    /// A caller who may come in, by its verified e-mail.
    #[arg(
        long = "allow-email",
        env = "ID_TOKEN_SIDECAR_ALLOW_EMAIL",
        value_delimiter = ','
    )]
    emails: Vec<String>,

    /// A caller who may come in, by the `sub` of its tokens.
    #[arg(
        long = "allow-subject",
        env = "ID_TOKEN_SIDECAR_ALLOW_SUBJECT",
        value_delimiter = ','
    )]
    subjects: Vec<String>,

    /// A Google Workspace domain whose accounts may come in.
    #[arg(
        long = "allow-domain",
        env = "ID_TOKEN_SIDECAR_ALLOW_DOMAIN",
        value_delimiter = ','
    )]
    domains: Vec<String>,

    /// Let in everybody whose token is for an --audience. Anybody with a Google account can have
    /// such a token: the app must then decide by x-caller-email or x-caller-subject.
    #[arg(long = "allow-any-caller", env = "ID_TOKEN_SIDECAR_ALLOW_ANY_CALLER")]
    any_caller: bool,

    /// A path that needs no token, for health checks: /healthz, or /public/* for all below.
    #[arg(long, env = "ID_TOKEN_SIDECAR_UNCHECKED", value_delimiter = ',')]
    unchecked: Vec<String>,

    /// How the headers begin that tell the app who calls. None that begins so comes in from
    /// outside.
    #[arg(
        long,
        env = "ID_TOKEN_SIDECAR_HEADER_PREFIX",
        default_value = "x-caller-"
    )]
    pub(crate) header_prefix: String,

    /// Leave the token on the request, for an app that checks it too. By default it is taken out,
    /// so that the app cannot pass for its caller elsewhere.
    #[arg(long, env = "ID_TOKEN_SIDECAR_KEEP_TOKEN")]
    pub(crate) keep_token: bool,

    /// Where Google's public keys are, as a JWK set; Google's own address unless given. https, or
    /// http on this machine.
    #[arg(long, env = "ID_TOKEN_SIDECAR_KEYS_URL")]
    pub(crate) keys_url: Option<String>,

    /// The same for Identity-Aware Proxy.
    #[arg(long, env = "ID_TOKEN_SIDECAR_IAP_KEYS_URL")]
    pub(crate) iap_keys_url: Option<String>,

    #[command(flatten)]
    pub(crate) connections: Connections,
}

/// The header that the token goes into.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Header {
    /// `Authorization`; where the caller has one of its own, `X-Serverless-Authorization`.
    Authorization,
    /// `X-Serverless-Authorization`, always.
    XServerlessAuthorization,
    /// `Proxy-Authorization`, for Identity-Aware Proxy before an app with its own `Authorization`.
    ProxyAuthorization,
    /// `Authorization` where it is free, and `X-Serverless-Authorization`.
    Both,
}

impl From<Header> for Placement {
    fn from(header: Header) -> Self {
        match header {
            Header::Authorization => Self::Authorization,
            Header::XServerlessAuthorization => Self::Serverless,
            Header::ProxyAuthorization => Self::Proxy,
            Header::Both => Self::Both,
        }
    }
}

impl Command {
    /// What all commands have.
    pub(crate) fn common(&self) -> &Common {
        match self {
            Self::Proxy(proxy) => &proxy.outbound.common,
            #[cfg(feature = "sds")]
            Self::Sds(sds) => &sds.outbound.common,
            #[cfg(feature = "ext-authz")]
            Self::ExtAuthz(authz) => &authz.outbound.common,
            #[cfg(feature = "inbound")]
            Self::Inbound(inbound) => &inbound.common,
        }
    }

    /// Where to listen, and whether that may be an address that other machines can reach.
    pub(crate) fn listen(&self) -> (&Listen, bool) {
        let outbound = match self {
            Self::Proxy(proxy) => &proxy.outbound,
            #[cfg(feature = "sds")]
            Self::Sds(sds) => &sds.outbound,
            #[cfg(feature = "ext-authz")]
            Self::ExtAuthz(authz) => &authz.outbound,
            // Nothing is given away there.
            #[cfg(feature = "inbound")]
            Self::Inbound(inbound) => return (&inbound.listen, true),
        };
        (&outbound.listen, outbound.listen_beyond_loopback)
    }

    /// The rules that the flags give.
    fn flags(&self) -> Rules {
        match self {
            Self::Proxy(proxy) => Rules {
                url: proxy.url.clone(),
                egress: proxy.egress,
                pass_others: proxy.pass_others,
                local_hosts: set(&proxy.local_hosts),
                routes: map(&proxy.routes),
                ..proxy.outbound.flags()
            },
            #[cfg(feature = "sds")]
            Self::Sds(sds) => Rules {
                secrets: map(&sds.secrets),
                ..sds.outbound.flags()
            },
            #[cfg(feature = "ext-authz")]
            Self::ExtAuthz(authz) => Rules {
                pass_others: authz.pass_others,
                ..authz.outbound.flags()
            },
            #[cfg(feature = "inbound")]
            Self::Inbound(inbound) => Rules {
                inbound: inbound.flags(),
                ..Rules::default()
            },
        }
    }

    /// The rules of the file with those of the flags over them.
    ///
    /// # Errors
    ///
    /// Those of [`Rules::read`].
    pub(crate) fn rules(&self) -> Result<Rules, Error> {
        Rules::read(self.common().config.as_deref(), &self.flags())
    }
}

impl Outbound {
    fn flags(&self) -> Rules {
        Rules {
            audiences: map(&self.audiences),
            hosts: set(&self.hosts),
            ..Rules::default()
        }
    }
}

#[cfg(feature = "inbound")]
impl Inbound {
    fn flags(&self) -> rules::Inbound {
        rules::Inbound {
            app: self.app.clone(),
            audiences: set(&self.audiences),
            iap_audiences: set(&self.iap_audiences),
            allow_emails: set(&self.emails),
            allow_subjects: set(&self.subjects),
            allow_domains: set(&self.domains),
            allow_any_caller: self.any_caller,
            unchecked: set(&self.unchecked),
        }
    }
}

fn map(pairs: &[(String, String)]) -> BTreeMap<String, String> {
    pairs.iter().cloned().collect()
}

fn set(names: &[String]) -> BTreeSet<String> {
    names.iter().cloned().collect()
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err(format!("{text:?} wants an = with something on both sides")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("{text:?} is not a number of seconds"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn pairs_want_both_sides() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(pair("a=").is_err());
        assert!(pair("a").is_err());
    }
}
