//! The ranked list itself, and the tables that find its members.

use super::place::{Place, Standing, above, position};
use crate::member::Member;
use crate::transcript::{Standings, Transcript, WHOLE_RANKING};
use common::sys::sync::Arc;
use common::sys::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// The list, and what it is looked up by.
pub(super) struct Ranking {
    pub(super) ranked: Vec<Place>,
    /// The members that execute.
    pub(super) executors: Vec<Place>,
    /// By the names in lower case: two names that differ in nothing else are too much alike.
    pub(super) names: HashMap<Box<str>, Arc<Member>, RandomState>,
    /// By what they have proven, in the order of joining.
    pub(super) identities: HashMap<Box<str>, Vec<Arc<Member>>, RandomState>,
    pub(super) max: u32,
    pub(super) next_id: u64,
    pub(super) draining: bool,
    /// How many members are told when their rank changes.
    pub(super) listening: usize,
    /// The highest rank from which on a rank changed and its member was not told.
    pub(super) changed_from: AtomicUsize,
    pub(super) transcript: Transcript,
}

impl Ranking {
    /// An empty list of at most `max` clients.
    pub(super) fn new(max: u32, transcript: Transcript) -> Ranking {
        Ranking {
            ranked: Vec::new(),
            executors: Vec::new(),
            names: HashMap::default(),
            identities: HashMap::default(),
            max,
            next_id: 1,
            draining: false,
            listening: 0,
            changed_from: AtomicUsize::new(usize::MAX),
            transcript,
        }
    }

    pub(super) fn put_in(&mut self, rank: usize, member: &Arc<Member>) {
        let place = Place::of(member);
        let key = member.name.to_ascii_lowercase().into();
        self.listening += usize::from(place.key.wants_news());
        self.ranked.insert(rank, place.clone());
        if member.slots > 0 && !member.connection.is_away() {
            let at = above(&self.executors, member);
            self.executors.insert(at, place);
        }
        self.names.insert(key, Arc::clone(member));
        if let Some(bearer) = &member.bearer {
            let here = self.identities.entry(bearer.identity().into());
            here.or_default().push(Arc::clone(member));
        }
    }

    pub(super) fn standing(&self, member: &Member) -> Option<Standing> {
        let rank = position(&self.ranked, member)?;
        Some(Standing {
            rank: rank as u32,
            members: self.ranked.len() as u32,
        })
    }

    /// Takes a member out, if it is in the list; says whether any below it move up.
    pub(super) fn take_out(&mut self, member: &Member) -> Option<bool> {
        let rank = position(&self.ranked, member)?;
        let is_it = std::ptr::eq(&*self.ranked[rank].member, member);
        if !is_it {
            // Its place is another one's.
            return None;
        }
        self.take_out_of_tables(rank);
        self.mark_changed(rank);
        if self.transcript.is_on() {
            let client = member.connection.peer();
            self.transcript.disconnected(client, &self.standings());
        }
        Some(rank < self.ranked.len())
    }

    pub(super) fn take_out_of_tables(&mut self, rank: usize) {
        let place = self.ranked.remove(rank);
        let member = &*place.member;
        self.listening -= usize::from(place.key.wants_news());
        if let Some(at) = position(&self.executors, member) {
            self.executors.remove(at);
        }
        let key = place.member.name.to_ascii_lowercase();
        self.names.remove(key.as_str());
        if let Some(bearer) = &member.bearer {
            let identity = bearer.identity();
            if let Some(here) = self.identities.get_mut(identity) {
                here.retain(|other| other.id != member.id);
                if here.is_empty() {
                    self.identities.remove(identity);
                }
            }
        }
    }

    /// Ranks changed from this one on. If no member is told its rank, nothing is looked at later.
    pub(super) fn mark_changed(&self, from: usize) {
        if self.listening > 0 {
            self.changed_from.fetch_min(from, Relaxed);
        }
    }

    pub(super) fn standings(&self) -> Standings {
        if self.ranked.len() > WHOLE_RANKING {
            return Standings::Count(self.ranked.len());
        }
        let clients = self
            .ranked
            .iter()
            .map(|place| place.member.connection.peer());
        Standings::Whole(clients.collect())
    }
}
