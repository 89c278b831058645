//! Tokens that somebody else has minted: as a text, in a variable, in a file.

use google_id_token::{
    Builder, CacheBuilder, Clock, Env, ErrorKind, Expires, Kind, StaticToken, TokenFile,
};
use serde_json::json;
use tower::ServiceExt;

use crate::support::{AUDIENCE, audience, id_token, jwt, nobody, now};

const OTHER: &str = "https://other.example";
const GCLOUD_CLIENT: &str = "32555940559.apps.googleusercontent.com";

#[tokio::test]
async fn a_token_given_serves_its_own_audience() {
    let jwt = id_token(AUDIENCE);
    let env = Env::empty().variable("ID_TOKEN", format!(" {jwt}\n"));
    for (token, found) in [
        (StaticToken::new(&format!("{jwt}\n")), "the token given"),
        (
            StaticToken::from_variable(&env, "ID_TOKEN").unwrap(),
            "the variable ID_TOKEN",
        ),
    ] {
        let builder = Builder::new().env(Env::empty()).http(nobody());
        let given = builder.static_token(token).build().await.unwrap();
        assert_eq!(given.kind(), Kind::StaticToken);
        assert_eq!(given.found(), found);
        let token = given.id_tokens().get(&audience()).await.unwrap();
        assert_eq!(token.secret(), jwt);
    }
    let error = StaticToken::from_variable(&env, "NO_TOKEN").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("NO_TOKEN"), "{error}");
}

#[tokio::test]
async fn a_token_for_another_audience_is_an_error_that_names_both() {
    let text = id_token(OTHER);
    let file = Env::empty().file("/token", text.clone());
    let errors = [
        StaticToken::new(&text).oneshot(audience()).await,
        TokenFile::new("/token").env(file).oneshot(audience()).await,
    ];
    for error in errors {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        for part in [AUDIENCE, OTHER] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}

#[tokio::test]
async fn one_of_several_audiences_is_enough() {
    let text = jwt(&json!({ "aud": [OTHER, AUDIENCE], "exp": now() + 600 }));
    StaticToken::new(&text).oneshot(audience()).await.unwrap();
}

#[tokio::test]
async fn a_users_token_is_taken_for_cloud_run_where_that_was_chosen() {
    let text = jwt(&json!({ "aud": GCLOUD_CLIENT, "exp": now() + 600 }));
    let file = TokenFile::new("/token").env(Env::empty().file("/token", text.clone()));
    let given = Builder::new().static_token(StaticToken::new(&text));
    for builder in [given, Builder::new().token_file(file)] {
        let builder = builder.env(Env::empty()).http(nobody());
        let tokens = builder.clone().build().await.unwrap().id_tokens();
        let error = tokens.get(&audience()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            error.to_string().contains("user_tokens_for_cloud_run"),
            "{error}"
        );
        let chosen = builder.user_tokens_for_cloud_run().build().await.unwrap();
        chosen.id_tokens().get(&audience()).await.unwrap();
    }
}

#[tokio::test]
async fn an_expired_token_says_when_it_ended_and_who_is_to_renew_it() {
    let text = jwt(&json!({ "aud": AUDIENCE, "exp": 1_700_000_000 }));
    let file = Env::empty().file("/token", text.clone());
    let given = StaticToken::new(&text).oneshot(audience()).await;
    let read = TokenFile::new("/token").env(file).oneshot(audience()).await;
    for (error, kind) in [(given, ErrorKind::Config), (read, ErrorKind::Unavailable)] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains("14 Nov 2023"), "{error}");
        assert!(error.to_string().contains("renew"), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_token_is_named_by_its_place_and_not_quoted() {
    for text in ["", " \n", "not-a-jwt", "a.b.c"] {
        let file = Env::empty().file("/var/run/token", text);
        let read = TokenFile::new("/var/run/token").env(file);
        let error = read.oneshot(audience()).await.unwrap_err();
        assert!(error.to_string().starts_with("/var/run/token: "), "{error}");
        let given = StaticToken::new(text).oneshot(audience()).await;
        let error = given.unwrap_err();
        assert!(error.to_string().starts_with("the token given: "));
        assert!(!error.to_string().contains("not-a-jwt"), "{error}");
    }
    let gone = TokenFile::new("/gone").env(Env::empty());
    let error = gone.oneshot(audience()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("/gone"), "{error}");
}

#[tokio::test]
async fn a_token_file_is_read_again_when_its_token_is_refreshed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let with = |left: u64| jwt(&json!({ "aud": AUDIENCE, "exp": now() + left }));
    std::fs::write(&path, with(600)).unwrap();
    // A clock that runs ahead, so that the first token counts as old.
    let ahead = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let hand = ahead.clone();
    let clock = Clock::from_fn(move || {
        let seconds = hand.load(std::sync::atomic::Ordering::Relaxed);
        Clock::default().now() + std::time::Duration::from_secs(seconds)
    });
    let builder = Builder::new()
        .env(Env::empty())
        .http(nobody())
        .cache(CacheBuilder::default().clock(clock))
        .token_file(TokenFile::new(&path));
    let found = builder.build().await.unwrap();
    assert_eq!(found.kind(), Kind::TokenFile);
    assert_eq!(found.found(), path.display().to_string());
    let tokens = found.id_tokens();
    let first = tokens.get(&audience()).await.unwrap();
    std::fs::write(&path, with(3600)).unwrap();
    assert_eq!(
        tokens.get(&audience()).await.unwrap().secret(),
        first.secret()
    );
    ahead.store(599, std::sync::atomic::Ordering::Relaxed);
    let second = tokens.get(&audience()).await.unwrap();
    assert!(second.expires_at() > first.expires_at());
}
