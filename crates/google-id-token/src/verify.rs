//! The receiving end: checks the ID tokens of those who call, and says who they are.
//!
//! A [`Verifier`] checks one token. [`RequireIdToken`] puts it in front of a service, by
//! tower-http's `AsyncRequireAuthorizationLayer`: a request without a good token is answered
//! there, and one with a good token goes on with its [`Caller`] in the extensions.
//!
//! ```
//! use google_emulator::{Body, Emulator};
//! use google_id_token::HttpClient;
//! use google_id_token::verify::{Caller, RequireIdToken, Verifier};
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_http::auth::AsyncRequireAuthorizationLayer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let google = Emulator::new();
//! let verifier = Verifier::builder()
//!     .audience("https://hello.example")
//!     .allow_email("caller@project.iam.gserviceaccount.com")
//!     .http(HttpClient::from_service(google.clone())) // left out, it is the real Google
//!     .build()?;
//! let service = ServiceBuilder::new()
//!     .layer(AsyncRequireAuthorizationLayer::new(RequireIdToken::new(verifier)))
//!     .service_fn(|request: Request<Body>| async move {
//!         let caller = request.extensions().get::<Caller>().expect("the layer puts it there");
//!         assert_eq!(caller.email(), Some("caller@project.iam.gserviceaccount.com"));
//!         Ok::<_, std::io::Error>(Response::new(Body::empty()))
//!     });
//!
//! let request = Request::get("https://hello.example/").body(Body::empty())?;
//! assert_eq!(service.clone().oneshot(request).await?.status(), 401);
//!
//! let claims = google.claims("caller@project.iam.gserviceaccount.com", "https://hello.example");
//! let request = Request::get("https://hello.example/")
//!     .header("authorization", format!("Bearer {}", google.mint(claims)))
//!     .body(Body::empty())?;
//! assert_eq!(service.oneshot(request).await?.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! # What is checked
//!
//! In this order, and the first thing that is wrong is the [`RefusalKind`]:
//!
//! 1. The length: more than 16 KiB is not looked at.
//! 2. The form: three parts of unpadded base64url (RFC 7515, section 3.1).
//! 3. The header: a JSON object with no name in it twice; the algorithm of an issuer that is
//!    configured; nothing `crit`ical; a type that is absent or `JWT`. Keys that a token brings
//!    along are not looked at (RFC 8725, section 3).
//! 4. The key: one of the issuer's own, by its id. An id that is not known has the keys fetched
//!    again, every 30 s at most.
//! 5. The signature: RS256 by Google's certs, or ES256 by IAP's keys.
//! 6. The claims: a JSON object with no name in it twice, each claim of its right type.
//! 7. The issuer, which is tied to its algorithm, its keys and its audiences: nothing crosses
//!    over.
//! 8. The audience, exactly one, exactly as configured.
//! 9. The times: `exp`, `iat` and `nbf` with a leeway of 30 s, and a life of 24 h at most (10
//!    minutes for IAP).
//! 10. The caller: your own lists and rules. An e-mail counts only where Google has verified it.
//!
//! # What is behind whom
//!
//! Cloud Run, where it checks callers itself, removes the signature of the token that it checked.
//! Such a token says who called and proves nothing, because anybody could have written it; it is
//! refused as [`SignatureRemoved`](RefusalKind::SignatureRemoved). Have the caller send its token
//! in both headers (`Placement` knows how), or leave the check to Cloud Run alone.

mod answer;
mod builder;
mod caller;
mod check;
mod claims;
mod crypto;
#[cfg(feature = "axum")]
mod extract;
mod headers;
mod identity_headers;
mod issuer;
mod json;
mod key_ring;
mod keys;
mod pick;
mod refusal;
mod remembered;
mod require;
mod rules;
mod source;
mod taken;
mod token;
mod verifier;

pub use self::builder::VerifierBuilder;
pub use self::caller::Caller;
#[cfg(feature = "axum")]
pub use self::extract::NoCaller;
pub use self::identity_headers::IdentityHeaders;
pub use self::issuer::Issuer;
pub use self::refusal::{Refusal, RefusalKind};
pub use self::require::{Authorize, RequireIdToken};
pub use self::verifier::Verifier;
