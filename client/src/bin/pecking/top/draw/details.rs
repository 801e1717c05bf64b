//! What is in front of the panes: all that is known of what is selected, and the help.

use super::tables;
use crate::output::render;
use crate::top::command::Command;
use crate::top::fleet::Fleet;
use crate::top::jobs::Jobs;
use crate::top::view::{Pane, Rung, View};
use client::JobId;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};
use unicode_width::UnicodeWidthStr;

/// Columns of a box in front, borders included.
const COLUMNS: u16 = 72;

const HELP: &str = "\
Up Down j k      select          PgUp PgDn   a page
Home End g G     first, last     Tab         the next pane
s                sort: rank, name, load, queue
/                filter by a part of a name, a tag or a command
Esc              clear the filter, or close this
Enter            details of what is selected
J                your detached commands, in place of all commands
c                cancel the selected one of these
q Ctrl-C         end

RUN is slots in use of all; AGE is since it joined. Machines
that left are missing until their name is back; so are expected
ones (expected.toml or the server's --expected). One that is away
has lost its connection, and its place is held for a while. DONE
counts targets with an outcome.";

/// The keys.
pub(super) fn help(frame: &mut Frame<'_>, area: Rect) {
    in_front(frame, area, " keys ", HELP.into());
}

/// What is selected.
pub(super) fn details(
    frame: &mut Frame<'_>,
    area: Rect,
    (fleet, jobs): (&Fleet, &Jobs),
    view: &View,
) {
    let text = match view.pane {
        Pane::Ladder => view.ladder.selected().and_then(|rung| of_rung(rung, fleet)),
        Pane::Commands => {
            let selected = view.commands.selected();
            let command = selected.and_then(|id| Some((id, fleet.commands.get(&id)?)));
            command.map(|(id, command)| of_command(id, command, fleet))
        }
        Pane::Jobs => view.jobs.selected().and_then(|id| of_job(id, jobs)),
    };
    let text = text.unwrap_or_else(|| "nothing is selected".into());
    in_front(frame, area, " details ", text);
}

fn in_front(frame: &mut Frame<'_>, area: Rect, title: &'static str, text: String) {
    let width = area.width.min(COLUMNS);
    let room = usize::from(width.saturating_sub(2)).max(1);
    // Words are not cut, so a line that is too long may need one row more.
    let rows_of = |width: usize| width.div_ceil(room).max(1) + usize::from(width > room);
    let rows = text.lines().map(|line| rows_of(line.width()));
    let rows = u16::try_from(rows.sum::<usize>() + 2).unwrap_or(u16::MAX);
    let height = area.height.min(rows);
    let at = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, at);
    let text = Paragraph::new(text).wrap(Wrap { trim: false });
    frame.render_widget(text.block(Block::bordered().title(title)), at);
}

fn of_rung(rung: Rung, fleet: &Fleet) -> Option<String> {
    let lines = match rung {
        Rung::Here { rank, place } => {
            let member = fleet.members.get(&place)?;
            let away = fleet.away(member).map(render::ago);
            let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
            let mut lines = vec![
                ("name", member.name.clone()),
                ("rank", format!("{rank}, tier {}", place.0)),
                ("member", format!("#{}", place.1)),
                ("address", member.address.clone()),
                ("identity", or_none(&member.identity)),
                ("role", or_none(&member.role)),
                ("tags", member.tags.clone()),
                (
                    "slots",
                    format!(
                        "{} of {} run, {} wait",
                        member.running, member.slots, member.queued
                    ),
                ),
                ("joined", format!("{} ago", render::ago(fleet.age(member)))),
            ];
            lines.extend(away.map(|away| ("away", format!("for {away}; its place is held"))));
            lines
        }
        Rung::Missing(at) => {
            let missing = fleet.missing.get(at)?;
            vec![
                ("name", missing.name.clone()),
                ("missing", missing.how(fleet)),
            ]
        }
    };
    Some(joined(&lines))
}

fn of_command(id: u64, command: &Command, fleet: &Fleet) -> String {
    let progress = &command.progress;
    let counts = progress.outcomes.iter();
    let counts = counts.map(|(status, count)| format!("{count} {status}"));
    let mut counts: Vec<String> = counts.collect();
    if progress.not_zero > 0 {
        let not_zero = progress.not_zero;
        counts.push(format!("{not_zero} of these not with exit code 0"));
    }
    let open = progress.targets.saturating_sub(progress.ended());
    if open > 0 {
        counts.push(format!("{open} open"));
    }
    joined(&[
        ("command", command.words.clone()),
        ("number", format!("#{id}")),
        (
            "from",
            format!("{} (rank {})", command.from, command.from_rank),
        ),
        (
            "sent",
            format!("{} ago", render::ago(fleet.since(command.at_ms))),
        ),
        ("took", tables::time(command, fleet)),
        ("targets", progress.targets.to_string()),
        ("outcomes", counts.join(", ")),
    ])
}

fn of_job(id: JobId, jobs: &Jobs) -> Option<String> {
    let job = jobs.get(id)?;
    let (targets, ended) = (job.progress.targets, job.progress.ended());
    let failed = job.progress.failed();
    Some(joined(&[
        ("command", job.words.clone()),
        ("job", id.to_string()),
        ("to", job.to.clone()),
        ("by", job.by.clone()),
        ("sent", format!("{} ago", render::ago(job.age()))),
        (
            "targets",
            format!("{targets}, {ended} ended, {failed} failed"),
        ),
    ]))
}

fn joined(lines: &[(&str, String)]) -> String {
    let lines = lines
        .iter()
        .map(|(name, value)| format!("{name:<9} {value}"));
    lines.collect::<Vec<_>>().join("\n")
}
