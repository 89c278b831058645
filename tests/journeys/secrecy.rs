//! Nothing secret gets out: not into a log, an error, a `Debug` or an answer's text.

mod doors;
mod ear;

use self::ear::Ear;

#[tokio::test]
async fn no_door_lets_a_secret_out() {
    let ear = Ear::default();
    let listening = ear.listen();

    // A new way in or out? Add it here. It tells the ear the secrets that go through it, and
    // shows the ear everything that it prints or hands to a stranger.
    doors::credentials_of_every_kind(&ear).await;
    doors::requests_through_the_whole_stack(&ear).await;
    doors::refusals_of_every_endpoint(&ear).await;
    doors::a_token_in_somebody_elses_hands(&ear).await;
    doors::the_emulators_own_account_of_it(&ear).await;

    drop(listening);
    ear.has_heard_from(["tower_id_token", "google_id_token", "tower_http"]);
    ear.has_heard_no_secret();
}

#[test]
#[should_panic(expected = "a secret was told")]
fn the_ear_hears_a_secret_that_is_logged() {
    let ear = Ear::default();
    let listening = ear.listen();
    ear.secret("correct-horse");
    tracing::trace!(password = "correct-horse", "told");
    drop(listening);
    ear.has_heard_no_secret();
}

#[test]
#[should_panic(expected = "a secret was told")]
fn the_ear_knows_a_token_when_it_hears_one() {
    let ear = Ear::default();
    ear.show("Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln");
    ear.has_heard_no_secret();
}
