//! Who may do what: the three roles that matter between a caller and a Cloud Run service.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

/// One role, given to one principal on one resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    role: Role,
    member: String,
    resource: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Role {
    Invoker,
    TokenCreator,
    OpenIdTokenCreator,
}

impl Grant {
    /// `roles/run.invoker`: `member` (an e-mail, or `allUsers`) may call the Cloud Run `service`.
    pub fn invoker(member: impl Into<String>, service: impl Into<String>) -> Self {
        Self {
            role: Role::Invoker,
            member: member.into(),
            resource: service.into(),
        }
    }

    /// `roles/iam.serviceAccountTokenCreator`: `member` may mint every kind of token as the
    /// service account `target`, sign JWTs as it, and pass through it as a delegate.
    pub fn token_creator(member: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            role: Role::TokenCreator,
            member: member.into(),
            resource: target.into(),
        }
    }

    /// `roles/iam.serviceAccountOpenIdTokenCreator`: `member` may mint ID tokens as the service
    /// account `target`, and nothing else.
    pub fn open_id_token_creator(member: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            role: Role::OpenIdTokenCreator,
            member: member.into(),
            resource: target.into(),
        }
    }
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    Invoke,
    OpenIdToken,
    AccessToken,
    SignJwt,
    ImplicitDelegation,
}

impl Permission {
    /// The permission's name in IAM.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Invoke => "run.routes.invoke",
            Self::OpenIdToken => "iam.serviceAccounts.getOpenIdToken",
            Self::AccessToken => "iam.serviceAccounts.getAccessToken",
            Self::SignJwt => "iam.serviceAccounts.signJwt",
            Self::ImplicitDelegation => "iam.serviceAccounts.implicitDelegation",
        }
    }

    fn roles(self) -> &'static [Role] {
        match self {
            Self::Invoke => &[Role::Invoker],
            Self::OpenIdToken => &[Role::TokenCreator, Role::OpenIdTokenCreator],
            Self::AccessToken | Self::SignJwt | Self::ImplicitDelegation => &[Role::TokenCreator],
        }
    }
}

/// The emulated project's IAM policy.
///
/// It starts open (everybody may do everything) where its builder was given no grant, else closed.
#[derive(Debug)]
pub(crate) struct Policy(Mutex<Bindings>);

#[derive(Debug)]
struct Bindings {
    open: bool,
    granted: HashSet<Grant>,
    revoked: HashSet<Grant>,
}

impl Policy {
    pub(crate) fn new(grants: Vec<Grant>, closed: bool) -> Self {
        let open = grants.is_empty() && !closed;
        let granted = grants.into_iter().collect();
        Self(Mutex::new(Bindings {
            open,
            granted,
            revoked: HashSet::new(),
        }))
    }

    pub(crate) fn grant(&self, grant: Grant) {
        let mut bindings = self.bindings();
        bindings.revoked.remove(&grant);
        bindings.granted.insert(grant);
    }

    pub(crate) fn revoke(&self, grant: Grant) {
        let mut bindings = self.bindings();
        bindings.granted.remove(&grant);
        bindings.revoked.insert(grant);
    }

    pub(crate) fn allows(&self, member: &str, permission: Permission, resource: &str) -> bool {
        let bindings = self.bindings();
        let mut grants = permission.roles().iter().map(|&role| Grant {
            role,
            member: member.to_owned(),
            resource: resource.to_owned(),
        });
        if bindings.open {
            return !grants.any(|grant| bindings.revoked.contains(&grant));
        }
        grants.any(|grant| bindings.granted.contains(&grant))
            || (permission == Permission::Invoke && bindings.allows_all_users(resource))
    }

    /// Whether a Cloud Run service asks nobody who they are.
    pub(crate) fn is_public(&self, service: &str) -> bool {
        self.bindings().allows_all_users(service)
    }

    fn bindings(&self) -> std::sync::MutexGuard<'_, Bindings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bindings {
    fn allows_all_users(&self, service: &str) -> bool {
        self.granted.contains(&Grant::invoker("allUsers", service))
    }
}
