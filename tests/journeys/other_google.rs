//! Another Google than our emulator: the protocols are what we follow.
//!
//! It is written from Google's documents, knows nothing of the emulator, and is as untidy as the
//! documents allow: other fields beside the ones that matter, headers in capitals, bodies in
//! chunks or until the connection's end, numbers as strings.

mod answers;
mod files;
mod http;
mod server;

use serde_json::json;

use self::files::CredentialFile;
pub(crate) use self::files::KINDS;
pub(crate) use self::server::OtherGoogle;
use crate::world::{client, get, in_environment};

#[tokio::test]
async fn all_four_ways_lead_to_a_door_that_is_not_the_emulators() {
    for kind in KINDS {
        let google = OtherGoogle::start().await;
        let builder = in_environment(google.env(kind)).user_tokens_for_cloud_run();
        let client = client(builder).await.unwrap();
        let (status, text) = get(client, google.url()).await.unwrap();
        assert_eq!(status, 200, "{kind:?}: {text}");
        assert_eq!(text, format!("Hello {}", kind.caller()));
    }
}

#[tokio::test]
async fn impersonation_on_request_pays_with_what_every_kind_of_credentials_has() {
    for kind in KINDS {
        let google = OtherGoogle::start().await;
        let mut env = google.env(kind);
        // For credentials that name no endpoint of IAM themselves.
        let iam = "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS".to_owned();
        env.push((iam, format!("{}/", google.url())));
        let client = client(in_environment(env).impersonate("other@there.example")).await;
        let (status, text) = get(client.unwrap(), google.url()).await.unwrap();
        assert_eq!(status, 200, "{kind:?}: {text}");
        assert_eq!(text, "Hello other@there.example");
    }
}

#[tokio::test]
async fn a_key_signs_what_the_documents_ask_for_and_nothing_else() {
    let google = OtherGoogle::start().await;
    let client = client(in_environment(google.env(CredentialFile::Key))).await;
    get(client.unwrap(), google.url()).await.unwrap();
    let [(header, claims)] = &google.assertions()[..] else {
        panic!("one assertion is enough")
    };
    assert_eq!(header["alg"], "RS256");
    assert_eq!(header["typ"], "JWT");
    assert_eq!(header["kid"], files::KEY_ID);
    assert_eq!(claims["iss"], files::ACCOUNT);
    assert_eq!(claims["aud"], format!("{}/token", google.url()));
    assert_eq!(claims["target_audience"], google.url());
    assert_eq!(claims.get("scope"), None);
    let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert!((60..=3600).contains(&life), "{life} s");
}

#[tokio::test]
async fn an_impersonation_asks_for_the_email_and_names_its_delegates_in_full() {
    let google = OtherGoogle::start().await;
    let env = google.env(CredentialFile::ImpersonatedByKey);
    get(client(in_environment(env)).await.unwrap(), google.url())
        .await
        .unwrap();
    let asked = google.impersonations();
    let delegate = format!("projects/-/serviceAccounts/{}", files::DELEGATE);
    assert_eq!(
        asked,
        [json!({ "audience": google.url(), "includeEmail": true, "delegates": [delegate] })]
    );
}
