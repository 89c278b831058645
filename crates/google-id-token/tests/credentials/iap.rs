//! Identity-Aware Proxy: its client id as the audience, its other scheme, and an app behind it
//! that has an `Authorization` of its own.

use std::convert::Infallible;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use google_emulator::{Body, Credential, Emulator, Endpoint, Grant};
use google_id_token::{
    AddIdTokenLayer, Audience, Builder, ByHost, Claims, ErrorKind, ImpersonateLayer, Placement,
    RequestAudience, Scopes,
};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::Value;
use tower::{BoxError, Layer, Service, ServiceExt};

use crate::support::{in_memory, now, with_file, with_metadata};

const CLIENT_ID: &str = "1234-abc.apps.googleusercontent.com";
const RESOURCE: &str = "https://admin.example.com/*";
const URL: &str = "https://admin.example.com/report";
const CALLER: &str = "caller@demo-project.iam.gserviceaccount.com";
const INVOKER: &str = "invoker@demo-project.iam.gserviceaccount.com";

fn bearer<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// The proxy, and behind it an app that answers with its own `Authorization`.
///
/// It looks at `Proxy-Authorization` first, wants an e-mail, and hands on what it did not use.
fn proxy(
    emulator: &Emulator,
) -> impl Service<Request<()>, Response = Response<String>, Error = Infallible, Future: Send> + Clone
{
    let emulator = emulator.clone();
    tower::service_fn(move |mut request: Request<()>| {
        let emulator = emulator.clone();
        async move {
            let name = match request.headers().contains_key("proxy-authorization") {
                true => "proxy-authorization",
                false => "authorization",
            };
            let token = bearer(request.headers(), name).unwrap_or_default();
            let claims = emulator.verify(token, CLIENT_ID);
            let mut answer = Response::new(String::new());
            if !claims.is_ok_and(|claims| claims.email.is_some()) {
                *answer.status_mut() = StatusCode::UNAUTHORIZED;
                *answer.body_mut() = "Invalid IAP credentials: no way".to_owned();
                return Ok(answer);
            }
            request.headers_mut().remove(name);
            let own = request.headers().get("authorization");
            *answer.body_mut() = own.map_or("", |own| own.to_str().unwrap()).to_owned();
            Ok(answer)
        }
    })
}

async fn get(
    service: impl Service<Request<()>, Response = Response<String>, Error = BoxError>,
    request: Request<()>,
) -> (StatusCode, String) {
    let answer = service.oneshot(request).await.unwrap();
    (answer.status(), answer.into_body())
}

fn request() -> Request<()> {
    Request::get(URL).body(()).unwrap()
}

#[tokio::test]
async fn the_client_id_is_the_audience_by_host_or_by_request() {
    let emulator = Emulator::new();
    for credential in [
        Credential::metadata(),
        Credential::service_account(),
        Credential::impersonated_by_user(),
    ] {
        let builder = if credential == Credential::metadata() {
            with_metadata(in_memory(&emulator))
        } else {
            with_file(&emulator, &credential)
        };
        let tokens = builder.build().await.unwrap().id_tokens();
        let audience: Audience = CLIENT_ID.parse().unwrap();
        let by_host = ByHost::new().host("admin.example.com", audience.clone());
        let layered = AddIdTokenLayer::new(by_host, tokens.clone()).layer(proxy(&emulator));
        let (status, said) = get(layered, request()).await;
        assert_eq!(status, StatusCode::OK, "{credential:?}: {said}");

        let layered = AddIdTokenLayer::new(ByHost::new(), tokens).layer(proxy(&emulator));
        let (status, _) = get(layered.clone(), request()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        let mut named = request();
        let own = RequestAudience::new(named.uri(), audience);
        named.extensions_mut().insert(own);
        let (status, _) = get(layered, named).await;
        assert_eq!(status, StatusCode::OK);
    }
}

#[tokio::test]
async fn in_proxy_authorization_the_apps_own_authorization_arrives_untouched() {
    let emulator = Emulator::new();
    let tokens = with_metadata(in_memory(&emulator)).build().await.unwrap();
    let by_host = ByHost::new().host("admin.example.com", CLIENT_ID.parse().unwrap());
    let layered = AddIdTokenLayer::new(by_host, tokens.id_tokens())
        .placement(Placement::Proxy)
        .layer(proxy(&emulator));
    let mut own = request();
    let basic = "Basic bWU6aHVzaA==".parse().unwrap();
    own.headers_mut().insert("authorization", basic);
    let (status, said) = get(layered, own).await;
    assert_eq!((status, &*said), (StatusCode::OK, "Basic bWU6aHVzaA=="));
}

/// Header and claims of a JWT whose signature is the account's.
async fn verified(emulator: &Emulator, email: &str, jwt: &str) -> (Value, Value) {
    let url = format!("https://www.googleapis.com/service_accounts/v1/jwk/{email}");
    let request = Request::get(url).body(Body::empty()).unwrap();
    let answer = emulator.clone().oneshot(request).await.unwrap();
    let keys: Bytes = answer.into_body().collect().await.unwrap().to_bytes();
    let keys: Value = serde_json::from_slice(&keys).unwrap();
    let key = &keys["keys"][0];
    let number = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    RsaPublicKeyComponents {
        n: number("n"),
        e: number("e"),
    }
    .verify(
        &RSA_PKCS1_2048_8192_SHA256,
        signed.as_bytes(),
        &URL_SAFE_NO_PAD.decode(signature).unwrap(),
    )
    .unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let json = |part: &str| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    assert_eq!(json(header)["kid"], key["kid"]);
    (json(header), json(claims))
}

#[tokio::test]
async fn a_service_account_signs_for_itself_with_its_key_or_by_iam() {
    for (credential, email) in [
        (Credential::service_account(), CALLER),
        (Credential::impersonated_by_service_account(), INVOKER),
        (Credential::impersonated_by_user(), INVOKER),
        (Credential::external_file(), INVOKER),
        (Credential::impersonated_by_external(), INVOKER),
    ] {
        let emulator = Emulator::new();
        let builder = with_file(&emulator, &credential).self_signed();
        let tokens = builder.build().await.unwrap().id_tokens();
        let token = tokens.get(&RESOURCE.parse().unwrap()).await.unwrap();
        let (header, claims) = verified(&emulator, email, token.secret()).await;
        assert_eq!(header["alg"], "RS256");
        for (name, value) in [("iss", email), ("sub", email), ("aud", RESOURCE)] {
            assert_eq!(claims[name], value);
        }
        let (iat, exp) = (&claims["iat"], &claims["exp"]);
        assert!(iat.as_u64().unwrap() <= now());
        assert!(exp.as_u64().unwrap() - iat.as_u64().unwrap() <= 3600);
        assert!(claims.get("target_audience").is_none());
        let by_iam = u64::from(email == INVOKER);
        assert_eq!(emulator.journal().count(Endpoint::SignJwt), by_iam);
        assert_eq!(emulator.journal().count(Endpoint::GenerateIdToken), 0);
    }
}

#[tokio::test]
async fn a_machines_account_signs_by_iam_where_it_is_named() {
    let emulator = Emulator::new();
    let builder = with_metadata(in_memory(&emulator)).self_signed();
    let error = builder.clone().build().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("`impersonate`"), "{error}");

    let tokens = builder.impersonate(CALLER).build().await.unwrap();
    let token = tokens.id_tokens().get(&RESOURCE.parse().unwrap()).await;
    verified(&emulator, CALLER, token.unwrap().secret()).await;
}

#[tokio::test]
async fn in_another_universe_a_key_signs_by_itself_and_a_machine_by_the_iam_there() {
    let emulator = Emulator::builder().universe(Some("s3nsapis.fr")).build();
    let key = with_file(&emulator, &Credential::service_account());
    let machine = with_metadata(in_memory(&emulator)).impersonate(CALLER);
    for (builder, by_iam) in [(key, 0), (machine, 1)] {
        let tokens = builder.self_signed().build().await.unwrap().id_tokens();
        let token = tokens.get(&RESOURCE.parse().unwrap()).await.unwrap();
        let claims = Claims::unverified(&token).unwrap();
        assert_eq!(claims.aud.as_deref(), Some(RESOURCE));
        let journal = emulator.journal();
        assert_eq!(journal.count(Endpoint::SignJwt), by_iam);
        assert_eq!(journal.count(Endpoint::GenerateIdToken), 0);
    }
    let asked = emulator.journal().last(Endpoint::SignJwt).unwrap();
    assert_eq!(asked.host, "iamcredentials.s3nsapis.fr");
}

#[tokio::test]
async fn signing_by_iam_needs_the_greater_role_and_says_so() {
    let emulator = Emulator::builder()
        .grant(Grant::open_id_token_creator(CALLER, INVOKER))
        .build();
    let builder = with_file(&emulator, &Credential::impersonated_by_service_account());
    let tokens = builder.self_signed().build().await.unwrap().id_tokens();
    let error = tokens.get(&RESOURCE.parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let message = error.to_string();
    assert!(message.contains("--role=roles/iam.serviceAccountTokenCreator"));
    assert!(!message.contains("OpenIdTokenCreator"), "{message}");
}

#[tokio::test]
async fn a_key_file_that_does_not_name_its_key_cannot_sign_for_itself() {
    let emulator = Emulator::new();
    let mut file = emulator.credentials(&Credential::service_account());
    file["private_key_id"] = Value::Null;
    let builder = Builder::new()
        .http(in_memory(&emulator))
        .credentials_json(file.to_string());
    let error = builder.self_signed().build().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("private_key_id"), "{error}");
}

#[tokio::test]
async fn the_layer_signs_over_any_source_of_access_tokens() {
    let emulator = Emulator::new();
    let http = in_memory(&emulator);
    let credentials = with_metadata(http.clone()).build().await.unwrap();
    let access = credentials.access_tokens().unwrap();
    access.get(&Scopes::cloud_platform()).await.unwrap();
    let layer = ImpersonateLayer::new(http, INVOKER).unwrap().self_signed();
    let token = layer.layer(access).oneshot(RESOURCE.parse().unwrap()).await;
    verified(&emulator, INVOKER, token.unwrap().secret()).await;
}
