//! What Tab completes: the lines of the prompt, the items of selectors, and words that were sent before.
//!
//! Which commands a client takes is known to that client alone, so commands come from the history.

use crate::targets::split_word;
use common::wire::name::is_name;
use common::wire::selector::WORDS;
use std::collections::BTreeSet;

/// What the session knows, as of the moment that it is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The names of the clients that are here.
    pub(crate) names: Vec<String>,
    pub(crate) members: Vec<u64>,
    /// `role=web`
    pub(crate) tags: BTreeSet<String>,
    pub(crate) groups: Vec<String>,
    /// What is open.
    pub(crate) open: Vec<u64>,
    /// What `:output` shows.
    pub(crate) kept: Vec<u64>,
    /// The numbers of detached commands.
    pub(crate) detached: Vec<u64>,
}

/// The lines that begin with a colon, and what comes after.
const COLONS: [(&str, After); 13] = [
    (":cancel", After::Open),
    (":fg", After::Detached),
    (":gather", After::Switch),
    (":help", After::Nothing),
    (":jobs", After::Nothing),
    (":output", After::Kept),
    (":quit", After::Nothing),
    (":ranks", After::Selector),
    (":timeout", After::Off),
    (":to", After::Selector),
    (":who", After::Selector),
    (":whoami", After::Nothing),
    (":exit", After::Nothing),
];

#[derive(Clone, Copy)]
enum After {
    Nothing,
    Selector,
    Open,
    Kept,
    Detached,
    Switch,
    Off,
}

/// Where in the line a completion begins, and what may stand there. `sent` has lines of the history.
pub(crate) fn complete<'a>(
    line: &str,
    known: &Known,
    sent: impl Iterator<Item = &'a str>,
) -> (usize, Vec<String>) {
    let start = line.len() - line.trim_start().len();
    let text = &line[start..];
    if let Some((colon, argument)) = text.split_once(char::is_whitespace) {
        let argument = argument.trim_start();
        let at = line.len() - argument.len();
        if colon.starts_with(':') {
            return after_colon(colon, argument, known, at);
        }
        if colon.starts_with('@') {
            return (at, begin_with(argument, commands(sent)));
        }
        return (line.len(), Vec::new());
    }
    if text.starts_with(':') {
        let colons = COLONS.iter().map(|(colon, _)| (*colon).to_owned());
        return (start, begin_with(text, colons));
    }
    match text.strip_prefix('@') {
        Some(selector) => self::selector(selector, known, start + 1),
        None => {
            let leave = std::iter::once("exit".to_owned());
            (start, begin_with(text, commands(sent).chain(leave)))
        }
    }
}

fn after_colon(colon: &str, argument: &str, known: &Known, at: usize) -> (usize, Vec<String>) {
    let numbers = |numbers: &[u64]| numbers.iter().map(ToString::to_string).collect();
    let after = COLONS.iter().find(|(name, _)| *name == colon);
    let choices: Vec<String> = match after.map_or(After::Nothing, |(_, after)| *after) {
        After::Selector => return selector(argument, known, at),
        After::Nothing => Vec::new(),
        After::Open => numbers(&known.open),
        After::Kept => numbers(&known.kept),
        After::Detached => numbers(&known.detached),
        After::Switch => ["on", "off"].map(str::to_owned).into(),
        After::Off => vec!["off".into()],
    };
    (at, begin_with(argument, choices.into_iter()))
}

/// Completes the last item of a selector.
fn selector(text: &str, known: &Known, at: usize) -> (usize, Vec<String>) {
    let first = split_word(text).0.len();
    // A comma inside brackets is none between items, and what stands in brackets has no end to offer.
    if text.rfind('[') > text.rfind(']') {
        return (at + text.len(), Vec::new());
    }
    let last = text[first..]
        .rfind([',', '&'])
        .map_or(first, |comma| first + comma + 1);
    let is_joined = text[..last].ends_with('&');
    let item = match text[last..].strip_prefix('!') {
        Some(item) if !is_joined => item,
        _ => &text[last..],
    };
    let words = WORDS.iter().map(|word| (*word).to_owned());
    let words = words.chain(["next:".into(), "least-loaded:".into()]);
    let words = words.filter(|_| text.len() == item.len());
    let all = words
        .chain(known.names.iter().cloned())
        .chain(known.tags.iter().cloned())
        .chain(known.groups.iter().map(|name| format!("@{name}")))
        .chain(known.members.iter().map(|member| format!("#{member}")));
    // Without a first character, numbers would hide the names.
    let all = all.filter(|choice| !item.is_empty() || !choice.starts_with('#'));
    (at + text.len() - item.len(), begin_with(item, all))
}

fn commands<'a>(sent: impl Iterator<Item = &'a str>) -> impl Iterator<Item = String> {
    let command = |line: &'a str| {
        let mut words = line.split_whitespace();
        match words.next()? {
            word if word.starts_with('@') => words.next(),
            word => Some(word),
        }
    };
    let words = sent.filter_map(command).filter(|word| is_name(word));
    words.map(str::to_owned)
}

/// Those that begin so, in order, each once.
fn begin_with(start: &str, choices: impl Iterator<Item = String>) -> Vec<String> {
    // What came from a peer must not steer the terminal.
    let is_plain = |choice: &String| choice.bytes().all(|b| b.is_ascii_graphic());
    let fitting = choices.filter(|choice| choice.starts_with(start) && is_plain(choice));
    fitting.collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_completed_by_what_is_here() {
        let text = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let known = Known {
            names: text(&["web1", "web2", "db1", "evil\x1b[2J"]),
            members: vec![17],
            tags: text(&["role=web", "dc=fra"]).into_iter().collect(),
            groups: text(&["prod"]),
            open: vec![3],
            kept: vec![2, 3],
            detached: vec![1],
        };
        let sent = [
            "uptime -p",
            "@web1 uname",
            ":ranks",
            "@all 'two words'",
            "uptime",
        ];
        for (line, start, choices) in [
            ("u", 0, &["uname", "uptime"][..]),
            ("ex", 0, &["exit"]),
            (":ra", 0, &[":ranks"]),
            (" :w", 1, &[":who", ":whoami"]),
            (":cancel ", 8, &["3"]),
            (":fg ", 4, &["1"]),
            (":output ", 8, &["2", "3"]),
            (":gather o", 8, &["off", "on"]),
            (":to web", 4, &["web1", "web2"]),
            (":ranks ro", 7, &["role=web"]),
            ("@we", 1, &["web1", "web2"]),
            ("@web1,!d", 7, &["db1", "dc=fra"]),
            (
                "@role=web&",
                10,
                &["@prod", "db1", "dc=fra", "role=web", "web1", "web2"],
            ),
            ("@least", 1, &["least-loaded", "least-loaded:"]),
            ("@next:w", 6, &["web1", "web2"]),
            ("@@p", 1, &["@prod"]),
            ("@#", 1, &["#17"]),
            ("@web1,be", 6, &[]),
            ("@web[1,", 7, &[]),
            ("@web1 un", 6, &["uname"]),
            ("uptime -", 8, &[]),
            ("@evil", 1, &[]),
        ] {
            let found = complete(line, &known, sent.into_iter());
            assert_eq!(found, (start, text(choices)), "{line}");
        }
    }

    #[test]
    fn every_line_of_the_prompt_is_offered() {
        for (colon, _) in COLONS {
            let line = crate::prompt::line::parse(&format!("{colon} \u{0}"));
            assert!(!line.is_err_and(|e| e.contains("there is no")), "{colon}");
        }
    }
}
