//! Runs real programs for a client that has a policy, or that runs anything.
//!
//! The way of a job: `Processes` plans it, `slots` makes it wait for its turn, `spawn` starts the
//! program, `run` supervises it, and `orphans` ends the processes that it leaves behind; `reaper`
//! and [`watchdog`] do so later. [`policy`](crate::policy) says which commands there are.

mod identity;
mod orphans;
mod pipe;
mod proc;
mod reaper;
mod run;
mod run_count;
mod slots;
mod spawn;
mod stdin;
#[cfg(test)]
mod tests;
pub mod watchdog;

use crate::execute::executor::Executor;
use crate::execute::job::Job;
use crate::execute::result::{Execution, ExecutionResult};
use crate::execute::witness::Witness;
use crate::policy::{Command, Plan, Policy, Refusal, Sender, Settings};
use common::audit::Audit;
use common::sys::sync::{Arc, Mutex, lock};
use common::sys::trusted_file;
use common::wire::Identity;
use common::wire::name::Name;
use identity::{ID_VARIABLE, RunIdentity};
use orphans::Survivors;
use reaper::Reaper;
use run_count::CountedRun;
use rustix::fs::{Access, access};
use slots::{Admission, Slot, Slots};
use spawn::Program;
use std::collections::{BTreeMap, HashMap};
use std::ffi::{CString, NulError, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a program's environment has of the client's own; everything else is left out.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// The search path if the client's own environment has none: that of a shell without one.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a command does not wait for a slot of its policy's entry.
const ALL_HELD: &str =
    "what earlier runs of this command left behind cannot be ended, and holds all of its slots";

/// Why a command with input does not wait for a slot of its policy's entry.
const NO_WAIT: &str =
    "all slots of this command are in use, and a command with input does not wait";

/// Why a word cannot be passed on.
const NUL_CHARACTER: &str = "a word has a NUL character, which no argument can have";

/// Executes real programs. All processes of a command end with it. If this process is killed, only
/// the programs themselves end, unless a [`watchdog`] was started, which ends the others.
pub struct Processes {
    /// What is executed; anything if there is none.
    policy: Option<Policy>,
    /// By name: the commands with a bound for their runs.
    slots: HashMap<String, Arc<Slots>>,
    reaper: Reaper,
    witness: Witness,
    /// By job: what could not be ended. There are at most as many as its clients have slots.
    held: Mutex<HashMap<(Instant, usize), Held>>,
}

/// What still runs of a command that was answered, and what it keeps in use.
struct Held {
    survivors: Survivors,
    _slot: Option<Slot>,
    _counted: CountedRun,
}

impl Processes {
    /// Executes what a policy names. From now on this process adopts and ends the processes that
    /// its commands leave behind. A child of its first thread counts as such if it is in another
    /// session, so start children with sessions of their own from other threads.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn with_policy(policy: Policy) -> io::Result<Processes> {
        Processes::new(Some(policy))
    }

    /// Executes any program that the search path has, with any arguments: every higher rank
    /// has this machine. For labs.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn allow_any() -> io::Result<Processes> {
        Processes::new(None)
    }

    /// Whether any of what it executes takes input: for
    /// [`Config::takes_input`](crate::Config::takes_input).
    pub fn takes_input(&self) -> bool {
        let takes = |policy: &Policy| policy.commands().any(|(_, command)| command.settings.stdin);
        self.policy.as_ref().is_none_or(takes)
    }

    /// With a log, puts on record from now on what it runs, with which arguments, for which client; a
    /// command that cannot be on record does not run.
    pub fn with_audit(mut self, audit: Option<Audit>) -> Processes {
        self.witness = Witness(audit);
        self
    }

    fn new(policy: Option<Policy>) -> io::Result<Processes> {
        spawn::adopt_orphans();
        Ok(Processes {
            slots: policy.as_ref().map(bounded_slots).unwrap_or_default(),
            policy,
            reaper: Reaper::start()?,
            witness: Witness::default(),
            held: Mutex::default(),
        })
    }

    /// The file to execute for a job, and how.
    fn plan(&self, job: &Job) -> Result<(PathBuf, Plan), ExecutionResult> {
        match &self.policy {
            Some(policy) => {
                let answer = |refusal: Refusal| match refusal {
                    Refusal::Unstartable { .. } => ExecutionResult::Failed(refusal.to_string()),
                    _ => ExecutionResult::Refused(refusal.to_string()),
                };
                let plan = policy.plan(&Sender::from(job.origin()), job.words());
                let plan = plan.map_err(answer)?;
                plan.check_input(job.has_input()).map_err(answer)?;
                Ok((PathBuf::from(&plan.argv[0]), plan))
            }
            None => {
                let plan = Plan {
                    command: job.words()[0].clone(),
                    argv: job.words().to_vec(),
                    settings: Settings::default(),
                };
                Ok((find_program(&plan.command)?, plan))
            }
        }
    }

    /// The slots of a job's command, if the policy bounds them.
    fn slots(&self, job: &Job) -> Option<&Arc<Slots>> {
        job.words().first().and_then(|word| self.slots.get(word))
    }
}

impl Executor for Processes {
    fn execute(&self, job: &Job) -> ExecutionResult {
        let (path, plan) = match self.plan(job) {
            Ok(planned) => planned,
            Err(answer) => {
                self.discarded(job);
                self.witness.refused(job, &answer);
                return answer;
            }
        };
        let mut slot = match self.slots(job).map(|slots| slots.enter(job)) {
            None => None,
            Some(Admission::Admitted(slot)) => Some(slot),
            Some(Admission::NotWanted) => return ExecutionResult::Ended(Execution::default()),
            Some(Admission::AllHeld) => return ExecutionResult::Failed(ALL_HELD.into()),
            Some(Admission::InUse) => return ExecutionResult::Failed(NO_WAIT.into()),
        };
        let known_by = RunIdentity::next();
        let Ok(program) = program(&path, &plan, job, &known_by) else {
            return ExecutionResult::Failed(NUL_CHARACTER.into());
        };
        let witnessed = match self.witness.begin(job, Some((&path, &plan.argv))) {
            Ok(witnessed) => witnessed,
            Err(answer) => return answer,
        };
        let counted = run_count::add();
        let (answer, survivors) = run::run(&program, &plan.settings, known_by, &self.reaper, job);
        witnessed.end(job, &answer);
        if let Some(survivors) = survivors {
            if let Some(slot) = &mut slot {
                slot.hold();
            }
            let held = Held {
                survivors,
                _slot: slot,
                _counted: counted,
            };
            lock(&self.held).insert(job.place(), held);
        }
        answer
    }

    fn still_runs(&self, job: &Job, wait: Duration) -> bool {
        let Some(mut held) = lock(&self.held).remove(&job.place()) else {
            return false;
        };
        let still_runs = held.survivors.are_running(wait);
        if still_runs {
            lock(&self.held).insert(job.place(), held);
        }
        still_runs
    }

    fn enqueued(&self, job: &Job) {
        if let Some(slots) = self.slots(job) {
            slots.expect(job);
        }
    }

    fn discarded(&self, job: &Job) {
        if let Some(slots) = self.slots(job) {
            slots.forget(job);
        }
    }
}

fn bounded_slots(policy: &Policy) -> HashMap<String, Arc<Slots>> {
    let bounded = |(name, command): (&str, &Command)| {
        let count = command.settings.slots?;
        Some((name.to_owned(), Arc::new(Slots::new(count))))
    };
    policy.commands().filter_map(bounded).collect()
}

/// The program of a plan, as the system wants it.
fn program(path: &Path, plan: &Plan, job: &Job, run: &RunIdentity) -> Result<Program, NulError> {
    let settings = &plan.settings;
    let argv = plan.argv.iter().map(|word| CString::new(word.as_str()));
    let path_of = |path: &Path| CString::new(path.as_os_str().as_bytes());
    let rights = settings.rights(trusted_file::user());
    Ok(Program {
        path: path_of(path)?,
        argv: argv.collect::<Result<_, _>>()?,
        env: environment(plan, job, &run.id)?,
        takes_input: job.has_input(),
        cwd: settings.cwd.as_deref().map(path_of).transpose()?,
        limits: settings.limits,
        may_gain_privileges: rights.setuid,
        umask: rights.umask,
        // A client that may not set groups still runs what needs no others.
        groups: rights.groups.filter(|groups| !are_own(groups)),
        user: rights.user.map(|user| (user.id, user.group)),
        mark: run.mark,
    })
}

/// Whether these are the supplementary groups of this process.
fn are_own(groups: &[u32]) -> bool {
    let sorted = |mut groups: Vec<u32>| {
        groups.sort_unstable();
        groups
    };
    rustix::process::getgroups().is_ok_and(|own| {
        let own = own.into_iter().map(rustix::process::Gid::as_raw).collect();
        sorted(own) == sorted(groups.to_vec())
    })
}

/// The whole environment: a few of the client's own variables, the policy's, and the sender's.
/// Those about the sender come last, so that no policy hides them by accident.
fn environment(plan: &Plan, job: &Job, id: &str) -> Result<Vec<CString>, NulError> {
    let mut variables: BTreeMap<OsString, OsString> = BTreeMap::new();
    let inherited = INHERITED.map(|name| Some((name.into(), std::env::var_os(name)?)));
    variables.extend(inherited.into_iter().flatten());
    variables
        .entry("PATH".into())
        .or_insert_with(|| DEFAULT_PATH.into());
    if let Some(user) = &plan.settings.user {
        variables.insert("HOME".into(), user.home.clone().into());
    }
    let own = plan.settings.env.iter();
    variables.extend(own.map(|(name, value)| (name.into(), value.into())));
    let from = job.origin();
    variables.insert("PECKING_FROM".into(), from.name.as_ref().into());
    variables.insert("PECKING_FROM_RANK".into(), from.rank.to_string().into());
    let said = [
        ("PECKING_FROM_TIER", from.tier.map(|tier| tier.to_string())),
        ("PECKING_FROM_ROLE", from.role.as_ref().map(Name::to_string)),
        (
            "PECKING_FROM_IDENTITY",
            from.identity.as_ref().map(Identity::to_string),
        ),
    ];
    variables.extend(
        said.into_iter()
            .filter_map(|(name, value)| Some((name.into(), value?.into()))),
    );
    variables.insert("PECKING_COMMAND".into(), plan.command.clone().into());
    variables.insert(ID_VARIABLE.into(), id.into());
    let join = |(name, value): (OsString, OsString)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())
    };
    variables.into_iter().map(join).collect()
}

/// Finds a program as `execvp` would, without ever handing it to a shell.
pub(crate) fn find_program(word: &str) -> Result<PathBuf, ExecutionResult> {
    if word.contains('\0') {
        return Err(ExecutionResult::Failed(NUL_CHARACTER.into()));
    }
    if word.contains('/') {
        return Ok(word.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let candidates = path.as_bytes().split(|byte| *byte == b':').map(|folder| {
        let folder = if folder.is_empty() { b"." } else { folder };
        Path::new(&OsString::from_vec(folder.to_vec())).join(word)
    });
    let mut found = candidates.filter(|_| !word.is_empty());
    let found = found.find(|path| is_program(path));
    found.ok_or_else(|| ExecutionResult::NotFound(format!("there is no program {word:?} here")))
}

pub(crate) fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}
