//! The lines that begin with a colon: they ask about this session and its server, and set how it sends.

use super::{Ask, Repl};
use crate::exit_code::ExitCode;
use crate::output::queued::finds;
use crate::output::{render, table};
use crate::prompt::completion::Known;
use crate::prompt::sent_command::SentCommand;
use crate::targets::Groups;
use client::Member;
use common::terminal::escape::one_line;
use common::wire::selector::Selector;
use std::time::Duration;

impl Repl<'_> {
    /// Shows the ranking, or those of it that a selector finds.
    pub(super) fn show_ranks(&mut self, of: Option<&str>) {
        let ranking = match self.client.all_members() {
            Ok(ranking) => ranking,
            Err(e) => return self.complain(ExitCode::of_error(&e), &e.to_string()),
        };
        let own = self.client.member();
        let selector = match of.map(Selector::parse).transpose() {
            Ok(selector) => selector,
            Err(e) => return self.complain(ExitCode::Usage, &e.to_string()),
        };
        let rank = ranking.members.iter().find(|m| m.member == own);
        let rank = rank.map_or_else(|| self.client.rank(), |m| m.rank);
        let is_shown = |member: &&Member| match &selector {
            None => true,
            Some(selector) => finds(selector, member, own, rank),
        };
        let shown = ranking.members.iter().filter(is_shown);
        let text = match (shown.clone().next(), of) {
            (None, Some(of)) => format!("{} finds no client that is here.\n", one_line(of)),
            _ => table::tagged_ranking(shown, Some(own)),
        };
        self.output.show(&text);
    }

    /// Shows what a command would reach.
    pub(super) fn show_reach(&mut self, to: Option<String>) {
        match self.client.select(self.command(to, &[])) {
            Ok(selected) => self.output.show(&table::targets(&selected)),
            Err(e) => {
                let why = render::refusal(&e, self.client);
                self.complain(ExitCode::of_error(&e), &why);
            }
        }
    }

    pub(super) fn show_self(&mut self) {
        let (client, members) = (self.client, self.client.members(0, 1));
        let of = members.map_or_else(|_| client.ranked(), |page| page.total);
        let name = client.name();
        let (name, member, rank) = (one_line(&name), client.member(), client.rank());
        let text = match client.is_connected() {
            true => format!("You are {name}, member {member}, rank {rank} of {of}.\n"),
            false => format!("You were {name}, rank {rank}; there is no connection now.\n"),
        };
        self.output.show(&text);
    }

    pub(super) fn set_default(&mut self, to: Option<String>) {
        let text = match &to {
            Some(to) => format!("Plain lines go to {to}.\n"),
            None => "Plain lines go to the server's default.\n".into(),
        };
        self.to = to;
        self.output.show(&text);
    }

    pub(super) fn set_gather(&mut self, gathers: bool) {
        self.gathers = gathers;
        self.output.show(match gathers {
            true => "What several targets write alike is shown once, when all have ended.\n",
            false => "Output is shown as it comes.\n",
        });
    }

    pub(super) fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
        self.output.show(&match timeout {
            Some(timeout) => format!(
                "What you send from now on may run for {} at each target.\n",
                render::duration(timeout)
            ),
            None => "What you send from now on may run as long as it takes.\n".into(),
        });
    }

    pub(super) fn show_jobs(&mut self) {
        let mut text = match self.open.is_empty() {
            true => "Nothing that you sent is open.\n".to_owned(),
            false => "Sent and still open (:cancel ID ends one):\n".to_owned(),
        };
        text.extend(self.open.values().map(SentCommand::describe));
        let jobs = self.client.jobs();
        text += match jobs.is_empty() {
            true => "Nothing runs here.\n",
            false => "Running here:\n",
        };
        text.extend(jobs.iter().map(render::job));
        text += &self.list_detached();
        self.output.show(&text);
    }

    /// Shows what came of a command again; without an ID, the commands of which that is kept.
    pub(super) fn show_again(&mut self, id: Option<u64>) {
        let Some(id) = id else {
            return self.output.show(&self.list_kept());
        };
        match self.kept.again(id) {
            Some(text) => self.output.show(&text),
            None => {
                let what = format!("nothing is kept of {id}; :output shows of which commands");
                self.complain(ExitCode::Usage, &what);
            }
        }
    }

    fn list_kept(&self) -> String {
        let lines = self
            .kept
            .list()
            .map(|(id, typed)| format!("  {id}  {}\n", one_line(typed)));
        let lines: String = lines.collect();
        match lines.is_empty() {
            true => "You have sent nothing so far.\n".into(),
            false => format!("What came of these is kept (:output ID shows it):\n{lines}"),
        }
    }

    pub(super) fn cancel(&mut self, id: Option<u64>) {
        if let Some(id) = id.or_else(|| self.last_open())
            && let Some(command) = self.open.get(&id)
        {
            command.cancel();
            let typed = one_line(&command.typed);
            return self.output.show(&format!("Cancelling {id}, {typed}.\n"));
        }
        let what = match id {
            Some(id) => format!("nothing that you sent has the ID {id}; :jobs shows what is open"),
            None => "nothing that you sent is open".into(),
        };
        self.complain(ExitCode::Usage, &what);
    }

    /// What was sent last of what is open, and is not being cancelled yet.
    fn last_open(&self) -> Option<u64> {
        let mut open = self.open.iter().rev();
        open.find(|(_, command)| !command.is_cancelled.get())
            .map(|(id, _)| *id)
    }

    /// Ctrl-C: what was sent last ends. What is detached goes on, and is followed no longer.
    fn interrupt_last(&mut self) {
        let Some(id) = self.last_open() else { return };
        match self.open.get(&id).and_then(SentCommand::job) {
            Some(job) => self.leave_job(id, job),
            None => self.cancel(Some(id)),
        }
    }

    pub(super) fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::CancelLast => self.interrupt_last(),
            Ask::Known(tell) => {
                let _ = tell.try_send(self.known());
            }
        }
    }

    /// What Tab completes. Without an answer of the server, what is known here.
    fn known(&self) -> Known {
        let members = self.client.all_members().map(|ranking| ranking.members);
        let members = members.unwrap_or_default();
        let tags = |member: &Member| {
            let tags = member.tags.iter();
            tags.map(|(key, value)| format!("{key}={value}"))
                .collect::<Vec<_>>()
        };
        let groups = Groups::load().unwrap_or_default();
        Known {
            names: members
                .iter()
                .map(|member| member.name.to_string())
                .collect(),
            members: members.iter().map(|member| member.member).collect(),
            tags: members.iter().flat_map(tags).collect(),
            groups: groups.names().map(str::to_owned).collect(),
            open: self.open.keys().copied().collect(),
            kept: self.kept.list().map(|(id, _)| id).collect(),
            detached: self.job_numbers.numbers().collect(),
        }
    }
}
