//! What of the server is shown: the order and the filter, what is selected, and which keys change
//! that.

use super::fleet::{Fleet, Place};
use super::jobs::Jobs;
use client::JobId;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::cmp::Reverse;

/// Characters of a filter: more than any name has.
const LONGEST_FILTER: usize = 128;

/// Why nothing can be cancelled where other clients' commands are, too: the server does not say which
/// of them is a job of the user's.
const NO_CANCEL: &str = "nothing to cancel here; J shows your detached commands, which c cancels";

/// A part of the screen that keys are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pane {
    #[default]
    Ladder,
    Commands,
    /// The user's own detached commands, in the place of all commands.
    Jobs,
}

/// The order of the ladder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    #[default]
    Rank,
    Name,
    Load,
    Queue,
}

/// What is in front of the panes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Popup {
    #[default]
    None,
    Help,
    Details,
}

/// A line of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rung {
    Here {
        rank: usize,
        place: Place,
    },
    /// Which of those that are missing.
    Missing(usize),
}

/// What is shown.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) pane: Pane,
    pub(crate) sort: Sort,
    pub(crate) popup: Popup,
    pub(crate) filter: String,
    /// Keys go into the filter.
    pub(crate) is_typing: bool,
    /// Something to say, until the next key.
    pub(crate) note: Option<String>,
    /// Why there is no connection, while there is none.
    pub(crate) lost: Option<String>,
    /// This client's own number.
    pub(crate) own: u64,
    pub(crate) ladder: List<Rung>,
    /// The numbers of commands: those that run, then the others, the newest of each first.
    pub(crate) commands: List<u64>,
    pub(crate) jobs: List<JobId>,
    /// The job that the user is asked about: whether it is to end.
    pub(crate) asked: Option<JobId>,
}

/// What becomes of `top` after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    GoesOn,
    Ends,
    /// The user wants the end of this job, and has said so twice.
    Cancels(JobId),
}

/// Lines of which some fit on the screen, and one may be selected.
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    /// What is selected, by what stays the same of it; the first one if the user has chosen none.
    chosen: Option<T>,
    pub(crate) at: usize,
    /// Lines that fit, as of the last drawing.
    pub(crate) height: usize,
    offset: usize,
}

impl<T> Default for List<T> {
    fn default() -> List<T> {
        List {
            items: Vec::new(),
            chosen: None,
            at: 0,
            height: 1,
            offset: 0,
        }
    }
}

impl<T: Copy> List<T> {
    /// Takes other lines; the selection stays with what is selected, or else where it is.
    fn set(&mut self, items: Vec<T>, is_same: impl Fn(&T, &T) -> bool) {
        self.items = items;
        let found = match &self.chosen {
            None => Some(0),
            Some(chosen) => self.items.iter().position(|item| is_same(item, chosen)),
        };
        self.at = found
            .unwrap_or(self.at)
            .min(self.items.len().saturating_sub(1));
    }

    pub(crate) fn selected(&self) -> Option<T> {
        self.items.get(self.at).copied()
    }

    fn go_to(&mut self, at: usize) {
        self.at = at.min(self.items.len().saturating_sub(1));
        self.chosen = self.selected().filter(|_| self.at > 0);
    }

    /// The lines that are on a screen of this height, with the selected one among them.
    pub(crate) fn visible(&mut self, height: usize) -> std::ops::Range<usize> {
        self.height = height.max(1);
        let last_offset = self.items.len().saturating_sub(self.height);
        let lowest = (self.at + 1).saturating_sub(self.height);
        self.offset = self
            .offset
            .clamp(lowest, self.at.max(lowest))
            .min(last_offset);
        self.offset..(self.offset + height).min(self.items.len())
    }
}

impl Sort {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Sort::Rank => "rank",
            Sort::Name => "name",
            Sort::Load => "load",
            Sort::Queue => "queue",
        }
    }

    fn next(self) -> Sort {
        match self {
            Sort::Rank => Sort::Name,
            Sort::Name => Sort::Load,
            Sort::Load => Sort::Queue,
            Sort::Queue => Sort::Rank,
        }
    }
}

impl Pane {
    fn next(self) -> Pane {
        match self {
            Pane::Ladder => Pane::Commands,
            Pane::Commands => Pane::Jobs,
            Pane::Jobs => Pane::Ladder,
        }
    }
}

impl View {
    /// Finds the lines anew, after anything has changed.
    pub(crate) fn update(&mut self, fleet: &Fleet, jobs: &Jobs) {
        let filter = self.filter.to_lowercase();
        let fits = |text: &str| filter.is_empty() || text.to_lowercase().contains(&filter);
        let ranked = fleet.members.iter().enumerate();
        let mut here: Vec<_> = ranked
            .filter(|(_, (_, member))| fits(&member.name) || fits(&member.tags))
            .map(|(rank, (place, member))| (rank, *place, member))
            .collect();
        // Stable, so that equals stay in the order of rank.
        match self.sort {
            Sort::Rank => {}
            Sort::Name => here.sort_by(|a, b| a.2.name.cmp(&b.2.name)),
            Sort::Load => here.sort_by(|a, b| b.2.share().total_cmp(&a.2.share())),
            Sort::Queue => here.sort_by_key(|(_, _, member)| Reverse(member.queued)),
        }
        let here = here
            .into_iter()
            .map(|(rank, place, _)| Rung::Here { rank, place });
        let missing = fleet
            .missing
            .iter()
            .enumerate()
            .filter(|(_, missing)| fits(&missing.name));
        let missing = missing.map(|(at, _)| Rung::Missing(at));
        let is_same = |a: &Rung, b: &Rung| match (a, b) {
            (Rung::Here { place: a, .. }, Rung::Here { place: b, .. }) => a == b,
            (a, b) => a == b,
        };
        self.ladder.set(here.chain(missing).collect(), is_same);
        // Those that run first: what takes long is not lost behind what is quick.
        let newest = || fleet.commands.iter().rev();
        let open = newest().filter(|(_, command)| command.progress.is_open);
        let all = open.chain(newest().filter(|(_, command)| !command.progress.is_open));
        let fitting = all.filter(|(_, command)| fits(&command.words) || fits(&command.from));
        self.commands
            .set(fitting.map(|(id, _)| *id).collect(), |a, b| a == b);
        let fitting = jobs
            .iter()
            .filter(|(_, job)| fits(&job.words) || fits(&job.by));
        self.jobs
            .set(fitting.map(|(id, _)| id).collect(), |a, b| a == b);
    }

    /// Does what a key is for.
    pub(crate) fn key(&mut self, key: KeyEvent, jobs: &Jobs) -> Flow {
        let asked = self.asked;
        self.take_back();
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => return Flow::Ends,
            KeyCode::Char('y' | 'Y') if asked.is_some() && !is_control => {
                return asked.map_or(Flow::GoesOn, Flow::Cancels);
            }
            _ if asked.is_some() => self.note = Some("not cancelled".into()),
            _ if is_control => {}
            _ if self.is_typing => self.type_filter(key.code),
            KeyCode::Char('q') => return Flow::Ends,
            KeyCode::Esc if self.popup == Popup::None => self.filter.clear(),
            KeyCode::Esc => self.popup = Popup::None,
            KeyCode::Enter => self.toggle(Popup::Details),
            KeyCode::Char('?' | 'h') => self.toggle(Popup::Help),
            KeyCode::Char('/') => (self.is_typing, self.popup) = (true, Popup::None),
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('c') => self.ask_to_cancel(jobs),
            KeyCode::Char('J') => self.pane = Pane::Jobs,
            KeyCode::Tab => self.pane = self.pane.next(),
            KeyCode::BackTab => self.pane = self.pane.next().next(),
            code => self.go(code),
        }
        Flow::GoesOn
    }

    /// Takes back what was said and asked: something else has happened.
    pub(crate) fn take_back(&mut self) {
        (self.note, self.asked) = (None, None);
    }

    /// Asks whether the selected job is to end, or says why that is no question.
    fn ask_to_cancel(&mut self, jobs: &Jobs) {
        let selected = self.jobs.selected().filter(|_| self.pane == Pane::Jobs);
        let job = selected.and_then(|id| Some((id, jobs.get(id)?)));
        match job {
            Some((id, job)) if job.progress.is_open => {
                self.asked = Some(id);
                self.note = Some(format!("cancel this job, y or n? {}", job.words));
            }
            Some(_) => self.note = Some("it has ended already".into()),
            None if self.pane == Pane::Jobs => self.note = Some("nothing is selected".into()),
            None => self.note = Some(NO_CANCEL.into()),
        }
    }

    fn toggle(&mut self, popup: Popup) {
        self.popup = match self.popup == popup {
            true => Popup::None,
            false => popup,
        };
    }

    fn go(&mut self, code: KeyCode) {
        match self.pane {
            Pane::Ladder => go(&mut self.ladder, code),
            Pane::Commands => go(&mut self.commands, code),
            Pane::Jobs => go(&mut self.jobs, code),
        }
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) if self.filter.len() < LONGEST_FILTER && !c.is_control() => {
                self.filter.push(c);
            }
            _ => {}
        }
    }
}

fn go<T: Copy>(list: &mut List<T>, code: KeyCode) {
    let page = list.height.saturating_sub(1).max(1);
    match code {
        KeyCode::Up | KeyCode::Char('k') => list.go_to(list.at.saturating_sub(1)),
        KeyCode::Down | KeyCode::Char('j') => list.go_to(list.at + 1),
        KeyCode::PageUp => list.go_to(list.at.saturating_sub(page)),
        KeyCode::PageDown => list.go_to(list.at + page),
        KeyCode::Home | KeyCode::Char('g') => list.go_to(0),
        KeyCode::End | KeyCode::Char('G') => list.go_to(usize::MAX),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::fleet::tests::{member, told};
    use super::super::jobs::tests::{id, listed};
    use super::*;
    use serde_json::json;

    fn names<'a>(view: &View, fleet: &'a Fleet) -> Vec<&'a str> {
        let name = |rung: &Rung| match rung {
            Rung::Here { place, .. } => &*fleet.members[place].name,
            Rung::Missing(at) => &*fleet.missing[*at].name,
        };
        view.ladder.items.iter().map(name).collect()
    }

    fn press(view: &mut View, fleet: &Fleet, keys: &str) {
        for c in keys.chars() {
            let code = match c {
                '\n' => KeyCode::Enter,
                '\t' => KeyCode::Tab,
                '\u{1b}' => KeyCode::Esc,
                c => KeyCode::Char(c),
            };
            assert_eq!(view.key(code.into(), &Jobs::default()), Flow::GoesOn);
            view.update(fleet, &Jobs::default());
        }
    }

    #[test]
    fn keys_sort_filter_and_select_and_the_selection_stays_with_its_member() {
        let mut fleet = Fleet::new(None);
        let all = [
            member(1, "web", 5, (1, 0)),
            member(2, "db", 5, (0, 9)),
            member(3, "app", 5, (4, 0)),
        ];
        fleet.take(told(&json!({"members": {"reset": true, "joined": all}})));
        let mut view = View::default();
        view.update(&fleet, &Jobs::default());
        for (keys, expected) in [
            ("", ["web", "db", "app"].as_slice()),
            ("s", &["app", "db", "web"]),
            ("s", &["db", "app", "web"]),
            ("s", &["db", "web", "app"]),
            ("s", &["web", "db", "app"]),
            ("/B-RO", &["web", "db"]),
            ("\n/x", &[]),
            ("\u{1b}", &["web", "db", "app"]),
            ("/d\n\u{1b}", &["web", "db", "app"]),
        ] {
            press(&mut view, &fleet, keys);
            assert_eq!(names(&view, &fleet), expected, "{keys:?}");
        }
        press(&mut view, &fleet, "j");
        let higher = json!({"joined": [member(4, "boss", 0, (0, 0))]});
        fleet.take(told(&json!({"members": higher})));
        view.update(&fleet, &Jobs::default());
        assert_eq!(view.ladder.at, 2, "db is third now, and still selected");
        press(&mut view, &fleet, "Gkg\t?\u{1b}c");
        assert_eq!(
            (view.ladder.at, view.pane, view.popup),
            (0, Pane::Commands, Popup::None)
        );
        assert_eq!(view.note.as_deref(), Some(NO_CANCEL));
        let q = KeyCode::Char('q').into();
        assert_eq!(view.key(q, &Jobs::default()), Flow::Ends);
    }

    #[test]
    fn a_job_is_cancelled_after_a_yes_and_stays_the_same_if_the_list_changes() {
        let fleet = Fleet::new(None);
        let mut jobs = Jobs::default();
        let (new, open, ended) = (
            listed(3, &json!(["new"]), true),
            listed(2, &json!(["open"]), true),
            listed(1, &json!(["ended"]), false),
        );
        jobs.take(Ok(vec![open.clone(), ended.clone()]));
        let mut view = View::default();
        for (keys, flow, note) in [
            ("c", Flow::GoesOn, Some(NO_CANCEL)),
            ("Jc", Flow::GoesOn, Some("cancel this job, y or n? open")),
            ("n", Flow::GoesOn, Some("not cancelled")),
            ("y", Flow::GoesOn, None),
            ("c", Flow::GoesOn, Some("cancel this job, y or n? open")),
            ("q", Flow::GoesOn, Some("not cancelled")),
            ("Gc", Flow::GoesOn, Some("it has ended already")),
            ("y", Flow::GoesOn, None),
            ("gc", Flow::GoesOn, Some("cancel this job, y or n? open")),
            ("", Flow::GoesOn, Some("cancel this job, y or n? open")),
            ("y", Flow::Cancels(id(2)), None),
            ("y", Flow::GoesOn, None),
        ] {
            let mut is = Flow::GoesOn;
            for c in keys.chars() {
                view.update(&fleet, &jobs);
                is = view.key(KeyCode::Char(c).into(), &jobs);
            }
            assert_eq!((is, view.note.as_deref()), (flow, note), "{keys:?}");
            if keys.is_empty() {
                jobs.take(Ok(vec![new.clone(), open.clone(), ended.clone()]));
            }
        }
        jobs.take(Ok(Vec::new()));
        view.update(&fleet, &jobs);
        view.key(KeyCode::Char('c').into(), &jobs);
        assert_eq!(view.note.as_deref(), Some("nothing is selected"));
    }

    #[test]
    fn the_selected_line_is_visible_at_any_height() {
        let mut list = List::default();
        list.set((0..100).collect(), |a, b| a == b);
        for (at, height, visible) in [
            (0, 10, 0..10),
            (9, 10, 0..10),
            (10, 10, 1..11),
            (99, 10, 90..100),
            (95, 10, 90..100),
            (89, 10, 89..99),
            (0, 200, 0..100),
            (50, 1, 50..51),
            (50, 0, 50..50),
        ] {
            list.go_to(at);
            assert_eq!(list.visible(height), visible, "{at} in {height}");
        }
    }
}
