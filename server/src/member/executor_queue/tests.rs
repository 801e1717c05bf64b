//! What one client executes, without a client.

use super::*;
use crate::testing::{Watched, command, member};

const BOUNDS: QueueBounds<'static> = QueueBounds {
    commands: 4,
    bytes: 1000,
    memory: None,
};

/// A target with two slots, and commands for it.
struct Bench {
    target: Arc<Member>,
    senders: Vec<Arc<Member>>,
    timers: Watched,
}

impl Bench {
    fn new() -> Bench {
        let sender = |id| member(id, format!("s{id}"), 0);
        Bench {
            target: member(9, "target", 2),
            senders: vec![sender(1), sender(2)],
            timers: Watched::default(),
        }
    }

    fn register(&self, sender: usize, id: u64, timeout: Option<u64>, bytes: usize) -> Registered {
        let assignment = Assignment {
            command: command(id, &self.senders[sender], &self.target, timeout),
            target: 0,
        };
        let mut line = Line::Own(vec![b'x'; bytes]);
        self.target
            .register(assignment, &mut line, BOUNDS, &self.timers, 100)
    }

    fn answered(&self, id: u64) -> bool {
        let running = self.target.answered(id, &self.timers, 200).running;
        running.is_some_and(|running| running.assignment.is_some())
    }

    fn load(&self) -> (u32, u32) {
        (self.target.queue.running(), self.target.queue.queued())
    }
}

fn ids(ended: &[TakenOut]) -> Vec<(u64, bool)> {
    let mut ids: Vec<_> = ended
        .iter()
        .map(|e| (e.assignment.command.id, e.since.is_some()))
        .collect();
    ids.sort_unstable();
    ids
}

#[test]
fn slots_fill_in_order_and_an_answer_counts_once() {
    let bench = Bench::new();
    assert!(matches!(
        bench.register(0, 1, None, 10),
        Registered::Started
    ));
    assert!(matches!(
        bench.register(0, 2, None, 10),
        Registered::Started
    ));
    assert!(matches!(
        bench.register(0, 3, None, 10),
        Registered::Waiting
    ));
    assert_eq!(bench.load(), (2, 1));
    assert!(!bench.answered(3), "it was never given");
    assert!(bench.answered(1) && !bench.answered(1), "once");
    assert_eq!(bench.load(), (2, 0));
    assert!(bench.answered(3));
}

#[test]
fn a_full_queue_is_busy_and_one_sender_gets_half_of_it() {
    let bench = Bench::new();
    for id in 1..=4 {
        bench.register(0, id, None, 10);
    }
    assert!(
        matches!(bench.register(0, 5, None, 10), Registered::Busy),
        "its half is full"
    );
    assert!(
        matches!(bench.register(1, 6, None, 501), Registered::Busy),
        "too many bytes"
    );
    assert!(matches!(
        bench.register(1, 7, None, 10),
        Registered::Waiting
    ));
    assert!(matches!(
        bench.register(1, 8, None, 10),
        Registered::Waiting
    ));
    assert_eq!(bench.load(), (2, 4));
    assert!(bench.answered(1));
    assert!(
        matches!(bench.register(0, 9, None, 10), Registered::Waiting),
        "room again"
    );
}

#[test]
fn cancelled_commands_never_start_and_running_ones_are_overdue_in_the_end() {
    let bench = Bench::new();
    let cancel = |id| bench.target.cancel(id, &bench.timers, 200);
    let look = |at| bench.target.take_overdue(at, at, at, &bench.timers).0;
    bench.register(0, 1, Some(1000), 10);
    assert_eq!(
        bench.timers.take(),
        [100 + 8000],
        "a check before that is due"
    );
    bench.register(0, 2, Some(5000), 10);
    assert!(
        bench.timers.take().is_empty(),
        "the check is earlier anyway"
    );
    bench.register(0, 3, None, 10);
    assert!(matches!(cancel(3), Cancelled::Waiting));
    assert!(matches!(cancel(2), Cancelled::Running));
    assert!(matches!(cancel(2), Cancelled::Unknown));
    assert!(matches!(cancel(7), Cancelled::Unknown));
    assert!(bench.timers.take().is_empty());
    assert!(look(9100).is_empty(), "not asked for");
    assert!(look(8100).is_empty());
    assert_eq!(bench.timers.take(), [8200]);
    let ended = look(8200);
    assert_eq!(
        (ids(&ended), ended[0].status),
        (vec![(2, true)], Status::Cancelled)
    );
    assert_eq!(bench.timers.take(), [9100]);
    assert_eq!(bench.load(), (2, 0), "the slot stays in use");
    assert!(!bench.answered(2), "its outcome was taken");
    assert_eq!(bench.load(), (1, 0), "now it is free");
    assert_eq!(look(9100)[0].status, Status::TimedOut);
    assert!(bench.timers.take().is_empty());
}

#[test]
fn a_client_that_leaves_loses_its_commands_and_gets_no_more() {
    let bench = Bench::new();
    for id in 1..=3 {
        bench.register(0, id, None, 10);
    }
    let ended = bench.target.queue.close();
    assert_eq!(ids(&ended), [(1, true), (2, true), (3, false)]);
    assert!(ended.iter().all(|e| e.status == Status::Lost));
    assert!(matches!(bench.register(0, 4, None, 10), Registered::Gone));
    assert!(!bench.answered(1));
    assert_eq!(bench.load(), (0, 0));
}

#[test]
fn a_drain_ends_waiting_commands_and_then_running_ones() {
    let bench = Bench::new();
    for id in 1..=3 {
        bench.register(0, id, None, 10);
    }
    let ended = bench.target.queue.drain();
    assert_eq!(
        (ids(&ended), ended[0].status),
        (vec![(3, false)], Status::Cancelled)
    );
    assert!(matches!(
        bench.register(0, 4, None, 10),
        Registered::Draining
    ));
    assert!(bench.answered(1), "what runs may end");
    let ended = bench.target.queue.give_up();
    assert_eq!(
        (ids(&ended), ended[0].status),
        (vec![(2, true)], Status::Lost)
    );
}
