//! Bounds how many runs of one command there are at once: the policy's own slots, within the
//! client's. The job that arrived first starts first, whichever thread waits first.

use crate::execute::job::Job;
use common::sys::sync::{Arc, Condvar, Mutex, lock, wait_timeout};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How often a waiting thread checks whether its job is wanted, should a wake-up be missed.
const TICK: Duration = Duration::from_secs(1);

#[derive(Default)]
struct State {
    running: u32,
    /// How many of these were answered, although something of them still runs.
    held: u32,
    /// The jobs that wait, in the order in which they arrived.
    waiting: BTreeSet<(Instant, usize)>,
    /// How often a waiting job was told that it may no longer be wanted.
    calls: u64,
}

pub(crate) struct Slots {
    count: u32,
    state: Mutex<State>,
    changed: Condvar,
}

/// A slot that is in use until this is dropped.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    is_held: bool,
}

pub(crate) enum Admission {
    Admitted(Slot),
    NotWanted,
    /// All slots are held by what cannot be ended, for an unknown time.
    AllHeld,
    /// All slots are in use, and the job has input, which waits for nothing: two senders could wait
    /// for each other's jobs.
    InUse,
}

impl Slots {
    pub(crate) fn new(count: u32) -> Slots {
        Slots {
            count,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Keeps a job's place, so that none that arrived later comes before it.
    pub(crate) fn expect(&self, job: &Job) {
        lock(&self.state).waiting.insert(job.place());
    }

    /// A job does not come.
    pub(crate) fn forget(&self, job: &Job) {
        lock(&self.state).waiting.remove(&job.place());
        self.changed.notify_all();
    }

    /// Waits for a slot, as long as the job is wanted.
    pub(crate) fn enter(self: &Arc<Self>, job: &Job) -> Admission {
        self.expect(job);
        let waker = Arc::clone(self);
        job.set_waker(move || {
            lock(&waker.state).calls += 1;
            waker.changed.notify_all();
        });
        let turn = self.wait_for_turn(job);
        job.forget_waker();
        turn
    }

    fn wait_for_turn(self: &Arc<Self>, job: &Job) -> Admission {
        let place = job.place();
        loop {
            let calls = lock(&self.state).calls;
            // Without the lock: a job that finds itself late calls its waker.
            let is_wanted = job.stop_reason().is_none();
            let mut state = lock(&self.state);
            let is_next = state.waiting.first() == Some(&place) && state.running < self.count;
            let are_all_held = state.held >= self.count;
            if is_next || !is_wanted || are_all_held || job.has_input() {
                state.waiting.remove(&place);
                state.running += u32::from(is_next && is_wanted);
                // The next job may have a slot, too.
                self.changed.notify_all();
                return match is_wanted {
                    false => Admission::NotWanted,
                    true if is_next => Admission::Admitted(Slot {
                        slots: Arc::clone(self),
                        is_held: false,
                    }),
                    true if are_all_held => Admission::AllHeld,
                    true => Admission::InUse,
                };
            }
            if state.calls != calls {
                continue;
            }
            let deadline = job
                .deadline()
                .map(|at| at.saturating_duration_since(Instant::now()));
            let wait = deadline.map_or(TICK, |left| left.clamp(Duration::from_millis(1), TICK));
            drop(wait_timeout(&self.changed, state, wait));
        }
    }
}

impl Slot {
    /// The command was answered, and something of it still runs.
    pub(crate) fn hold(&mut self) {
        self.is_held = true;
        lock(&self.slots.state).held += 1;
        self.slots.changed.notify_all();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = lock(&self.slots.state);
        state.running -= 1;
        state.held -= u32::from(self.is_held);
        drop(state);
        self.slots.changed.notify_all();
    }
}
