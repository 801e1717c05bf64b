//! A policy as its owner reads it: one line a command, and words as a shell takes them.

use super::Policy;
use super::command::{Command, Settings};
use super::error::shown;
use super::senders::Senders;
use common::terminal::escape::{Escaper, Keep, one_line};
use std::fmt::{self, Write};
use std::ops::Deref;

/// Every command on a line of its own, in the order of their names.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.commands();
        lines.try_for_each(|(name, command)| writeln!(f, "{name}: {command}"))
    }
}

/// What is run, what may follow as `<pattern>`, which senders may run it, as what, and the bounds
/// that are set.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run: Vec<_> = self.run.iter().map(|word| shell_word(word)).collect();
        f.write_str(&run.join(" "))?;
        for pattern in &self.args {
            write!(f, " <{}>", line(pattern.as_str()))?;
        }
        if let Some(rest) = &self.rest {
            write!(f, " [<{}> ...]", line(rest.as_str()))?;
        }
        let from = self.from.iter().flat_map(Senders::shown);
        let settings: Vec<_> = from
            .map(|part| format!("from.{part}"))
            .chain(self.settings.rights_shown())
            .chain(self.settings.shown())
            .collect();
        match settings.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", settings.join(", ")),
        }
    }
}

/// What a sender must be, as the policy has it.
impl fmt::Display for Senders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown().join(", "))
    }
}

impl Senders {
    /// What it names, each with what satisfies it.
    fn shown(&self) -> Vec<String> {
        fn list(texts: &[impl Deref<Target = str>]) -> String {
            let texts: Vec<_> = texts.iter().map(|text| shell_word(text)).collect();
            texts.join(",")
        }
        named([
            ("tier", self.tier.map(|tier| tier.to_string())),
            ("roles", self.roles.as_deref().map(list)),
            ("identities", self.identities.as_deref().map(list)),
        ])
    }
}

/// The settings that have a value, each with it.
fn named<const N: usize>(settings: [(&str, Option<String>); N]) -> Vec<String> {
    let set = settings.into_iter();
    let set = set.filter_map(|(key, value)| Some(format!("{key} {}", value?)));
    set.collect()
}

impl Settings {
    /// As what the entry lets a run start, each setting with its value.
    fn rights_shown(&self) -> Vec<String> {
        let groups = self.groups.as_deref().map(|groups| match groups {
            [] => "none".into(),
            groups => {
                let names: Vec<_> = groups.iter().map(|group| shell_word(&group.name)).collect();
                names.join(",")
            }
        });
        let user = self.user.as_ref();
        named([
            ("user", user.map(|user| shell_word(&user.name))),
            ("groups", groups),
            ("umask", self.umask.map(|mask| format!("{mask:03o}"))),
            ("setuid", self.setuid.then(|| "true".to_owned())),
        ])
    }

    /// What else the entry sets, each with its value: where a run starts, and its bounds.
    pub fn shown(&self) -> Vec<String> {
        let size = |bytes| bytesize::ByteSize::b(bytes).display().iec().to_string();
        let variables = self.env.iter();
        let variables = variables.map(|(name, value)| (line(name), shell_word(value)));
        let variables: Vec<_> = variables
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let env = (!variables.is_empty()).then(|| variables.join(" "));
        named([
            ("stdin", self.stdin.then(|| "true".to_owned())),
            (
                "timeout",
                self.timeout
                    .map(|t| humantime::format_duration(t).to_string()),
            ),
            ("max_output", self.max_output.map(size)),
            ("cwd", self.cwd.as_deref().map(shown)),
            ("env", env),
            ("slots", self.slots.map(|n| n.to_string())),
            ("memory", self.limits.memory.map(size)),
            (
                "cpu_seconds",
                self.limits.cpu_seconds.map(|n| n.to_string()),
            ),
            ("open_files", self.limits.open_files.map(|n| n.to_string())),
        ])
    }
}

pub(super) fn line(text: &str) -> String {
    one_line(text).into_owned()
}

/// A word as it is typed into a shell: read back, it is the same word. One that could
/// steer a terminal is written as `$'…'` with the bytes in question as numbers.
pub(super) fn shell_word(word: &str) -> String {
    let is_safe = one_line(word) == word;
    if let (true, Ok(quoted)) = (is_safe, shlex::try_quote(word)) {
        return quoted.into_owned();
    }
    let mut out = String::from("$'");
    let mut escaper = Escaper::new(Keep::OneLine);
    for c in word.chars() {
        let mut bytes = [0; 4];
        let text = &*c.encode_utf8(&mut bytes);
        let is_safe = escaper.escape(text) == text;
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\'' | '\\' => out.extend(['\\', c]),
            c if is_safe => out.push(c),
            _ => {
                for byte in text.bytes() {
                    // Three octal digits: unlike \x, they end by themselves.
                    let _ = write!(out, "\\{byte:03o}");
                }
            }
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words, and how a shell is told them.
    const WORDS: [(&str, &str); 10] = [
        ("plain-1.2/3", "plain-1.2/3"),
        ("", "''"),
        ("two words", "'two words'"),
        ("$(id);*", "'$(id);*'"),
        ("it's", "\"it's\""),
        ("k\u{e4}se \u{1f986}", "'k\u{e4}se \u{1f986}'"),
        ("a\nb\t'\\", "$'a\\nb\\t\\'\\\\'"),
        ("\x1b[2J7", "$'\\033[2J7'"),
        ("\u{202e}x", "$'\\342\\200\\256x'"),
        // Nine combining marks, of which eight are shown.
        (
            "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
            "$'e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\\314\\201'",
        ),
    ];

    #[test]
    fn words_as_a_shell_takes_them() {
        for (word, typed) in WORDS {
            assert_eq!(shell_word(word), typed);
        }
    }

    #[test]
    fn bash_reads_the_same_words() {
        if !std::path::Path::new("/bin/bash").exists() {
            return crate::skipped::skipped("there is no /bin/bash");
        }
        for (word, _) in WORDS {
            let script = format!("printf %s {}", shell_word(word));
            let mut bash = std::process::Command::new("/bin/bash");
            let run = bash.args(["-c", &script]).output().expect("bash runs");
            assert_eq!(String::from_utf8_lossy(&run.stdout), word);
        }
    }
}
