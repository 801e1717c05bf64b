//! The second witness: an executor's own record of what it ran, and for which client. The server
//! says which client that is; what runs here is only known here.
//!
//! A command that cannot be on record does not run.

use crate::execute::job::{Job, StopReason};
use crate::execute::result::{Execution, ExecutionResult};
use common::audit::record::{Outcome, Record, Refused, Run, Who};
use common::audit::{Audit, KeptWords, Reservation, clipped};
use common::wire::Status;
use std::path::Path;
use std::time::Instant;

/// Puts on record what runs, if there is a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness(pub(crate) Option<Audit>);

/// A command that is on record, until its end is as well.
pub(crate) struct Witnessed(Option<(Reservation, Instant)>);

impl Witness {
    /// A command begins, as this program with these arguments.
    ///
    /// # Errors
    /// It cannot be on record; what its sender is told.
    pub(crate) fn begin(
        &self,
        job: &Job,
        program: Option<(&Path, &[String])>,
    ) -> Result<Witnessed, ExecutionResult> {
        let Some(audit) = &self.0 else {
            return Ok(Witnessed(None));
        };
        let argv = program.map_or(&[][..], |(_, argv)| argv);
        let texts = job.words().iter().chain(argv).map(|word| word.len() + 3);
        let places = audit
            .reserve(texts.sum(), 1)
            .map_err(|why| ExecutionResult::Failed(why.to_string()))?;
        let keeps_all = matches!(audit.words(), KeptWords::Full);
        let path = program.map(|(path, _)| path.to_string_lossy());
        places.begin(&Record::Run(Run {
            cmd: job.id(),
            who: sender(job),
            words: audit.words().of(job.words()),
            path: path.as_deref(),
            argv: program.map(|(_, argv)| argv).filter(|_| keeps_all),
        }));
        Ok(Witnessed(Some((places, Instant::now()))))
    }

    /// A command is not run.
    pub(crate) fn refused(&self, job: &Job, answer: &ExecutionResult) {
        let Some(audit) = &self.0 else {
            return;
        };
        let (status, message) = read(job, answer);
        audit.note(&Record::Refused(Refused {
            cmd: job.id(),
            who: sender(job),
            words: audit.words().of(job.words()),
            status,
            message: audit.words().of_message(message).map(clipped),
        }));
    }
}

impl Witnessed {
    /// The command has ended.
    pub(crate) fn end(self, job: &Job, answer: &ExecutionResult) {
        let Some((places, since)) = self.0 else {
            return;
        };
        let (status, message) = read(job, answer);
        let kept = places.audit().words();
        let none = Execution::default();
        let ended = match answer {
            ExecutionResult::Ended(ended) => ended,
            _ => &none,
        };
        let rest = ended.stdout.len() + ended.stderr.len();
        places.go_on(&Record::Outcome(Outcome {
            cmd: job.id().clone(),
            member: None,
            name: None,
            rank: None,
            status,
            exit_code: ended.exit_code,
            signal: ended.signal.as_deref(),
            ms: Some(since.elapsed().as_millis() as u64),
            bytes: Some(job.sent() + rest as u64),
            message: kept.of_message(message).map(clipped),
        }));
    }
}

/// What became of a command, as the server will call it, and why.
fn read<'a>(job: &Job, answer: &'a ExecutionResult) -> (Status, Option<&'a str>) {
    match answer {
        ExecutionResult::Ended(_) => match job.stop_reason() {
            None => (Status::Done, None),
            Some(StopReason::Cancelled) => (Status::Cancelled, None),
            Some(StopReason::TimedOut) => (Status::TimedOut, None),
            Some(StopReason::Disconnected | StopReason::GivenUp) => (Status::Lost, None),
        },
        ExecutionResult::Refused(why) => (Status::Refused, Some(why)),
        ExecutionResult::NotFound(why) => (Status::NotFound, Some(why)),
        ExecutionResult::Failed(why) => (Status::Failed, Some(why)),
    }
}

/// The sender, by what the server says of it.
fn sender(job: &Job) -> Who<'_> {
    let from = job.origin();
    Who {
        identity: from.identity.as_deref(),
        role: from.role.clone(),
        tier: from.tier,
        member: from.member,
        name: &from.name,
        rank: Some(from.rank),
        address: None,
        via: None,
    }
}
