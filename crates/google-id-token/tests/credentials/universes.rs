//! Other universes than googleapis.com: every endpoint that nothing names follows them.

use google_emulator::{Credential, Emulator, Endpoint};
use google_id_token::{Builder, Env, Kind, Scopes, ServiceAccount};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{
    AUDIENCE, Peer, ROBOT, audience, id_token, in_memory, json_answer, user_file, with_file,
    with_metadata,
};

const UNIVERSE: &str = "s3nsapis.fr";
const CALLER: &str = "caller@demo-project.iam.gserviceaccount.com";

fn elsewhere() -> Emulator {
    Emulator::builder().universe(Some(UNIVERSE)).build()
}

#[tokio::test]
async fn a_key_signs_its_own_access_token_for_the_iam_of_its_universe() {
    let emulator = elsewhere();
    let credential = Credential::service_account();
    let credentials = with_file(&emulator, &credential).build().await.unwrap();
    assert_eq!(credentials.kind(), Kind::ServiceAccount);
    let token = credentials.id_tokens().get(&audience()).await.unwrap();
    let claims = emulator.verify(token.secret(), AUDIENCE).unwrap();
    assert_eq!(claims.email.as_deref(), Some(CALLER));
    assert_eq!(claims.azp.as_deref(), Some(CALLER));

    let journal = emulator.journal();
    assert_eq!(journal.count(Endpoint::Token), 0);
    let asked = journal.last(Endpoint::GenerateIdToken).unwrap();
    assert_eq!(asked.host, format!("iamcredentials.{UNIVERSE}"));
    assert_eq!(asked.fields["includeEmail"], json!(true));
    assert_eq!(asked.fields["useEmailAzp"], json!(true));
}

#[tokio::test]
async fn the_self_signed_token_has_the_claims_of_aip_4111_and_no_audience() {
    let file = elsewhere().credentials(&Credential::service_account());
    let peer = Peer::default();
    let http = peer.client(|_, _| json_answer(json!({ "token": id_token(AUDIENCE) })));
    let source = ServiceAccount::from_json(http, &file.to_string()).unwrap();
    source.clone().oneshot(audience()).await.unwrap();
    let asked = &peer.asked()[0];
    let bearer = asked.header("authorization").unwrap();
    let claims = bearer.split('.').nth(1).unwrap();
    use base64::Engine;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims);
    let claims: Value = serde_json::from_slice(&claims.unwrap()).unwrap();
    let issued = claims["iat"].as_u64().unwrap();
    assert_eq!(
        claims,
        json!({
            "iss": CALLER,
            "sub": CALLER,
            "scope": "https://www.googleapis.com/auth/iam",
            "iat": issued,
            "exp": issued + 3600,
        })
    );
    // An access token of other scopes is signed, and nobody is asked.
    let access = source.oneshot(Scopes::cloud_platform()).await.unwrap();
    assert!(access.secret().starts_with("eyJ"));
    assert_eq!(peer.asked().len(), 1);
}

#[tokio::test]
async fn an_impersonation_of_any_credentials_asks_the_iam_of_their_universe() {
    let emulator = elsewhere();
    let key = with_file(&emulator, &Credential::service_account());
    let metadata = with_metadata(in_memory(&emulator));
    for builder in [key, metadata] {
        let credentials = builder.impersonate(CALLER).build().await.unwrap();
        let token = credentials.id_tokens().get(&audience()).await.unwrap();
        assert!(emulator.verify(token.secret(), AUDIENCE).is_ok());
        let asked = emulator.journal().last(Endpoint::GenerateIdToken).unwrap();
        assert_eq!(asked.host, format!("iamcredentials.{UNIVERSE}"));
    }
}

#[tokio::test]
async fn users_and_external_accounts_follow_their_files_universe() {
    let mut user = user_file();
    user["token_uri"] = "https://oauth.example/token".into();
    let mut external = Emulator::new().credentials(&Credential::external_file().without_target());
    external.as_object_mut().unwrap().remove("token_url");
    for (mut file, first) in [
        (user, "https://oauth.example/token".to_owned()),
        (external, format!("https://sts.{UNIVERSE}/v1/token")),
    ] {
        file["universe_domain"] = UNIVERSE.into();
        let peer = Peer::default();
        let http = peer.client(|number, _| match number {
            1 => json_answer(json!({ "access_token": "ya29.x", "expires_in": "3600" })),
            _ => json_answer(json!({ "token": id_token(AUDIENCE) })),
        });
        let env = Env::empty().file("/google-emulator/subject-token.jwt", "a.b.c");
        let builder = Builder::new()
            .env(env)
            .http(http)
            .credentials_json(file.to_string())
            .impersonate(ROBOT);
        let tokens = builder.build().await.unwrap().id_tokens();
        tokens.get(&audience()).await.unwrap();
        let asked = peer.asked();
        assert_eq!(asked[0].request.uri(), &*first);
        assert_eq!(
            asked[1].request.uri(),
            &*format!(
                "https://iamcredentials.{UNIVERSE}/v1/projects/-/serviceAccounts/{ROBOT}\
                 :generateIdToken"
            )
        );
    }
}

#[tokio::test]
async fn the_universe_is_asked_for_only_where_something_hangs_on_it() {
    let emulator = elsewhere();
    let tokens = with_metadata(in_memory(&emulator)).build().await.unwrap();
    tokens.id_tokens().get(&audience()).await.unwrap();
    assert_eq!(emulator.journal().count(Endpoint::MetadataValue), 0);
}
