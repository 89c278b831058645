//! The secrets' names, and the tokens behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use google_id_token::Audience;
use tokio::sync::watch;

use crate::error::Error;
use crate::keeper::{Keeper, Token};
use crate::rules::Rules;

/// Which secret is which audience's token; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    names: watch::Sender<Names>,
    keeper: Keeper,
    /// Where a name that is not known is an audience itself: those that were asked for so far.
    asked: Option<Arc<Mutex<BTreeSet<String>>>>,
}

type Names = Arc<BTreeMap<String, Audience>>;

impl Secrets {
    /// # Errors
    ///
    /// For an audience that is none, and where there is nothing to serve.
    pub(crate) fn new(rules: &Rules, keeper: Keeper, any_audience: bool) -> Result<Self, Error> {
        let names = names(rules)?;
        if names.is_empty() && !any_audience {
            return Err(Error::config(
                "there are no secrets to serve: give --secret NAME=AUDIENCE, or --any-audience",
            ));
        }
        Ok(Self {
            names: watch::channel(names).0,
            keeper,
            asked: any_audience.then(Arc::default),
        })
    }

    /// Takes over new names.
    ///
    /// # Errors
    ///
    /// For an audience that is none; the old names then stay.
    pub(crate) fn reload(&self, rules: &Rules) -> Result<Vec<Audience>, Error> {
        self.names.send_replace(names(rules)?);
        Ok(self.audiences())
    }

    /// The audiences that have names, or were asked for without one.
    pub(crate) fn audiences(&self) -> Vec<Audience> {
        let mut audiences: Vec<_> = self.names.borrow().values().cloned().collect();
        if let Some(asked) = &self.asked {
            let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            audiences.extend(asked.iter().filter_map(|name| name.parse().ok()));
        }
        audiences
    }

    /// The names.
    pub(super) fn all(&self) -> Vec<String> {
        self.names.borrow().keys().cloned().collect()
    }

    /// Wakes when the names change.
    pub(super) fn changes(&self) -> watch::Receiver<Names> {
        self.names.subscribe()
    }

    /// The token behind a name, as it is now and will be.
    pub(super) fn token(&self, name: &str) -> Option<Token> {
        Some(self.keeper.keep(&self.audience(name)?))
    }

    /// The audience behind a name.
    pub(super) fn audience(&self, name: &str) -> Option<Audience> {
        if let Some(audience) = self.names.borrow().get(name) {
            return Some(audience.clone());
        }
        let audience = name.parse().ok()?;
        let asked = self.asked.as_ref()?;
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        if !asked.contains(name) && asked.len() >= MOST_ASKED {
            return None;
        }
        asked.insert(name.to_owned());
        Some(audience)
    }
}

fn names(rules: &Rules) -> Result<Names, Error> {
    let mut names = BTreeMap::new();
    for (name, audience) in &rules.secrets {
        names.insert(name.clone(), audience.parse()?);
    }
    Ok(Arc::new(names))
}

/// As many as the cache keeps tokens.
const MOST_ASKED: usize = 1024;
