//! Who has the smallest share of its slots in use: found without a look at everybody.
//!
//! Every command changes loads, and few commands ask for the least one. So a change is only
//! noted, once, however often it happens before somebody asks; who asks brings a tree up to
//! date first. Both cost at most the logarithm of the number of clients for each command.

use common::sys::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use common::sys::sync::channel::{Receiver, Sender, unbounded};
use common::sys::sync::{Arc, Mutex, lock};

/// Changes that may be noted beyond one for each client that is known, before they are taken
/// in though nobody asks: who comes and goes is not to be remembered for ever.
const NOTED_AT_MOST: usize = 1024;

/// What one executor has to do.
#[derive(Debug)]
pub(crate) struct Load {
    /// The member's number.
    id: u64,
    slots: u32,
    /// Commands that run, and, from bit 32 on, commands that wait; [`GONE`] once it has left.
    commands: AtomicU64,
    /// It is among the changes that are noted.
    is_noted: AtomicBool,
    noted: Sender<Arc<Load>>,
}

/// For one that left: more than anybody can have.
const GONE: u64 = u64::MAX;

impl Load {
    /// Commands that run, and commands that wait.
    pub(crate) fn now(&self) -> (u32, u32) {
        match self.commands.load(Ordering::Relaxed) {
            GONE => (0, 0),
            commands => (commands as u32, (commands >> 32) as u32),
        }
    }

    /// Sets both, as long as it has not left.
    pub(crate) fn set(self: &Arc<Self>, running: usize, waiting: usize) {
        let commands = running as u64 | (waiting as u64) << 32;
        // In one act: whoever leaves at this moment does not come back by it.
        self.change(|before| (before != GONE).then_some(commands));
    }

    /// It has left.
    pub(crate) fn end(self: &Arc<Self>) {
        self.change(|_| Some(GONE));
    }

    fn change(self: &Arc<Self>, to: impl FnMut(u64) -> Option<u64>) {
        // In one order with the two accesses in `Tree::take_in`: either that reads what is
        // set here, or this sees that it is noted no more.
        let order = Ordering::SeqCst;
        let changed = self.commands.fetch_update(order, order, to).is_ok();
        if changed && self.slots > 0 && !self.is_noted.load(order) {
            self.note();
        }
    }

    fn note(self: &Arc<Self>) {
        if !self.is_noted.swap(true, Ordering::SeqCst) {
            // The receiver lives as long as the hub does.
            let _ = self.noted.send(Arc::clone(self));
        }
    }
}

/// The loads of all executors.
#[derive(Debug)]
pub(crate) struct Loads {
    changes: Sender<Arc<Load>>,
    changed: Receiver<Arc<Load>>,
    tree: Mutex<Tree>,
}

impl Default for Loads {
    fn default() -> Loads {
        let (changes, changed) = unbounded();
        Loads {
            changes,
            changed,
            tree: Mutex::default(),
        }
    }
}

impl Loads {
    /// The load of a newcomer, whose number is larger than all before. It has to be called in
    /// the order of the numbers, and may be where nothing may block.
    pub(crate) fn join(&self, id: u64, slots: u32) -> Arc<Load> {
        let load = Arc::new(Load {
            id,
            slots,
            commands: AtomicU64::new(0),
            is_noted: AtomicBool::new(false),
            noted: self.changes.clone(),
        });
        if slots > 0 {
            load.note();
        }
        load
    }

    /// Takes changes in if they have become many.
    pub(crate) fn tidy(&self) {
        if self.changed.len() > NOTED_AT_MOST {
            lock(&self.tree).take_in(&self.changed);
        }
    }

    /// The number of the executor after this one of whose slots the smallest share is in use;
    /// of equals, the first.
    pub(crate) fn least_after(&self, id: u64) -> Option<u64> {
        let mut tree = lock(&self.tree);
        tree.take_in(&self.changed);
        tree.least_after(id)
    }
}

/// A tournament: each node names the leaf that wins among those below it.
#[derive(Debug, Default)]
struct Tree {
    /// In the order of their numbers; those who left stay until they are many.
    leaves: Vec<Leaf>,
    gone: usize,
    /// The root is the node 1, and the children of a node `n` are `2n` and `2n + 1`; the
    /// second half are the leaves themselves.
    winners: Vec<u32>,
}

#[derive(Debug)]
struct Leaf {
    load: Arc<Load>,
    /// As it was when it was taken in.
    commands: u64,
}

impl Leaf {
    /// Commands that run or wait; `None` for one that left.
    fn count(&self) -> Option<u64> {
        let both = self.commands;
        (both != GONE).then_some((both & u64::from(u32::MAX)) + (both >> 32))
    }

    /// Whether a smaller share of its slots is in use.
    fn is_less_loaded(&self, other: &Leaf) -> bool {
        match (self.count(), other.count()) {
            (Some(count), Some(others)) => {
                // As fractions, without rounding: a/b < c/d where a*d < c*b.
                count * u64::from(other.load.slots) < others * u64::from(self.load.slots)
            }
            (count, _) => count.is_some(),
        }
    }
}

/// No leaf.
const NONE: u32 = u32::MAX;

impl Tree {
    /// Brings it up to date.
    fn take_in(&mut self, changed: &Receiver<Arc<Load>>) {
        // No more than are there now: others go on changing.
        for _ in 0..changed.len() {
            let Ok(load) = changed.try_recv() else { break };
            load.is_noted.store(false, Ordering::SeqCst);
            let commands = load.commands.load(Ordering::SeqCst);
            self.change(load, commands);
        }
    }

    fn change(&mut self, load: Arc<Load>, commands: u64) {
        let found = self
            .leaves
            .binary_search_by_key(&load.id, |leaf| leaf.load.id);
        let at = match found {
            Ok(at) => {
                let before = std::mem::replace(&mut self.leaves[at].commands, commands);
                self.gone += usize::from(commands == GONE && before != GONE);
                at
            }
            Err(_) if commands == GONE => return,
            Err(_newcomer) => {
                self.leaves.push(Leaf { load, commands });
                self.leaves.len() - 1
            }
        };
        let has_room = self.leaves.len() <= self.winners.len() / 2;
        match has_room && self.gone <= self.leaves.len() / 2 {
            true => self.play(at),
            false => self.rebuild(),
        }
    }

    fn leaf_node(&self, at: usize) -> usize {
        self.winners.len() / 2 + at
    }

    /// Lets those who left go, and makes room for as many again as are here.
    fn rebuild(&mut self) {
        self.leaves.retain(|leaf| leaf.commands != GONE);
        self.gone = 0;
        let half = (self.leaves.len() * 2).next_power_of_two();
        self.winners = vec![NONE; 2 * half];
        for at in 0..self.leaves.len() {
            self.winners[half + at] = at as u32;
        }
        for node in (1..half).rev() {
            self.winners[node] = self.winner(self.winners[2 * node], self.winners[2 * node + 1]);
        }
    }

    /// Plays the games of one leaf again.
    fn play(&mut self, at: usize) {
        let mut node = self.leaf_node(at);
        self.winners[node] = at as u32;
        while node > 1 {
            node /= 2;
            self.winners[node] = self.winner(self.winners[2 * node], self.winners[2 * node + 1]);
        }
    }

    /// Of two leaves, the less loaded one, or the first.
    fn winner(&self, first: u32, second: u32) -> u32 {
        let leaf = |at: u32| self.leaves.get(at as usize);
        match (leaf(first), leaf(second)) {
            (Some(a), Some(b)) if b.is_less_loaded(a) => second,
            (None, Some(_)) => second,
            _ => first,
        }
    }

    fn least_after(&self, id: u64) -> Option<u64> {
        let from = self.leaves.partition_point(|leaf| leaf.load.id <= id);
        if from == self.leaves.len() {
            return None;
        }
        // From the first leaf upwards: every node to the right of the way belongs to it.
        let mut node = self.leaf_node(from);
        let mut best = self.winners[node];
        while node > 1 {
            if node.is_multiple_of(2) {
                best = self.winner(best, self.winners[node + 1]);
            }
            node /= 2;
        }
        let best = &self.leaves[best as usize];
        best.count().map(|_| best.load.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Join { slots: u32 },
        Leave(prop::sample::Index),
        Set(prop::sample::Index, usize, usize),
        Ask(prop::sample::Index),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0u32..4).prop_map(|slots| Step::Join { slots }),
            2 => any::<prop::sample::Index>().prop_map(Step::Leave),
            6 => (any::<prop::sample::Index>(), 0usize..5, 0usize..3).prop_map(|(at, r, w)| Step::Set(at, r, w)),
            4 => any::<prop::sample::Index>().prop_map(Step::Ask),
        ];
        prop::collection::vec(step, 0..200)
    }

    /// The same, by looking at everybody.
    fn least(model: &[Arc<Load>], after: u64) -> Option<u64> {
        let share = |load: &Load| {
            let (running, waiting) = load.now();
            // Slots are at most 3, so this is exact.
            (running + waiting) * 6 / load.slots
        };
        let executors = model
            .iter()
            .filter(|load| load.slots > 0 && load.id > after);
        executors
            .min_by_key(|load| (share(load), load.id))
            .map(|load| load.id)
    }

    proptest! {
        #[test]
        fn the_least_loaded_is_found_whatever_happened(steps in steps()) {
            let loads = Loads::default();
            let mut model: Vec<Arc<Load>> = Vec::new();
            let mut id = 0;
            for step in steps {
                match step {
                    Step::Join { slots } => {
                        id += 1;
                        model.push(loads.join(id, slots));
                    }
                    Step::Leave(_) | Step::Set(..) if model.is_empty() => {}
                    Step::Leave(index) => model.remove(index.index(model.len())).end(),
                    Step::Set(index, running, waiting) => {
                        model[index.index(model.len())].set(running, waiting);
                    }
                    Step::Ask(index) => {
                        let after = index.index(id as usize + 1) as u64;
                        prop_assert_eq!(loads.least_after(after), least(&model, after));
                    }
                }
            }
        }
    }

    #[test]
    fn who_came_and_went_is_not_remembered() {
        let loads = Loads::default();
        for id in 1..10_000 {
            loads.join(id, 1).end();
            loads.tidy();
        }
        assert!(loads.changed.len() <= NOTED_AT_MOST);
        assert!(lock(&loads.tree).leaves.len() <= 1);
    }

    #[test]
    fn changes_of_many_threads_all_show() {
        let loads = Loads::default();
        let all: Vec<_> = (1..=8).map(|id| loads.join(id, 1)).collect();
        std::thread::scope(|scope| {
            for load in &all {
                scope.spawn(|| {
                    for n in 0..2000 {
                        load.set(n % 7, 0);
                    }
                    load.set(load.id as usize % 8, 0);
                });
            }
            for _ in 0..2000 {
                assert!(loads.least_after(0).is_some());
            }
        });
        assert_eq!(loads.least_after(0), Some(8), "it has nothing to do");
    }
}
