//! The ladder and the commands, as tables of as many columns as the screen has room for.

use super::look::Look;
use super::text::{fitted, text};
use crate::output::render;
use crate::top::command::{Command, Progress};
use crate::top::fleet::Fleet;
use crate::top::jobs::Jobs;
use crate::top::view::{List, Pane, Rung, View};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use unicode_truncate::Alignment::{self, Left, Right};
use unicode_truncate::UnicodeTruncateStr;
use unicode_width::UnicodeWidthStr;

/// A column: its title, its width, at which edge it is aligned, and from which width of the screen
/// it is there. The last one takes what is left.
struct Column {
    title: &'static str,
    width: usize,
    align: Alignment,
    from: u16,
}

const fn column(title: &'static str, width: usize, align: Alignment, from: u16) -> Column {
    Column {
        title,
        width,
        align,
        from,
    }
}

/// Names have up to 64 characters; most have fewer than this.
const NAME: usize = 20;
const SHORT_NAME: usize = 11;

/// Screens narrower than this have short names.
const NARROW: u16 = 60;

/// Screens narrower than this have no room for more than a rank, a name and what runs.
const TINY: u16 = 30;

fn name_width(width: u16) -> usize {
    match width < NARROW {
        true => SHORT_NAME,
        false => NAME,
    }
}

fn ladder_columns(width: u16) -> [Column; 7] {
    let (number, rank, run) = match width < TINY {
        true => ("#", 2, 5),
        false if width < NARROW => ("RANK", 4, 10),
        false => ("RANK", 5, 10),
    };
    [
        column(number, rank, Right, 0),
        column("NAME", name_width(width), Left, 0),
        column("RUN", run, Right, 18),
        column("QUEUE", 6, Right, 34),
        column("TIER", 4, Right, 42),
        column("AGE", 7, Right, 50),
        column("TAGS", 8, Left, 64),
    ]
}

fn commands_columns(width: u16) -> [Column; 5] {
    [
        column("STATUS", 9, Left, 0),
        column("DONE", 9, Right, 40),
        column("TIME", 7, Right, 50),
        column("FROM", name_width(width), Left, 30),
        column("COMMAND", 8, Left, 0),
    ]
}

fn jobs_columns(width: u16) -> [Column; 5] {
    let [status, done, _, mut to, _] = commands_columns(width);
    to.title = "TO";
    [
        status,
        done,
        column("SENT", 7, Right, 50),
        to,
        column("YOUR DETACHED COMMANDS", 8, Left, 0),
    ]
}

/// A line of a table: its cells, and how it looks.
type Row<const N: usize> = ([String; N], Style);

/// Draws the ranking, and the machines that are missing behind it.
pub(super) fn ladder(
    frame: &mut Frame<'_>,
    area: Rect,
    fleet: &Fleet,
    view: &mut View,
    look: Look,
) {
    let (own, is_active) = (view.own, view.pane == Pane::Ladder);
    let row = |rung| rung_row(rung, fleet, own, look);
    let columns = ladder_columns(area.width);
    list(
        frame,
        area,
        &mut view.ladder,
        &columns,
        is_active,
        look,
        row,
    );
}

fn rung_row(rung: Rung, fleet: &Fleet, own: u64, look: Look) -> Option<Row<7>> {
    match rung {
        Rung::Here { rank, place } => {
            let member = fleet.members.get(&place)?;
            let is_own = place.1 == own;
            let away = fleet.away(member).map(render::ago);
            let style = match (is_own || away.is_some(), member.running, member.queued) {
                (true, ..) => look.quiet(),
                (_, _, 1..) => look.busy().add_modifier(Modifier::BOLD),
                (_, 1.., _) => look.busy(),
                _ => Style::new(),
            };
            let tags = match is_own {
                true => format!("(this top) {}", member.tags),
                false => member.tags.clone(),
            };
            // Where it is on the smallest screen, too, as `missing` is; details have the load.
            let run = match (away, member.slots) {
                (Some(away), _) => format!("away {away}"),
                (None, 0) => "-".into(),
                (None, slots) => format!("{}/{slots}", member.running),
            };
            let cells = [
                rank.to_string(),
                member.name.clone(),
                run,
                member.queued.to_string(),
                place.0.to_string(),
                render::ago(fleet.age(member)),
                tags,
            ];
            Some((cells, style))
        }
        Rung::Missing(at) => {
            let missing = fleet.missing.get(at)?;
            let mut cells: [String; 7] = Default::default();
            cells[0] = "-".into();
            cells[1] = missing.name.clone();
            cells[2] = "missing".into();
            cells[6] = missing.how(fleet);
            Some((cells, look.bad()))
        }
    }
}

/// Draws the commands.
pub(super) fn commands(
    frame: &mut Frame<'_>,
    area: Rect,
    fleet: &Fleet,
    view: &mut View,
    look: Look,
) {
    let is_active = view.pane == Pane::Commands;
    let row = |id| {
        let command = fleet.commands.get(&id)?;
        let cells = [
            command.progress.status(),
            done(&command.progress),
            time(command, fleet),
            command.from.clone(),
            command.words.clone(),
        ];
        Some((cells, look.of_command(&command.progress)))
    };
    let columns = commands_columns(area.width);
    list(
        frame,
        area,
        &mut view.commands,
        &columns,
        is_active,
        look,
        row,
    );
}

/// Draws the user's own detached commands.
pub(super) fn jobs(frame: &mut Frame<'_>, area: Rect, jobs: &Jobs, view: &mut View, look: Look) {
    let row = |id| {
        let job = jobs.get(id)?;
        let cells = [
            job.progress.status(),
            done(&job.progress),
            render::ago(job.age()),
            job.to.clone(),
            job.words.clone(),
        ];
        Some((cells, look.of_command(&job.progress)))
    };
    let columns = jobs_columns(area.width);
    list(frame, area, &mut view.jobs, &columns, true, look, row);
    let is_empty = view.jobs.items.is_empty();
    let first = area.rows().nth(1).filter(|_| is_empty);
    if let Some((at, why)) = first.zip(jobs.why_none.as_ref()) {
        text(frame, at, why, look.quiet());
    }
}

/// How many of the targets have an outcome.
fn done(progress: &Progress) -> String {
    format!("{}/{}", progress.ended(), progress.targets)
}

/// How long it took, or has taken so far.
pub(super) fn time(command: &Command, fleet: &Fleet) -> String {
    render::duration(match command.ended_ms {
        Some(at) => std::time::Duration::from_millis(at.saturating_sub(command.at_ms)),
        None => fleet.since(command.at_ms),
    })
}

/// Draws a head, and under it the lines of a list that are visible; the selected one is marked if keys are
/// for this list.
fn list<T: Copy, const N: usize>(
    frame: &mut Frame<'_>,
    area: Rect,
    list: &mut List<T>,
    columns: &[Column; N],
    is_active: bool,
    look: Look,
    row: impl Fn(T) -> Option<Row<N>>,
) {
    let visible = list.visible(usize::from(area.height.saturating_sub(1)));
    let selected = list.at.checked_sub(visible.start).filter(|_| is_active);
    let rows = list.items[visible].iter().filter_map(|item| row(*item));
    let shown = |at: &usize| columns[*at].from <= area.width;
    let shown: Vec<usize> = (0..N).filter(shown).collect();
    let line = |cells: [&str; N]| {
        let mut line = String::new();
        for (nth, at) in shown.iter().enumerate() {
            let column = &columns[*at];
            let is_last = nth + 1 == shown.len();
            let width = match is_last && column.align == Left {
                true => usize::from(area.width).saturating_sub(line.width()),
                false => column.width,
            };
            line += &fitted(cells[*at], width).unicode_pad(width, column.align, false);
            line += if is_last { "" } else { " " };
        }
        line
    };
    let mut lines = area.rows();
    if let Some(at) = lines.next() {
        text(
            frame,
            at,
            &line(std::array::from_fn(|at| columns[at].title)),
            look.head(is_active),
        );
    }
    for (nth, ((cells, style), at)) in rows.zip(lines).enumerate() {
        let style = match selected == Some(nth) {
            true => style.add_modifier(Modifier::REVERSED),
            false => style,
        };
        text(
            frame,
            at,
            &line(cells.each_ref().map(String::as_str)),
            style,
        );
    }
}
