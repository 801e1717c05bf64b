//! What `top` draws: the server on one line, rates, the ladder, the commands, and what the keys do.
//! On a small screen parts of this are left out, and columns; only lines that are visible are made.

mod details;
mod look;
mod tables;
mod text;

pub(crate) use look::Look;

use super::fleet::Fleet;
use super::jobs::Jobs;
use super::view::{Pane, Popup, View};
use crate::output::render;
use client::Sample;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::widgets::{RenderDirection, Sparkline};
use text::text;

/// Rows from which there are rates; they take four of them.
const ROWS_FOR_RATES: u16 = 18;
const RATES: u16 = 4;

/// Columns for one plot, at the least.
const PLOT: u16 = 24;

/// Rows from which both panes are there.
const ROWS_FOR_BOTH: u16 = 12;

/// What is known: of the server, and of the user's own detached commands.
type Known<'a> = (&'a Fleet, &'a Jobs);

/// Draws all of it.
pub(crate) fn draw(frame: &mut Frame<'_>, known: Known<'_>, view: &mut View, look: Look) {
    let (fleet, _) = known;
    let area = frame.area();
    let has_rates = area.height >= ROWS_FOR_RATES && area.width >= PLOT;
    let [top, rates, panes, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(if has_rates { RATES } else { 0 }),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    text(
        frame,
        top,
        &server(fleet, view),
        Style::new().add_modifier(Modifier::BOLD),
    );
    if has_rates {
        draw_rates(frame, rates, fleet, look);
    }
    draw_panes(frame, panes, known, view, look);
    draw_bottom(frame, bottom, view, look);
    match view.popup {
        Popup::None => {}
        Popup::Help => details::help(frame, panes),
        Popup::Details => details::details(frame, panes, known, view),
    }
}

/// The line about the server.
fn server(fleet: &Fleet, view: &View) -> String {
    let Some(facts) = &fleet.server else {
        return "pecking top".into();
    };
    let (running, queued, slots) = fleet.load();
    let mut line = String::new();
    if view.lost.is_some() {
        line += "NOT CONNECTED  ";
    } else if facts.draining {
        line += "DRAINING  ";
    }
    line += &format!("{}/{} members", fleet.members.len(), facts.max);
    let away = fleet.count_away();
    if away > 0 {
        line += &format!("  {away} away");
    }
    if !fleet.missing.is_empty() {
        line += &format!("  {} missing", fleet.missing.len());
    }
    line += &format!("  {running}/{slots} slots run");
    if queued > 0 {
        line += &format!("  {queued} wait");
    }
    let address = common::terminal::escape::one_line(&facts.address);
    let up = render::ago(fleet.since(facts.started_ms));
    line + &format!("  up {up}  {address}")
}

/// What is plotted of a second.
type Figure = fn(&Sample) -> u64;

/// Plots of the last minutes, the newest second at the right edge.
fn draw_rates(frame: &mut Frame<'_>, area: Rect, fleet: &Fleet, look: Look) {
    let last = fleet.samples.back();
    let figure = |of: Figure| last.map_or(0, of);
    let ms = |value: Option<f64>| value.map_or("-".into(), |ms| format!("{ms:.0}"));
    // Of the last second in which any ended.
    let known = |of: fn(&Sample) -> Option<f64>| ms(fleet.samples.iter().rev().find_map(of));
    let (p50, p99) = (known(|s| s.p50_ms), known(|s| s.p99_ms));
    let plots: [(String, Figure, Style); 3] = [
        (
            format!("commands/s {}", figure(|s| s.commands)),
            |s| s.commands,
            look.busy(),
        ),
        (
            format!(
                "running {}, waiting {}",
                figure(|s| s.running),
                figure(|s| s.queued)
            ),
            |s| s.running.saturating_add(s.queued),
            look.good(),
        ),
        (
            format!("99 of 100 below {p99} ms, half {p50}"),
            |s| s.p99_ms.map_or(0, |ms| ms.ceil() as u64),
            look.coloured(Color::Magenta),
        ),
    ];
    let fit = (area.width / PLOT).clamp(1, 3);
    let columns = Layout::horizontal(vec![Constraint::Fill(1); fit.into()])
        .spacing(2)
        .split(area);
    for (at, (title, of, style)) in columns.iter().zip(plots) {
        let [head, plot, _] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(*at);
        text(frame, head, &title, Style::new());
        let newest = fleet.samples.iter().rev().take(plot.width.into());
        let data: Vec<u64> = newest.map(of).collect();
        let plotted = Sparkline::default().data(&data).style(style);
        frame.render_widget(plotted.direction(RenderDirection::RightToLeft), plot);
    }
}

fn draw_panes(frame: &mut Frame<'_>, area: Rect, known: Known<'_>, view: &mut View, look: Look) {
    let (fleet, jobs) = known;
    if area.height < ROWS_FOR_BOTH {
        return match view.pane {
            Pane::Ladder => tables::ladder(frame, area, fleet, view, look),
            Pane::Commands => tables::commands(frame, area, fleet, view, look),
            Pane::Jobs => tables::jobs(frame, area, jobs, view, look),
        };
    }
    let [ladder, _, lower] = Layout::vertical([
        Constraint::Fill(3),
        Constraint::Length(1),
        Constraint::Fill(2),
    ])
    .areas(area);
    tables::ladder(frame, ladder, fleet, view, look);
    match view.pane {
        Pane::Jobs => tables::jobs(frame, lower, jobs, view, look),
        Pane::Ladder | Pane::Commands => tables::commands(frame, lower, fleet, view, look),
    }
}

/// The last line: what the user types, what there is to say, or what the keys do.
fn draw_bottom(frame: &mut Frame<'_>, area: Rect, view: &View, look: Look) {
    if view.is_typing {
        return text(
            frame,
            area,
            &format!("filter: {}▏", view.filter),
            Style::new(),
        );
    }
    if let Some(note) = view.note.as_ref().or(view.lost.as_ref()) {
        return text(frame, area, note, look.bad());
    }
    let mut line = match view.filter.is_empty() {
        true => String::new(),
        false => format!("filter: {} (Esc clears)  ", view.filter),
    };
    line += &format!("s sort: {}  ", view.sort.name());
    line += match view.pane {
        Pane::Jobs => "c cancel  ",
        Pane::Ladder | Pane::Commands => "J jobs  ",
    };
    line += "/ filter  Enter details  Tab pane  ? help  q quit";
    text(frame, area, &line, look.quiet());
}

#[cfg(test)]
mod tests {
    use super::super::fleet::tests::{member, told};
    use super::super::jobs::tests::listed;
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    /// What a screen of this size shows, line by line.
    fn screen(columns: u16, rows: u16, fleet: &Fleet, view: &mut View) -> Vec<String> {
        screen_with(columns, rows, (fleet, &Jobs::default()), view)
    }

    fn screen_with(columns: u16, rows: u16, known: Known<'_>, view: &mut View) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("no error");
        view.update(known.0, known.1);
        let look = Look { has_colours: true };
        terminal
            .draw(|frame| draw(frame, known, view, look))
            .expect("no error");
        let buffer = terminal.backend().buffer();
        let line = |row: u16| {
            let cells = (0..columns).map(|column| buffer[(column, row)].symbol());
            cells.collect::<String>().trim_end().to_owned()
        };
        (0..rows).map(line).collect()
    }

    fn fleet(members: u64) -> Fleet {
        let mut fleet = Fleet::new(None);
        let all: Vec<_> = (1..=members)
            .map(|n| member(n, &format!("web{n:05}"), 5, (2, 1)))
            .collect();
        fleet.take(told(&json!({
            "members": {"reset": true, "joined": all},
            "commands": [{"id": 7, "at_ms": 999_000, "from": {"member": 1, "name": "boss", "rank": 0},
                "command": ["uptime", "-p"], "targets": 3, "outcomes": {"done": 1}}],
            "departed": [{"member": 99_999, "name": "gone", "tier": 5, "slots": 1, "why": "closed", "at_ms": 1000}],
        })));
        fleet
    }

    #[test]
    fn any_size_shows_what_matters_most() {
        let fleet = fleet(3);
        for (columns, rows, expected) in [
            (
                20,
                5,
                ["3/9 members", "0 web00001 ", "1 web00002 ", " 2/4"].as_slice(),
            ),
            (40, 10, &["0 web00001", "2/4", "QUEUE"]),
            (
                80,
                24,
                &[
                    "commands/s 0",
                    "role=web00001-role",
                    "gone",
                    "left",
                    "uptime -p",
                    "runs",
                ],
            ),
            (
                200,
                60,
                &["commands/s 0", "web00003", "boss", "1/3", "99 of 100 below"],
            ),
        ] {
            let shown = screen(columns, rows, &fleet, &mut View::default()).join("\n");
            for part in expected {
                assert!(
                    shown.contains(part),
                    "{part:?} at {columns}x{rows}:\n{shown}"
                );
            }
        }
        for (columns, rows) in [(0, 0), (1, 1), (1, 30), (200, 1), (3, 3)] {
            for popup in [Popup::None, Popup::Help, Popup::Details] {
                let mut view = View {
                    popup,
                    ..View::default()
                };
                screen(columns, rows, &fleet, &mut view);
            }
        }
    }

    #[test]
    fn own_jobs_take_the_place_of_all_commands() {
        let fleet = fleet(3);
        let mut jobs = Jobs::default();
        jobs.take(Ok(vec![listed(1, &json!(["backup"]), true)]));
        let shown = |columns, rows, pane| {
            let mut view = View {
                pane,
                ..View::default()
            };
            screen_with(columns, rows, (&fleet, &jobs), &mut view).join("\n")
        };
        for (columns, rows) in [(80, 24), (40, 10), (20, 5)] {
            let own = shown(columns, rows, Pane::Jobs);
            let all = shown(columns, rows, Pane::Commands);
            assert!(own.contains("backup") && !own.contains("uptime"), "{own}");
            assert!(all.contains("uptime") && !all.contains("backup"), "{all}");
        }
    }

    #[test]
    fn a_member_that_is_away_is_shown_as_such() {
        let mut fleet = fleet(3);
        let away = |ms: Option<u64>| told(&json!({"members": {"away": [[2, ms]]}}));
        fleet.take(away(Some(3000)));
        for (columns, rows, row) in [
            (80, 24, " away 3 s "),
            (40, 10, " away 3 s "),
            (20, 5, " away…"),
        ] {
            let shown = screen(columns, rows, &fleet, &mut View::default()).join("\n");
            assert!(shown.contains(row), "{row:?} at {columns}x{rows}:\n{shown}");
        }
        let shown = screen(80, 24, &fleet, &mut View::default());
        assert!(shown[0].contains("  1 away  "), "{}", shown[0]);
        fleet.take(away(None));
        let shown = screen(80, 24, &fleet, &mut View::default()).join("\n");
        assert!(!shown.contains("away"), "{shown}");
    }

    #[test]
    fn help_and_details_are_in_front() {
        let fleet = fleet(3);
        let mut view = View {
            popup: Popup::Help,
            ..View::default()
        };
        assert!(
            screen(80, 24, &fleet, &mut view)
                .join("\n")
                .contains("PgUp")
        );
        view.popup = Popup::Details;
        let shown = screen(80, 24, &fleet, &mut view).join("\n");
        assert!(
            shown.contains("address") && shown.contains("127.0.0.1:1"),
            "{shown}"
        );
        view.pane = Pane::Commands;
        let shown = screen(80, 24, &fleet, &mut view).join("\n");
        assert!(
            shown.contains("1 done") && shown.contains("2 open"),
            "{shown}"
        );
    }

    #[test]
    fn of_ten_thousand_members_only_those_that_are_visible_are_drawn() {
        let fleet = fleet(10_000);
        let mut view = View::default();
        screen(80, 24, &fleet, &mut view);
        let begin = std::time::Instant::now();
        screen(80, 24, &fleet, &mut view);
        let took = begin.elapsed();
        assert!(took < std::time::Duration::from_secs(2), "{took:?}");
        assert_eq!(view.ladder.items.len(), 10_001);
    }
}
