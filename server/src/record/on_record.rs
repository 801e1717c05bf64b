//! What a command puts on record: its outcomes and its end.

use crate::dispatch::outcome_details::{OutcomeDetails, TargetInfo};
use common::audit::record::{End, Outcome, Record};
use common::audit::{Audit, KeptOutcomes, Reservation, clipped};
use common::sys::sync::atomic::AtomicBool;
use common::wire::selector::Single;
use common::wire::{Status, Tally};

/// A command that is on record, and has the places for the rest of it.
pub(crate) struct OnRecord {
    pub(super) places: Reservation,
    /// When it was taken.
    since: u64,
    /// Its first cancel is on record.
    pub(super) is_cancelled: AtomicBool,
}

impl OnRecord {
    /// That of a command that is taken now.
    pub(super) fn new(places: Reservation, now: u64) -> OnRecord {
        OnRecord {
            places,
            since: now,
            is_cancelled: AtomicBool::new(false),
        }
    }

    /// It has ended at one target.
    #[inline(never)]
    pub(crate) fn outcome(
        &self,
        (cmd, is_for_one): (u64, bool),
        target: TargetInfo<'_>,
        status: Status,
        ending: &OutcomeDetails<'_>,
    ) {
        let executed = &ending.executed;
        let keeps_all = self.places.audit().outcomes() == KeptOutcomes::All;
        if ending.is_success(status) && !is_for_one && !keeps_all {
            return;
        }
        let kept = self.places.audit().words();
        let signal = executed.signal.as_ref().map(|signal| signal.decoded());
        let message = ending.message.as_ref().map(|message| message.decoded());
        let waited = status == Status::TimedOut && ending.elapsed_ms.is_none();
        let message = message.or_else(|| waited.then_some("it never started".into()));
        self.places.go_on(&Record::Outcome(Outcome {
            cmd: cmd.into(),
            member: Some(target.member),
            name: Some(target.name),
            rank: None,
            status,
            exit_code: executed.exit_code,
            signal: signal.as_deref(),
            ms: ending.elapsed_ms,
            bytes: ending.output,
            message: kept.of_message(message.as_deref()).map(clipped),
        }));
    }

    /// A client that its selector names is not there.
    #[inline(never)]
    pub(crate) fn absent(&self, cmd: u64, named: &Single<'_>, status: Status) {
        if !keeps_named(self.places.audit()) {
            return;
        }
        let (member, name, rank) = match named {
            Single::Member(member) => (Some(*member), None, None),
            Single::Name(name) => (None, Some(&**name), None),
            Single::Rank(rank) => (None, None, Some(*rank)),
        };
        self.places.go_on(&Record::Outcome(Outcome {
            cmd: cmd.into(),
            member,
            name,
            rank,
            status,
            exit_code: None,
            signal: None,
            ms: None,
            bytes: None,
            message: None,
        }));
    }

    /// It has ended at all of them.
    #[inline(never)]
    pub(crate) fn end(&self, cmd: u64, tally: &Tally, now: u64) {
        self.places.go_on(&Record::End(End {
            cmd,
            tally,
            ms: now.saturating_sub(self.since),
        }));
    }
}

/// Whether a client that is only named has an outcome of its own on record. It costs a sender a few
/// bytes, so it is in the selector and in the counts: else one line could push all earlier records
/// out of the files that are kept.
pub(super) fn keeps_named(audit: &Audit) -> bool {
    audit.outcomes() == KeptOutcomes::All
}
