//! The meaning of a line of the prompt or of a pipe.

use crate::targets::selector as check_selector;
use client::JobId;
use common::terminal::args;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Empty,
    Send {
        to: Option<String>,
        words: Vec<String>,
        /// The command as typed, without the selector.
        typed: String,
        /// Whether it goes on at the server when this client has left.
        detached: bool,
    },
    Help,
    /// Show the ranking, or those that a selector finds.
    Ranks(Option<String>),
    /// Show what a command would reach.
    Who(Option<String>),
    WhoAmI,
    /// Set the selector of plain lines; `None` is the server's.
    To(Option<String>),
    /// Show what runs and what is open.
    Jobs,
    /// Show again what came of a command; without its ID, list the commands.
    Output(Option<u64>),
    /// How long commands may run from now on; `None` is without end.
    Timeout(Option<Duration>),
    /// Show equal outputs of several targets once, from now on.
    Gather(bool),
    /// Show what became of a detached command, and go on with it: an id of the list, or of a job.
    Follow(String),
    /// Cancel a command; without its ID, the last one.
    Cancel(Option<u64>),
    /// Cancel a detached command, by its number here or its id.
    CancelJob(String),
    Quit,
}

/// What `:help` says.
pub(crate) const HELP: &str = "\
WORDS…            send a command to the default selector
@SELECTOR WORDS…  send it to that one: @all print, @2-4 uptime, @web* \"two words\"
                  next, least-loaded, below, all, or a list with commas: ranks (2),
                  ranges (3-7), member numbers (#17), names (web1), node sets
                  (web[1-20]), patterns (web*), tags (role=web), and these joined
                  by & (role=web&dc=fra); !web3 leaves one out; next:LIST and
                  least-loaded:LIST take one of a list; @@prod is your group prod
WORDS… &          the same, and it goes on at the server after this client has ended
:to [SELECTOR]    set the default selector; without one, the server's
:who [SELECTOR]   what a command to it would reach; nothing is sent
:ranks [SELECTOR] every client with tier, tags and load, by rank; or those it finds
:whoami           this client's name, number and rank
:timeout 30s      how long what you send next may run at each target; :timeout off
:gather on        from now on show what several write alike once, at the end; :gather off
:jobs             what you sent that is still open, what runs here, and what is detached (&)
:fg ID            what became of a detached command, and what still comes
:output [ID]      what came of a command, again; without an ID, the commands
:cancel [ID]      cancel what you sent, or what you sent last; :jobs shows the IDs; :cancel &ID
                  cancels what is detached
:help             this
exit, :quit       leave (Ctrl-D too)
Tab completes names, tags, groups and lines; the right arrow takes the dim hint, Ctrl-R searches
what you sent. Ctrl-C clears the line; on an empty one it cancels what you sent last, or leaves
what :fg shows, which goes on.
A command is no shell line: there are no pipes, globs or variables, only words and quotes.
";

/// Reads a line; the error says what is wrong and what would be right.
pub(crate) fn parse(line: &str) -> Result<Line, String> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix(':') {
        return parse_colon(rest);
    }
    match line {
        "" => Ok(Line::Empty),
        "exit" => Ok(Line::Quit),
        _ => parse_send(line),
    }
}

fn parse_send(line: &str) -> Result<Line, String> {
    let (to, typed) = match line.strip_prefix('@') {
        None => (None, line),
        Some(rest) => {
            let (selector, typed) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            if selector.is_empty() {
                let expected = "write @SELECTOR WORDS…, such as @web1 print";
                return Err(format!("there is no selector after @; {expected}"));
            }
            (Some(check_selector(selector)?), typed.trim_start())
        }
    };
    let (typed, detached) = match without_last_word(typed, "&") {
        Some(typed) => (typed, true),
        None => (typed, false),
    };
    let words = shlex::split(typed)
        .ok_or_else(|| format!("a quote is not closed, or a backslash ends the line: {typed}"))?;
    match (words.is_empty(), &to) {
        (false, _) => Ok(Line::Send {
            to,
            words,
            typed: typed.to_owned(),
            detached,
        }),
        // The line is nothing but a comment.
        (true, None) if detached => Err("there is no command before &; write WORDS… &".into()),
        (true, None) => Ok(Line::Empty),
        (true, Some(selector)) => Err(format!(
            "there is no command after @{selector}; write @{selector} WORDS…"
        )),
    }
}

/// A line without its last word, if that is this one: by itself, and in no quotes.
fn without_last_word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let rest = line.strip_suffix(word)?;
    let is_apart = rest.is_empty() || rest.ends_with(char::is_whitespace);
    let rest = rest.trim_end();
    // An open quote, a backslash or a comment has the word in it.
    let whole = shlex::split(line)?;
    let is_last = whole.last().is_some_and(|last| last == word);
    let is_alone = shlex::split(rest).is_some_and(|words| words.len() + 1 == whole.len());
    (is_apart && is_last && is_alone).then_some(rest)
}

fn parse_colon(rest: &str) -> Result<Line, String> {
    let (word, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let argument = argument.trim();
    let line = match word {
        "to" => return parse_selector(argument).map(Line::To),
        "who" => return parse_selector(argument).map(Line::Who),
        "ranks" => return parse_selector(argument).map(Line::Ranks),
        "cancel" if argument.starts_with('&') || argument.parse::<JobId>().is_ok() => {
            return Ok(Line::CancelJob(argument.to_owned()));
        }
        "cancel" => return parse_id(word, argument).map(Line::Cancel),
        "output" => return parse_id(word, argument).map(Line::Output),
        "fg" if argument.is_empty() => return Err("write :fg ID; :jobs shows the ids".into()),
        "fg" => return Ok(Line::Follow(argument.to_owned())),
        "timeout" => return parse_timeout(argument).map(Line::Timeout),
        "gather" => return parse_gather(argument).map(Line::Gather),
        "help" => Line::Help,
        "whoami" => Line::WhoAmI,
        "jobs" => Line::Jobs,
        "quit" | "exit" | "q" => Line::Quit,
        _ => {
            return Err(format!("there is no :{word}; :help shows what there is"));
        }
    };
    match argument.is_empty() {
        true => Ok(line),
        false => Err(format!(":{word} takes nothing after it, not {argument:?}")),
    }
}

fn parse_id(word: &str, argument: &str) -> Result<Option<u64>, String> {
    if argument.is_empty() {
        return Ok(None);
    }
    argument.parse().map(Some).map_err(|_| {
        let shows = if word == "output" { "output" } else { "jobs" };
        format!("expected a number that :{shows} shows, such as :{word} 3, not {argument:?}")
    })
}

/// A selector, or none. Here, as in front of a command, a group may have two `@`.
fn parse_selector(argument: &str) -> Result<Option<String>, String> {
    let selector = match argument.strip_prefix('@') {
        Some(group) if group.starts_with('@') => group,
        _ => argument,
    };
    match selector {
        "" => Ok(None),
        _ => check_selector(selector).map(Some),
    }
}

fn parse_gather(argument: &str) -> Result<bool, String> {
    match argument {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("write :gather on or :gather off, not {argument:?}")),
    }
}

fn parse_timeout(argument: &str) -> Result<Option<Duration>, String> {
    match argument {
        "" | "off" => Ok(None),
        _ => args::positive_duration(argument).map(Some).map_err(|why| {
            format!("wrong time {argument:?}: {why}; write :timeout 30s, or :timeout off")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(line: &str) -> (Option<String>, Vec<String>, String) {
        match parse(line) {
            Ok(Line::Send {
                to,
                words,
                typed,
                detached: false,
            }) => (to, words, typed),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn lines_that_send() {
        for (line, to, words, typed) in [
            ("print", None, &["print"][..], "print"),
            ("  print  this ", None, &["print", "this"], "print  this"),
            ("@all print", Some("all"), &["print"], "print"),
            (
                "@2-4   uptime -p",
                Some("2-4"),
                &["uptime", "-p"],
                "uptime -p",
            ),
            (
                "@web* \"two words\"",
                Some("web*"),
                &["two words"],
                "\"two words\"",
            ),
            ("@1,!web3 a ''", Some("1,!web3"), &["a", ""], "a ''"),
            ("@#17 print", Some("#17"), &["print"], "print"),
            (
                "@web[1-3,7],role=web&dc=fra print",
                Some("web[1-3,7],role=web&dc=fra"),
                &["print"],
                "print",
            ),
            ("@next:web*,!#3 a", Some("next:web*,!#3"), &["a"], "a"),
            ("exit now", None, &["exit", "now"], "exit now"),
            ("say 'it'\\''s'", None, &["say", "it's"], "say 'it'\\''s'"),
        ] {
            let expected = (
                to.map(str::to_owned),
                words.iter().map(|word| (*word).to_owned()).collect(),
                typed.to_owned(),
            );
            assert_eq!(sent(line), expected, "{line}");
        }
    }

    #[test]
    fn a_last_word_by_itself_detaches() {
        for (line, detaches) in [
            ("uptime &", Some("uptime")),
            ("@web* uptime  -p\t& ", Some("uptime  -p")),
            ("say '&' &", Some("say '&'")),
            ("uptime&", None),
            ("uptime '&'", None),
            ("uptime \"&\"", None),
            ("uptime \\&", None),
            ("say 'a &'", None),
            ("say \"a\" # &", None),
            ("& uptime", None),
            ("uptime &&", None),
        ] {
            let Ok(Line::Send {
                typed, detached, ..
            }) = parse(line)
            else {
                panic!("{line}");
            };
            assert_eq!(detached.then_some(&*typed), detaches, "{line}");
        }
        for line in ["&", "@web1 &"] {
            let error = parse(line).expect_err(line);
            assert!(error.contains("there is no command"), "{line}: {error}");
        }
    }

    #[test]
    fn lines_for_this_client() {
        for (line, expected) in [
            ("", Line::Empty),
            ("   \t", Line::Empty),
            ("# a comment", Line::Empty),
            ("exit", Line::Quit),
            (" :quit ", Line::Quit),
            (":help", Line::Help),
            (":ranks", Line::Ranks(None)),
            (":ranks role=web", Line::Ranks(Some("role=web".into()))),
            (":who", Line::Who(None)),
            (":who web*", Line::Who(Some("web*".into()))),
            (":output", Line::Output(None)),
            (":output 7", Line::Output(Some(7))),
            (":timeout 30s", Line::Timeout(Some(Duration::from_secs(30)))),
            (":timeout off", Line::Timeout(None)),
            (":gather on", Line::Gather(true)),
            (":gather off", Line::Gather(false)),
            (":cancel", Line::Cancel(None)),
            (":fg 3", Line::Follow("3".into())),
            (":whoami", Line::WhoAmI),
            (":jobs", Line::Jobs),
            (":to", Line::To(None)),
            (":to #17", Line::To(Some("#17".into()))),
            (":to web*,!web3", Line::To(Some("web*,!web3".into()))),
            (":cancel 12", Line::Cancel(Some(12))),
            (":cancel &2", Line::CancelJob("&2".into())),
        ] {
            assert_eq!(parse(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn wrong_lines_are_named() {
        for (line, expected) in [
            (":nonsense", ":help"),
            (":fg", ":fg ID"),
            (":jobs 5", "\"5\""),
            (":ranks a b", "\"a b\""),
            (":cancel x", ":jobs shows, such as :cancel 3, not \"x\""),
            (":output x", ":output shows"),
            (":timeout soon", "\"soon\""),
            (":timeout 0", ":timeout off"),
            (":gather", ":gather on"),
            (":gather maybe", "\"maybe\""),
            (":to 5-2", "reversed"),
            ("@", "no selector after @; write @SELECTOR WORDS"),
            ("@ print", "no selector after @"),
            ("@@all print", "leave it out"),
            (":to @", "no group's name behind"),
            ("@next: print", "\"next:\" has an empty item"),
            (
                "@least-loaded: print",
                "\"least-loaded:\" has an empty item",
            ),
            ("@next:web1,! print", "\"next:web1,!\" has a bare"),
            ("@[1-3] print", "write ranks without brackets"),
            ("@all", "@all WORDS"),
            ("@3- print", "open"),
            ("@a/b print", "neither"),
            ("@#x print", "member number"),
            ("@web[1-3 print", "lacks its"),
            (":to next:all", "stands alone"),
            ("print \"this", "quote is not closed"),
            ("print \\", "backslash"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
