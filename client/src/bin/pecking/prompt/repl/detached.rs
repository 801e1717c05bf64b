//! Detached commands at the prompt: a line that ends with `&` sends one, `:jobs` lists them, `:fg` goes
//! on with one, by its number or its id.

use super::Repl;
use crate::exit_code::ExitCode;
use crate::output::render;
use crate::prompt::sent_command::{self, SentCommand};
use client::{JobId, JobSummary};
use common::terminal::escape::one_line;
use std::fmt::Write;
use std::time::Duration;

impl Repl<'_> {
    /// Sends a command that goes on when this client has left.
    pub(super) fn detach(&mut self, to: Option<String>, words: &[String], typed: &str) {
        match self
            .client
            .detach(self.command(to, words), JobId::random().ok())
        {
            Ok(detached) => {
                let number = self.job_numbers.number(detached.job, detached.targets);
                let text = format!(
                    "{} command sent; it goes on as job &{number}, {} (:fg {number} shows it).\n",
                    one_line(typed),
                    detached.job
                );
                self.output.show(&text);
            }
            Err(e) => {
                let why = render::refusal(&e, self.client);
                self.complain(ExitCode::of_error(&e), &format!("{typed}: not sent: {why}"));
            }
        }
    }

    /// Shows what became of a detached command, and what comes of it from now on.
    pub(super) fn follow(&mut self, id: &str) {
        let Some(job) = self.find_job(id) else { return };
        let handle = match self.client.follow(job, true) {
            Ok(handle) => handle,
            Err(e) => return self.complain(ExitCode::of_error(&e), &e.to_string()),
        };
        let number = self.job_numbers.number(job, 1);
        let targets = self.job_numbers.targets(number).filter(|it| *it > 1);
        let (id, typed) = (handle.id(), format!("job &{number}"));
        self.kept.begin(id, &typed);
        let followed = SentCommand::following(handle, typed, targets);
        self.open.insert(id, followed);
    }

    /// The job that a user means, or a complaint that there is none.
    fn find_job(&mut self, id: &str) -> Option<JobId> {
        let job = self.job_numbers.find(id);
        if job.is_none() {
            let what = format!("{id:?} is no detached command; :jobs shows them");
            self.complain(ExitCode::Usage, &what);
        }
        job
    }

    /// Ends a detached command early.
    pub(super) fn cancel_job(&mut self, id: &str) {
        let Some(job) = self.find_job(id) else { return };
        match self.client.cancel_detached(job) {
            Ok(()) => {
                let number = self.job_numbers.number(job, 1);
                self.output.show(&format!("Cancelling job &{number}.\n"));
            }
            Err(e) => self.complain(ExitCode::of_error(&e), &e.to_string()),
        }
    }

    /// Shows no more of a detached command, which goes on.
    pub(super) fn leave_job(&mut self, id: u64, job: JobId) {
        let number = self.job_numbers.number(job, 1);
        let rest = sent_command::lines(&self.unfinished.finish(id, None), self.style());
        self.output.show(&format!(
            "{rest}Job &{number} goes on (:fg {number} shows it again, :cancel &{number} ends it).\n"
        ));
        self.open.remove(&id);
    }

    /// The detached commands that the server keeps, for `:jobs`; nothing if there are none.
    pub(super) fn list_detached(&mut self) -> String {
        let jobs = match self.client.detached() {
            Ok(jobs) => jobs,
            Err(e) => return format!("What is detached is not known: {e}.\n"),
        };
        if jobs.is_empty() {
            return String::new();
        }
        let mut text =
            "Detached, the newest first (:fg ID goes on with one, :cancel &ID ends one):\n"
                .to_owned();
        for job in &jobs {
            let number = self.job_numbers.number(job.job, job.targets);
            let _ = writeln!(text, "  &{number}  {}", describe(job));
        }
        text
    }
}

fn describe(job: &JobSummary) -> String {
    let words = shlex::try_join(job.command.iter().map(String::as_str));
    let words = words.unwrap_or_else(|_| job.command.join(" "));
    let to = job.to.as_deref().map(|to| format!(" to {}", one_line(to)));
    let ended = match job.open {
        true => format!("{} of {} ended", job.tally.targets(), job.targets),
        false => "ended".into(),
    };
    let failed = match job.failed() {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    let sent = render::ago(Duration::from_millis(job.sent_ms));
    format!(
        "{}{} ({ended}{failed}), sent {sent} ago by {}, {}",
        one_line(&words),
        to.unwrap_or_default(),
        one_line(&job.by),
        job.job
    )
}
