//! All jobs of a server, and whose they are.

use super::account::{Account, Owner};
use super::job::Job;
use crate::millis;
use crate::timers::timer_queue::{News, Timer, TimerQueue};
use common::limits::{JOBS_PART, MAX_JOBS_MEMORY, MAX_OPEN_JOBS, MAX_OPEN_JOBS_OF_ONE};
use common::memory::Memory;
use common::sys::sync::atomic::{AtomicBool, Ordering};
use common::sys::sync::{Arc, Mutex, leaf};
use common::wire::JobId;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// The part of `--max-memory` that jobs may have at the most: half of what is for commands, so that the
/// other half is there for commands that wait.
const MEMORY_PART: usize = 4;

/// The part of what all jobs may keep that output leaves free, so that output never makes a send busy.
const OUTPUT_LEAVES: usize = 16;

/// How long it takes at the most until a job is looked at whose time is over: no timer is further away.
const LONGEST_SWEEP_MS: u64 = 60_000;

/// The earliest time at which a job goes after its end, so that clients that wait hear of that.
const SHORTEST_KEEP_MS: u64 = 1000;

/// All jobs of a server.
pub(crate) struct Jobs {
    /// What they keep, in all.
    pub(super) memory: Arc<Memory>,
    /// How much that may be.
    most: usize,
    /// How long one is kept after its end.
    keep: u64,
    sweep_scheduled: AtomicBool,
    pub(super) table: Mutex<Table>,
}

#[derive(Default)]
pub(super) struct Table {
    by_id: HashMap<JobId, Arc<Job>, RandomState>,
    pub(super) owners: BTreeMap<Owner, Own>,
    /// Numbers that were given to jobs, and to owners.
    jobs: u64,
    accounts: u64,
    open: usize,
}

/// What became of opening a job.
pub(crate) enum Opened {
    /// With whether its command may run: else it is busy at all of its targets.
    New(Arc<Job>, bool),
    /// Another one has its id.
    InUse,
    /// The owner, or all owners, have as many open as may be.
    Full,
}

impl Jobs {
    /// None yet, of a server that keeps so much for its clients, `commands` of it for commands.
    pub(crate) fn new(limit: usize, commands: &Arc<Memory>, keep: Duration) -> Jobs {
        let most = MAX_JOBS_MEMORY.min(limit / MEMORY_PART);
        Jobs {
            memory: Memory::part_of(commands, most),
            most,
            keep: millis(keep).max(SHORTEST_KEEP_MS),
            sweep_scheduled: AtomicBool::new(false),
            table: Mutex::default(),
        }
    }

    /// The job with that id.
    pub(crate) fn get(&self, id: &JobId) -> Option<Arc<Job>> {
        leaf(&self.table).by_id.get(id).cloned()
    }

    /// The account of an owner.
    pub(super) fn account(&self, owner: &Owner) -> Arc<Account> {
        let mut table = leaf(&self.table);
        if let Some(own) = table.owners.get(owner) {
            return Arc::clone(&own.account);
        }
        table.accounts += 1;
        let account = Arc::new(Account {
            number: table.accounts,
            memory: Memory::part_of(&self.memory, self.most / JOBS_PART),
        });
        let own = Own::new(Arc::clone(&account));
        table.owners.insert(owner.clone(), own);
        account
    }

    /// Opens a job that is made with its number; one that is past the bound of open ones only if it
    /// has outcomes by which it can say so.
    pub(super) fn open(
        &self,
        id: JobId,
        owner: &Owner,
        is_for_one: bool,
        make: impl FnOnce(u64) -> Job,
    ) -> Opened {
        let mut table = leaf(&self.table);
        if table.by_id.contains_key(&id) {
            return Opened::InUse;
        }
        let open = table.owners.get(owner).map_or(0, |own| own.open);
        let is_full = table.open >= MAX_OPEN_JOBS || open >= MAX_OPEN_JOBS_OF_ONE;
        if is_full && is_for_one {
            return Opened::Full;
        }
        table.jobs += 1;
        let number = table.jobs;
        let job = Arc::new(make(number));
        table.by_id.insert(id, Arc::clone(&job));
        table.open += 1;
        if let Some(own) = table.owners.get_mut(owner) {
            own.open += 1;
            own.jobs.insert(number, Arc::clone(&job));
        }
        Opened::New(job, !is_full)
    }

    /// A job has ended: it is kept for a while.
    pub(super) fn end(&self, job: &Job, timers: &TimerQueue) {
        let now = timers.now();
        let mut table = leaf(&self.table);
        table.open = table.open.saturating_sub(1);
        if let Some(own) = table.owners.get_mut(&job.owner) {
            own.open = own.open.saturating_sub(1);
            own.ended.push_back((job.number, now));
        }
        drop(table);
        self.schedule_sweep(now + self.keep, timers);
    }

    /// Forgets a job that was not taken after all.
    pub(super) fn take_back(&self, job: &Job) {
        let mut table = leaf(&self.table);
        table.open = table.open.saturating_sub(1);
        if let Some(own) = table.owners.get_mut(&job.owner) {
            own.open = own.open.saturating_sub(1);
        }
        let removed = table.remove(&job.owner, job.number);
        drop(table);
        drop(removed);
    }

    /// Answers the requests that wait for what has happened.
    pub(crate) fn tell_news(&self, timers: &TimerQueue) {
        let jobs: Vec<Arc<Job>> = leaf(&self.table).by_id.values().cloned().collect();
        for job in jobs {
            job.tell_news(timers);
        }
    }

    fn schedule_sweep(&self, at: u64, timers: &TimerQueue) {
        if !self.sweep_scheduled.swap(true, Ordering::AcqRel) {
            timers.schedule(at.min(timers.now() + LONGEST_SWEEP_MS), Timer::Jobs);
        }
    }

    /// Forgets the jobs that have ended long ago.
    pub(crate) fn sweep(&self, timers: &TimerQueue) {
        self.sweep_scheduled.store(false, Ordering::Release);
        let now = timers.now();
        let mut table = leaf(&self.table);
        let mut due = Vec::new();
        for (owner, own) in &mut table.owners {
            while let Some((number, at)) = own.ended.front().copied()
                && at + self.keep <= now
            {
                own.ended.pop_front();
                due.push((owner.clone(), number));
            }
        }
        let forgotten: Vec<_> = due
            .iter()
            .filter_map(|(owner, number)| table.remove(owner, *number))
            .collect();
        let ends = table.owners.values().filter_map(|own| own.ended.front());
        let next = ends.map(|(_, at)| at + self.keep).min();
        drop(table);
        drop(forgotten);
        if let Some(next) = next {
            self.schedule_sweep(next, timers);
        }
    }

    /// The jobs that are open: of an owner, or of all. The oldest of an owner is first.
    pub(crate) fn open_ones(&self, owner: Option<&Owner>) -> Vec<Arc<Job>> {
        let table = leaf(&self.table);
        let owners = table.owners.iter();
        let owners = owners.filter(|(of, _)| owner.is_none_or(|owner| *of == owner));
        let jobs = owners.flat_map(|(_, own)| own.jobs.values().cloned());
        let jobs: Vec<Arc<Job>> = jobs.collect();
        drop(table);
        jobs.into_iter().filter(|job| job.is_open()).collect()
    }

    /// Makes room for bytes in an owner's part and in the whole, `reserve` of which stays free; says
    /// whether there is some. The owner's oldest jobs that have ended go for that, if it takes it. The
    /// caller counts the bytes, so several that do so at once may be past a bound by what all but one add.
    fn make_room(&self, owner: &Owner, account: &Account, bytes: usize, reserve: usize) -> bool {
        let has_room = || {
            account.memory.kept() + bytes <= self.most / JOBS_PART
                && self.memory.kept() + bytes <= self.most - reserve
        };
        while !has_room() {
            let Some(oldest) = self.forget_oldest(owner) else {
                return false;
            };
            leaf(&oldest.log).clear();
        }
        true
    }

    /// The same for output, which leaves some of the whole for outcomes.
    pub(super) fn make_room_for_output(
        &self,
        owner: &Owner,
        account: &Account,
        bytes: usize,
    ) -> bool {
        self.make_room(owner, account, bytes, self.most / OUTPUT_LEAVES)
    }

    /// The same for a new job, for which output of the owner's open ones is cut, too.
    pub(super) fn make_room_for_job(&self, owner: &Owner, account: &Account, bytes: usize) -> bool {
        if self.make_room(owner, account, bytes, 0) {
            return true;
        }
        let mut open = self.open_ones(Some(owner)).into_iter();
        open.any(|job| leaf(&job.log).cut_output() > 0 && self.make_room(owner, account, bytes, 0))
    }

    #[cfg(all(test, not(shuttle)))]
    pub(super) fn table_len(&self) -> u64 {
        leaf(&self.table).jobs
    }

    fn forget_oldest(&self, owner: &Owner) -> Option<Arc<Job>> {
        let mut table = leaf(&self.table);
        let (number, _) = table.owners.get_mut(owner)?.ended.pop_front()?;
        table.remove(owner, number)
    }
}

/// The jobs of one owner.
pub(super) struct Own {
    pub(super) account: Arc<Account>,
    /// By number, which grow.
    pub(super) jobs: BTreeMap<u64, Arc<Job>>,
    /// The numbers of those that have ended, in order, and when that was.
    pub(super) ended: VecDeque<(u64, u64)>,
    /// How many have not.
    pub(super) open: usize,
}

impl Own {
    pub(super) fn new(account: Arc<Account>) -> Own {
        Own {
            account,
            jobs: BTreeMap::new(),
            ended: VecDeque::new(),
            open: 0,
        }
    }
}

impl Table {
    /// Takes a job out. Its owner stays, so that it has one account: owners are as many as there are
    /// credentials, or tiers.
    fn remove(&mut self, owner: &Owner, number: u64) -> Option<Arc<Job>> {
        let job = self.owners.get_mut(owner)?.jobs.remove(&number)?;
        self.by_id.remove(&job.id)
    }
}
