//! Every kind of credentials gets a token that Google's own check accepts.

use std::sync::Arc;

use google_emulator::{Credential, Emulator, Endpoint, Fault, Grant, Mint, User};
use google_id_token::{Builder, Cache, Claims, ErrorKind, Kind, Scopes};

use crate::support::{AUDIENCE, audience, in_memory, user_file, with_file, with_metadata};

const CALLER: &str = "caller@demo-project.iam.gserviceaccount.com";
const INVOKER: &str = "invoker@demo-project.iam.gserviceaccount.com";

fn builder(emulator: &Emulator, credential: &Credential) -> Builder {
    if *credential == Credential::metadata() {
        with_metadata(in_memory(emulator))
    } else {
        with_file(emulator, credential)
    }
}

#[tokio::test]
async fn every_way_mints_a_token_for_the_audience_with_the_e_mail_in_it() {
    for (credential, kind, email) in [
        (Credential::metadata(), Kind::Metadata, CALLER),
        (Credential::service_account(), Kind::ServiceAccount, CALLER),
        (
            Credential::impersonated_by_user(),
            Kind::Impersonated,
            INVOKER,
        ),
        (
            Credential::impersonated_by_service_account(),
            Kind::Impersonated,
            INVOKER,
        ),
    ] {
        let emulator = Emulator::new();
        let credentials = builder(&emulator, &credential).build().await.unwrap();
        assert_eq!(credentials.kind(), kind);
        let token = credentials.id_tokens().get(&audience()).await.unwrap();
        let claims = emulator.verify(token.secret(), AUDIENCE).unwrap();
        assert_eq!(claims.email.as_deref(), Some(email), "{credential:?}");
        let read = Claims::unverified(&token).unwrap();
        assert_eq!(read.aud.as_deref(), Some(AUDIENCE));
        assert_eq!(read.email.as_deref(), Some(email));
    }
}

#[tokio::test]
async fn impersonation_works_on_top_of_any_credentials() {
    for credential in Credential::all() {
        let emulator = Emulator::new();
        let builder = builder(&emulator, &credential).impersonate(INVOKER);
        let credentials = builder.build().await.unwrap();
        assert_eq!(credentials.kind(), Kind::Impersonated);
        assert_eq!(credentials.principal(), Some(INVOKER));
        let token = credentials.id_tokens().get(&audience()).await.unwrap();
        let claims = emulator.verify(token.secret(), AUDIENCE).unwrap();
        assert_eq!(claims.email.as_deref(), Some(INVOKER), "{credential:?}");
        assert_eq!(emulator.journal().count(Endpoint::GenerateAccessToken), 0);
        assert_eq!(emulator.journal().count(Endpoint::GenerateIdToken), 1);
    }
}

#[tokio::test]
async fn delegates_are_named_in_order_and_the_files_own_account_becomes_one() {
    let [first, middle, last, target] =
        ["a", "b", "c", "d"].map(|name| format!("{name}@p.iam.gserviceaccount.com"));
    let emulator = Emulator::builder()
        .service_account(&*first)
        .service_account(&*middle)
        .service_account(&*last)
        .service_account(&*target)
        .grant(Grant::token_creator("dev@example.com", &*first))
        .grant(Grant::token_creator(&*first, &*middle))
        .grant(Grant::token_creator(&*middle, &*last))
        .grant(Grant::open_id_token_creator(&*last, &*target))
        .build();
    let file = Credential::impersonated_by_user()
        .target(&*middle)
        .delegates([&*first]);
    let builder = with_file(&emulator, &file)
        .impersonate(&*target)
        .delegates([&*last]);
    let credentials = builder.build().await.unwrap();
    let token = credentials.id_tokens().get(&audience()).await.unwrap();
    let claims = emulator.verify(token.secret(), AUDIENCE).unwrap();
    assert_eq!(claims.email.as_deref(), Some(&*target));
    let asked = emulator.journal().last(Endpoint::GenerateIdToken).unwrap();
    let name = |email: &str| format!("projects/-/serviceAccounts/{email}");
    assert_eq!(
        asked.fields["delegates"],
        serde_json::json!([name(&first), name(&middle), name(&last)])
    );
}

#[tokio::test]
async fn a_file_inside_a_file_makes_one_chain_and_one_request() {
    let emulator = Emulator::new();
    let mut outer = emulator.credentials(&Credential::impersonated_by_user());
    outer["source_credentials"] =
        emulator.credentials(&Credential::impersonated_by_user().target(CALLER));
    let builder = Builder::new()
        .http(in_memory(&emulator))
        .credentials_json(outer.to_string());
    let credentials = builder.build().await.unwrap();
    let token = credentials.id_tokens().get(&audience()).await.unwrap();
    let claims = emulator.verify(token.secret(), AUDIENCE).unwrap();
    assert_eq!(claims.email.as_deref(), Some(INVOKER));
    assert_eq!(emulator.journal().count(Endpoint::GenerateAccessToken), 0);
    let asked = emulator.journal().last(Endpoint::GenerateIdToken).unwrap();
    assert_eq!(
        asked.fields["delegates"],
        serde_json::json!([format!("projects/-/serviceAccounts/{CALLER}")])
    );
}

#[tokio::test]
async fn fifty_audiences_behind_one_impersonation_take_one_access_token() {
    let emulator = Emulator::new();
    let builder = with_file(&emulator, &Credential::impersonated_by_user());
    let tokens = builder.build().await.unwrap().id_tokens();
    for number in 0..50 {
        let audience = format!("https://service-{number}.example").parse().unwrap();
        tokens.get(&audience).await.unwrap();
    }
    assert_eq!(emulator.journal().count(Endpoint::GenerateIdToken), 50);
    assert_eq!(emulator.journal().count(Endpoint::Token), 1);
}

#[tokio::test]
async fn a_users_own_tokens_are_an_error_unless_they_were_chosen() {
    let emulator = Emulator::new();
    let builder = with_file(&emulator, &Credential::user());
    let error = builder.clone().build().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let message = error.to_string();
    for part in [
        "Impersonate a service account",
        "gcloud auth application-default login --impersonate-service-account=EMAIL",
        "roles/iam.serviceAccountOpenIdTokenCreator",
    ] {
        assert!(message.contains(part), "{message}");
    }

    let chosen = builder.user_tokens_for_cloud_run().build().await.unwrap();
    assert_eq!(chosen.kind(), Kind::User);
    let token = chosen.id_tokens().get(&audience()).await.unwrap();
    let claims = Claims::unverified(&token).unwrap();
    assert_eq!(claims.email.as_deref(), Some("dev@example.com"));
    assert!(claims.aud.unwrap().starts_with("764086051850-"));
}

#[tokio::test]
async fn a_login_of_somebodys_own_client_gets_no_exemption() {
    let mut file = user_file();
    file["client_id"] = "123-own.apps.googleusercontent.com".into();
    let builder = Builder::new().credentials_json(file.to_string());
    let error = builder
        .user_tokens_for_cloud_run()
        .build()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("123-own.apps"), "{error}");
}

#[tokio::test]
async fn a_login_without_openid_is_told_to_log_in_again() {
    let user =
        User::new("dev@example.com").scopes(["https://www.googleapis.com/auth/cloud-platform"]);
    let emulator = Emulator::builder().user(user).build();
    let builder = with_file(&emulator, &Credential::user()).user_tokens_for_cloud_run();
    let tokens = builder.build().await.unwrap().id_tokens();
    let error = tokens.get(&audience()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("openid"), "{error}");
}

#[tokio::test]
async fn access_tokens_are_of_the_same_identity_or_not_there() {
    let emulator = Emulator::new();
    for credential in [
        Credential::metadata(),
        Credential::service_account(),
        Credential::user(),
    ] {
        let builder = builder(&emulator, &credential).user_tokens_for_cloud_run();
        let access = builder.build().await.unwrap().access_tokens().unwrap();
        let token = access.get(&Scopes::cloud_platform()).await.unwrap();
        assert!(!token.secret().is_empty());
    }
    let builder = builder(&emulator, &Credential::impersonated_by_user());
    assert!(builder.build().await.unwrap().access_tokens().is_none());
}

#[tokio::test]
async fn any_token_provider_of_gcp_auth_pays_for_an_impersonation() {
    let emulator = Emulator::new();
    let credentials = with_metadata(in_memory(&emulator)).build().await.unwrap();
    let access = credentials.access_tokens().unwrap();
    let access = access.get(&Scopes::cloud_platform()).await.unwrap();
    let provider = Arc::new(Given(access.secret().to_owned()));

    let builder = Builder::new()
        .http(in_memory(&emulator))
        .access_tokens(provider);
    let alone = builder.clone().build().await.unwrap_err();
    assert_eq!(alone.kind(), ErrorKind::Config);
    let credentials = builder.impersonate(INVOKER).build().await.unwrap();
    let token = credentials.id_tokens().get(&audience()).await.unwrap();
    let claims = emulator.verify(token.secret(), AUDIENCE).unwrap();
    assert_eq!(claims.email.as_deref(), Some(INVOKER));
}

/// A token provider that has one token.
struct Given(String);

impl gcp_auth::TokenProvider for Given {
    fn token<'life0, 'life1, 'life2, 'async_trait>(
        &'life0 self,
        scopes: &'life1 [&'life2 str],
    ) -> std::pin::Pin<
        Box<
            dyn Future<Output = Result<Arc<gcp_auth::Token>, gcp_auth::Error>>
                + Send
                + 'async_trait,
        >,
    >
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
    {
        assert_eq!(scopes, ["https://www.googleapis.com/auth/cloud-platform"]);
        let json = serde_json::json!({ "access_token": self.0, "expires_in": 3600 });
        Box::pin(async move { Ok(Arc::new(serde_json::from_value(json).unwrap())) })
    }

    fn project_id<'life0, 'async_trait>(
        &'life0 self,
    ) -> std::pin::Pin<
        Box<dyn Future<Output = Result<Arc<str>, gcp_auth::Error>> + Send + 'async_trait>,
    >
    where
        'life0: 'async_trait,
    {
        Box::pin(async { Ok("project".into()) })
    }
}

#[tokio::test]
async fn a_missing_role_is_named_with_the_account_and_the_command() {
    let emulator = Emulator::builder().closed().build();
    let builder = with_file(&emulator, &Credential::impersonated_by_service_account());
    let tokens = builder.build().await.unwrap().id_tokens();
    let error = tokens.get(&audience()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let message = error.to_string();
    for part in [
        INVOKER,
        "403",
        "PERMISSION_DENIED",
        "roles/iam.serviceAccountOpenIdTokenCreator",
        &format!(
            "`gcloud iam service-accounts add-iam-policy-binding {INVOKER} \
             --member=serviceAccount:{CALLER} \
             --role=roles/iam.serviceAccountOpenIdTokenCreator`"
        ),
    ] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
}

#[tokio::test]
async fn a_machine_without_a_service_account_says_so() {
    let emulator = Emulator::builder().no_metadata_account().build();
    let tokens = with_metadata(in_memory(&emulator))
        .build()
        .await
        .unwrap()
        .id_tokens();
    let error = tokens.get(&audience()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.to_string().contains("No service account is attached"),
        "{error}"
    );
}

#[tokio::test]
async fn a_revoked_login_is_told_to_log_in_again() {
    let emulator = Emulator::new();
    emulator.revoke_login("dev@example.com");
    let builder = with_file(&emulator, &Credential::impersonated_by_user());
    let error = builder
        .build()
        .await
        .unwrap()
        .id_tokens()
        .get(&audience())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("invalid_grant"), "{error}");
    assert!(
        error
            .to_string()
            .contains("gcloud auth application-default login"),
        "{error}"
    );
}

#[tokio::test]
async fn tokens_with_something_wrong_in_them_are_malformed_and_no_panic() {
    for (credential, endpoint) in [
        (Credential::metadata(), Endpoint::MetadataIdentity),
        (Credential::service_account(), Endpoint::Token),
        (
            Credential::impersonated_by_user(),
            Endpoint::GenerateIdToken,
        ),
    ] {
        for mint in [
            Mint::NoExpiry,
            Mint::Expired,
            Mint::LineBreak,
            Mint::NotAJwt,
        ] {
            let emulator = Emulator::new();
            emulator.fault(endpoint, Fault::mint(mint.clone()));
            let tokens = builder(&emulator, &credential)
                .build()
                .await
                .unwrap()
                .id_tokens();
            let error = tokens.get(&audience()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed, "{mint:?}: {error}");
        }
    }
}

#[tokio::test]
async fn sources_stand_alone_as_tower_services() {
    use google_id_token::{ImpersonateLayer, Metadata, ServiceAccount, User};
    use tower::{Layer, ServiceExt};

    let emulator = Emulator::new();
    let http = in_memory(&emulator);
    let key = emulator
        .credentials(&Credential::service_account())
        .to_string();
    let login = emulator.credentials(&Credential::user()).to_string();

    let metadata = Metadata::new(http.clone(), "metadata.google.internal").unwrap();
    metadata.clone().oneshot(audience()).await.unwrap();
    let account = ServiceAccount::from_json(http.clone(), &key).unwrap();
    account.clone().oneshot(audience()).await.unwrap();
    let user = User::from_json(http.clone(), &login).unwrap();
    user.clone()
        .for_cloud_run()
        .unwrap()
        .oneshot(audience())
        .await
        .unwrap();
    assert!(User::from_json(http.clone(), &key).is_err());
    assert!(ServiceAccount::from_json(http.clone(), &login).is_err());

    let layer = ImpersonateLayer::new(http.clone(), INVOKER)
        .unwrap()
        .delegate(CALLER)
        .unwrap();
    layer.layer(metadata).oneshot(audience()).await.unwrap();
    let layer = layer
        .endpoint("https://iamcredentials.googleapis.com/")
        .unwrap();
    layer.layer(account).oneshot(audience()).await.unwrap();
    layer
        .layer(Cache::new(user))
        .oneshot(audience())
        .await
        .unwrap();
    let asked = emulator.journal().last(Endpoint::GenerateIdToken).unwrap();
    assert_eq!(asked.fields["delegates"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_emulator_on_loopback_is_found_by_the_environment_that_it_prints() {
    let server = Emulator::new().serve().await.unwrap();
    for credential in Credential::all() {
        let env = server.env_for(&credential).unwrap();
        let builder = Builder::new().env(env.into_iter().collect());
        let credentials = builder.user_tokens_for_cloud_run().build().await.unwrap();
        let token = credentials.id_tokens().get(&audience()).await.unwrap();
        if credentials.kind() != Kind::User {
            server.emulator().verify(token.secret(), AUDIENCE).unwrap();
        }
        let builder =
            Builder::new().env(server.env_for(&credential).unwrap().into_iter().collect());
        let credentials = builder.impersonate(INVOKER).build().await.unwrap();
        let token = credentials.id_tokens().get(&audience()).await.unwrap();
        server.emulator().verify(token.secret(), AUDIENCE).unwrap();
    }
}
