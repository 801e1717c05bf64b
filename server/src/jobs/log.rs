//! What happened to a job: its output and its outcomes, by number, and the clients that wait for more.

use crate::dispatch::outcome_details::TargetInfo;
use crate::member::Member;
use common::limits::MAX_PAGE;
use common::memory::Charge;
use common::sys::sync::Weak;
use common::wire::message::{Id, RpcError, result_line};
use common::wire::name::Name;
use common::wire::{
    JobEvent, JobEvents, JobOutput, Outcome, OutputStream, Status, Tally, encode_output,
};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Bytes that an event needs besides its own: its place in the queue, and what the allocator adds.
pub(super) const EVENT: usize = 96;

/// Bytes that the name of a target needs.
const NAME: usize = 160;

/// Bytes up to which output that comes in pieces is one event: as a program writes them.
const LONGEST_PIECE: usize = 16 << 10;

/// Bytes around an event in an answer, roughly: what fits exactly is found later.
const AROUND: usize = 128;

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) struct Event {
    n: u64,
    what: Happened,
}

#[derive(Clone, Debug)]
enum Happened {
    Output {
        member: u64,
        stream: OutputStream,
        bytes: Vec<u8>,
    },
    Outcome {
        member: Option<u64>,
        json: Box<RawValue>,
    },
}

/// A request that is answered when something happens.
pub(crate) struct Wait {
    pub(crate) member: Weak<Member>,
    pub(crate) id: Id,
    pub(crate) after: u64,
    /// When it is answered in any case.
    pub(crate) until: u64,
}

/// What is kept of a job, and counted.
pub(super) struct Log {
    events: VecDeque<Event>,
    last: u64,
    /// The last event that a client was told: from then on it stays as it is.
    told: u64,
    pub(super) tally: Tally,
    /// Of those that are done, the ones that did not end with exit code 0.
    pub(super) not_zero: u32,
    /// Outcomes that are to come.
    left: u32,
    /// The names and ranks of the targets that have written something.
    names: BTreeMap<u64, (Box<str>, u32)>,
    /// Targets whose output was cut here.
    pub(super) cut: BTreeSet<u64>,
    waits: Vec<Wait>,
    /// When the timer comes that was scheduled last for one of them.
    timer: u64,
    /// Why it was not taken after all.
    pub(super) refusal: Option<RpcError>,
    charge: Charge,
}

/// Events for one answer.
pub(super) struct Page {
    events: Vec<Event>,
    names: BTreeMap<u64, (Box<str>, u32)>,
    open: bool,
    last: u64,
}

impl Log {
    /// Of a job with so many outcomes, for which bytes are counted.
    pub(super) fn new(outcomes: u32, charge: Charge) -> Log {
        Log {
            events: VecDeque::new(),
            last: 0,
            told: 0,
            tally: Tally::default(),
            not_zero: 0,
            left: outcomes,
            names: BTreeMap::new(),
            cut: BTreeSet::new(),
            waits: Vec::new(),
            timer: 0,
            refusal: None,
            charge,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.left > 0 && self.refusal.is_none()
    }

    /// Counts so many bytes more for it.
    pub(super) fn keep(&mut self, bytes: usize) {
        self.charge.set(self.charge.bytes() + bytes);
    }

    fn give_back(&mut self, bytes: usize) {
        self.charge.set(self.charge.bytes().saturating_sub(bytes));
    }

    /// Adds output, for which as many bytes are kept, and an [`EVENT`].
    pub(super) fn add_output(
        &mut self,
        target: TargetInfo<'_>,
        stream: OutputStream,
        bytes: Vec<u8>,
    ) {
        let (last, told) = (self.last, self.told);
        if let Some(Event { n, what }) = self.events.back_mut()
            && let Happened::Output {
                member: of,
                stream: on,
                bytes: before,
            } = what
            && (*of, *on) == (target.member, stream)
            && *n == last
            && last > told
            && before.len() + bytes.len() <= LONGEST_PIECE
        {
            before.extend_from_slice(&bytes);
            return self.give_back(EVENT);
        }
        self.names
            .entry(target.member)
            .or_insert_with(|| (target.name.into(), target.rank));
        self.add(Happened::Output {
            member: target.member,
            stream,
            bytes,
        });
    }

    pub(super) fn is_cut(&self, member: Option<u64>) -> bool {
        member.is_some_and(|member| self.cut.contains(&member))
    }

    /// Adds an outcome; the tally, if it is the last one.
    pub(super) fn add_outcome(
        &mut self,
        outcome: &Outcome<'_>,
        json: Box<RawValue>,
    ) -> Option<Tally> {
        self.add(Happened::Outcome {
            member: outcome.member,
            json,
        });
        self.tally.count(outcome.status);
        let is_bad = outcome.status == Status::Done && outcome.exit_code != Some(0);
        self.not_zero += u32::from(is_bad);
        self.left = self.left.saturating_sub(1);
        (self.left == 0).then(|| self.tally.clone())
    }

    fn add(&mut self, what: Happened) {
        self.last += 1;
        self.events.push_back(Event { n: self.last, what });
    }

    /// Gives back what was kept for what did not come.
    pub(super) fn settle(&mut self, base: usize) {
        let events: usize = self.events.iter().map(Event::kept).sum();
        let names = self.names.len() * NAME;
        let spare = self.charge.bytes().saturating_sub(base + events + names);
        self.give_back(spare);
    }

    /// Throws all output away; says how many bytes that were.
    pub(super) fn cut_output(&mut self) -> usize {
        let before: usize = self.events.iter().map(Event::kept).sum();
        let mut cut = BTreeSet::new();
        self.events.retain(|event| match &event.what {
            Happened::Output { member, .. } => {
                cut.insert(*member);
                false
            }
            Happened::Outcome { .. } => true,
        });
        for event in &mut self.events {
            if let Happened::Outcome { member, json } = &mut event.what {
                mark_cut(json, member.is_some_and(|member| cut.contains(&member)));
            }
        }
        self.cut.append(&mut cut);
        let after: usize = self.events.iter().map(Event::kept).sum();
        let freed = before.saturating_sub(after);
        self.give_back(freed);
        freed
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) {
        self.events = VecDeque::new();
        self.charge.set(0);
    }

    fn has_after(&self, after: u64) -> bool {
        self.events.back().is_some_and(|event| event.n > after)
    }

    /// When to schedule a timer for the request that has waited longest, if none is scheduled: a job has
    /// one at a time, however often it is asked for.
    pub(super) fn timer(&mut self, now: u64) -> Option<u64> {
        let next = self.waits.iter().map(|wait| wait.until).min()?;
        (self.timer <= now).then(|| {
            self.timer = next;
            next
        })
    }

    /// Has a request wait, unless there is something to tell it.
    pub(super) fn wait(&mut self, wait: Wait) -> Result<(), Wait> {
        if !self.is_open() || self.has_after(wait.after) {
            return Err(wait);
        }
        self.waits.push(wait);
        Ok(())
    }

    pub(super) fn has_waits(&self) -> bool {
        !self.waits.is_empty()
    }

    /// Takes out the requests that can be answered.
    pub(super) fn take_due(&mut self, now: u64) -> Vec<Wait> {
        let waits = std::mem::take(&mut self.waits);
        let (due, waiting) = waits
            .into_iter()
            .partition(|wait| wait.until <= now || !self.is_open() || self.has_after(wait.after));
        self.waits = waiting;
        due
    }

    /// The events behind one, as many as may fit into an answer and one at least.
    pub(super) fn page(&mut self, after: u64) -> Page {
        let from = self.events.partition_point(|event| event.n <= after);
        let mut room = MAX_PAGE;
        let mut events = Vec::new();
        let mut names = BTreeMap::new();
        for event in self.events.range(from..) {
            if room == 0 {
                break;
            }
            room = room.saturating_sub(event.len() + AROUND);
            if let Happened::Output { member, .. } = &event.what
                && let Some(name) = self.names.get(member)
            {
                names.entry(*member).or_insert_with(|| name.clone());
            }
            events.push(event.clone());
        }
        if let Some(event) = events.last() {
            self.told = self.told.max(event.n);
        }
        Page {
            events,
            names,
            open: self.is_open(),
            last: self.last,
        }
    }
}

impl Event {
    /// Bytes of what happened.
    fn len(&self) -> usize {
        match &self.what {
            Happened::Output { bytes, .. } => bytes.len(),
            Happened::Outcome { json, .. } => json.get().len(),
        }
    }

    fn kept(&self) -> usize {
        EVENT + self.len()
    }
}

impl Page {
    /// The answer to a request.
    pub(super) fn line(&self, id: &Id) -> Vec<u8> {
        let events = self.events.iter().map(|event| self.event(event));
        let mut events: Vec<JobEvent<'_>> = events.collect();
        crate::session::page::fit(&mut events);
        result_line(
            id,
            JobEvents {
                events,
                open: self.open,
                last: self.last,
            },
        )
    }

    fn event<'a>(&'a self, event: &'a Event) -> JobEvent<'a> {
        let (mut outcome, mut output) = (None, None);
        match &event.what {
            Happened::Outcome { json, .. } => outcome = Some(&**json),
            Happened::Output {
                member,
                stream,
                bytes,
            } => {
                let (name, rank) = self
                    .names
                    .get(member)
                    .map_or(("", 0), |(n, rank)| (n, *rank));
                let (text, base64) = encode_output(bytes);
                output = Some(JobOutput {
                    member: *member,
                    name: Name::known(name),
                    rank,
                    stream: *stream,
                    text,
                    base64,
                });
            }
        }
        JobEvent {
            n: event.n,
            outcome,
            output,
        }
    }
}

/// An outcome as it is kept.
pub(super) fn json(outcome: &Outcome<'_>) -> Box<RawValue> {
    to_raw_value(outcome).expect("texts and numbers always become JSON")
}

/// An outcome without its output, of which it says that it was cut.
pub(super) fn without_output<'a>(outcome: &'a Outcome<'_>) -> Outcome<'a> {
    Outcome {
        name: outcome.name.clone(),
        signal: outcome.signal.as_ref().map(|signal| signal.borrowed()),
        message: outcome.message.as_ref().map(|message| message.borrowed()),
        truncated: true,
        stdout: None,
        stdout_base64: None,
        stderr: None,
        stderr_base64: None,
        send: None,
        ..*outcome
    }
}

/// Takes the output out of an outcome, if it has some; `is_cut`: output of its target is gone.
fn mark_cut(json: &mut Box<RawValue>, is_cut: bool) {
    let Ok(outcome) = serde_json::from_str::<Outcome<'_>>(json.get()) else {
        return;
    };
    let texts = [
        &outcome.stdout,
        &outcome.stdout_base64,
        &outcome.stderr,
        &outcome.stderr_base64,
    ];
    if is_cut || texts.iter().any(|text| text.is_some()) {
        let cut = self::json(&without_output(&outcome));
        *json = cut;
    }
}
