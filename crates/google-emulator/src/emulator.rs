//! The emulator: a tower service that answers for all of Google's hosts at once.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, PoisonError, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use serde::Serialize;
use serde_json::{Value, json};
use tower::Service;

use crate::{
    body::Body,
    builder::Builder,
    claims::{Claims, Rejection},
    credential::{Credential, Endpoints, IN_MEMORY},
    endpoint::Endpoint,
    fault::Fault,
    grant::Grant,
    journal::Journal,
    jws,
    server::Server,
    world::{World, seconds},
};

/// A pocket Google; clones are the same one.
///
/// It is a [`tower::Service`] that answers requests in memory: for Google's hosts and for the
/// run.app hosts of its services by their names, for paths without a host as Google's. A host that
/// it does not know is a connection error. [`serve`](Self::serve) puts the same on loopback.
#[derive(Clone, Debug)]
pub struct Emulator {
    pub(crate) world: Arc<World>,
}

impl Emulator {
    /// A world with sensible inhabitants: the service accounts `caller` and `invoker` of
    /// `demo-project`, the user `dev@example.com`, and the Cloud Run service `hello`.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A world to furnish.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Listens on loopback, at ports of the system's choice: one for Google's APIs, and one for
    /// each Cloud Run service.
    ///
    /// # Errors
    /// What the operating system says when it has no port.
    pub async fn serve(&self) -> io::Result<Server> {
        self.serve_at(0).await
    }

    /// Like [`serve`](Self::serve), with Google's APIs at this port.
    ///
    /// # Errors
    /// What the operating system says, above all that the port is taken.
    pub async fn serve_at(&self, port: u16) -> io::Result<Server> {
        Server::start(self.clone(), port).await
    }

    /// What was asked so far.
    pub fn journal(&self) -> Journal {
        self.world.journal.clone()
    }

    /// Makes something go wrong at an endpoint. Faults of one endpoint take turns in the order in
    /// which they were set, each until its turns are used up.
    pub fn fault(&self, endpoint: Endpoint, fault: Fault) {
        self.world.faults.set(endpoint, fault);
    }

    /// Lets everything go right again.
    pub fn clear_faults(&self) {
        self.world.faults.clear();
    }

    /// Gives a role, at once.
    pub fn grant(&self, grant: Grant) {
        self.world.policy.grant(grant);
    }

    /// Takes a role, or this much of an open world's freedom, at once.
    pub fn revoke(&self, grant: Grant) {
        self.world.policy.revoke(grant);
    }

    /// Makes a user's refresh token invalid, as the user can at myaccount.google.com.
    pub fn revoke_login(&self, email: &str) {
        let mut revoked = self
            .world
            .revoked_logins
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        revoked.insert(email.to_owned());
    }

    /// Signs with the other key from now on, as IAP does. Certs list one key before the first rotation, and
    /// after it both.
    pub fn rotate_keys(&self) {
        self.world.rotations.fetch_add(1, Ordering::Relaxed);
    }

    /// Checks an ID token as Google's verifiers do: key, signature, issuer, times, audience.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn verify(&self, token: &str, audience: &str) -> Result<Claims, Rejection> {
        let claims = self.world.verify(token)?;
        if claims.aud == audience {
            Ok(claims)
        } else {
            Err(Rejection::Audience)
        }
    }

    /// Signs any claims with Google's key: for tests of verifiers.
    ///
    /// # Panics
    /// If the claims are no JSON.
    pub fn mint(&self, claims: impl Serialize) -> String {
        jws::sign(&to_json(claims), self.world.signing_key())
    }

    /// Signs any claims under any header, by RS256 whatever the header says.
    ///
    /// # Panics
    /// If header or claims are no JSON.
    pub fn mint_with_header(&self, header: impl Serialize, claims: impl Serialize) -> String {
        jws::sign_with(&to_json(header), &to_json(claims), self.world.signing_key())
    }

    /// The claims of a sound ID token, to be spoilt and [minted](Self::mint).
    pub fn claims(&self, email: &str, audience: &str) -> Claims {
        self.world.sample_claims(email, audience)
    }

    /// The id of the key that signs now.
    pub fn key_id(&self) -> &'static str {
        &self.world.signing_key().id
    }

    /// The public half of the key that signs now, as a JSON Web Key.
    pub fn jwk(&self) -> Value {
        self.world.signing_key().jwk()
    }

    /// Signs any claims with Identity-Aware Proxy's key, by ES256: an assertion as it stands in
    /// `X-Goog-IAP-JWT-Assertion`.
    ///
    /// # Panics
    /// If the claims are no JSON.
    pub fn mint_iap(&self, claims: impl Serialize) -> String {
        let header = json!({ "alg": "ES256", "kid": self.iap_key_id(), "typ": "JWT" });
        self.mint_iap_with_header(header, claims)
    }

    /// Signs any claims under any header, by ES256 whatever the header says.
    ///
    /// # Panics
    /// If header or claims are no JSON.
    pub fn mint_iap_with_header(&self, header: impl Serialize, claims: impl Serialize) -> String {
        let key = self.world.iap_key();
        jws::sign_by(&to_json(header), &to_json(claims), |signed| {
            key.sign(signed)
        })
    }

    /// The claims of a sound assertion of IAP's, to be spoilt and [minted](Self::mint_iap).
    pub fn iap_claims(&self, email: &str, audience: &str) -> Claims {
        self.world.iap_claims(email, audience)
    }

    /// The id of the key that IAP signs with now.
    pub fn iap_key_id(&self) -> &'static str {
        &self.world.iap_key().id
    }

    /// The content of a credential file that points at Google's real addresses; `null` for the
    /// metadata server, which needs none.
    ///
    /// # Panics
    /// If the credential names somebody who does not exist.
    pub fn credentials(&self, credential: &Credential) -> Value {
        credential.file(&self.world, &Endpoints::google())
    }
}

/// What federation adds.
impl Emulator {
    /// The files that a credential file names, by their paths: subject tokens and the like. They
    /// are on no disk.
    pub fn files(&self, credential: &Credential) -> Vec<(String, String)> {
        let files = credential.side_files(&self.world, IN_MEMORY);
        let files = files.into_iter();
        files
            .map(|(name, content)| (format!("{IN_MEMORY}/{name}"), content))
            .collect()
    }

    /// A subject token that the pools' provider takes: a JWT about this subject that lives this
    /// long, in whole seconds.
    pub fn subject_token(&self, subject: &str, lifetime: Duration) -> String {
        self.world.subject_token(subject, seconds(lifetime))
    }
}

impl Default for Emulator {
    fn default() -> Self {
        Self::new()
    }
}

impl<B> Service<Request<B>> for Emulator
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    /// What a client would see of the connection: a reset, a hang-up, a host that is not there.
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Response<Body>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let emulator = self.clone();
        let request = request.map(Body::new);
        Box::pin(async move { emulator.in_memory(request).await })
    }
}

fn to_json(value: impl Serialize) -> Value {
    serde_json::to_value(value).expect("what is to be signed is JSON")
}
