//! A log for people: a line for each record, with nothing in it that could steer a terminal.

use super::verify::{Lines, VerifyError, in_order};
use crate::terminal::escape::one_line;
use crate::wire::message::Id;
use crate::wire::{ByeReason, Status};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::{self, Display};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Names of targets that are shown of a command; the others are counted.
const NAMES: usize = 10;

/// Which records are shown; all conditions hold for each.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Those of what this identity did.
    pub identity: Option<String>,
    /// Those of what the client with this name did, or was to execute.
    pub name: Option<String>,
    /// Those from this time on.
    pub since: Option<SystemTime>,
    /// Those of what failed or was not allowed.
    pub failed: bool,
}

/// Why a log cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// A file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] VerifyError),
    /// The lines cannot be written.
    #[error("cannot write: {0}")]
    Unwritable(#[from] io::Error),
}

/// Reads a point in time: a time, a date, or how long ago (`2h`).
///
/// # Errors
/// A sentence for a person.
pub fn since(text: &str) -> Result<SystemTime, String> {
    let ago = |ago: Duration| super::chain::now().checked_sub(ago);
    let time = humantime::parse_rfc3339_weak(text)
        .or_else(|_| humantime::parse_rfc3339_weak(&format!("{text}T00:00:00")));
    let time = time
        .ok()
        .or_else(|| ago(humantime::parse_duration(text).ok()?));
    time.ok_or_else(|| {
        "expected a time such as 2026-11-28T22:40:00Z, a date, or how long ago, such as 2h".into()
    })
}

/// Writes the records of files of one log that a filter lets through, the oldest first.
///
/// # Errors
/// A file cannot be read, or the lines cannot be written.
pub fn show(files: &[PathBuf], filter: &Filter, out: &mut impl Write) -> Result<(), ShowError> {
    let mut shower = Shower {
        filter,
        followed: HashSet::new(),
        open: HashMap::new(),
    };
    let mut line = Vec::new();
    for file in in_order(files)? {
        let mut lines = Lines::of(&file)?;
        while lines.next(&mut line)? {
            match serde_json::from_slice::<Entry>(&line) {
                Ok(entry) => {
                    let command = shower.command(&entry);
                    if shower.lets_through(&entry) {
                        writeln!(out, "{entry}{command}")?;
                    }
                }
                Err(_) if filter.failed => {}
                Err(_) => {
                    let text = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]);
                    writeln!(out, "(no record) {}", one_line(text.trim_end()))?;
                }
            }
        }
    }
    Ok(())
}

/// Bytes of a line that is no record, as many of them as are shown.
const SHOWN: usize = 80;

struct Shower<'a> {
    filter: &'a Filter,
    /// The commands whose later records belong to a sender or a target that is looked for.
    followed: HashSet<Id>,
    /// Of the failed alone, the commands that have not ended, whose own records are not shown.
    open: HashMap<Id, Sent>,
}

/// A command that has not ended.
struct Sent {
    text: String,
    /// Its outcome is the last that is on record of it.
    has_one_target: bool,
}

/// Characters of a command behind what became of it: the rest of a line of a wide terminal.
const COMMAND: usize = 100;

impl Shower<'_> {
    /// What stands behind a record of how a command ended, if that record stands alone: its sender
    /// and its words.
    fn command(&mut self, entry: &Entry) -> String {
        if entry.kind == "start" {
            self.open.clear();
        }
        let Some(cmd) = entry.cmd.as_ref().filter(|_| self.filter.failed) else {
            return String::new();
        };
        match (&*entry.kind, &entry.who) {
            ("send" | "run", Some(who)) => {
                let targets = entry.rest.get("targets").and_then(Value::as_u64);
                let sent = Sent {
                    text: sent(who, entry.words.as_deref()),
                    has_one_target: targets.is_none_or(|targets| targets == 1),
                };
                self.open.insert(cmd.clone(), sent);
                String::new()
            }
            ("outcome", _) if self.open.get(cmd).is_some_and(|sent| !sent.has_one_target) => {
                self.open[cmd].text.clone()
            }
            ("outcome" | "end", _) => self.open.remove(cmd).map_or_else(String::new, |s| s.text),
            _ => String::new(),
        }
    }

    fn lets_through(&mut self, entry: &Entry) -> bool {
        let Filter {
            identity,
            name,
            since,
            failed,
        } = self.filter;
        if entry.kind == "start" {
            // The numbers of commands begin anew.
            self.followed.clear();
        }
        let is_of = |who: &Who| {
            let has_identity = identity.is_none() || who.identity == *identity;
            has_identity && name.as_ref().is_none_or(|name| who.name == *name)
        };
        let is_target = identity.is_none() && name.as_ref().is_some_and(|n| entry.is_about(n));
        let is_theirs = match (identity, name) {
            (None, None) => true,
            _ => entry.who.as_ref().is_some_and(is_of) || is_target,
        };
        if is_theirs && matches!(&*entry.kind, "send" | "run") {
            self.followed.extend(entry.cmd.clone());
        }
        let is_followed = entry
            .cmd
            .as_ref()
            .is_some_and(|cmd| self.followed.contains(cmd));
        (is_theirs || is_followed)
            && since.is_none_or(|since| entry.time().is_some_and(|time| time >= since))
            && (!failed || entry.has_failed())
    }
}

/// `, sent by alice (operator): deploy v7`.
fn sent(who: &Who, words: Option<&[String]>) -> String {
    let name = who.identity.as_deref().unwrap_or(&who.name);
    let words: Vec<String> = words
        .unwrap_or_default()
        .iter()
        .map(|w| quoted(w))
        .collect();
    let words = words.join(" ");
    let shown: String = words.chars().take(COMMAND).collect();
    let more = if shown.len() < words.len() { "…" } else { "" };
    format!(", sent by {}: {shown}{more}", one_line(name))
}

/// A record as it is read: of any type, and of a later version as well.
#[derive(Debug, Deserialize)]
struct Entry {
    ts: String,
    #[serde(rename = "type")]
    kind: String,
    cmd: Option<Id>,
    who: Option<Who>,
    member: Option<u64>,
    name: Option<String>,
    names: Option<Vec<String>>,
    words: Option<Vec<String>>,
    status: Option<Status>,
    exit_code: Option<i64>,
    error: Option<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Who {
    name: String,
    identity: Option<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl Entry {
    fn time(&self) -> Option<SystemTime> {
        humantime::parse_rfc3339(&self.ts).ok()
    }

    /// Whether it names a client as the target of something.
    fn is_about(&self, name: &str) -> bool {
        let is_named = self.names.iter().flatten().any(|n| n == name);
        is_named || self.name.as_deref() == Some(name)
    }

    fn has_failed(&self) -> bool {
        match &*self.kind {
            "denied" | "refused" | "gap" => true,
            "reload" => self.error.is_some(),
            // The server ended it.
            "leave" => {
                let why = self.rest.get("why").and_then(Value::as_str);
                let why = why.unwrap_or_default();
                ByeReason::FINAL.iter().any(|r| why.starts_with(r.name()))
            }
            "outcome" => self.status != Some(Status::Done) || self.exit_code != Some(0),
            "end" => Status::ALL
                .iter()
                .any(|status| *status != Status::Done && self.rest.contains_key(status.name())),
            _ => false,
        }
    }
}

impl Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:<7}", one_line(&self.ts), one_line(&self.kind))?;
        if let Some(cmd) = &self.cmd {
            write!(f, " #{}", one_line(&cmd.to_string()))?;
        }
        if let Some(who) = &self.who {
            write!(f, " {who}")?;
        }
        if let Some(name) = &self.name {
            write!(f, " {}", one_line(name))?;
        }
        if let Some(member) = self.member {
            write!(f, " (member {member})")?;
        }
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        if let Some(code) = self.exit_code {
            write!(f, ", exit code {code}")?;
        }
        let has_begun = self.cmd.is_some() || self.who.is_some();
        let mut begin = if has_begun { ", " } else { " " };
        for (key, value) in &self.rest {
            // The chain is for `verify`, and what was shown of the client already is shown once.
            let is_shown = self
                .who
                .as_ref()
                .is_some_and(|who| who.rest.get(key) == Some(value));
            if !is_shown && !["v", "seq", "prev", "whole"].contains(&&**key) {
                write!(f, "{begin}{}", Pair(key, value))?;
                begin = ", ";
            }
        }
        if let Some(names) = &self.names {
            write!(f, ", for")?;
            for name in names.iter().take(NAMES) {
                write!(f, " {}", one_line(name))?;
            }
            if names.len() > NAMES {
                write!(f, " and {} more", names.len() - NAMES)?;
            }
        }
        if let Some(error) = &self.error {
            write!(f, ", error {}", quoted(error))?;
        }
        if let Some(words) = &self.words {
            write!(f, ":")?;
            words
                .iter()
                .try_for_each(|word| write!(f, " {}", quoted(word)))?;
        }
        Ok(())
    }
}

impl Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", one_line(&self.name))?;
        let identity = self.identity.as_deref();
        let rest = ["role", "tier", "member", "rank", "address", "via"]
            .iter()
            .filter_map(|key| Some((*key, self.rest.get(*key)?)));
        let mut begin = " (";
        if let Some(identity) = identity {
            write!(f, "{begin}{}", one_line(identity))?;
            begin = ", ";
        }
        for (key, value) in rest {
            write!(f, "{begin}{}", Pair(key, value))?;
            begin = ", ";
        }
        match begin {
            " (" => Ok(()),
            _ => write!(f, ")"),
        }
    }
}

/// A member of an object, as it is shown.
struct Pair<'a>(&'a str, &'a Value);

impl Display for Pair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pair(key, value) = self;
        match value {
            Value::String(text) => write!(f, "{} {}", one_line(key), quoted(text)),
            Value::Array(words) => {
                write!(f, "{}", one_line(key))?;
                words.iter().try_for_each(|word| match word {
                    Value::String(word) => write!(f, " {}", quoted(word)),
                    other => write!(f, " {}", one_line(&other.to_string())),
                })
            }
            other => write!(f, "{} {}", one_line(key), one_line(&other.to_string())),
        }
    }
}

/// A text on one line, in quotes if its end would not show.
fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty() && !text.contains([' ', ',', '"', '\'', '(', ')']);
    match is_plain {
        true => one_line(text).into_owned(),
        false => format!("\"{}\"", one_line(&text.replace('"', "\\\""))),
    }
}
