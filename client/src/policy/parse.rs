//! Turns the text of a policy into typed commands. `program` checks the machine.

use super::command::{Command, Group, Limits, Settings, User};
use super::error::{Fault, in_entry, of_toml};
use super::field_types::{InTable, MIN_MEMORY, Number, Size, Table, Text, Umask, VariableName};
use super::pattern::Pattern;
use super::shared::{self, RawSenders, Shared};
use common::limits::MAX_SLOTS;
use common::wire::text::clip;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, ValueDeserializer};

/// Bytes of a command's name: as many as a client's name has.
const MAX_NAME: usize = common::limits::MAX_NAME;

/// The least number of descriptors: the three standard ones, and one at a time for the
/// loader, which opens each library of the program.
const MIN_OPEN_FILES: u64 = 4;

/// The most descriptors: as many as Linux allows (`fs.nr_open`) by default.
const MAX_OPEN_FILES: u64 = 1 << 20;

/// The most seconds of processor time, 136 years: it fits every system's `rlim_t`.
const MAX_CPU_SECONDS: u64 = u32::MAX as u64;

/// One command and where the file names what must be on this machine.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) command: Command,
    /// The byte of the file where `run[0]` begins.
    pub(super) program_at: usize,
    /// The byte where `cwd` begins, if it is set.
    pub(super) cwd_at: usize,
    /// The byte where `user` begins, in the entry or in `[defaults]`, if it is set.
    pub(super) user_at: Option<usize>,
    /// The same of `groups`.
    pub(super) groups_at: Option<usize>,
    /// The bytes where the values of variables begin.
    pub(super) env_at: BTreeMap<String, usize>,
}

/// An entry as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    run: Spanned<Vec<Spanned<Text<String>>>>,
    #[serde(default)]
    args: Vec<Text<Pattern>>,
    rest: Option<Text<Pattern>>,
    stdin: Option<bool>,
    timeout: Option<Text<Duration>>,
    max_output: Option<Text<Size<0>>>,
    cwd: Option<Spanned<Text<PathBuf>>>,
    #[serde(default)]
    env: BTreeMap<Text<VariableName>, Spanned<Text<String>>>,
    slots: Option<Number<1, { MAX_SLOTS as u64 }>>,
    memory: Option<Text<Size<MIN_MEMORY>>>,
    cpu_seconds: Option<Number<1, MAX_CPU_SECONDS>>,
    open_files: Option<Number<MIN_OPEN_FILES, MAX_OPEN_FILES>>,
    from: Option<Spanned<Table<RawSenders>>>,
    user: Option<Spanned<Text<User>>>,
    groups: Option<Spanned<Vec<Text<Group>>>>,
    umask: Option<Text<Umask>>,
    setuid: Option<bool>,
}

/// Reads the text of a policy. Of several faults it reports that of the defaults, or else that of
/// the first entry.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>, Fault> {
    let (defaults, commands) = tables(text)?;
    let defaults = defaults.map_or_else(|| Ok(Shared::default()), shared::defaults)?;
    let mut entries: Vec<_> = commands.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let read = |(key, value)| read(&key, value, &defaults);
    entries.into_iter().map(read).collect()
}

fn read(
    key: &Spanned<DeString<'_>>,
    value: Spanned<DeValue<'_>>,
    defaults: &Shared,
) -> Result<Entry, Fault> {
    let name = key.get_ref();
    check_name(name).map_err(|message| Fault::at(key.span().start, message))?;
    let raw = Table::<Raw>::deserialize(ValueDeserializer::from(value));
    let entry = raw.map_err(|error| of_toml(&error));
    let entry = entry.and_then(|Table(raw)| raw.entry(name, defaults));
    entry.map_err(|fault| in_entry(fault, name))
}

/// The tables `defaults` and `commands`, which are all that a policy has.
fn tables(text: &str) -> Result<(Option<Spanned<DeValue<'_>>>, DeTable<'_>), Fault> {
    let (mut defaults, mut commands) = (None, None);
    let mut keys: Vec<_> = DeTable::parse(text)
        .map_err(|error| of_toml(&error))?
        .into_inner()
        .into_iter()
        .collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in keys {
        let at = key.span().start;
        let key = key.get_ref();
        if key == "defaults" {
            defaults = Some(value);
            continue;
        }
        if key != "commands" {
            let message = format!(
                "found the key {:?}, expected [commands.NAME] or [defaults]",
                clip(key)
            );
            return Err(Fault::at(at, message));
        }
        let DeValue::Table(table) = value.into_inner() else {
            return Err(Fault::at(at, "commands must be a table: [commands.NAME]"));
        };
        commands = Some(table);
    }
    match commands {
        Some(commands) if !commands.is_empty() => Ok((defaults, commands)),
        _ => Err(Fault::of_all(
            "it names no command, expected at least one [commands.NAME]",
        )),
    }
}

/// A name that people can read and type, and that looks like what it is.
fn check_name(name: &str) -> Result<(), String> {
    let is_printable = !name.contains(char::is_whitespace) && name.escape_debug().eq(name.chars());
    match is_printable && (1..=MAX_NAME).contains(&name.len()) {
        true => Ok(()),
        false => Err(format!(
            "found the command name {:?}, expected 1 to {MAX_NAME} bytes of printable \
             characters without spaces, quotes and backslashes",
            clip(name)
        )),
    }
}

impl InTable for Raw {
    const EXPECTED: &'static str = "a table such as { run = [\"/usr/bin/uptime\"] }";
}

impl Raw {
    fn entry(self, name: &str, defaults: &Shared) -> Result<Entry, Fault> {
        let run_at = self.run.span().start;
        let run = self.run.into_inner();
        let Some(program) = run.first() else {
            let message = "run is empty, expected a program such as [\"/usr/bin/uptime\"]";
            return Err(Fault::at(run_at, message));
        };
        let program_at = program.span().start;
        let env_at = self.env.iter();
        let env_at = env_at.map(|(name, value)| (name.0.0.clone(), value.span().start));
        let shared = Shared {
            from: shared::senders(self.from, &format!("commands.{name}.from"))?,
            user: self.user,
            groups: self.groups,
            umask: self.umask,
            setuid: self.setuid,
        };
        let shared = shared.or(defaults);
        let values = |groups: Vec<Text<Group>>| groups.into_iter().map(|text| text.0).collect();
        Ok(Entry {
            name: name.to_owned(),
            program_at,
            user_at: shared.user.as_ref().map(|user| user.span().start),
            groups_at: shared.groups.as_ref().map(|groups| groups.span().start),
            env_at: env_at.collect(),
            cwd_at: self.cwd.as_ref().map_or(0, |cwd| cwd.span().start),
            command: Command {
                run: run.into_iter().map(|w| w.into_inner().0).collect(),
                args: self.args.into_iter().map(|text| text.0).collect(),
                rest: self.rest.map(|text| text.0),
                from: shared.from,
                settings: Settings {
                    stdin: self.stdin.unwrap_or_default(),
                    timeout: self.timeout.map(|text| text.0),
                    max_output: self.max_output.map(|text| text.0.0),
                    cwd: self.cwd.map(|cwd| cwd.into_inner().0),
                    env: self
                        .env
                        .into_iter()
                        .map(|(name, value)| (name.0.0, value.into_inner().0))
                        .collect(),
                    // The bounds of `slots` are those of an u32.
                    slots: self.slots.and_then(|slots| slots.0.try_into().ok()),
                    limits: Limits {
                        memory: self.memory.map(|text| text.0.0),
                        cpu_seconds: self.cpu_seconds.map(|seconds| seconds.0),
                        open_files: self.open_files.map(|files| files.0),
                    },
                    setuid: shared.setuid.unwrap_or_default(),
                    user: shared.user.map(|user| user.into_inner().0),
                    umask: shared.umask.map(|text| text.0.0),
                    groups: shared.groups.map(Spanned::into_inner).map(values),
                },
            },
        })
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
