//! The flags; each can also come from the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use google_id_token::Placement;

use crate::error::Error;
use crate::listen::Listen;
use crate::log;
use crate::rules::Rules;

/// Puts Google ID tokens on the requests of programs that cannot be recompiled.
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
}

/// What all three have.
#[derive(Args, Debug)]
pub(crate) struct Common {
    /// Where to listen: IP:PORT on loopback, or unix:PATH. Port 0 takes a free one, and logs it.
    #[arg(
        long,
        env = "ID_TOKEN_SIDECAR_LISTEN",
        default_value = "127.0.0.1:8080"
    )]
    pub(crate) listen: Listen,

    /// Let --listen be an address that other machines can reach: whoever reaches it can call your
    /// services as you, without a password.
    #[arg(long, env = "ID_TOKEN_SIDECAR_LISTEN_BEYOND_LOOPBACK")]
    pub(crate) listen_beyond_loopback: bool,

    /// Where to answer /healthz, /readyz and /metrics; nowhere unless given.
    #[arg(long, env = "ID_TOKEN_SIDECAR_ADMIN")]
    pub(crate) admin: Option<Listen>,

    /// Let --admin be an address that other machines can reach, as the kubelet's probes and
    /// Prometheus want: there are no tokens there, but your audiences' names.
    #[arg(long, env = "ID_TOKEN_SIDECAR_ADMIN_BEYOND_LOOPBACK")]
    pub(crate) admin_beyond_loopback: bool,

    /// A TOML file of routes, audiences and secrets; read again on SIGHUP. Flags go before it.
    #[arg(long, env = "ID_TOKEN_SIDECAR_CONFIG")]
    pub(crate) config: Option<PathBuf>,

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

#[derive(Args, Debug)]
pub(crate) struct Proxy {
    #[command(flatten)]
    pub(crate) common: Common,

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

#[cfg(feature = "sds")]
#[derive(Args, Debug)]
pub(crate) struct Sds {
    #[command(flatten)]
    pub(crate) common: Common,

    /// A secret's name, as Envoy asks for it, and its audience: NAME=AUDIENCE.
    #[arg(long = "secret", env = "ID_TOKEN_SIDECAR_SECRET", value_delimiter = ',', value_parser = pair)]
    secrets: Vec<(String, String)>,

    /// Let Envoy ask for any audience, by a secret of that name.
    #[arg(long, env = "ID_TOKEN_SIDECAR_ANY_AUDIENCE")]
    pub(crate) any_audience: bool,

    /// Write secrets into a directory, one file NAME.json each, for an Envoy whose SDS is
    /// `path_config_source`; with `watched_directory`, it sees each change at once.
    #[arg(long, env = "ID_TOKEN_SIDECAR_WRITE")]
    pub(crate) write: Option<PathBuf>,
}

#[cfg(feature = "ext-authz")]
#[derive(Args, Debug)]
pub(crate) struct ExtAuthz {
    #[command(flatten)]
    pub(crate) common: Common,

    /// Let requests to other hosts pass without a token instead of refusing them.
    #[arg(long, env = "ID_TOKEN_SIDECAR_PASS_OTHERS")]
    pass_others: bool,

    /// The header that the token goes into.
    #[arg(long, env = "ID_TOKEN_SIDECAR_HEADER", default_value = "authorization")]
    pub(crate) header: Header,
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
            Self::Proxy(proxy) => &proxy.common,
            #[cfg(feature = "sds")]
            Self::Sds(sds) => &sds.common,
            #[cfg(feature = "ext-authz")]
            Self::ExtAuthz(authz) => &authz.common,
        }
    }

    /// The rules that the flags give.
    pub(crate) fn flags(&self) -> Rules {
        let common = self.common();
        let mut rules = Rules {
            audiences: map(&common.audiences),
            hosts: set(&common.hosts),
            ..Rules::default()
        };
        match self {
            Self::Proxy(proxy) => {
                rules.url.clone_from(&proxy.url);
                rules.egress = proxy.egress;
                rules.pass_others = proxy.pass_others;
                rules.local_hosts = set(&proxy.local_hosts);
                rules.routes = map(&proxy.routes);
            }
            #[cfg(feature = "sds")]
            Self::Sds(sds) => rules.secrets = map(&sds.secrets),
            #[cfg(feature = "ext-authz")]
            Self::ExtAuthz(authz) => rules.pass_others = authz.pass_others,
        }
        rules
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
