//! The meaning of a line of the prompt or of a pipe.

use common::wire::selector::Selector;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Empty,
    Send {
        to: Option<String>,
        words: Vec<String>,
        /// The command as typed, without the selector.
        typed: String,
    },
    Help,
    Ranks,
    WhoAmI,
    /// Set the selector of plain lines; `None` is the server's.
    To(Option<String>),
    /// Show what runs and what is open.
    Jobs,
    Cancel(u64),
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
                  least-loaded:LIST take one of a list
:to [SELECTOR]    set the default selector; without one, the server's
:ranks            every client, from the highest rank to the lowest
:whoami           this client's name, number and rank
:jobs             what you sent that is still open, and what runs here
:cancel ID        cancel what you sent; :jobs shows the IDs
:help             this
exit, :quit       leave (Ctrl-D too)
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
    let words = shlex::split(typed)
        .ok_or_else(|| format!("a quote is not closed, or a backslash ends the line: {typed}"))?;
    match (words.is_empty(), &to) {
        (false, _) => Ok(Line::Send {
            to,
            words,
            typed: typed.to_owned(),
        }),
        // The line is nothing but a comment.
        (true, None) => Ok(Line::Empty),
        (true, Some(selector)) => Err(format!(
            "there is no command after @{selector}; write @{selector} WORDS…"
        )),
    }
}

fn parse_colon(rest: &str) -> Result<Line, String> {
    let (word, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let argument = argument.trim();
    let line = match word {
        "to" if argument.is_empty() => return Ok(Line::To(None)),
        "to" => return check_selector(argument).map(|to| Line::To(Some(to))),
        "cancel" => return parse_cancel(argument),
        "help" => Line::Help,
        "ranks" => Line::Ranks,
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

fn parse_cancel(argument: &str) -> Result<Line, String> {
    argument.parse().map(Line::Cancel).map_err(|_| {
        format!("expected a number that :jobs shows, such as :cancel 3, not {argument:?}")
    })
}

/// The text, if it is a selector; else what is wrong with it.
pub(crate) fn check_selector(text: &str) -> Result<String, String> {
    if text.starts_with('@') {
        return Err(format!(
            "{text:?} has an \"@\", which stands before the selector of a line of the prompt; \
             leave it out here"
        ));
    }
    match Selector::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(e) => Err(e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(line: &str) -> (Option<String>, Vec<String>, String) {
        match parse(line) {
            Ok(Line::Send { to, words, typed }) => (to, words, typed),
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
    fn lines_for_this_client() {
        for (line, expected) in [
            ("", Line::Empty),
            ("   \t", Line::Empty),
            ("# a comment", Line::Empty),
            ("exit", Line::Quit),
            (" :quit ", Line::Quit),
            (":help", Line::Help),
            (":ranks", Line::Ranks),
            (":whoami", Line::WhoAmI),
            (":jobs", Line::Jobs),
            (":to", Line::To(None)),
            (":to #17", Line::To(Some("#17".into()))),
            (":to web*,!web3", Line::To(Some("web*,!web3".into()))),
            (":cancel 12", Line::Cancel(12)),
        ] {
            assert_eq!(parse(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn wrong_lines_are_named() {
        for (line, expected) in [
            (":nonsense", ":help"),
            (":ranks 5", "\"5\""),
            (":cancel", ":jobs"),
            (":cancel x", "\"x\""),
            (":to 5-2", "reversed"),
            ("@", "no selector after @; write @SELECTOR WORDS"),
            ("@ print", "no selector after @"),
            ("@@all print", "leave it out"),
            (":to @", "leave it out"),
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
