//! The ladder and the commands, as tables of as many columns as the screen has room for.

use super::{Look, fitted, text};
use crate::output::render;
use crate::top::command::Command;
use crate::top::fleet::Fleet;
use crate::top::jobs::{Job, Jobs};
use crate::top::view::{Pane, Rung, View};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

/// A column: its title, its width, whether it is aligned at the right, and from which width of the
/// screen it is there. The last one takes what is left.
struct Column {
    title: &'static str,
    width: usize,
    is_right: bool,
    from: u16,
}

const fn column(title: &'static str, width: usize, is_right: bool, from: u16) -> Column {
    Column {
        title,
        width,
        is_right,
        from,
    }
}

/// Names have up to 64 characters; most have fewer than this.
const NAME: usize = 20;
const SHORT_NAME: usize = 11;

/// Screens narrower than this have short names.
const NARROW: u16 = 60;

fn ladder_columns(width: u16) -> [Column; 7] {
    let (name, rank) = match width < NARROW {
        true => (SHORT_NAME, if width < 30 { 2 } else { 4 }),
        false => (NAME, 5),
    };
    let name = if width < 30 {
        name
    } else {
        name.max(SHORT_NAME)
    };
    [
        column(if rank < 4 { "#" } else { "RANK" }, rank, true, 0),
        column("NAME", name, false, 0),
        column("RUN", if width < 30 { 5 } else { 10 }, true, 18),
        column("QUEUE", 6, true, 34),
        column("TIER", 4, true, 42),
        column("AGE", 7, true, 50),
        column("TAGS", 8, false, 64),
    ]
}

fn commands_columns(width: u16) -> [Column; 5] {
    let from = if width < NARROW { SHORT_NAME } else { NAME };
    [
        column("STATUS", 9, false, 0),
        column("DONE", 9, true, 40),
        column("TIME", 7, true, 50),
        column("FROM", from, false, 30),
        column("COMMAND", 8, false, 0),
    ]
}

fn jobs_columns(width: u16) -> [Column; 5] {
    let [status, done, _, mut to, _] = commands_columns(width);
    to.title = "TO";
    [
        status,
        done,
        column("SENT", 7, true, 50),
        to,
        column("YOUR DETACHED COMMANDS", 8, false, 0),
    ]
}

/// A line of a table.
struct Row<const N: usize> {
    cells: [String; N],
    style: Style,
}

/// Draws the ranking, and the machines that are missing behind it.
pub(super) fn ladder(
    frame: &mut Frame<'_>,
    area: Rect,
    fleet: &Fleet,
    view: &mut View,
    look: Look,
) {
    let visible = view
        .ladder
        .visible(usize::from(area.height.saturating_sub(1)));
    let selected = (view.pane == Pane::Ladder).then_some(view.ladder.at);
    let row = |rung: &Rung| rung_row(rung, fleet, view.own, look);
    let rows = view.ladder.items[visible.clone()].iter().map(row);
    let selected = selected.and_then(|at| at.checked_sub(visible.start));
    let columns = ladder_columns(area.width);
    table(
        frame,
        area,
        (&columns, rows),
        selected,
        look.head(view.pane == Pane::Ladder),
    );
}

fn rung_row(rung: &Rung, fleet: &Fleet, own: u64, look: Look) -> Row<7> {
    match rung {
        Rung::Here { rank, place } => {
            let Some(member) = fleet.members.get(place) else {
                return blank();
            };
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
            Row { cells, style }
        }
        Rung::Missing(at) => {
            let Some(missing) = fleet.missing.get(*at) else {
                return blank();
            };
            let mut cells = blank().cells;
            cells[0] = "-".into();
            cells[1] = missing.name.clone();
            cells[2] = "missing".into();
            cells[6] = missing.how(fleet);
            let style = look.bad();
            Row { cells, style }
        }
    }
}

fn blank<const N: usize>() -> Row<N> {
    Row {
        cells: std::array::from_fn(|_| String::new()),
        style: Style::new(),
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
    let visible = view
        .commands
        .visible(usize::from(area.height.saturating_sub(1)));
    let selected = (view.pane == Pane::Commands).then_some(view.commands.at);
    let shown = view.commands.items[visible.clone()].iter();
    let shown = shown.filter_map(|id| fleet.commands.get(id));
    let rows = shown.map(|command| command_row(command, fleet, look));
    let selected = selected.and_then(|at| at.checked_sub(visible.start));
    let columns = commands_columns(area.width);
    table(
        frame,
        area,
        (&columns, rows),
        selected,
        look.head(view.pane == Pane::Commands),
    );
}

fn command_row(command: &Command, fleet: &Fleet, look: Look) -> Row<5> {
    let style = match (command.is_open(), command.failed()) {
        (_, 1..) => look.bad(),
        (true, _) => look.busy(),
        (false, _) => look.good(),
    };
    let cells = [
        command.status(),
        format!("{}/{}", command.ended(), command.targets),
        time(command, fleet),
        command.from.clone(),
        command.words.clone(),
    ];
    Row { cells, style }
}

/// Draws the user's own detached commands.
pub(super) fn jobs(frame: &mut Frame<'_>, area: Rect, jobs: &Jobs, view: &mut View, look: Look) {
    let visible = view
        .jobs
        .visible(usize::from(area.height.saturating_sub(1)));
    let shown = view.jobs.items[visible.clone()].iter();
    let rows = shown.filter_map(|id| jobs.get(*id));
    let rows = rows.map(|job| job_row(job, look));
    let selected = view.jobs.at.checked_sub(visible.start);
    let columns = jobs_columns(area.width);
    table(frame, area, (&columns, rows), selected, look.head(true));
    let first = area.rows().nth(1).filter(|_| visible.is_empty());
    if let Some((at, why)) = first.zip(jobs.why_none.as_ref()) {
        text(frame, at, why, look.quiet());
    }
}

fn job_row(job: &Job, look: Look) -> Row<5> {
    let style = match (job.is_open, job.failed) {
        (_, 1..) => look.bad(),
        (true, _) => look.busy(),
        (false, _) => look.good(),
    };
    let cells = [
        job.status(),
        format!("{}/{}", job.ended, job.targets),
        render::ago(job.age()),
        job.to.clone(),
        job.words.clone(),
    ];
    Row { cells, style }
}

/// How long it took, or has taken so far.
pub(super) fn time(command: &Command, fleet: &Fleet) -> String {
    render::duration(match command.ended_ms {
        Some(at) => std::time::Duration::from_millis(at.saturating_sub(command.at_ms)),
        None => fleet.since(command.at_ms),
    })
}

/// Draws a head and the rows under it; `selected` is one of these rows.
fn table<const N: usize>(
    frame: &mut Frame<'_>,
    area: Rect,
    (columns, rows): (&[Column; N], impl Iterator<Item = Row<N>>),
    selected: Option<usize>,
    head: Style,
) {
    let shown = |at: &usize| columns[*at].from <= area.width;
    let shown: Vec<usize> = (0..N).filter(shown).collect();
    let line = |cells: [&str; N]| {
        let mut line = String::new();
        for (nth, at) in shown.iter().enumerate() {
            let column = &columns[*at];
            let is_last = nth + 1 == shown.len();
            let used = unicode_width::UnicodeWidthStr::width(&*line);
            let width = match is_last && !column.is_right {
                true => usize::from(area.width).saturating_sub(used),
                false => column.width,
            };
            let cell = fitted(cells[*at], width);
            let blanks = width.saturating_sub(unicode_width::UnicodeWidthStr::width(&*cell));
            let blanks = " ".repeat(blanks);
            line += &match column.is_right {
                true => blanks + &cell,
                false => cell.into_owned() + &blanks,
            };
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
            head,
        );
    }
    for (nth, (row, at)) in rows.zip(lines).enumerate() {
        let style = match selected == Some(nth) {
            true => row.style.add_modifier(Modifier::REVERSED),
            false => row.style,
        };
        text(
            frame,
            at,
            &line(row.cells.each_ref().map(String::as_str)),
            style,
        );
    }
}
