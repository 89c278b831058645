//! What is measured: each row a service, beside the bare one called in the same way.

use std::fmt;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, header};
use tower::{BoxError, Layer};
use tower_http::set_header::SetRequestHeaderLayer;
use tower_id_token::{
    AddIdTokenLayer, Audience, AudiencePolicy, ByHost, Cache, Clock, IdToken, PerOrigin,
};

use crate::request::{Hosts, Requests};
use crate::runner::{Bare, Loop, Runner, Use};
use crate::world::World;

/// One line of the table.
pub struct Row {
    /// As the table shows it.
    pub title: String,
    /// As the command line takes it.
    pub name: String,
    /// Whether it measures somebody else's work.
    pub peer: bool,
    warm_up: usize,
    bare: Box<dyn Fn() -> Box<dyn Runner> + Send + Sync>,
    service: Box<dyn Fn() -> Box<dyn Runner> + Send + Sync>,
}

impl Row {
    /// A row that sends its requests through this service.
    pub fn new<S>(title: &str, name: &str, hosts: Hosts, mode: Use, service: S) -> Self
    where
        S: Clone + Send + Sync + 'static,
        Loop<S>: Runner,
    {
        Self {
            title: title.to_owned(),
            name: name.to_owned(),
            peer: false,
            warm_up: 2 * Requests::to(hosts).len() + 100,
            bare: Box::new(move || {
                Box::new(Loop {
                    service: Bare,
                    requests: Requests::to(hosts),
                    mode,
                })
            }),
            service: Box::new(move || {
                let service = service.clone();
                Box::new(Loop {
                    service,
                    requests: Requests::to(hosts),
                    mode,
                })
            }),
        }
    }

    /// A loop over the bare service.
    pub fn bare(&self) -> Box<dyn Runner> {
        (self.bare)()
    }

    /// A loop over the row's service, warm: it has seen each host twice.
    pub async fn warm(&self) -> Box<dyn Runner> {
        let mut runner = (self.service)();
        runner.run(self.warm_up).await;
        runner
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// All rows, the floor first, and the world that the peers' tokens come from.
///
/// # Errors
///
/// Those of the peers.
pub async fn all() -> Result<(Vec<Row>, Option<World>), BoxError> {
    let mut rows = ours();
    let (peers, world) = peers().await?;
    rows.extend(peers);
    Ok((rows, world))
}

/// One row, and the world that it may need.
///
/// # Errors
///
/// Where there is no such row, and those of the peers.
pub async fn named(name: &str) -> Result<(Row, Option<World>), BoxError> {
    let its = |row: &Row| row.name == name;
    if let Some(row) = ours().into_iter().find(its) {
        return Ok((row, None));
    }
    let (peers, world) = peers().await?;
    let row = peers.into_iter().find(its).ok_or("there is no such row")?;
    Ok((row, world))
}

#[cfg(feature = "peers")]
async fn peers() -> Result<(Vec<Row>, Option<World>), BoxError> {
    let world = World::start(google_emulator::Emulator::builder())?;
    let mut rows = crate::peers::rows(&world).await?;
    rows.iter_mut().for_each(|row| row.peer = true);
    Ok((rows, Some(world)))
}

#[cfg(not(feature = "peers"))]
async fn peers() -> Result<(Vec<Row>, Option<World>), BoxError> {
    Ok((Vec::new(), None))
}

/// The floor and our layer.
pub fn ours() -> Vec<Row> {
    let mut rows = vec![floor(
        "SetRequestHeaderLayer, shared value",
        FLOOR,
        Use::Again,
    )];
    // Adds nothing, and shows how far two tasks come here that share nothing at all.
    rows.push(Row::new(
        "the bare service itself",
        "bare",
        Hosts::Custom(1),
        Use::Again,
        Bare,
    ));
    for count in [1, 16, 1000] {
        let hosts = Hosts::Custom(count);
        rows.push(Row::new(
            &format!("ByHost, {}", plural(count, "host")),
            &format!("by-host-{count}"),
            hosts,
            Use::Again,
            layer(by_host(hosts)),
        ));
    }
    for count in [1, 16, 1000] {
        rows.push(Row::new(
            &format!("PerOrigin, {}", plural(count, "origin")),
            &format!("per-origin-{count}"),
            Hosts::Run(count),
            Use::Again,
            layer(PerOrigin::new()),
        ));
    }
    rows.push(floor(
        "SetRequestHeaderLayer, a clone per request",
        "floor-clone",
        Use::Clone,
    ));
    rows.push(Row::new(
        "ByHost, 1 host, a clone per request",
        "by-host-1-clone",
        Hosts::Custom(1),
        Use::Clone,
        layer(by_host(Hosts::Custom(1))),
    ));
    rows.push(Row::new(
        "PerOrigin, 16 origins, a clone per request",
        "per-origin-16-clone",
        Hosts::Run(16),
        Use::Clone,
        layer(PerOrigin::new()),
    ));
    rows
}

fn floor(title: &str, name: &str, mode: Use) -> Row {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token())).expect("a valid value");
    value.set_sensitive(true);
    let layer = SetRequestHeaderLayer::overriding(header::AUTHORIZATION, value);
    Row::new(title, name, Hosts::Custom(1), mode, layer.layer(Bare))
}

fn layer<P: AudiencePolicy + Clone>(policy: P) -> <AddIdTokenLayer<P> as Layer<Bare>>::Service {
    AddIdTokenLayer::new(policy, tokens()).layer(Bare)
}

fn by_host(hosts: Hosts) -> ByHost {
    hosts.names().iter().fold(ByHost::new(), |policy, host| {
        let audience = format!("https://{host}").parse().expect("a valid audience");
        policy.host(host, audience)
    })
}

fn tokens() -> Cache<Audience, IdToken> {
    Cache::new(tower::service_fn(|_: Audience| async {
        IdToken::new(&token(), expiry(Duration::from_secs(24 * 3600)))
    }))
}

fn expiry(life: Duration) -> SystemTime {
    Clock::default().now() + life
}

/// As long as Google's tokens for service accounts are.
pub fn token() -> String {
    format!(
        "{}.{}.{}",
        "h".repeat(120),
        "c".repeat(356),
        "s".repeat(342)
    )
}

fn plural(count: usize, word: &str) -> String {
    match count {
        1 => format!("1 {word}"),
        1000 => format!("1,000 {word}s"),
        count => format!("{count} {word}s"),
    }
}

/// The row that all others are compared with.
pub const FLOOR: &str = "floor";
