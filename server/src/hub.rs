//! What all threads of one server share, and what it says of itself.

use crate::config::Config;
use crate::connection::Connection;
use crate::connection::hold::{Hold, Stage};
use crate::dispatch::flush_set::FlushSet;
use crate::dispatch::outcome_details::OutcomeDetails;
use crate::jobs::Jobs;
use crate::join::handshakes::Handshakes;
use crate::join::throttle::Throttle;
use crate::member::Member;
use crate::member::executor_queue::{QueueBounds, TakenOut};
use crate::memory_budget::MemoryBudget;
use crate::ranking::{Roster, Standing};
#[cfg(not(shuttle))]
use crate::state::State;
use crate::telemetry::Telemetry;
use crate::telemetry::counters::quantile;
use crate::throttled_log::ThrottledLog;
use crate::timers::timer_queue::{Timer, TimerQueue};
#[cfg(not(shuttle))]
use crate::tls::Encryption;
use crate::version;
use crate::watch::reader::{Reader, Readers};
use crate::watch::watchers::Watchers;
use common::net::listener::Waker;
use common::sys::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use common::sys::sync::{Arc, Mutex, lock};
use common::wire::watch::{ServerFacts, Watched};
use common::wire::{ExecutionResult, Status};
#[cfg(not(shuttle))]
use crossbeam_channel::{Receiver, Sender, bounded};
use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;

/// How long rank news wait for more: no user notices it, and many departures at once are told as
/// one.
const NEWS_DELAY_MS: u64 = 10;

/// How long a member that joined above others must be here before they are told: a short command
/// of an operator is news to none of the thousands that rank below.
const JOIN_NEWS_DELAY_MS: u64 = 1000;

/// How far away the end of a credential is scheduled at the most, as for all timers.
const LONGEST_EXPIRY_MS: u64 = 60_000;

/// What all threads of one server share.
pub(crate) struct Hub {
    pub(crate) config: Config,
    pub(crate) roster: Roster,
    pub(crate) timers: TimerQueue,
    pub(crate) handshakes: Handshakes,
    /// How often the token may be guessed.
    pub(crate) throttle: Throttle,
    /// Wrong tokens.
    pub(crate) token_log: ThrottledLog,
    /// Connections that speak HTTP.
    pub(crate) http_log: ThrottledLog,
    /// Handshakes that failed.
    pub(crate) tls_log: ThrottledLog,
    /// What it encrypts with, if it does.
    #[cfg(not(shuttle))]
    pub(crate) tls: Option<Encryption>,
    pub(crate) budget: MemoryBudget,
    /// What keeps the places that are held for the next start, if something does.
    #[cfg(not(shuttle))]
    pub(crate) state: Option<State>,
    /// Detached commands.
    pub(crate) jobs: Arc<Jobs>,
    /// What it shows over HTTP, and to clients that watch.
    pub(crate) telemetry: Arc<Telemetry>,
    /// The clients that watch.
    pub(crate) watchers: Watchers,
    /// What clients that watch and open pages share.
    pub(crate) readers: Arc<Readers>,
    /// Where clients dial in.
    pub(crate) address: Option<SocketAddr>,
    /// All connections, joined or not.
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
    /// What tells this start of the server from others: 32 hex digits.
    pub(crate) run: Box<str>,
    /// For the ids of what the server asks of clients.
    next_id: AtomicU64,
    news_scheduled: AtomicBool,
    /// No rank news before this time.
    pub(crate) news_after: AtomicU64,
    pub(crate) drain_requested: AtomicBool,
    pub(crate) abort_requested: AtomicBool,
    /// When credentials are looked at next for their ends, in the time of the timer queue.
    pub(crate) next_expiry: AtomicU64,
    waker: Waker,
    /// Wakes up the threads that look at files, and their ends.
    #[cfg(not(shuttle))]
    pub(crate) files_asked: [(Sender<()>, Receiver<()>); 2],
}

impl Hub {
    pub(crate) fn new(config: Config, run: u128, waker: Waker) -> Hub {
        let budget = MemoryBudget::new(config.max_memory);
        let telemetry = Telemetry::new(config.http.is_some());
        let jobs = Jobs::new(config.max_memory, &budget.commands, config.keep_jobs);
        Hub {
            run: format!("{run:032x}").into(),
            roster: Roster::new(config.max_clients, config.transcript.clone()),
            handshakes: Handshakes::new(config.max_clients),
            throttle: Throttle::default(),
            token_log: ThrottledLog::new(log::Level::Info),
            http_log: ThrottledLog::new(log::Level::Warn),
            tls_log: ThrottledLog::new(log::Level::Warn),
            #[cfg(not(shuttle))]
            tls: None,
            budget,
            jobs: Arc::new(jobs),
            #[cfg(not(shuttle))]
            state: None,
            watchers: Watchers::default(),
            readers: Arc::new(Readers::new(&telemetry)),
            telemetry,
            address: None,
            config,
            timers: TimerQueue::new(),
            connections: Mutex::default(),
            next_id: AtomicU64::new(1),
            news_scheduled: AtomicBool::new(false),
            news_after: AtomicU64::new(0),
            drain_requested: AtomicBool::new(false),
            abort_requested: AtomicBool::new(false),
            next_expiry: AtomicU64::new(u64::MAX),
            waker,
            #[cfg(not(shuttle))]
            files_asked: [bounded(1), bounded(1)],
        }
    }

    /// Whether the server is about to stop.
    pub(crate) fn is_draining(&self) -> bool {
        self.drain_requested.load(Ordering::Acquire) || self.roster.look(|view| view.is_draining())
    }

    /// Whether places are held for the next start of the server.
    pub(crate) fn keeps_places(&self) -> bool {
        #[cfg(not(shuttle))]
        return self.state.is_some();
        #[cfg(shuttle)]
        false
    }

    /// A member's place has changed, or is held no more.
    pub(crate) fn note_place(&self, connection: &Connection) {
        #[cfg(not(shuttle))]
        if let Some(state) = &self.state
            && connection.hold().is_some()
        {
            state.has_changed();
        }
    }

    /// A member has this number.
    pub(crate) fn note_number(&self, number: u64) {
        #[cfg(not(shuttle))]
        if let Some(state) = &self.state {
            state.has_given(number);
        }
    }

    /// Holds the place of a member for the next start of the server, if it does that and if this was
    /// a place until now; says whether it does.
    pub(crate) fn keep_place(&self, member: &Member, was: Option<Stage>) -> bool {
        let hold = member.connection.hold();
        let is_held = hold.is_some_and(Hold::is_confirmed) && was != Some(Stage::Over);
        #[cfg(not(shuttle))]
        if let Some(state) = self.state.as_ref().filter(|_| is_held) {
            state.keep(member);
        }
        is_held && self.keeps_places()
    }

    /// What a reader is told now, made into something; `None` if nothing has changed.
    pub(crate) fn tell<T>(
        &self,
        reader: &mut Reader,
        make: impl FnOnce(&Watched<'_>) -> T,
    ) -> Option<T> {
        reader.tell(&self.roster, self.timers.now(), || self.facts(), make)
    }

    /// What is known of the server, with its totals.
    pub(crate) fn facts(&self) -> ServerFacts {
        let totals = self.telemetry.counters.totals();
        let outcomes = Status::ALL.iter().zip(totals.outcomes);
        ServerFacts {
            version: Cow::Borrowed(version::VERSION),
            commit: Cow::Borrowed(version::COMMIT),
            run: self.run.to_string(),
            address: self.address.map_or_else(String::new, |at| at.to_string()),
            started_ms: self.telemetry.started_ms,
            members: self.roster.len() as u32,
            max: self.config.max_clients,
            draining: self.is_draining(),
            commands: totals.taken,
            outcomes: outcomes
                .map(|(status, n)| (Cow::Borrowed(status.name()), n))
                .collect(),
            p50_ms: quantile(&totals.durations, 0.5),
            p99_ms: quantile(&totals.durations, 0.99),
            expected_ms: self.config.expected.as_ref().map(|it| it.known().read_ms),
        }
    }

    /// An id for a request of the server's, never given before.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn queue_bounds(&self) -> QueueBounds<'_> {
        QueueBounds {
            commands: self.config.max_queue,
            bytes: self.config.max_queue_bytes,
            memory: Some(&self.budget.commands),
        }
    }

    /// Registers a connection and its first timer.
    pub(crate) fn connected(&self, connection: &Arc<Connection>) {
        let number = self.next_id();
        connection.set_number(number);
        lock(&self.connections).insert(number, Arc::clone(connection));
        self.handshakes.come(connection);
        self.schedule_check(connection);
    }

    /// No session serves it any more.
    pub(crate) fn disconnected(&self, connection: &Connection) {
        let connection = lock(&self.connections).remove(&connection.number());
        if let Some(connection) = connection {
            self.handshakes.go(&connection);
        }
    }

    pub(crate) fn connections(&self) -> Vec<Arc<Connection>> {
        lock(&self.connections).values().cloned().collect()
    }

    /// Schedules a check of a connection's deadlines, for the first time or after they became
    /// earlier.
    pub(crate) fn schedule_check(&self, connection: &Arc<Connection>) {
        use crate::connection::Verdict;
        let now = self.timers.now();
        let at = match connection.verdict(now, self.config.heartbeat, 0) {
            Verdict::LookAt(at) => at,
            _ => now,
        };
        self.timers
            .schedule(at, Timer::Deadlines(Arc::downgrade(connection)));
    }

    /// Has members told their new ranks soon.
    pub(crate) fn schedule_news(&self) {
        if !self.news_scheduled.swap(true, Ordering::AcqRel) {
            let soon = self.timers.now() + NEWS_DELAY_MS;
            let at = soon.max(self.news_after.load(Ordering::Relaxed));
            self.timers.schedule(at, Timer::RankNews);
        }
    }

    /// Schedules news of a newcomer for the members that it ranks above, once it has been here for
    /// a while.
    pub(crate) fn schedule_join_news(&self, newcomer: &Arc<Member>, standing: Standing) {
        if self.roster.is_news(standing) {
            let at = newcomer.joined + JOIN_NEWS_DELAY_MS;
            self.timers.schedule(at, Timer::Joined(newcomer.rank_key()));
        }
    }

    /// Has credentials looked at for their ends when one of them ends at a time.
    pub(crate) fn schedule_expiry(&self, at: u64) {
        let at = at.min(self.timers.now() + LONGEST_EXPIRY_MS);
        if at < self.next_expiry.fetch_min(at, Ordering::AcqRel) {
            self.timers.schedule(at, Timer::Expiry);
        }
    }

    /// Rank news from now on need a timer of their own.
    pub(crate) fn news_are_told(&self) {
        self.news_scheduled.store(false, Ordering::Release);
    }

    /// Ends the wait for connections; none is accepted any more.
    pub(crate) fn stop_accepting(&self) {
        self.waker.wake();
    }

    /// Tells the senders of commands that were taken out of a queue.
    pub(crate) fn conclude_all(&self, ended: Vec<TakenOut>, flushes: &mut FlushSet<'_>) {
        let now = self.timers.now();
        for ended in ended {
            let is_lost = ended.status == Status::Lost;
            let details = OutcomeDetails {
                executed: ExecutionResult {
                    truncated: ended.truncated,
                    ..ExecutionResult::default()
                },
                elapsed_ms: ended.since.filter(|_| !is_lost).map(|since| now - since),
                started: is_lost.then_some(ended.since.is_some()),
                message: None,
                output: None,
            };
            ended.assignment.conclude(ended.status, &details, flushes);
        }
    }
}
