//! The loop of the prompt and of piped lines: it reads lines, sends commands, and shows their
//! outcomes and what happens to this client.
//!
//! The REPL lasts as long as its client: while the client reconnects after it lost its server,
//! the user keeps typing.

use crate::dial::Signals;
use crate::exit_code::ExitCode;
use crate::output::prefix::{LONGEST_LINE, NamedLines};
use crate::output::render::{self, Style};
use crate::prompt::completion::Known;
use crate::prompt::job_numbers::JobNumbers;
use crate::prompt::kept::Kept;
use crate::prompt::line::{self, Line};
use crate::prompt::sent_command::SentCommand;
use crate::prompt::terminal;
use client::{Client, ClientEvent, Code, Command, ConnectError, Disconnect, Resumed};
use common::terminal::escape::one_line;
use crossbeam_channel::{Receiver, Select, Sender, TryRecvError};
use std::collections::BTreeMap;
use std::time::Duration;

mod colon;
mod detached;

#[cfg(test)]
mod tests;

/// How long to wait before it looks again whether the output has room.
const ROOM_TICK: Duration = Duration::from_millis(20);

/// How much of a command's output may be on its way here: enough to keep a link busy, and
/// little beside what a terminal shows in a second.
const WINDOW: u64 = 256 << 10;

/// Bytes after which a line of a target is cut at a terminal: several screens, and little beside
/// what may wait for the terminal.
const LONGEST_ROWS: usize = 64 << 10;

/// Where the REPL shows what happens.
pub(crate) trait ReplOutput {
    /// Shows text that ends with a newline.
    fn show(&self, text: &str);
    fn complain(&self, text: &str) {
        self.show(text);
    }
    /// Whether more output can be shown without keeping it.
    fn has_room(&self) -> bool {
        true
    }
    fn is_closed(&self) -> bool {
        false
    }
    /// The width of the terminal, if a user looks at one.
    fn columns(&self) -> Option<usize> {
        terminal::columns()
    }
}

/// Where lines come from. An error is a line that could not be read.
pub(crate) struct ReplInput {
    pub(crate) lines: Receiver<Result<String, String>>,
    /// Where the end of a line's handling is signalled.
    pub(crate) handled: Option<Sender<()>>,
    /// Whether the next line is taken only once the one before has ended everywhere.
    pub(crate) one_by_one: bool,
    /// What the editor asks in the middle of a line.
    pub(crate) asks: Receiver<Ask>,
}

/// What the editor asks of the session, besides its lines.
pub(crate) enum Ask {
    /// What there is to complete.
    Known(Sender<Known>),
    /// To cancel what was sent last, if something is open.
    CancelLast,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReplEnd {
    Quit,
    NoMoreLines,
    ServerGone(Disconnect),
    Interrupted,
    OutputClosed,
}

pub(crate) struct Repl<'a> {
    client: &'a Client,
    output: &'a dyn ReplOutput,
    raw: bool,
    /// The selector of plain lines; `None` is the server's.
    to: Option<String>,
    /// How long a command may run.
    timeout: Option<Duration>,
    /// Whether equal outputs are shown once.
    gathers: bool,
    kept: Kept,
    open: BTreeMap<u64, SentCommand>,
    /// The numbers under which detached commands were shown.
    job_numbers: JobNumbers,
    /// Output of targets that no newline has ended yet.
    unfinished: NamedLines,
    /// Of all that went wrong, the worst.
    pub(crate) worst: ExitCode,
    pub(crate) lost_commands: bool,
    /// Why the last try to reconnect failed.
    not_yet: String,
}

impl<'a> Repl<'a> {
    pub(crate) fn new(client: &'a Client, output: &'a dyn ReplOutput, raw: bool) -> Repl<'a> {
        let longest = output.columns().map_or(LONGEST_LINE, |_| LONGEST_ROWS);
        Repl {
            client,
            output,
            raw,
            to: None,
            timeout: None,
            gathers: false,
            kept: Kept::default(),
            open: BTreeMap::new(),
            job_numbers: JobNumbers::default(),
            unfinished: NamedLines::new(longest, Default::default()),
            worst: ExitCode::Done,
            lost_commands: false,
            not_yet: String::new(),
        }
    }

    /// What is said of commands that the end of this client cancels; nothing if there are none.
    pub(crate) fn farewell(&self) -> Option<String> {
        let cancelled = self.open.values().filter(|sent| sent.job().is_none());
        match cancelled.count() {
            0 => None,
            1 => Some("1 command that has not ended is cancelled.\n".into()),
            open => Some(format!(
                "{open} commands that have not ended are cancelled.\n"
            )),
        }
    }

    pub(crate) fn greet(&self) {
        let rank = self.client.joined().rank;
        self.output.show(&format!("Assigned rank: {rank}\n"));
    }

    pub(crate) fn run(&mut self, lines: &ReplInput, signals: &Signals) -> ReplEnd {
        while !self.output.is_closed() {
            self.wait(lines, signals);
            if signals.try_recv().is_ok() {
                return ReplEnd::Interrupted;
            }
            let gone = self.take_events();
            self.take_send_events(gone.is_some());
            if let Some(reason) = gone {
                return ReplEnd::ServerGone(reason);
            }
            if let Ok(ask) = lines.asks.try_recv() {
                self.answer(ask);
            }
            if self.takes_lines(lines) && !self.output.is_closed() {
                match lines.lines.try_recv() {
                    Ok(line) => {
                        if self.handle(line) {
                            return ReplEnd::Quit;
                        }
                        if let Some(handled) = &lines.handled {
                            let _ = handled.try_send(());
                        }
                    }
                    Err(TryRecvError::Empty) => {}
                    Err(TryRecvError::Disconnected) => return ReplEnd::NoMoreLines,
                }
            }
        }
        ReplEnd::OutputClosed
    }

    fn takes_lines(&self, lines: &ReplInput) -> bool {
        !lines.one_by_one || self.open.is_empty()
    }

    fn wait(&self, lines: &ReplInput, signals: &Signals) {
        let mut select = Select::new();
        select.recv(signals);
        select.recv(self.client.events());
        select.recv(&lines.asks);
        if self.takes_lines(lines) {
            select.recv(&lines.lines);
        }
        let mut open = self.open.values();
        let has_pending = open.any(|command| !command.pending.is_empty());
        if self.output.has_room() && !has_pending {
            for command in self.open.values() {
                select.recv(&command.events);
            }
            select.ready();
        } else {
            let _ = select.ready_timeout(ROOM_TICK);
        }
    }

    /// Shows what happened to this client; returns why the connection ended, if it has.
    fn take_events(&mut self) -> Option<Disconnect> {
        let events = self.client.events();
        loop {
            // After the end of the connection, its last event is about to come. Only after
            // that event, all that was lost with it has its outcome.
            let event = match self.client.disconnect() {
                Some(_) => events.recv().ok()?,
                None => events.try_recv().ok()?,
            };
            match event {
                ClientEvent::Disconnected(reason) => return Some(reason),
                ClientEvent::Away { reason, rank, left } => {
                    let text = render::away(&reason, rank, left);
                    self.output.show(&format!("{}.\n", capital(&text)));
                }
                ClientEvent::Resumed { kept, rank, after } => {
                    self.show_return(kept, &render::resumed(kept, rank, after));
                }
                ClientEvent::Lost(reason) => self.show_loss(&reason),
                ClientEvent::NotYet { error, .. } => self.show_failed_try(&error),
                ClientEvent::Rejoined { was, rank, .. } if was == rank => self
                    .output
                    .show(&format!("Connected again. You are still rank {rank}.\n")),
                ClientEvent::Rejoined { was, rank, .. } => self.output.show(&format!(
                    "Connected again. You were rank {was}; you are now rank {rank}.\n"
                )),
                ClientEvent::Rank { rank, .. } => {
                    self.output.show(&format!("My new rank is {rank}\n"));
                }
                ClientEvent::Refused { .. } => {
                    let text = "Cannot execute command from a lower ranked client.\n";
                    self.output.show(text);
                }
                ClientEvent::JobReceived(job) => self.output.show(&render::received(&job)),
                ClientEvent::JobFinished { job, answer } => {
                    self.output.show(&self.style().executed(&job, &answer));
                }
                ClientEvent::Missed(count) => {
                    self.output
                        .show(&format!("({count} events were not shown)\n"));
                }
                _ => {}
            }
        }
    }

    /// Shows the commands that were lost with the connection first.
    fn show_loss(&mut self, reason: &Disconnect) {
        self.take_send_events(true);
        self.not_yet.clear();
        let reason = reason.to_string();
        let text = format!("Connection lost: {}. Trying again.\n", one_line(&reason));
        self.output.show(&text);
    }

    /// Shows that it is back, and before that what was lost meanwhile, if anything was.
    fn show_return(&mut self, kept: Resumed, text: &str) {
        if kept == Resumed::Rank {
            self.take_send_events(true);
        }
        self.output.show(&format!("{}.\n", capital(text)));
    }

    /// Shows a reason once. A server that stops has told its reason already.
    fn show_failed_try(&mut self, error: &ConnectError) {
        let stops = error.rpc().is_some_and(|rpc| rpc.is(Code::ShuttingDown));
        let why = error.to_string();
        if !stops && self.not_yet != why {
            let text = format!("Not connected yet: {}.\n", one_line(&why));
            self.output.show(&text);
            self.not_yet = why;
        }
    }

    /// Shows the events of open commands while there is room; all of them after the connection.
    fn take_send_events(&mut self, is_over: bool) {
        let output = self.output;
        let style = self.style();
        let mut ended = Vec::new();
        let mut count = self.open.len();
        for (id, command) in &mut self.open {
            while is_over || output.has_room() {
                let (client, unfinished) = (self.client, &mut self.unfinished);
                let Some(step) = command.next_step(client, unfinished, style, count > 1) else {
                    break;
                };
                self.worst = self.worst.max(step.exit);
                self.lost_commands |= is_over && step.exit == ExitCode::Lost;
                if !step.shown.is_empty() {
                    output.show(&step.shown);
                    self.kept.add(*id, &step.shown);
                }
                if step.is_last {
                    count -= 1;
                    ended.push(*id);
                    break;
                }
            }
        }
        for id in ended {
            self.open.remove(&id);
        }
    }

    fn style(&self) -> Style {
        Style {
            raw: self.raw,
            columns: self.output.columns(),
        }
    }

    /// Does what a line says; returns whether it is the last one.
    fn handle(&mut self, line: Result<String, String>) -> bool {
        match line.and_then(|line| line::parse(&line)) {
            Ok(Line::Quit) => return true,
            Ok(Line::Empty) => {}
            Ok(Line::Send {
                to,
                words,
                typed,
                detached: false,
            }) => self.send(to, &words, typed),
            Ok(Line::Send {
                to, words, typed, ..
            }) => self.detach(to, &words, &typed),
            Ok(Line::Follow(id)) => self.follow(&id),
            Ok(Line::Help) => self.output.show(line::HELP),
            Ok(Line::Ranks(of)) => self.show_ranks(of.as_deref()),
            Ok(Line::Who(to)) => self.show_reach(to),
            Ok(Line::Output(id)) => self.show_again(id),
            Ok(Line::Gather(gathers)) => self.set_gather(gathers),
            Ok(Line::Timeout(timeout)) => self.set_timeout(timeout),
            Ok(Line::WhoAmI) => self.show_self(),
            Ok(Line::To(to)) => self.set_default(to),
            Ok(Line::Jobs) => self.show_jobs(),
            Ok(Line::Cancel(id)) => self.cancel(id),
            Ok(Line::CancelJob(id)) => self.cancel_job(&id),
            Err(wrong) => self.complain(ExitCode::Usage, &wrong),
        }
        false
    }

    fn complain(&mut self, exit: ExitCode, what: &str) {
        self.worst = self.worst.max(exit);
        self.output.complain(&format!("{}\n", one_line(what)));
    }

    /// A command to these targets, or to those of plain lines, that may run for as long as is set.
    fn command(&self, to: Option<String>, words: &[String]) -> Command {
        let mut command = Command::new(words);
        if let Some(to) = to.or_else(|| self.to.clone()) {
            command = command.to(to);
        }
        if let Some(timeout) = self.timeout {
            command = command.timeout(timeout);
        }
        command
    }

    fn send(&mut self, to: Option<String>, words: &[String], typed: String) {
        let command = self.command(to, words).window(WINDOW);
        let to = command.selector().map(str::to_owned);
        match self.client.send(command) {
            Ok(sent) => {
                self.output
                    .show(&format!("{} command sent.\n", one_line(&typed)));
                self.kept.begin(sent.id(), &typed);
                let id = sent.id();
                let sent = SentCommand::new(sent, typed, to, self.gathers);
                self.open.insert(id, sent);
            }
            Err(e) => self.complain(ExitCode::of_error(&e), &format!("{typed}: not sent: {e}")),
        }
    }
}

/// The same, as the start of a sentence.
fn capital(text: &str) -> String {
    let (first, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
    first.to_uppercase() + rest
}
