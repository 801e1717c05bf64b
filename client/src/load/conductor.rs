//! The course of a bench: everybody joins, senders warm up, then it counts, then all leave.

use super::LoadError;
use super::driver::{DriverEvent, DriverHandle, DriverOrder};
use super::endpoint::Endpoint;
use super::executor::Executor;
use super::names::Names;
use super::peer::{Peer, Role};
use super::plan::{Amount, Plan, Shape, To};
use super::report::{Counts, End, Progress, Report};
use super::sender::{Budget, Sender, Share};
use crate::config::Config;
use common::sys::resources;
use common::sys::sync::Arc;
use common::wire::fast_encode::Prepared;
use common::wire::message::request_line;
use common::wire::{SendOut, method};
use crossbeam_channel::{Receiver, select, unbounded};
use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Idle clients that are handed on at a time: handing on costs a wake-up, and who joined has
/// to be served before it is asked for a sign of life.
const HANDED_ON: usize = 64;

/// How often progress is told.
const TICK: Duration = Duration::from_millis(200);

/// Descriptors that a process has open besides its connections, generously.
const OTHER_DESCRIPTORS: u64 = 32;

/// Runs a plan against the server that the configuration names; its name and slots are not
/// looked at. A message in `stop` ends it early.
///
/// # Errors
/// Nothing was measured, and why.
pub fn run(
    config: &Config,
    plan: &Plan,
    stop: &Receiver<()>,
    watch: &mut dyn FnMut(Progress),
) -> Result<Report, LoadError> {
    check_descriptors(plan)?;
    let mut bench = Bench::new(config, plan, stop, watch)?;
    bench.join_pairs()?;
    let idle_joining = bench.join_idle()?;
    bench.warm_up()?;
    Ok(bench.measure(idle_joining))
}

fn check_descriptors(plan: &Plan) -> Result<(), LoadError> {
    let wanted = plan.clients();
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
    names: Names,
    executor: Arc<Executor>,
    /// Those who serve senders and executors; the senders are with the first ones.
    drivers: Vec<DriverHandle>,
    /// The one that serves who is idle.
    idle_driver: Option<DriverHandle>,
    told: Receiver<DriverEvent>,
    tell: crossbeam_channel::Sender<DriverEvent>,
    joined: u64,
    commands: Arc<AtomicU64>,
}

impl<'a> Bench<'a> {
    fn new(
        config: &'a Config,
        plan: &'a Plan,
        stop: &'a Receiver<()>,
        watch: &'a mut dyn FnMut(Progress),
    ) -> Result<Bench<'a>, LoadError> {
        let names = Names::new();
        let (tell, told) = unbounded();
        let drivers = (0..plan.threads).map(|_| DriverHandle::start(tell.clone()));
        Ok(Bench {
            config,
            plan,
            stop,
            watch,
            executor: Arc::new(Executor::new(names.senders(), plan.result)),
            names,
            drivers: drivers.collect::<Result<_, _>>()?,
            idle_driver: None,
            told,
            tell,
            joined: 0,
            commands: Arc::default(),
        })
    }

    /// Each sender, then those who rank below it and execute what it sends.
    fn join_pairs(&mut self) -> Result<(), LoadError> {
        let targets = self.plan.shape.targets();
        for number in 0..self.plan.shape.senders() {
            let sender = self.join(self.names.sender(number), 0)?;
            let rank = sender.joined.rank;
            let sender = self.sender(sender, number, rank + 1)?;
            self.hand_on(number, sender);
            for target in 0..targets {
                let number = number * targets + target;
                let executor = self.join(self.names.executor(number), self.plan.window)?;
                self.check_line("result", self.executor.longest_line(), &executor)?;
                let role = Role::Execute(Arc::clone(&self.executor));
                let peer = Peer {
                    endpoint: executor,
                    role,
                };
                // Of many executors each driver has its share; a pair stays together.
                self.hand_on(number, peer);
            }
        }
        Ok(())
    }

    fn hand_on(&self, number: u32, peer: Peer) {
        let driver = &self.drivers[number as usize % self.drivers.len()];
        driver.order(DriverOrder::Add(vec![peer]));
    }

    fn join(&mut self, name: String, slots: u32) -> Result<Endpoint, LoadError> {
        if self.stop.try_recv().is_ok() {
            return Err(LoadError::Interrupted);
        }
        if let Ok(DriverEvent::Lost(why)) = self.told.try_recv() {
            return Err(LoadError::Lost(why));
        }
        let endpoint = Endpoint::join(self.config, name, slots);
        let wanted = self.plan.clients();
        let endpoint = endpoint.map_err(|error| LoadError::Join {
            error: Box::new(error),
            joined: self.joined,
            wanted,
        })?;
        // Ranks of its own that follow each other from 0 on stay what they are: nobody is
        // above them who could leave, nor in between.
        if self.plan.to != To::Name && u64::from(endpoint.joined.rank) != self.joined {
            return Err(LoadError::NotAlone);
        }
        self.joined += 1;
        Ok(endpoint)
    }

    fn check_line(
        &self,
        what: &'static str,
        bytes: usize,
        endpoint: &Endpoint,
    ) -> Result<(), LoadError> {
        let max = endpoint.joined.max_line;
        match bytes <= max {
            true => Ok(()),
            false => Err(LoadError::TooLong { what, bytes, max }),
        }
    }

    /// A sender to the executor of the same number, or, where there are many, to all of them.
    fn sender(&self, endpoint: Endpoint, number: u32, below: u32) -> Result<Peer, LoadError> {
        let to = match (self.plan.shape, self.plan.to) {
            (Shape::FanOut(_), _) => self.names.executors(),
            (_, To::Name) => self.names.executor(number),
            (_, To::Next) => "next".into(),
            (_, To::Rank) => below.to_string(),
        };
        let mut words = vec!["bench".to_owned()];
        if self.plan.payload > 0 {
            words.push("-".repeat(self.plan.payload));
        }
        let send = SendOut {
            command: &words,
            to: Some(&to),
            timeout_ms: None,
            window: None,
        };
        let command = Prepared::new(&request_line(&0.into(), method::SEND, send));
        self.check_line("command", command.longest(), &endpoint)?;
        let targets = match self.plan.shape {
            Shape::Pairs(_) => None,
            Shape::FanOut(executors) => Some(executors),
        };
        let commands = Arc::clone(&self.commands);
        let share = Share {
            number,
            of: self.plan.shape.senders(),
        };
        let sender = Sender::new(command, targets, self.plan.window, share, commands);
        Ok(Peer {
            endpoint,
            role: Role::Send(Box::new(sender)),
        })
    }

    /// Has the idle clients join, one after another; how long that took.
    fn join_idle(&mut self) -> Result<Duration, LoadError> {
        if self.plan.idle == 0 {
            return Ok(Duration::ZERO);
        }
        self.idle_driver = Some(DriverHandle::start(self.tell.clone())?);
        let started = Instant::now();
        let mut fresh = Vec::new();
        for number in 0..self.plan.idle {
            let endpoint = self.join(self.names.idle(number), 1)?;
            let role = Role::Execute(Arc::clone(&self.executor));
            fresh.push(Peer { endpoint, role });
            if fresh.len() == HANDED_ON || number + 1 == self.plan.idle {
                if let Some(idle_driver) = &self.idle_driver {
                    idle_driver.order(DriverOrder::Add(std::mem::take(&mut fresh)));
                }
                let (joined, wanted) = (self.joined, self.plan.clients());
                (self.watch)(Progress::Joining { joined, wanted });
            }
        }
        Ok(started.elapsed())
    }

    fn warm_up(&mut self) -> Result<(), LoadError> {
        (self.watch)(Progress::WarmingUp);
        let until = Instant::now() + self.plan.warm_up;
        match self.send(Budget::Until(until), None) {
            End::Whole => Ok(()),
            End::Interrupted => Err(LoadError::Interrupted),
            End::Lost(why) => Err(LoadError::Lost(why)),
        }
    }

    fn measure(mut self, idle_joining: Duration) -> Report {
        let (started, cpu) = (Instant::now(), own_cpu());
        let budget = match self.plan.amount {
            Amount::Sends(all) => Budget::Sends(all),
            Amount::Time(time) => Budget::Until(started + time),
        };
        self.commands.store(0, Ordering::Relaxed);
        let end = self.send(budget, Some(started));
        let cpu = own_cpu().saturating_sub(cpu);
        let counts = self.leave();
        let last = counts.last.unwrap_or(started);
        Report {
            sent: counts.sent,
            open: counts.open,
            outcomes: counts.outcomes,
            errors: counts.errors,
            latency: counts.latency,
            elapsed: last.saturating_duration_since(started),
            cpu,
            idle_joining,
            end,
        }
    }

    /// Has all senders send, and waits until they have; tells progress since a start.
    fn send(&mut self, budget: Budget, since: Option<Instant>) -> End {
        for driver in &self.drivers {
            driver.order(DriverOrder::Start(budget));
        }
        let mut running = self.drivers.len();
        loop {
            select! {
                recv(self.told) -> told => match told {
                    Ok(DriverEvent::Lost(why)) => return End::Lost(why),
                    _ if running > 1 => running -= 1,
                    _ => return End::Whole,
                },
                recv(self.stop) -> _ => return End::Interrupted,
                default(TICK) => if let Some(since) = since {
                    let commands = self.commands.load(Ordering::Relaxed);
                    let elapsed = since.elapsed();
                    (self.watch)(Progress::Measuring { commands, elapsed });
                },
            }
        }
    }

    /// Has everybody leave; what the senders counted.
    fn leave(&mut self) -> Counts {
        let mut counts = Counts::default();
        // All at once: who leaves one after another is news for those who stay.
        let all = self.drivers.drain(..).chain(self.idle_driver.take());
        let all: Vec<DriverHandle> = all
            .inspect(|driver| driver.order(DriverOrder::Stop))
            .collect();
        for driver in all {
            counts.add(driver.stop());
        }
        counts
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Processor time of this process, all of its threads together.
fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
