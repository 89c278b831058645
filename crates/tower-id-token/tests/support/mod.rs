//! What the tests share: a wall clock that follows tokio's paused one, and a source on a string.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test binary uses its part"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use tower_id_token::{Audience, Cache, CacheBuilder, Clock, IdToken, SourceError};
use tower_test::mock::{self, Handle, SendResponse};

pub type Source = Handle<Audience, IdToken>;
pub type Tokens = Cache<Audience, IdToken>;

/// A wall clock that moves with tokio's, from a fixed date on.
pub fn clock() -> Clock {
    let start = Instant::now();
    Clock::from_fn(move || epoch() + start.elapsed())
}

pub fn epoch() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// A cache whose source is the test itself.
pub fn tokens() -> (Tokens, Source) {
    tokens_with(Cache::builder().clock(clock()))
}

pub fn tokens_with(builder: CacheBuilder) -> (Tokens, Source) {
    let (source, handle) = mock::pair::<Audience, IdToken>();
    (builder.build(source), handle)
}

pub fn audience(text: &str) -> Audience {
    text.parse().unwrap()
}

/// A token that lives for so many seconds from the tests' date on.
pub fn token(name: &str, expires_in: u64) -> IdToken {
    IdToken::new(name, epoch() + Duration::from_secs(expires_in)).unwrap()
}

pub async fn fetch(source: &mut Source) -> (Audience, SendResponse<IdToken>) {
    source.allow(1);
    source
        .next_request()
        .await
        .expect("the cache is still there")
}

/// Lets everything that is ready run; no time passes.
pub async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

pub async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// The request that the source has by now, if any.
pub async fn asked(source: &mut Source) -> Option<SendResponse<IdToken>> {
    settle().await;
    source.allow(1);
    match tokio_test::task::spawn(source.next_request()).poll() {
        std::task::Poll::Ready(request) => request.map(|(_, answer)| answer),
        std::task::Poll::Pending => None,
    }
}

/// Whether nobody has asked the source for anything.
pub async fn is_idle(source: &mut Source) -> bool {
    asked(source).await.is_none()
}

/// The answer that is there by now.
pub async fn answer(tokens: &Tokens, audience: &Audience) -> Option<Result<String, SourceError>> {
    let mut lookup = tokio_test::task::spawn(tokens.get(audience));
    match lookup.poll() {
        std::task::Poll::Ready(result) => Some(result.map(|token| token.secret().to_owned())),
        std::task::Poll::Pending => None,
    }
}
