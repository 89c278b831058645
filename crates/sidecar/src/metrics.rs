//! What happened so far, counted, and told as Prometheus wants it.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use google_id_token::{Audience, Cache, Clock, Expires, IdToken, SourceError};
use http::StatusCode;
use tokio::sync::watch;

/// All counters of the process.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    routes: Mutex<BTreeMap<String, Arc<Counters>>>,
    tokens: Mutex<Tokens>,
    /// How many audiences live on a token whose renewal has failed.
    stale: AtomicUsize,
    landings: watch::Sender<u64>,
    /// Requests that left with such a token.
    pub(crate) stale_serves: Counter,
    /// 401s that blamed the token.
    pub(crate) refused_tokens: Counter,
    /// Requests that were sent a second time after one.
    pub(crate) retries: Counter,
    /// Secrets that were pushed to an Envoy.
    pub(crate) pushes: Counter,
    /// Requests that came in with a good token of Google's, with a good assertion of IAP's, and on
    /// a path that needs none.
    #[cfg(feature = "inbound")]
    pub(crate) accepted: Accepted,
    /// Configurations that were taken over, and that were not.
    pub(crate) reloads: Counter,
    pub(crate) failed_reloads: Counter,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Tokens {
    fetches: u64,
    failures: BTreeMap<String, u64>,
    lives: HashMap<Audience, Life>,
}

#[derive(Clone, Copy, Debug)]
struct Life {
    fetched_at: SystemTime,
    expires_at: SystemTime,
    failing: bool,
}

/// Requests that came in, by what let them in.
#[cfg(feature = "inbound")]
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    pub(crate) google: Counter,
    pub(crate) iap: Counter,
    pub(crate) unchecked: Counter,
}

/// One number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// The requests of one route.
pub(crate) struct Counters {
    codes: [Counter; CODES],
    failures: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counters {
    /// Counts an answer, whoever gave it.
    pub(crate) fn answered(&self, status: StatusCode) {
        let code = usize::from(status.as_u16()) - 100;
        self.codes[code.min(CODES - 1)].add();
    }

    /// Counts a request for which the sidecar answered itself.
    pub(crate) fn failed(&self, reason: &'static str) {
        *lock(&self.failures).entry(reason).or_default() += 1;
    }
}

impl Metrics {
    /// The counters of this route; the same ones again after a reload.
    pub(crate) fn route(&self, name: &str) -> Arc<Counters> {
        Arc::clone(lock(&self.routes).entry(name.to_owned()).or_default())
    }

    /// Listens to this cache's fetches. Call it once.
    pub(crate) fn watch(self: &Arc<Self>, tokens: &Cache<Audience, IdToken>) {
        let metrics = Arc::clone(self);
        tokens.observe(move |audience, outcome| metrics.landed(audience, outcome));
    }

    /// Wakes at every fetch that ends.
    pub(crate) fn landings(&self) -> watch::Receiver<u64> {
        self.landings.subscribe()
    }

    /// Counts a request that leaves with a token for this audience, where any token is stale.
    #[inline]
    pub(crate) fn serves<'a>(&self, audience: impl FnOnce() -> Option<Audience> + 'a) {
        if self.stale.load(Relaxed) > 0 {
            self.serves_stale(audience());
        }
    }

    #[cold]
    fn serves_stale(&self, audience: Option<Audience>) {
        let now = self.clock.now();
        let tokens = lock(&self.tokens);
        let life = audience.and_then(|audience| tokens.lives.get(&audience));
        if life.is_some_and(|life| life.failing && now < life.expires_at) {
            self.stale_serves.add();
        }
    }

    fn landed(&self, audience: &Audience, outcome: Result<&IdToken, &SourceError>) {
        let now = self.clock.now();
        let mut tokens = lock(&self.tokens);
        tokens.fetches += 1;
        match outcome {
            Ok(token) => {
                // The table has the bound of the cache's own: what is dead there is dead here.
                tokens.lives.retain(|_, life| now < life.expires_at);
                let expires_at = token.expires_at();
                tokens.lives.insert(
                    audience.clone(),
                    Life {
                        fetched_at: now,
                        expires_at,
                        failing: false,
                    },
                );
            }
            Err(error) => {
                let kind = error.kind().to_string().replace(' ', "_");
                *tokens.failures.entry(kind).or_default() += 1;
                if let Some(life) = tokens.lives.get_mut(audience) {
                    life.failing = true;
                }
            }
        }
        let stale = tokens.lives.values().filter(|life| life.failing).count();
        self.stale.store(stale, Relaxed);
        drop(tokens);
        self.landings.send_modify(|landings| *landings += 1);
    }

    /// Everything, in Prometheus's text format.
    pub(crate) fn render(&self) -> String {
        let mut page = Page::default();
        let routes = lock(&self.routes);
        page.counter(
            "requests_total",
            "Requests by route and status code of the answer.",
            routes.iter().flat_map(|(route, counters)| {
                let codes = counters.codes.iter().enumerate();
                codes.filter_map(move |(index, count)| {
                    let count = count.0.load(Relaxed);
                    (count > 0).then(|| {
                        let code = (index + 100).to_string();
                        (vec![("route", route.clone()), ("code", code)], count)
                    })
                })
            }),
        );
        page.counter(
            "refused_requests_total",
            "Requests that the sidecar answered itself, by route and reason.",
            routes.iter().flat_map(|(route, counters)| {
                let failures = lock(&counters.failures).clone();
                failures.into_iter().map(move |(reason, count)| {
                    let labels = vec![("route", route.clone()), ("reason", reason.to_owned())];
                    (labels, count)
                })
            }),
        );
        drop(routes);
        #[cfg(feature = "inbound")]
        page.counter(
            "accepted_requests_total",
            "Requests that were let in, by what they were let in for.",
            [
                ("google", &self.accepted.google),
                ("iap", &self.accepted.iap),
                ("unchecked", &self.accepted.unchecked),
            ]
            .map(|(by, counter)| (vec![("by", by.to_owned())], counter.0.load(Relaxed))),
        );
        let tokens = lock(&self.tokens);
        page.single(
            "token_fetches_total",
            "Fetches of tokens that ended.",
            tokens.fetches,
        );
        page.counter(
            "token_failures_total",
            "Fetches of tokens that failed, by kind.",
            tokens
                .failures
                .iter()
                .map(|(kind, count)| (vec![("kind", kind.clone())], *count)),
        );
        let now = self.clock.now();
        let seconds =
            |span: Result<Duration, _>| span.map_or(0.0, |span: Duration| span.as_secs_f64());
        let mut lives: Vec<_> = tokens.lives.iter().collect();
        lives.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
        let by_audience =
            |value: fn(&Life, SystemTime) -> Result<Duration, std::time::SystemTimeError>| {
                let lives = lives.clone();
                lives.into_iter().map(move |(audience, life)| {
                    let labels = vec![("audience", audience.to_string())];
                    (labels, seconds(value(life, now)))
                })
            };
        page.gauge(
            "token_age_seconds",
            "Time since the token in use was fetched.",
            by_audience(|life, now| now.duration_since(life.fetched_at)),
        );
        page.gauge(
            "token_expires_in_seconds",
            "Time until the token in use ends; 0 where it has ended.",
            by_audience(|life, now| life.expires_at.duration_since(now)),
        );
        drop(tokens);
        for (name, help, counter) in [
            (
                "stale_serves_total",
                "Requests that left with a token whose renewal had failed.",
                &self.stale_serves,
            ),
            (
                "refused_tokens_total",
                "Answers of 401 that blamed the token.",
                &self.refused_tokens,
            ),
            (
                "unauthorized_retries_total",
                "Requests sent again after such an answer.",
                &self.retries,
            ),
            (
                "secret_pushes_total",
                "Secrets pushed to an Envoy.",
                &self.pushes,
            ),
            (
                "reloads_total",
                "Configurations taken over while running.",
                &self.reloads,
            ),
            (
                "failed_reloads_total",
                "Configurations refused while running; the old one stayed.",
                &self.failed_reloads,
            ),
        ] {
            page.single(name, help, counter.0.load(Relaxed));
        }
        page.text
    }
}

type Labels = Vec<(&'static str, String)>;

/// The text format: https://prometheus.io/docs/instrumenting/exposition_formats/
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn single(&mut self, name: &str, help: &str, value: u64) {
        self.counter(name, help, [(Vec::new(), value)]);
    }

    fn counter(&mut self, name: &str, help: &str, lines: impl IntoIterator<Item = (Labels, u64)>) {
        self.family(name, help, "counter", lines);
    }

    fn gauge(&mut self, name: &str, help: &str, lines: impl IntoIterator<Item = (Labels, f64)>) {
        self.family(name, help, "gauge", lines);
    }

    fn family<V: fmt::Display>(
        &mut self,
        name: &str,
        help: &str,
        kind: &str,
        lines: impl IntoIterator<Item = (Labels, V)>,
    ) {
        let text = &mut self.text;
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}"
        );
        for (labels, value) in lines {
            let _ = write!(text, "{PREFIX}{name}");
            for (index, (label, value)) in labels.iter().enumerate() {
                let open = if index == 0 { '{' } else { ',' };
                let value = value
                    .replace('\\', "\\\\")
                    .replace('"', "\\\"")
                    .replace('\n', "\\n");
                let _ = write!(text, "{open}{label}=\"{value}\"");
            }
            let close = if labels.is_empty() { "" } else { "}" };
            let _ = writeln!(text, "{close} {value}");
        }
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            codes: std::array::from_fn(|_| Counter::default()),
            failures: Mutex::default(),
        }
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const PREFIX: &str = "id_token_sidecar_";
/// Status codes 100 to 599, and one place for those that nobody has heard of.
const CODES: usize = 501;
