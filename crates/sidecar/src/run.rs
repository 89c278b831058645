//! The process: starts what a command wants, listens to signals, and ends without losing anything.

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use clap::Parser;
#[cfg(feature = "sds")]
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server::SecretDiscoveryServiceServer;
#[cfg(feature = "inbound")]
use google_id_token::verify::{IdentityHeaders, Issuer};
use google_id_token::{Audience, Builder, Cache, IdToken};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tower::BoxError;
#[cfg(feature = "sds")]
use tower::Service;

use crate::admin::{Admin, Missing};
#[cfg(feature = "ext-authz")]
use crate::authz::{self, Authz};
use crate::cli::{Cli, Command, Common, Connections, Outbound};
use crate::drain::Drain;
use crate::error::Error;
#[cfg(feature = "inbound")]
use crate::inbound;
use crate::keeper::Keeper;
use crate::listen::Listener;
use crate::log;
use crate::metrics::Metrics;
use crate::notify::{READY, STOPPING, notify};
use crate::proxy::{self, Parts, Settings, Upstreams};
use crate::rules::Rules;
#[cfg(feature = "sds")]
use crate::sds::{self, Sds, Secrets};
use crate::serve::{Peer, serve};

/// See [`crate::main`].
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The log may not have started.
            eprintln!("id-token-sidecar: {error}");
            error.exit_code()
        }
    }
}

fn start(command: &Command) -> Result<(), Error> {
    let common = command.common();
    log::start(common.log_format, &common.log)?;
    let runtime = runtime(common.threads)
        .map_err(|error| Error::run(format!("there are no threads to be had: {error}")))?;
    let ended = runtime.block_on(run(command));
    // What still runs at the end of the drain is cut.
    runtime.shutdown_background();
    ended
}

fn runtime(threads: usize) -> std::io::Result<Runtime> {
    if threads > 1 {
        let mut builder = runtime::Builder::new_multi_thread();
        builder.worker_threads(threads).enable_all().build()
    } else {
        runtime::Builder::new_current_thread().enable_all().build()
    }
}

async fn run(command: &Command) -> Result<(), Error> {
    let rules = command.rules()?;
    let core = Core::default();
    match command {
        Command::Proxy(flags) => {
            let tokens = Tokens::find(&flags.outbound, &core).await?;
            let proxy = proxy::proxy(
                &rules,
                Parts {
                    tokens: tokens.cache.clone(),
                    placement: flags.header.into(),
                    upstreams: upstreams(&flags.connections, &flags.authorities)?,
                    response_timeout: flags.connections.response_timeout,
                    metrics: Arc::clone(&core.metrics),
                    drain: core.drain.clone(),
                    any_host: flags.outbound.listen_beyond_loopback,
                },
            )?;
            tokens.keeper.only(&proxy.audiences);
            let reload = tokens.reload(proxy.reload);
            core.serve(command, tokens.missing(), proxy.handler, reload)
                .await
        }
        #[cfg(feature = "sds")]
        Command::Sds(flags) => {
            let tokens = Tokens::find(&flags.outbound, &core).await?;
            let secrets = Secrets::new(&rules, tokens.keeper.clone(), flags.any_audience)?;
            tokens.keeper.only(&secrets.audiences());
            if let Some(directory) = &flags.write {
                sds::write(&secrets, directory, &core.metrics)?;
            }
            let server = SecretDiscoveryServiceServer::new(Sds {
                secrets: secrets.clone(),
                metrics: Arc::clone(&core.metrics),
                drain: core.drain.clone(),
            });
            let handler = move |request: Request<Incoming>, _: &Peer| server.clone().call(request);
            let reload = tokens.reload(move |rules: &Rules| secrets.reload(rules));
            core.serve(command, tokens.missing(), handler, reload).await
        }
        #[cfg(feature = "ext-authz")]
        Command::ExtAuthz(flags) => {
            let tokens = Tokens::find(&flags.outbound, &core).await?;
            let authz = Authz::new(
                &rules,
                tokens.cache.clone(),
                flags.header.into(),
                Arc::clone(&core.metrics),
            )?;
            tokens.keeper.only(&authz::audiences(&rules)?);
            let handler = authz::handler(authz.clone());
            let reload = tokens.reload(move |rules: &Rules| authz.reload(rules));
            core.serve(command, tokens.missing(), handler, reload).await
        }
        #[cfg(feature = "inbound")]
        Command::Inbound(flags) => {
            let inbound = inbound::inbound(
                &rules,
                inbound::Parts {
                    upstreams: upstreams(&flags.connections, &[])?,
                    response_timeout: flags.connections.response_timeout,
                    identity: IdentityHeaders::prefixed(&flags.header_prefix)?,
                    keep_token: flags.keep_token,
                    keys_urls: [
                        (Issuer::Google, flags.keys_url.clone()),
                        (Issuer::Iap, flags.iap_keys_url.clone()),
                    ],
                    metrics: Arc::clone(&core.metrics),
                    drain: core.drain.clone(),
                },
            )?;
            core.serve(command, inbound.missing, inbound.handler, inbound.reload)
                .await
        }
    }
}

fn upstreams(flags: &Connections, authorities: &[PathBuf]) -> Result<Upstreams, Error> {
    Upstreams::new(Settings {
        authorities: authorities.to_vec(),
        connect_timeout: flags.connect_timeout,
        idle_timeout: flags.idle_timeout,
    })
}

/// The tokens of the commands that give out tokens.
struct Tokens {
    cache: Cache<Audience, IdToken>,
    keeper: Keeper,
}

impl Tokens {
    /// Looks for credentials.
    async fn find(flags: &Outbound, core: &Core) -> Result<Self, Error> {
        let mut builder = Builder::new();
        if let Some(path) = &flags.credentials {
            builder = builder.credentials_file(path);
        }
        if let Some(email) = &flags.impersonate {
            builder = builder.impersonate(email);
        }
        if !flags.delegates.is_empty() {
            builder = builder.delegates(&flags.delegates);
        }
        let credentials = builder.build().await?;
        tracing::info!(
            kind = %credentials.kind(),
            found = credentials.found(),
            principal = credentials.principal(),
            "credentials"
        );
        let cache = credentials.id_tokens();
        core.metrics.watch(&cache);
        let keeper = Keeper::new(cache.clone(), Arc::clone(&core.metrics));
        Ok(Self { cache, keeper })
    }

    /// The audiences that are known beforehand, and have no token.
    fn missing(&self) -> Missing {
        let keeper = self.keeper.clone();
        Arc::new(move || {
            let missing = keeper.missing().into_iter();
            missing
                .map(|audience| format!("no token for {audience}"))
                .collect()
        })
    }

    /// Keeps the audiences that new rules are known to want.
    fn reload(
        &self,
        reload: impl Fn(&Rules) -> Result<Vec<Audience>, Error>,
    ) -> impl Fn(&Rules) -> Result<(), Error> {
        let keeper = self.keeper.clone();
        move |rules| reload(rules).map(|audiences| keeper.only(&audiences))
    }
}

/// What all commands share.
#[derive(Default)]
struct Core {
    metrics: Arc<Metrics>,
    drain: Drain,
}

impl Core {
    /// Serves until a signal, then drains. `reload` takes over new rules; the process is ready
    /// while nothing is `missing`.
    async fn serve<H, F, B>(
        self,
        command: &Command,
        missing: Missing,
        handler: H,
        reload: impl Fn(&Rules) -> Result<(), Error>,
    ) -> Result<(), Error>
    where
        H: FnMut(Request<Incoming>, &Peer) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let common = command.common();
        let mut signals = Signals::new()?;
        let (listen, anywhere) = command.listen();
        let listener = listen.bind(anywhere, "listen-beyond-loopback").await?;
        self.serve_admin(common, missing).await?;
        let (stop, stopped) = oneshot::channel();
        let address = listener.address();
        let serving = tokio::spawn(serve(listener, handler, self.drain.clone(), stopped));
        tracing::info!(address, "listening");
        notify(READY);
        loop {
            match signals.next().await {
                Told::End => break,
                Told::Reload => self.reload(command, &reload),
            }
        }
        tracing::info!("draining");
        notify(STOPPING);
        // Readiness and `Connection: close` from here on; then no new connections; then the wait.
        self.drain.begin();
        let _ = stop.send(());
        let drained = async {
            let _ = serving.await;
            self.drain.run(common.drain).await
        };
        tokio::select! {
            left = drained => match left {
                0 => Ok(()),
                left => Err(Error::cut(left)),
            },
            () = signals.end() => Err(Error::run("told twice to end: open requests were cut")),
        }
    }

    async fn serve_admin(&self, common: &Common, missing: Missing) -> Result<(), Error> {
        let Some(admin) = &common.admin else {
            return Ok(());
        };
        let listener: Listener = admin
            .bind(common.admin_beyond_loopback, "admin-beyond-loopback")
            .await?;
        tracing::info!(address = listener.address(), "admin");
        let handler = Admin {
            missing,
            metrics: Arc::clone(&self.metrics),
            drain: self.drain.clone(),
        }
        .handler();
        // It answers to the very end, with guards of its own that nobody waits for.
        tokio::spawn(async move {
            let (_stop, stopped) = oneshot::channel();
            serve(listener, handler, Drain::default(), stopped).await;
        });
        Ok(())
    }

    fn reload(&self, command: &Command, reload: impl Fn(&Rules) -> Result<(), Error>) {
        match command.rules().and_then(|rules| reload(&rules)) {
            Ok(()) => {
                self.metrics.reloads.add();
                tracing::info!("the configuration was read again");
            }
            Err(error) => {
                self.metrics.failed_reloads.add();
                tracing::error!(%error, "the new configuration is not right: the old one stays");
            }
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Error> {
        let listen = |kind| {
            signal(kind).map_err(|error| Error::run(format!("cannot listen to signals: {error}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    /// Waits for the next signal to end.
    async fn end(&mut self) {
        while !matches!(self.next().await, Told::End) {}
    }
}

/// What a signal tells the process to do.
enum Told {
    End,
    Reload,
}
