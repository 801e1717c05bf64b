//! What a member says of the commands that it executes.

use super::Session;
use crate::dispatch::command::Telling;
use crate::dispatch::execution_result::{self, ReadAnswer};
use crate::member::Member;
use common::sys::sync::Arc;
use common::wire::message::{AnswerBody, Id, notification_line};
use common::wire::name::Name;
use common::wire::{
    ExecutionConsumed, ExecutionInputConsumed, ExecutionOutput, SendOutput, Text, base64_len,
    fast_encode, method,
};

/// Stray answers of one client that are logged as warnings; the others are for debugging.
const STRAYS_LOGGED: u32 = 10;

impl Session<'_> {
    /// Handles an answer. It counts if it is to a ping, or to a command that this client, and no
    /// other, was given.
    #[inline(never)]
    pub(super) fn answer(&mut self, member: &Arc<Member>, id: Option<&Id>, body: &AnswerBody<'_>) {
        match id.and_then(Id::number) {
            Some(number) => self.answer_of(member, number, body.into()),
            None => self.stray(id),
        }
    }

    /// The answer to a request of the server's, if there was one with that id.
    pub(super) fn answer_of(&mut self, member: &Arc<Member>, id: u64, body: ReadAnswer<'_>) {
        if self.connection.is_ping(id) {
            self.lives = true;
            return;
        }
        let now = self.now;
        let answered = member.answered(id, &self.hub.timers, now);
        if answered.starts_others {
            self.flushes.add(self.connection);
        }
        for sender in &answered.told {
            self.flushes.add(&sender.connection);
        }
        let Some(mut running) = answered.running else {
            return self.stray(Some(&id.into()));
        };
        self.lives = true;
        let Some(assignment) = running.assignment else {
            log::info!("#{id}: {member} answered after its outcome was taken; its slot is free");
            return;
        };
        let sender = &assignment.command.sender.connection.outbox;
        let (status, mut details) =
            execution_result::read(body, &mut running.credit, sender.is_over_half());
        details.elapsed_ms = status
            .has_started()
            .then(|| now.saturating_sub(running.since));
        details.output = Some(running.credit.taken());
        assignment.conclude(status, &details, &mut self.flushes);
    }

    pub(crate) fn stray(&mut self, id: Option<&Id>) {
        self.strays += 1;
        let level = match self.strays {
            0..=STRAYS_LOGGED => log::Level::Warn,
            _ => log::Level::Debug,
        };
        let id = id.map_or("none".into(), ToString::to_string);
        log::log!(
            level,
            "{}: ignored an answer to nothing it was asked (id {id})",
            self.connection.peer()
        );
    }

    /// Notes what the program of a command took of its input.
    #[inline(never)]
    pub(super) fn input_consumed(&mut self, member: &Member, consumed: &ExecutionInputConsumed) {
        if let Some(assignment) = member.queue.assignment(consumed.id) {
            let (command, target) = (&assignment.command, assignment.to());
            command.note_input(target, Some(consumed.bytes), &mut self.flushes);
        }
    }

    /// Passes a command's output on to its sender, as far as its credit goes. It is queued while the
    /// command is in its table, so no output comes after its outcome.
    pub(super) fn output(&mut self, member: &Arc<Member>, output: ExecutionOutput<'_>) {
        let connection = self.connection;
        let mut keeper = None;
        let told = member.queue.output(output.id, |credit, assignment| {
            fault_point!(Writing, member);
            let command = &assignment.command;
            let sender = &command.sender.connection.outbox;
            if sender.is_over_half() {
                // The sender will never consume it, so the executor has its window back.
                if let Some(bytes) = credit.drop_output(output_len(&output)) {
                    let id = command.id;
                    let line = notification_line(method::CONSUMED, ExecutionConsumed { id, bytes });
                    connection.outbox.push(line);
                }
                return Arc::clone(member);
            }
            let has_bytes = |taken: &Text<'_>| !taken.is_empty();
            let (text, base64) = match (output.text, output.base64) {
                (Some(text), None) => (Some(credit.take_text(text)).filter(has_bytes), None),
                (None, Some(base64)) => (None, credit.take_base64(base64).filter(has_bytes)),
                _ => (None, None),
            };
            if text.is_some() || base64.is_some() {
                let target = assignment.to();
                if let Telling::Job(of) = &command.telling {
                    of.add_output(target.info(), output.stream, text, base64);
                    keeper = Some(Arc::clone(of));
                    return Arc::clone(&command.sender);
                }
                sender.push(fast_encode::output(&SendOutput {
                    send: command.send.clone(),
                    member: target.member.id,
                    name: Name::known(&*target.member.name),
                    rank: target.rank,
                    stream: output.stream,
                    text,
                    base64,
                }));
            }
            Arc::clone(&command.sender)
        });
        if let Some(member) = told {
            self.flushes.add(&member.connection);
        }
        if let Some(keeper) = keeper {
            keeper.wake(&self.hub.timers);
        }
    }
}

/// How many bytes of output a notification carries.
fn output_len(output: &ExecutionOutput<'_>) -> u64 {
    let text = output.text.as_ref().map(|text| text.len() as u64);
    let base64 = output
        .base64
        .as_ref()
        .and_then(|text| base64_len(&text.decoded()));
    text.or(base64).unwrap_or(0)
}
