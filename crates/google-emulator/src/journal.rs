//! The journal: what was asked of the emulator, and what it answered, without secrets.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::{endpoint::Endpoint, entry::Entry};

/// What was asked, oldest first; clones share it.
///
/// It keeps the newest 10,000 entries; its counts are of all requests there ever were.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pages: Mutex<Pages>,
    asked: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Pages {
    entries: VecDeque<Entry>,
    /// The number of the first entry in `entries`.
    first: u64,
    counts: HashMap<Endpoint, u64>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        let pages = Mutex::new(Pages::default());
        Self(Arc::new(Shared {
            pages,
            asked: watch::Sender::new(()),
        }))
    }

    /// The newest entries, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.pages().entries.iter().cloned().collect()
    }

    /// The entries of one endpoint, or of a group.
    pub fn of(&self, endpoint: Endpoint) -> Vec<Entry> {
        let pages = self.pages();
        pages
            .entries
            .iter()
            .filter(|entry| endpoint.covers(entry.endpoint))
            .cloned()
            .collect()
    }

    /// The newest entry of one endpoint, or of a group.
    pub fn last(&self, endpoint: Endpoint) -> Option<Entry> {
        let pages = self.pages();
        pages
            .entries
            .iter()
            .rev()
            .find(|entry| endpoint.covers(entry.endpoint))
            .cloned()
    }

    /// How many requests one endpoint has had, or a group.
    pub fn count(&self, endpoint: Endpoint) -> u64 {
        self.pages().count(endpoint)
    }

    /// Waits until an endpoint has had at least `n` requests, answered or not.
    pub async fn asked(&self, endpoint: Endpoint, n: u64) {
        let mut asked = self.0.asked.subscribe();
        // The sender lives in self, so that waiting cannot fail.
        let _ = asked.wait_for(|()| self.count(endpoint) >= n).await;
    }

    /// Forgets all entries and counts.
    pub fn clear(&self) {
        let mut pages = self.pages();
        pages.first += pages.entries.len() as u64;
        pages.entries.clear();
        pages.counts.clear();
    }

    /// Writes an entry down and returns its number.
    pub(crate) fn write(&self, entry: Entry) -> u64 {
        let number = {
            let mut pages = self.pages();
            *pages.counts.entry(entry.endpoint).or_default() += 1;
            if pages.entries.len() == KEPT {
                pages.entries.pop_front();
                pages.first += 1;
            }
            pages.entries.push_back(entry);
            pages.first + pages.entries.len() as u64 - 1
        };
        self.0.asked.send_replace(());
        number
    }

    /// Adds to an entry that is still there what its answer has shown.
    pub(crate) fn amend(&self, number: u64, amend: impl FnOnce(&mut Entry)) {
        let mut pages = self.pages();
        let index = number
            .checked_sub(pages.first)
            .and_then(|index| usize::try_from(index).ok());
        if let Some(entry) = index.and_then(|index| pages.entries.get_mut(index)) {
            amend(entry);
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn count(&self, endpoint: Endpoint) -> u64 {
        self.counts
            .iter()
            .filter(|(at, _)| endpoint.covers(**at))
            .map(|(_, count)| count)
            .sum()
    }
}

const KEPT: usize = 10_000;
