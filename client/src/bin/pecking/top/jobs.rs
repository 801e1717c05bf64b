//! The user's own detached commands. What the server tells of commands does not say which of them is
//! whose job, so they are asked for, and only while they are shown. A thread of its own asks, so that
//! a server that is slow to answer does not hold up keys.

use super::command::Progress;
use crate::expected;
use crate::failure::Failure;
use crate::output::render;
use client::{Client, JobId, JobSummary, RequestError, Status, Tier};
use common::expected::Expected;
use common::sys::sync::{Arc, Weak};
use common::sys::thread;
use common::terminal::escape::one_line;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::time::{Duration, Instant};

/// How often they are asked for while they are shown.
const EVERY: Duration = Duration::from_secs(2);

/// Questions that wait for the one before: a list, and what the user cancels meanwhile.
const MOST_QUESTIONS: usize = 8;

/// A question to the server.
enum Question {
    List,
    Cancel(JobId),
    Expected,
}

/// What came of a question.
pub(crate) enum Answer {
    Listed(Result<Vec<JobSummary>, RequestError>),
    Cancelled(JobId, Result<(), RequestError>),
    Expected(Result<Option<Expected>, RequestError>),
}

/// Asks the server what it does not tell of itself.
pub(crate) struct Asker {
    questions: Sender<Question>,
    pub(crate) answers: Receiver<Answer>,
    /// When the list was asked for last.
    asked: Option<Instant>,
    /// Its answer has not come.
    is_open: bool,
}

impl Asker {
    /// Starts the thread that asks. It keeps the client only during a question, so that the client
    /// leaves as soon as its owner is done with it.
    pub(crate) fn start(client: &Arc<Client>) -> Result<Asker, Failure> {
        let (questions, asked) = bounded(MOST_QUESTIONS);
        let (answer, answers) = bounded(MOST_QUESTIONS);
        let client = Arc::downgrade(client);
        let ask = move || {
            for question in asked {
                let told = put(&client, &question).map(|told| answer.send(told));
                if !matches!(told, Some(Ok(()))) {
                    return;
                }
            }
        };
        thread::spawn("top-jobs", ask).map_err(Failure::NoThread)?;
        Ok(Asker {
            questions,
            answers,
            asked: None,
            is_open: false,
        })
    }

    /// Asks for the list if it is time to.
    pub(crate) fn list(&mut self) {
        let is_time = self.asked.is_none_or(|asked| asked.elapsed() >= EVERY);
        if is_time && !self.is_open && self.questions.try_send(Question::List).is_ok() {
            (self.asked, self.is_open) = (Some(Instant::now()), true);
        }
    }

    /// Asks for a job's end; says whether there is room for that question.
    pub(crate) fn cancel(&self, job: JobId) -> bool {
        self.questions.try_send(Question::Cancel(job)).is_ok()
    }

    /// Asks which machines the server expects; says whether there is room for that question.
    pub(crate) fn expected(&self) -> bool {
        self.questions.try_send(Question::Expected).is_ok()
    }

    /// Notes that an answer has come. After a job was cancelled the list is old.
    pub(crate) fn note(&mut self, answer: &Answer) {
        match answer {
            Answer::Listed(_) => self.is_open = false,
            Answer::Cancelled(..) => self.asked = None,
            Answer::Expected(_) => {}
        }
    }
}

/// Puts a question; `None` if the client has left.
fn put(client: &Weak<Client>, question: &Question) -> Option<Answer> {
    let client = client.upgrade()?;
    Some(match question {
        Question::List => Answer::Listed(client.detached()),
        Question::Cancel(job) => Answer::Cancelled(*job, client.cancel_detached(*job)),
        Question::Expected => Answer::Expected(expected::of_server(&client)),
    })
}

/// The jobs that were listed last. Text of other clients is escaped here.
#[derive(Default)]
pub(crate) struct Jobs {
    /// The newest first.
    jobs: Vec<(JobId, Job)>,
    /// Why there is no list, or why it is empty.
    pub(crate) why_none: Option<String>,
}

/// A detached command.
pub(crate) struct Job {
    pub(crate) words: String,
    pub(crate) by: String,
    pub(crate) to: String,
    sent: (Duration, Instant),
    pub(crate) progress: Progress,
}

impl Jobs {
    /// Takes a list, or why there is none: then the one before stays.
    pub(crate) fn take(&mut self, listed: Result<Vec<JobSummary>, RequestError>) {
        match listed {
            Ok(listed) => {
                self.why_none = listed.is_empty().then(|| {
                    format!(
                        "none; without an auth file it takes --tier to see those of higher tiers \
                         (usual: --tier {})",
                        Tier::DEFAULT
                    )
                });
                let jobs = listed.iter().map(|job| (job.job, Job::of(job)));
                self.jobs = jobs.collect();
            }
            Err(error) => self.why_none = Some(one_line(&error.to_string()).into_owned()),
        }
    }

    pub(crate) fn get(&self, job: JobId) -> Option<&Job> {
        self.iter().find_map(|(id, it)| (id == job).then_some(it))
    }

    /// The newest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (JobId, &Job)> {
        self.jobs.iter().map(|(id, job)| (*id, job))
    }
}

impl Job {
    fn of(told: &JobSummary) -> Job {
        let counts = Status::ALL.into_iter();
        let counts = counts.map(|status| (status.name().replace('_', " "), told.tally.of(status)));
        Job {
            words: render::words(&told.command),
            by: one_line(&told.by).into_owned(),
            to: one_line(told.to.as_deref().unwrap_or("-")).into_owned(),
            sent: (Duration::from_millis(told.sent_ms), Instant::now()),
            progress: Progress {
                is_open: told.open,
                targets: told.targets,
                outcomes: counts.filter(|(_, count)| *count > 0).collect(),
                not_zero: told.not_zero,
            },
        }
    }

    /// How long ago it was sent.
    pub(crate) fn age(&self) -> Duration {
        self.sent.0 + self.sent.1.elapsed()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A job of this number as it is listed.
    pub(crate) fn listed(number: u32, words: &Value, open: bool) -> JobSummary {
        let done = u32::from(!open);
        let job = json!({"job": id(number), "command": words, "sent_ms": 3000, "by": "boss",
            "targets": 1, "tally": {"done": done}, "open": open});
        serde_json::from_str(&job.to_string()).expect("a job")
    }

    pub(crate) fn id(number: u32) -> JobId {
        JobId::new(u128::from(number).to_be_bytes())
    }

    #[test]
    fn a_list_takes_the_place_of_the_one_before_and_an_error_does_not() {
        let mut jobs = Jobs::default();
        jobs.take(Ok(vec![
            listed(2, &json!(["a\u{1b}[2J", "b"]), true),
            JobSummary {
                tally: [(Status::Done, 1), (Status::TimedOut, 1)]
                    .into_iter()
                    .collect(),
                ..listed(1, &json!(["c"]), false)
            },
            JobSummary {
                not_zero: 1,
                ..listed(3, &json!(["d"]), false)
            },
        ]));
        let shown = |jobs: &Jobs| -> Vec<_> {
            let shown = jobs
                .iter()
                .map(|(id, job)| (id, job.words.clone(), job.progress.status()));
            shown.collect()
        };
        let all = [
            (id(2), "a\\x1b[2J b".to_owned(), "runs".to_owned()),
            (id(1), "c".to_owned(), "timed out".to_owned()),
            (id(3), "d".to_owned(), "exit code".to_owned()),
        ];
        assert_eq!(shown(&jobs), all);
        assert_eq!(jobs.why_none, None);
        jobs.take(Err(RequestError::TimedOut(EVERY)));
        assert_eq!(shown(&jobs), all);
        assert!(jobs.why_none.take().is_some());
        jobs.take(Ok(Vec::new()));
        assert!(shown(&jobs).is_empty());
        assert!(jobs.why_none.is_some_and(|why| why.contains("--tier")));
    }
}
