//! How many of one command run at once: the policy's own slots, within the client's. Whose
//! command arrived first starts first, whichever thread comes here first.

use crate::job::Job;
use common::sync::{Arc, Condvar, Mutex, lock, wait_timeout};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How often one who waits looks whether he is still wanted, should a wake-up be missed.
const TICK: Duration = Duration::from_secs(1);

#[derive(Default)]
struct State {
    running: u32,
    /// Those who wait, in the order in which their commands arrived.
    waiting: BTreeSet<(Instant, usize)>,
    /// How often somebody who waits was told to look again.
    calls: u64,
}

/// The slots of one command.
pub(crate) struct Gate {
    slots: u32,
    state: Mutex<State>,
    changed: Condvar,
}

/// A slot that is in use until this is dropped.
pub(crate) struct Pass(Arc<Gate>);

impl Gate {
    pub(crate) fn new(slots: u32) -> Gate {
        Gate {
            slots,
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

    /// Waits for a slot; `None` once the job is no longer wanted.
    pub(crate) fn enter(self: &Arc<Self>, job: &Job) -> Option<Pass> {
        self.expect(job);
        let waker = Arc::clone(self);
        job.set_waker(move || {
            lock(&waker.state).calls += 1;
            waker.changed.notify_all();
        });
        let entered = self.wait_for_turn(job);
        job.forget_waker();
        entered.then(|| Pass(Arc::clone(self)))
    }

    fn wait_for_turn(&self, job: &Job) -> bool {
        let place = job.place();
        loop {
            let calls = lock(&self.state).calls;
            // Without the lock: a job that finds itself late calls its waker.
            let is_wanted = job.stop().is_none();
            let mut state = lock(&self.state);
            let is_next = state.waiting.first() == Some(&place) && state.running < self.slots;
            if is_next || !is_wanted {
                state.waiting.remove(&place);
                state.running += u32::from(is_wanted);
                // Whoever is next now may have a slot, too.
                self.changed.notify_all();
                return is_wanted;
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

impl Drop for Pass {
    fn drop(&mut self) {
        lock(&self.0.state).running -= 1;
        self.0.changed.notify_all();
    }
}
