//! The numbers of detached commands at the prompt.
//!
//! An id of 32 digits is no word to type: a job has a small number here, from when it is sent or
//! listed.

use client::JobId;

/// The jobs that have a number here, their places in the list from 1 on, and how many targets they have.
#[derive(Debug, Default)]
pub(super) struct JobNumbers(Vec<(JobId, u32)>);

impl JobNumbers {
    /// The number of a job, which is new if it has none.
    pub(super) fn number(&mut self, job: JobId, targets: u32) -> usize {
        let place = self.0.iter().position(|(known, _)| *known == job);
        let place = place.unwrap_or_else(|| {
            self.0.push((job, targets));
            self.0.len() - 1
        });
        place + 1
    }

    /// How many targets the job of a number has.
    pub(super) fn targets(&self, number: usize) -> Option<u32> {
        let (_, targets) = self.0.get(number.checked_sub(1)?)?;
        Some(*targets)
    }

    /// All numbers that jobs have.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        1..=self.0.len() as u64
    }

    /// The job that a user means.
    pub(super) fn find(&self, text: &str) -> Option<JobId> {
        let by_number = || {
            let number: usize = text.trim_start_matches('&').parse().ok()?;
            let (job, _) = self.0.get(number.checked_sub(1)?)?;
            Some(*job)
        };
        text.parse().ok().or_else(by_number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_have_small_numbers_that_stay() {
        let mut numbers = JobNumbers::default();
        let [one, two] = [1, 2].map(|byte| JobId::new([byte; 16]));
        assert_eq!([one, two, one].map(|job| numbers.number(job, 1)), [1, 2, 1]);
        for (text, job) in [
            ("1", Some(one)),
            ("&2", Some(two)),
            (&*JobId::new([9; 16]).to_string(), Some(JobId::new([9; 16]))),
            ("0", None),
            ("3", None),
            ("x", None),
        ] {
            assert_eq!(numbers.find(text), job, "{text}");
        }
    }
}
