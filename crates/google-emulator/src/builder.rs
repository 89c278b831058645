//! Furnishes the emulated world; what is not named comes with sensible defaults.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, atomic::AtomicUsize},
    time::{Duration, SystemTime},
};

use crate::{
    access::AccessTokens,
    account::{ADC_CLIENT, GCLOUD_CLIENT, ServiceAccount, User},
    clock::Clock,
    emulator::Emulator,
    faults::Faults,
    federation::{Federation, WORKFORCE, WORKLOAD},
    grant::{Grant, Policy},
    journal::Journal,
    metadata::MetadataServer,
    run::RunService,
    world::World,
};

/// Builds an [`Emulator`].
///
/// Whoever of a kind is not named at all comes from the default world. Where no grant is named,
/// everybody may call every service and impersonate every account; with the first grant, only what
/// is granted is allowed.
#[derive(Debug)]
pub struct Builder {
    clock: Clock,
    accounts: Vec<ServiceAccount>,
    users: Vec<User>,
    services: Vec<RunService>,
    grants: Vec<Grant>,
    closed: bool,
    attached: Attached,
    project: Option<(String, u64)>,
    universe: Option<String>,
    metadata_cache: Option<Duration>,
    id_token_lifetime: Duration,
    access_token_lifetime: Duration,
    certs_max_age: Duration,
    certs_age: Duration,
    exempt_clients: Vec<String>,
    pools: Vec<String>,
}

#[derive(Debug)]
enum Attached {
    First,
    Nobody,
    Account(String),
}

impl Builder {
    /// Adds a service account, by its e-mail. The first one is attached to the machine whose
    /// metadata server this is; the last one is what credential files impersonate.
    pub fn service_account(mut self, account: impl Into<ServiceAccount>) -> Self {
        self.accounts.push(account.into());
        self
    }

    /// Adds a user, by e-mail.
    pub fn user(mut self, user: impl Into<User>) -> Self {
        self.users.push(user.into());
        self
    }

    /// Adds a Cloud Run service, by its name.
    pub fn run(mut self, service: impl Into<RunService>) -> Self {
        self.services.push(service.into());
        self
    }

    /// Gives a role; from the first one on, what is not granted is denied.
    pub fn grant(mut self, grant: Grant) -> Self {
        self.grants.push(grant);
        self
    }

    /// Denies what is not granted, even if nothing is.
    pub fn closed(mut self) -> Self {
        self.closed = true;
        self
    }

    /// How long ID tokens live; an hour by default.
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.id_token_lifetime = lifetime;
        self
    }

    /// How long access tokens live; an hour by default.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.access_token_lifetime = lifetime;
        self
    }

    /// The time that tokens are stamped and judged by; the system's by default.
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Clock::new(now);
        self
    }

    /// Attaches this service account to the machine.
    pub fn metadata_account(mut self, email: impl Into<String>) -> Self {
        self.attached = Attached::Account(email.into());
        self
    }

    /// A machine with no service account.
    pub fn no_metadata_account(mut self) -> Self {
        self.attached = Attached::Nobody;
        self
    }

    /// The metadata server hands the same ID token out again until this long before its `exp`, as
    /// GKE's does; by default each is fresh, as Compute Engine's are.
    pub fn metadata_cache(mut self, until_before_expiry: Duration) -> Self {
        self.metadata_cache = Some(until_before_expiry);
        self
    }

    /// The machine's project; by default the one that the first service account's e-mail names.
    pub fn project(mut self, id: impl Into<String>, number: u64) -> Self {
        self.project = Some((id.into(), number));
        self
    }

    /// The machine's universe, which is that of all: Google's hosts lie in it, in memory, and key
    /// files name it. There is no OAuth outside googleapis.com. `None` for a metadata server too old to know.
    pub fn universe(mut self, domain: Option<&str>) -> Self {
        self.universe = domain.map(str::to_owned);
        self
    }

    /// What certs say in `Cache-Control: max-age` and in `Age`.
    pub fn certs_cache(mut self, max_age: Duration, age: Duration) -> Self {
        self.certs_max_age = max_age;
        self.certs_age = age;
        self
    }

    /// Whether Cloud Run lets users in who logged in by `gcloud auth application-default login`
    /// (it does by default; reports about the real one differ), and not only by `gcloud auth
    /// login`.
    pub fn accept_adc_logins(mut self, accept: bool) -> Self {
        self.exempt_clients.retain(|client| client != ADC_CLIENT);
        if accept {
            self.exempt_clients.push(ADC_CLIENT.to_owned());
        }
        self
    }

    /// Adds a provider of a workload or workforce identity pool, by the audience that stands for
    /// it: `//iam.googleapis.com/…/providers/PROVIDER`. There is one of each kind by default.
    pub fn pool_provider(mut self, audience: impl Into<String>) -> Self {
        self.pools.push(audience.into());
        self
    }

    /// Builds it. Nothing runs and nothing listens yet.
    pub fn build(mut self) -> Emulator {
        if self.accounts.is_empty() {
            self.accounts = DEFAULT_ACCOUNTS.map(ServiceAccount::new).to_vec();
        }
        if self.users.is_empty() {
            self.users.push(User::new("dev@example.com"));
        }
        if self.services.is_empty() {
            self.services.push(RunService::new("hello"));
        }
        self.pools.extend([WORKLOAD, WORKFORCE].map(str::to_owned));
        let (project, project_number) = self
            .project
            .unwrap_or_else(|| (self.accounts[0].project().to_owned(), 123_456_789_012));
        let metadata = MetadataServer {
            account: match self.attached {
                Attached::First => Some(self.accounts[0].email().to_owned()),
                Attached::Nobody => None,
                Attached::Account(email) => Some(email),
            },
            project,
            project_number,
            universe: self.universe,
            cached_until: self.metadata_cache,
            kept: Mutex::default(),
        };
        let world = World {
            clock: self.clock,
            accounts: self.accounts,
            users: self.users,
            services: self.services,
            metadata,
            federation: Federation::new(self.pools),
            policy: Policy::new(self.grants, self.closed),
            id_token_lifetime: self.id_token_lifetime,
            access_token_lifetime: self.access_token_lifetime,
            certs_max_age: self.certs_max_age,
            certs_age: self.certs_age,
            exempt_clients: self.exempt_clients,
            access_tokens: AccessTokens::default(),
            revoked_logins: Mutex::new(HashSet::new()),
            rotations: AtomicUsize::new(0),
            faults: Faults::default(),
            journal: Journal::new(),
        };
        Emulator {
            world: Arc::new(world),
        }
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            accounts: Vec::new(),
            users: Vec::new(),
            services: Vec::new(),
            grants: Vec::new(),
            closed: false,
            attached: Attached::First,
            project: None,
            universe: Some("googleapis.com".to_owned()),
            metadata_cache: None,
            id_token_lifetime: HOUR,
            access_token_lifetime: HOUR,
            certs_max_age: Duration::from_secs(19_800),
            certs_age: Duration::ZERO,
            exempt_clients: vec![GCLOUD_CLIENT.to_owned(), ADC_CLIENT.to_owned()],
            pools: Vec::new(),
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);

const DEFAULT_ACCOUNTS: [&str; 2] = [
    "caller@demo-project.iam.gserviceaccount.com",
    "invoker@demo-project.iam.gserviceaccount.com",
];
