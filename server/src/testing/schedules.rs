//! The server's shared state under schedules that an explorer chooses: no thread waits for ever,
//! each command has one outcome at each of its targets, and ranks are whole at any moment.
//!
//! What the explorer knows are locks, atomics, channels and the threads themselves
//! (`common::sys::sync`); time does not pass for it, and sockets are in memory.

mod eviction;
mod resuming;
mod world;

use crate::dispatch::command::Assignment;
use crate::dispatch::scope::Scope;
use crate::dispatch::selection::{Found, select};
use crate::hub::Hub;
use crate::member::Member;
use crate::member::executor_queue::{Cancelled, QueueBounds, Registered, TakenOut};
use crate::ranking::{Roster, View};
use crate::testing::{self, Watched};
use common::net::outbox::Line;
use common::net::stream::Stream;
use common::sys::sync::atomic::Ordering;
use common::sys::sync::{Arc, Mutex, lock};
use common::wire::tier::Tier;
use serde_json::{Value, json};
use shuttle::Runner;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread::{self, JoinHandle};
use std::collections::BTreeMap;
use world::{Client, Heard, World, dial};

/// Schedules of each scene, unless `SCHEDULES` says otherwise.
const SCHEDULES: usize = 400;

/// Bytes of stack of each thread of a scene: the explorer's own 32 KiB are too few for a `send` in a
/// build that is hardly optimized.
const STACK: usize = 128 << 10;

/// Half of the schedules by chance, half with few changes of thread, which finds what chance
/// does not.
fn explore(scene: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("SCHEDULES").ok();
    let schedules = schedules.map_or(SCHEDULES, |n| n.parse().expect("SCHEDULES is a number"));
    let scene = Arc::new(scene);
    let other = Arc::clone(&scene);
    let mut config = shuttle::Config::new();
    config.stack_size = STACK;
    let by_chance = RandomScheduler::new(schedules.div_ceil(2));
    Runner::new(by_chance, config.clone()).run(move || scene());
    let few_changes = PctScheduler::new(3, schedules / 2);
    Runner::new(few_changes, config).run(move || other());
}

fn join_all(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("no panic");
    }
}

/// Gives a target a command.
fn register(sender: &Arc<Member>, target: &Arc<Member>, id: u64, timers: &Watched) -> Registered {
    let assignment = Assignment {
        command: testing::command(id, sender, target, Some(1000)),
        target: 0,
    };
    let bounds = QueueBounds {
        commands: 2,
        bytes: 1000,
        memory: None,
    };
    let mut line = Line::Own(b"execute\n".to_vec());
    target.register(assignment, &mut line, bounds, timers, 1)
}

/// One executor with one slot, and how many outcomes each command had.
#[derive(Clone)]
struct Bench {
    sender: Arc<Member>,
    target: Arc<Member>,
    outcomes: Arc<Mutex<BTreeMap<u64, u32>>>,
    timers: Arc<Watched>,
}

/// Long after everything is due.
const LATER: u64 = 1_000_000;

impl Bench {
    fn new() -> Bench {
        Bench {
            sender: testing::member(1, "sender", 0),
            target: testing::member(2, "target", 1),
            outcomes: Arc::default(),
            timers: Arc::default(),
        }
    }

    fn start(&self, does: impl FnOnce(&Bench) + Send + 'static) -> JoinHandle<()> {
        let bench = self.clone();
        thread::spawn(move || does(&bench))
    }

    fn count(&self, command: u64) {
        *lock(&self.outcomes).entry(command).or_default() += 1;
    }

    fn count_all(&self, ended: &[TakenOut]) {
        for ended in ended {
            self.count(ended.assignment.command.id);
        }
    }

    fn register(&self, id: u64) {
        let registered = register(&self.sender, &self.target, id, &self.timers);
        if !matches!(registered, Registered::Started | Registered::Waiting) {
            self.count(id);
        }
    }

    fn answer(&self, id: u64) {
        let answered = self.target.answered(id, &*self.timers, 2);
        if answered
            .running
            .is_some_and(|running| running.assignment.is_some())
        {
            self.count(id);
        }
    }

    fn cancel(&self, id: u64) {
        let cancelled = self.target.cancel(id, &*self.timers, 2);
        if matches!(cancelled, Cancelled::Waiting) {
            self.count(id);
        }
    }

    /// Does what the timer thread does at these times.
    fn look(&self) {
        for at in self.timers.take() {
            let (ended, _) = self.target.take_overdue(at, LATER, LATER, &*self.timers);
            self.count_all(&ended);
        }
    }
}

#[test]
fn an_answer_a_cancel_a_time_out_and_a_leave_make_one_outcome() {
    const COMMANDS: std::ops::RangeInclusive<u64> = 1..=3;
    explore(|| {
        let bench = Bench::new();
        join_all([
            bench.start(|bench| COMMANDS.for_each(|id| bench.register(id))),
            bench.start(|bench| COMMANDS.chain(COMMANDS).for_each(|id| bench.answer(id))),
            bench.start(|bench| COMMANDS.rev().for_each(|id| bench.cancel(id))),
            bench.start(|bench| (0..2).for_each(|_| bench.look())),
            bench.start(|bench| bench.count_all(&bench.target.queue.close())),
        ]);
        let queue = &bench.target.queue;
        assert!(queue.close().is_empty(), "it was closed");
        assert_eq!((queue.running(), queue.queued()), (0, 0));
        let expected = COMMANDS.map(|id| (id, 1)).collect();
        assert_eq!(*lock(&bench.outcomes), expected, "outcomes by command");
    });
}

/// What ranks are decided by.
fn order(member: &Member) -> (Tier, u64) {
    (member.tier, member.id)
}

/// Checks what a reader sees of the list at any moment.
fn check_ranks(view: &View<'_>) {
    let ranked = view.ranked();
    assert!(
        ranked.is_sorted_by(|a, b| order(&a.member) < order(&b.member)),
        "by tier, and then in the order of joining"
    );
    for (rank, place) in ranked.iter().enumerate() {
        assert_eq!(view.rank_of(&place.member), Some(rank));
        let named = view.any_case(&place.member.name);
        assert!(named.is_some_and(|(at, named)| at == rank && named.member.id == place.member.id));
    }
    let executors = view.executors().iter().map(|place| place.member.id);
    let with_slots = ranked.iter().filter(|place| place.member.slots > 0);
    assert!(executors.eq(with_slots.map(|place| place.member.id)));
}

#[test]
fn ranks_are_whole_and_authority_holds_while_clients_come_and_go() {
    explore(|| {
        let roster = testing::roster(5);
        testing::join(&roster, "first", 1);
        let sender = testing::join(&roster, "sender", 1);
        // It is always below the sender, and never the least loaded while another one is.
        let busy = testing::join(&roster, "busy", 1);
        register(&sender, &busy, 1, &Watched::default());
        let start = |does: fn(&Roster, &Member)| {
            let (roster, sender) = (roster.clone(), Arc::clone(&sender));
            thread::spawn(move || does(&roster, &sender))
        };
        join_all([
            start(|roster, _| come_and_go(roster, Tier::HIGHEST, "a", 2)),
            start(|roster, _| come_and_go(roster, Tier::DEFAULT, "b", 0)),
            start(|roster, sender| {
                for to in ["least-loaded", "all", "below", "next"] {
                    roster.look(|view| check_ranks(&view));
                    check_authority(roster, sender, to);
                }
            }),
            start(|roster, _| {
                let untold = roster.untold();
                assert!(untold.is_sorted_by(|a, b| a.1.rank < b.1.rank));
                let page = roster.page(0, 10, 1);
                let ranks = page.members.iter().map(|member| member.rank);
                assert!(ranks.eq(0..page.total));
            }),
        ]);
        roster.look(|view| check_ranks(&view));
        assert_eq!(roster.len(), 3);
    });
}

fn come_and_go(roster: &Roster, tier: Tier, name: &str, slots: u32) {
    for _ in 0..2 {
        let member = testing::join_in(roster, tier, name, slots);
        roster.mark_joined(&member);
        roster.leave(&member);
    }
}

/// The members found to execute rank below the sender and have slots; others outrank it.
fn check_authority(roster: &Roster, sender: &Member, to: &str) {
    let selector = to.parse().expect("a selector");
    let selection =
        select(roster, sender, &selector, Scope::ALL).unwrap_or_else(|e| panic!("{to}: {e}"));
    let own = selection.sender_rank;
    assert!((1..=2).contains(&own), "one above it came and went");
    let (execute, outranked) = match selection.found {
        Found::One(target) => (vec![target], vec![]),
        Found::Many {
            execute, outranked, ..
        } => (execute, outranked),
    };
    for target in execute {
        let member = &target.member;
        assert!(order(member) > order(sender) && member.slots > 0 && target.rank > own);
    }
    assert!(
        outranked
            .iter()
            .all(|target| order(&target.member) < order(sender) && target.rank < own)
    );
}

#[test]
fn a_send_to_many_has_its_outcomes_in_order_while_targets_leave() {
    explore(|| {
        let mut world = World::new();
        let mut boss = world.join("boss", 0);
        let workers = [
            (world.join("a", 1), 9),
            (world.join("b", 1), 1),
            (world.join("c", 1), 0),
        ];
        let workers = workers.map(|(worker, most)| thread::spawn(move || worker.execute(most)));
        let timers = world.start_timers();
        boss.send(1, "below");
        boss.send(2, "all");
        boss.say(&json!({"jsonrpc": "2.0", "method": "cancel", "params": {"send": 1}}));
        Heard::hear_all(&mut boss, 2);
        boss.leave();
        assert_eq!(boss.hear(), None, "nothing comes after the tallies");
        boss.stream.shutdown();
        let hub = Arc::clone(&world.hub);
        for place in testing::ranked(&hub.roster) {
            place.member.connection.stream.shutdown();
        }
        world.is_over.store(true, Ordering::SeqCst);
        join_all(workers.into_iter().chain(world.sessions).chain([timers]));
        assert_eq!((hub.roster.len(), hub.connections().len()), (0, 0));
    });
}

#[test]
fn a_client_that_leaves_takes_its_commands_along_and_no_thread_waits_for_ever() {
    explore(|| {
        let mut world = World::new();
        let boss = world.join("boss", 1);
        let middle = world.join("middle", 1);
        let worker = world.join("worker", 1);
        let timers = world.start_timers();
        let worker = thread::spawn(move || worker.execute(9));
        // The one in the middle commands, and is commanded, and goes at some moment.
        let middle = thread::spawn(move || {
            middle.send(1, "next");
            middle.send(2, "least-loaded");
            middle.execute(1);
        });
        let boss = thread::spawn(move || {
            let mut boss = boss;
            boss.send(1, "middle");
            boss.send(2, "1");
            boss.send(3, "least-loaded");
            for _ in 1..=3 {
                while boss.hear().expect("it is here").get("id").is_none() {}
            }
            boss.leave();
            assert_eq!(boss.hear(), None);
            boss.stream.shutdown();
        });
        join_all([boss]);
        for place in testing::ranked(&world.hub.roster) {
            place.member.connection.stream.shutdown();
        }
        world.is_over.store(true, Ordering::SeqCst);
        join_all([middle, worker, timers].into_iter().chain(world.sessions));
        assert_eq!(world.hub.roster.len(), 0);
    });
}

#[test]
fn a_send_to_many_is_accepted_before_its_output_while_another_sender_writes_to_its_target() {
    explore(|| {
        let mut world = World::new();
        let mut boss = world.join("boss", 0);
        let other = world.join("other", 0);
        let worker = world.join("worker", 4);
        let worker = thread::spawn(move || worker.execute(9));
        // Its session writes to the worker as well, at any moment of the boss's session.
        let other = thread::spawn(move || {
            let mut other = other;
            for id in 1..=2 {
                other.send(id, "worker");
                while other.hear().expect("it is here").get("id").is_none() {}
            }
            other.stream.shutdown();
        });
        for id in 1..=2 {
            boss.send(id, "below");
        }
        Heard::hear_all(&mut boss, 2);
        boss.stream.shutdown();
        join_all([other]);
        for place in testing::ranked(&world.hub.roster) {
            place.member.connection.stream.shutdown();
        }
        join_all([worker].into_iter().chain(world.sessions));
    });
}
