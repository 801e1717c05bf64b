//! The order of jobs for a command with slots of its own, before anything is started.

use super::*;
use crate::execute::job::StopReason;
use crossbeam_channel::unbounded;
use std::time::Duration;

fn job(id: i64) -> Job {
    Job::of_test(id, &["one"], None)
}

/// An executor that executes one at a time.
fn processes() -> Processes {
    let text = "[commands.one]\nrun = ['/bin/true']\nslots = 1\n";
    let policy = Policy::read(text.as_bytes(), Path::new("p")).expect("a policy");
    Processes {
        slots: bounded_slots(&policy),
        policy: Some(policy),
        witness: Witness::default(),
        reaper: Reaper::start().expect("a thread"),
        held: Mutex::default(),
    }
}

#[test]
fn jobs_get_a_slot_in_the_order_of_arrival_whichever_thread_waits_first() {
    const PATIENCE: Duration = Duration::from_secs(30);
    let processes = processes();
    let jobs = [job(1), job(2), job(3)];
    for job in &jobs {
        processes.enqueued(job);
    }
    let (enters, entered) = unbounded();
    let (early, order) = std::thread::scope(|scope| {
        let enter = |at: usize| {
            let (job, enters) = (&jobs[at], enters.clone());
            let slots = processes.slots(job).expect("it has slots");
            scope.spawn(move || {
                let slot = slots.enter(job);
                enters.send(at).expect("the test waits");
                drop(slot);
            });
        };
        enter(2);
        // Long enough to be seen to enter.
        let early = entered.recv_timeout(Duration::from_millis(200));
        enter(1);
        processes.discarded(&jobs[0]);
        let order = [1, 2].map(|_| entered.recv_timeout(PATIENCE));
        // No job waits any longer, whatever came.
        for job in &jobs {
            job.stop_because(StopReason::Cancelled);
        }
        (early, order)
    });
    assert!(early.is_err(), "two are expected before it: {early:?}");
    assert_eq!(order, [Ok(1), Ok(2)]);
}
