//! The course of a bench: its clients join, warm up, send while the results count, and leave.

use super::driver::Driver;
use super::error::LoadError;
use super::peer::{Executor, Peer, Role};
use super::plan::{Plan, To};
use super::programs;
use super::report::{Counts, End, Progress, Report};
use super::sender::{Budget, Run, Sender};
use crate::client::Client;
use crate::config::Config;
use crate::connection::handshake::{self, Handshake};
use crate::error::ConnectError;
use crate::execute::executor::SharedExecutor;
use crate::send::command::Command;
use common::limits::LINGER;
use common::sys::resources::{self, processor_time};
use common::sys::sync::Arc;
use common::sys::thread;
use common::wire::fast_encode::Prepared;
use crossbeam_channel::{Receiver, bounded, select};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How many clients join between two turns of the drivers, which answer the server's `ping`.
const JOINS_PER_TURN: u64 = 64;

/// How long these joins may take at most: a tenth of a server's usual heartbeat, as a client that is
/// silent for two of them is disconnected.
const LONGEST_WITHOUT_TURN: Duration = Duration::from_millis(500);

/// How often progress is told.
const TICK: Duration = Duration::from_millis(200);

/// Descriptors that a process has open besides its connections, generously.
const OTHER_DESCRIPTORS: u64 = 32;

/// Runs a plan against the server of the configuration; its name and slots are not used. A
/// message in `stop` ends it early.
///
/// # Errors
/// Why nothing was measured.
pub fn run(
    config: &Config,
    plan: &Plan,
    stop: &Receiver<()>,
    watch: &mut dyn FnMut(Progress),
) -> Result<Report, LoadError> {
    check_descriptors(plan)?;
    // The system seeds this at random.
    let random = RandomState::new().build_hasher().finish();
    let prefix = format!("bench-{:08x}-", random as u32);
    let threads = plan.threads();
    let drivers = (0..threads + usize::from(plan.idle > 0)).map(|_| Driver::new());
    let senders = format!("{prefix}s");
    let run = plan.run.as_ref();
    let programs = run.map(|run| programs::executor(senders.clone(), &run.0));
    let mut bench = Bench {
        config,
        plan,
        stop,
        watch,
        executor: Arc::new(Executor::new(senders, plan.result)),
        programs: programs.transpose()?,
        clients: Vec::new(),
        prefix,
        threads,
        drivers: drivers.collect::<Result<_, _>>()?,
        run: Arc::default(),
        joined: 0,
        turned: Instant::now(),
    };
    bench.join_pairs()?;
    let idle_joining = bench.join_idle()?;
    bench.warm_up()?;
    bench.measure(idle_joining)
}

fn check_descriptors(plan: &Plan) -> Result<(), LoadError> {
    let wanted = plan.descriptors();
    match resources::raise_descriptor_limit() {
        Some(limit) if limit < wanted + OTHER_DESCRIPTORS => {
            Err(LoadError::Descriptors { wanted, limit })
        }
        _ => Ok(()),
    }
}

struct Bench<'a> {
    config: &'a Config,
    plan: &'a Plan,
    stop: &'a Receiver<()>,
    watch: &'a mut dyn FnMut(Progress),
    /// The start of the names of its clients, which those of no other bench have.
    prefix: String,
    executor: Arc<Executor>,
    /// What executes instead with `--run`, and the clients that it executes for.
    programs: Option<SharedExecutor>,
    clients: Vec<Client>,
    /// Those of the senders and executors, and after them that of the idle clients.
    drivers: Vec<Driver>,
    threads: usize,
    run: Arc<Run>,
    joined: u64,
    /// When the drivers had their last turn.
    turned: Instant,
}

impl Bench<'_> {
    /// Each sender, then the executors of its commands, which rank below it.
    fn join_pairs(&mut self) -> Result<(), LoadError> {
        let targets = self.plan.targets();
        for number in 0..self.plan.senders() {
            let joined = self.join_peer(&format!("s{number}"), 0)?;
            let sender = self.sender(&joined, number)?;
            self.add(number as usize, joined, Role::Send(Box::new(sender)))?;
            // Each driver has its share of many executors; a pair stays together.
            for number in number * targets..(number + 1) * targets {
                match self.programs.clone() {
                    None => self.join_executor(number)?,
                    Some(programs) => self.join_client(number, &programs)?,
                }
            }
        }
        Ok(())
    }

    fn join_executor(&mut self, number: u32) -> Result<(), LoadError> {
        let joined = self.join_peer(&format!("e{number}"), self.plan.window)?;
        check_line("result", &self.executor.answer, &joined)?;
        let role = Role::Execute(Arc::clone(&self.executor));
        self.add(number as usize, joined, role)
    }

    /// An executor that runs programs.
    fn join_client(&mut self, number: u32, programs: &SharedExecutor) -> Result<(), LoadError> {
        let client = self.join(&format!("e{number}"), self.plan.window, |config| {
            // It comes back by no means, and tells nothing of what it executes.
            let config = Config {
                reconnect: false,
                job_events: false,
                ..config.clone()
            };
            let client = Client::connect(config, programs.clone())?;
            let rank = client.rank();
            Ok((client, rank))
        })?;
        self.clients.push(client);
        Ok(())
    }

    /// The idle clients, one after another; returns how long that took.
    fn join_idle(&mut self) -> Result<Duration, LoadError> {
        let started = Instant::now();
        for number in 0..self.plan.idle {
            let joined = self.join_peer(&format!("i{number}"), 1)?;
            let role = Role::Execute(Arc::clone(&self.executor));
            let driver = &mut self.drivers[self.threads];
            driver.add(Peer::new(joined, role)).map_err(lost)?;
        }
        Ok(started.elapsed())
    }

    fn add(&mut self, number: usize, joined: Handshake, role: Role) -> Result<(), LoadError> {
        let driver = &mut self.drivers[number % self.threads];
        driver.add(Peer::new(joined, role)).map_err(lost)
    }

    /// Joins a client that a driver serves.
    fn join_peer(&mut self, name: &str, slots: u32) -> Result<Handshake, LoadError> {
        self.join(name, slots, |config| {
            let handshake = handshake::join(config, None)?;
            let rank = handshake.joined.rank;
            Ok((handshake, rank))
        })
    }

    /// Joins a client, and has its rank.
    fn join<T>(
        &mut self,
        name: &str,
        slots: u32,
        join: impl FnOnce(&Config) -> Result<(T, u32), ConnectError>,
    ) -> Result<T, LoadError> {
        if self.stop.try_recv().is_ok() {
            return Err(LoadError::Interrupted);
        }
        let wanted = self.plan.clients();
        let config = Config {
            name: Some(self.prefix.clone() + name),
            slots: Some(slots),
            ..self.config.clone()
        };
        let (joined, rank) = join(&config).map_err(|error| LoadError::Join {
            error: Box::new(error),
            joined: self.joined,
            wanted,
        })?;
        // The ranks of its own clients follow each other from 0 on. So they never change: no
        // other client is above or between them that could leave.
        if self.plan.to != To::Name && u64::from(rank) != self.joined {
            return Err(LoadError::NotAlone);
        }
        self.joined += 1;
        if self.joined.is_multiple_of(JOINS_PER_TURN)
            || self.joined == wanted
            || self.turned.elapsed() > LONGEST_WITHOUT_TURN
        {
            self.turned = Instant::now();
            let turn = |driver: &mut Driver| driver.turn(Duration::ZERO);
            self.drivers.iter_mut().try_for_each(turn).map_err(lost)?;
            let joined = self.joined;
            (self.watch)(Progress::Joining { joined, wanted });
        }
        Ok(joined)
    }

    /// A sender to the executor of the same number or, in a fan-out, to all executors.
    fn sender(&self, joined: &Handshake, number: u32) -> Result<Sender, LoadError> {
        let to = match self.plan.to {
            _ if self.plan.fan_out.is_some() => format!("{}e*", self.prefix),
            To::Name => format!("{}e{number}", self.prefix),
            To::Next => "next".into(),
            To::Rank => (joined.joined.rank + 1).to_string(),
        };
        let run = self.plan.run.as_ref();
        let mut words = run.map_or_else(|| vec!["bench".to_owned()], |run| run.0.clone());
        if self.plan.payload > 0 {
            words.push("-".repeat(self.plan.payload));
        }
        let command = Prepared::new(&Command::new(words).to(to).request_line(0));
        check_line("command", &command, joined)?;
        Ok(Sender::new(
            command,
            self.plan,
            number,
            Arc::clone(&self.run),
        ))
    }

    fn warm_up(&mut self) -> Result<(), LoadError> {
        (self.watch)(Progress::WarmingUp);
        let until = Instant::now() + self.plan.warm_up;
        match self.send(Budget::Until(until), None)? {
            End::Whole => Ok(()),
            End::Interrupted => Err(LoadError::Interrupted),
            End::Lost(why) => Err(LoadError::Lost(why)),
        }
    }

    fn measure(&mut self, idle_joining: Duration) -> Result<Report, LoadError> {
        let (started, cpu) = (Instant::now(), processor_time());
        let budget = match self.plan.count {
            Some(all) => Budget::Sends(all),
            None => Budget::Until(started + self.plan.duration),
        };
        let end = self.send(budget, Some(started))?;
        let cpu = processor_time().saturating_sub(cpu);
        let mut counts = Counts::default();
        let drivers = self.drivers.iter();
        drivers.for_each(|driver| driver.count(&mut counts));
        let last = counts.last.unwrap_or(started);
        Ok(Report {
            counts,
            elapsed: last.saturating_duration_since(started),
            cpu,
            idle_joining,
            end,
        })
    }

    /// Runs each driver on a thread of its own, and tells the progress since a start.
    fn send(&mut self, budget: Budget, since: Option<Instant>) -> Result<End, LoadError> {
        self.run
            .sending
            .store(self.drivers.len(), Ordering::Relaxed);
        self.run.commands.store(0, Ordering::Relaxed);
        let (running, ended) = bounded::<()>(0);
        let start = |mut driver: Driver| {
            let (run, running) = (Arc::clone(&self.run), running.clone());
            thread::spawn("load", move || {
                let result = driver.run(budget, &run);
                if result.is_err() {
                    run.is_stopped.store(true, Ordering::Relaxed);
                }
                drop(running);
                (driver, result)
            })
        };
        let threads: io::Result<Vec<_>> = self.drivers.drain(..).map(start).collect();
        let threads = threads?;
        drop(running);
        loop {
            select! {
                recv(ended) -> _ => break,
                recv(self.stop) -> _ => self.run.is_stopped.store(true, Ordering::Relaxed),
                default(TICK) => if let Some(since) = since {
                    let commands = self.run.commands.load(Ordering::Relaxed);
                    let elapsed = since.elapsed();
                    (self.watch)(Progress::Measuring { commands, elapsed });
                },
            }
        }
        let mut end = match self.run.is_stopped.load(Ordering::Relaxed) {
            true => End::Interrupted,
            false => End::Whole,
        };
        for thread in threads {
            let (driver, result) = thread
                .join()
                .unwrap_or_else(|p| std::panic::resume_unwind(p));
            self.drivers.push(driver);
            match result {
                Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(LoadError::Forbidden(why.to_string()));
                }
                Err(why) => end = End::Lost(why.to_string()),
                Ok(()) => {}
            }
        }
        Ok(end)
    }
}

impl Drop for Bench<'_> {
    /// All clients leave at the same time: the departure of each is news for those that stay.
    fn drop(&mut self) {
        let mut drivers = std::mem::take(&mut self.drivers);
        let peers = drivers.iter_mut().flat_map(|driver| &mut driver.peers);
        peers.for_each(Peer::say_leave);
        let deadline = Instant::now() + LINGER;
        self.clients.clear();
        let peers = drivers.iter().flat_map(|driver| &driver.peers);
        peers.for_each(|peer| peer.wait_end(deadline));
    }
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` has it
fn lost(e: io::Error) -> LoadError {
    LoadError::Lost(e.to_string())
}

fn check_line(what: &'static str, line: &Prepared, joined: &Handshake) -> Result<(), LoadError> {
    let (bytes, max) = (line.longest(), joined.joined.max_line);
    match bytes <= max {
        true => Ok(()),
        false => Err(LoadError::TooLong { what, bytes, max }),
    }
}
