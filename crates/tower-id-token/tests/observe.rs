//! What a cache's observer is told.

mod support;

use std::sync::{Arc, Mutex};

use tower_id_token::{ErrorKind, SourceError};

use support::*;

const URL: &str = "https://hello-abc123-uc.a.run.app";

#[tokio::test(start_paused = true)]
async fn an_observer_hears_of_every_fetch_before_those_who_wait_for_it() {
    let (tokens, mut source) = tokens();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = Arc::clone(&heard);
    let again = tokens.clone();
    assert!(tokens.observe(move |audience, outcome| {
        let outcome = match outcome {
            Ok(token) => token.secret().to_owned(),
            Err(error) => error.kind().to_string(),
        };
        // It may look into the cache: nothing is locked.
        drop(again.get(audience));
        ears.lock().unwrap().push((audience.to_string(), outcome));
    }));

    let url = audience(URL);
    let wait = tokio::spawn(tokens.get(&url));
    let (_, answer) = fetch(&mut source).await;
    answer.send_error(SourceError::new(ErrorKind::Denied, "the role is missing"));
    wait.await.unwrap().unwrap_err();
    assert_eq!(
        *heard.lock().unwrap(),
        [(URL.to_owned(), "denied".to_owned())]
    );

    seconds(5).await;
    let wait = tokio::spawn(tokens.get(&url));
    let (_, answer) = fetch(&mut source).await;
    answer.send_response(token("a", 3600));
    wait.await.unwrap().unwrap();
    assert_eq!(
        heard.lock().unwrap()[1..],
        [(URL.to_owned(), "a".to_owned())]
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_observer_stays() {
    let (tokens, _source) = tokens();
    assert!(tokens.observe(|_, _| {}));
    assert!(!tokens.observe(|_, _| {}));
}
