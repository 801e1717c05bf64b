//! What a batch of input counts before it adds it to the counts that all threads share.

use super::Telemetry;
use super::feed::Shown;
use crate::dispatch::outcome_details::{OutcomeDetails, TargetInfo};
use common::sys::sync::Arc;
use common::wire::Status;

/// What one thread has counted and not added yet: commands that were taken, and the outcomes of most
/// commands, which are done within a millisecond. An addition that other processors see costs as
/// much as twenty others; so a batch of input pays for a few, and not each command.
#[derive(Default)]
pub(crate) struct Pending {
    telemetry: Option<Arc<Telemetry>>,
    /// Which part these go to.
    number: u64,
    taken: u64,
    quick: u64,
    output: u64,
}

impl Pending {
    fn of(&mut self, telemetry: &Arc<Telemetry>, number: u64) {
        if self.telemetry.is_none() {
            self.telemetry = Some(Arc::clone(telemetry));
            self.number = number;
        }
    }

    /// A command of a sender with this number and rank was taken.
    #[inline(never)]
    pub(crate) fn taken(
        &mut self,
        telemetry: &Arc<Telemetry>,
        (sender, sender_rank): (u64, u32),
        shown: Option<&Arc<Shown>>,
    ) {
        self.of(telemetry, sender);
        self.taken += 1;
        if let Some(shown) = shown {
            shown.set_sender_rank(sender_rank);
            telemetry.feed.add(shown);
        }
    }

    /// A target has its outcome.
    #[inline(never)]
    pub(crate) fn outcome(
        &mut self,
        telemetry: &Arc<Telemetry>,
        shown: Option<&Shown>,
        target: TargetInfo<'_>,
        status: Status,
        details: &OutcomeDetails<'_>,
    ) {
        self.of(telemetry, target.member);
        self.output += details.output.unwrap_or(0);
        match details.elapsed_ms {
            Some(0) if status == Status::Done => self.quick += 1,
            took => telemetry.counters.outcome(target.member, status, took),
        }
        if let Some(shown) = shown {
            shown.outcome(target, status, details);
            telemetry.feed.changed();
        }
    }

    /// Adds all of it.
    pub(crate) fn settle(&mut self) {
        if self.taken | self.quick | self.output != 0 {
            self.settle_now();
        }
    }

    #[inline(never)]
    fn settle_now(&mut self) {
        if let Some(telemetry) = &self.telemetry {
            let counters = &telemetry.counters;
            counters.add(self.number, self.taken, self.quick, self.output);
        }
        (self.taken, self.quick, self.output) = (0, 0, 0);
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn counts_of_many_threads_add_up_and_durations_go_below_their_bounds() {
        let telemetry = Arc::<Telemetry>::default();
        let counters = &telemetry.counters;
        std::thread::scope(|scope| {
            for member in 0..20 {
                let telemetry = &telemetry;
                scope.spawn(move || {
                    let mut pending = Pending::default();
                    pending.taken(telemetry, (member, 0), None);
                    let target = TargetInfo {
                        member,
                        name: "target",
                        rank: 1,
                    };
                    let done = OutcomeDetails {
                        elapsed_ms: Some(member),
                        output: Some(5),
                        ..OutcomeDetails::default()
                    };
                    let lost = OutcomeDetails::default();
                    pending.outcome(telemetry, None, target, Status::Done, &done);
                    pending.outcome(telemetry, None, target, Status::Lost, &lost);
                    pending.settle();
                });
            }
        });
        let totals = counters.totals();
        assert_eq!((totals.taken, totals.output), (20, 100));
        assert_eq!(totals.outcomes[Status::Done as usize], 20);
        assert_eq!(totals.outcomes[Status::Lost as usize], 20);
        // 0 and 1; 2; 3 to 5; 6 to 10; 11 to 19.
        assert_eq!(totals.durations[..6], [2, 1, 3, 5, 9, 0]);
        assert_eq!(totals.duration_ms, (0..20u64).sum::<u64>());
        assert_eq!(counters.changes_of_load(), 60);
    }
}
