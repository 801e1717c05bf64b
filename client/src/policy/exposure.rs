//! Whether other users can change what an entry names: its program, the interpreter of that, its
//! folder, and the paths in its environment that programs load code from. A user that can change
//! those decides what this machine runs, as much as one that can write the policy.
//!
//! The check is made when the policy is loaded, and does not follow what a program loads besides.

use super::error::{Fault, in_entry};
use super::parse::Entry;
use common::sys::trusted_file::{self, Finds, ROOT};
use common::wire::text::clip;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How many bytes of a script the system looks at for its interpreter (`execve(2)`).
const SCRIPT_HEAD: u64 = 256;

/// How many interpreters there may be one behind the other: the system follows fewer.
const MAX_INTERPRETERS: usize = 8;

/// A path that an entry names, and whether it must be safe.
struct NamedPath {
    at: usize,
    /// What it is, as the start of a sentence.
    what: String,
    path: String,
    finds: Finds,
    /// Its content is run, so root does not accept that others can change it.
    is_run: bool,
}

impl NamedPath {
    fn run(at: usize, what: &str, path: &Path) -> NamedPath {
        NamedPath {
            at,
            what: what.into(),
            path: path.to_string_lossy().into_owned(),
            finds: Finds::ThePath,
            is_run: true,
        }
    }
}

/// The named paths that other users can change than root and the user that the entry runs as: its
/// own, or this one. They are warnings.
///
/// # Errors
/// The first of an entry that runs as root, and that root does not accept.
pub(super) fn find(entries: &[Entry], user: u32) -> Result<Vec<Fault>, Fault> {
    let found = entries.iter().flat_map(|entry| {
        let own = entry.command.settings.user.as_ref();
        let user = own.map_or(user, |own| own.id);
        let accept = move |(is_run, fault)| match is_run && user == ROOT {
            true => Err(fault),
            false => Ok(fault),
        };
        exposed(entry, user).into_iter().map(accept)
    });
    found.collect()
}

/// The same of one entry, each with whether its content is run.
fn exposed(entry: &Entry, user: u32) -> Vec<(bool, Fault)> {
    let check = |named: NamedPath| {
        let reason = trusted_file::look(Path::new(&named.path), user, named.finds).err()?;
        let (what, path) = (named.what, clip(&named.path));
        let message = format!("{what} {path:?}, which others can change: {reason}");
        let fault = in_entry(Fault::at(named.at, message), &entry.name);
        Some((named.is_run, fault))
    };
    let start = entry.command.settings.cwd.clone();
    let start = start.or_else(|| std::env::current_dir().ok());
    let named = words(entry)
        .chain(folder(entry))
        .chain(interpreters(entry, start.as_deref()))
        .chain(variables(entry, start.as_deref()));
    named.filter_map(check).collect()
}

/// The program, and further words that are files: most often scripts for an interpreter.
fn words(entry: &Entry) -> impl Iterator<Item = NamedPath> {
    let words = entry.command.run.iter().enumerate();
    let is_named = |(at, word): &(usize, &String)| {
        let path = Path::new(word);
        *at == 0 || (path.is_absolute() && path.is_file())
    };
    words.filter(is_named).map(|(at, word)| NamedPath {
        is_run: at == 0,
        ..NamedPath::run(entry.program_at, &format!("run[{at}] is"), word.as_ref())
    })
}

fn folder(entry: &Entry) -> Option<NamedPath> {
    let cwd = entry.command.settings.cwd.as_ref()?;
    Some(NamedPath::run(entry.cwd_at, "cwd is", cwd))
}

/// The interpreter of the program, and the interpreter of that one. A relative one is looked for
/// where the program starts.
fn interpreters(entry: &Entry, start: Option<&Path>) -> impl Iterator<Item = NamedPath> {
    let program = entry.command.run.first().map(PathBuf::from);
    let next = move |script: &PathBuf| Some(start?.join(interpreter(script)?));
    let scripts = std::iter::successors(program, next);
    let interpreters = scripts.skip(1).take(MAX_INTERPRETERS);
    interpreters.map(|path| NamedPath::run(entry.program_at, "run[0] is interpreted by", &path))
}

/// The files and folders in the values of variables.
fn variables(entry: &Entry, start: Option<&Path>) -> impl Iterator<Item = NamedPath> {
    entry
        .command
        .settings
        .env
        .iter()
        .flat_map(move |(name, value)| {
            let loads = loads_code(name);
            let relative = relative_paths(name, value).into_iter();
            let relative = relative.filter_map(|path| Some(start?.join(path)));
            let relative = relative.map(|path| path.to_string_lossy().into_owned());
            // What is not there yet counts if others could put it there, and it would be run.
            let absolute = paths(value).into_iter();
            let absolute = absolute.filter(|path| loads || Path::new(path).exists());
            let all: Vec<_> = relative.chain(absolute.map(str::to_owned)).collect();
            all.into_iter().map(move |path| NamedPath {
                at: entry.env_at.get(name).copied().unwrap_or_default(),
                what: format!("env.{name} names"),
                path,
                finds: match loads {
                    true => Finds::WhatIsIn,
                    false => Finds::ThePath,
                },
                is_run: loads,
            })
        })
}

/// The interpreter in the first line of a script; none if the file is no script that we can read.
fn interpreter(script: &Path) -> Option<PathBuf> {
    // To open something else, such as a FIFO, could take for ever.
    let file = script.is_file().then(|| File::open(script).ok())??;
    let mut head = Vec::new();
    file.take(SCRIPT_HEAD).read_to_end(&mut head).ok()?;
    let line = head
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let mut words = line.split(|byte| b" \t\0".contains(byte));
    let path = words.find(|word| !word.is_empty())?;
    Some(OsStr::from_bytes(path).into())
}

/// Whether programs take a variable of this name for what to load code from: the loader's, the
/// search paths of shells and interpreters, and what they read before anything else.
fn loads_code(name: &str) -> bool {
    let begins = ["LD_", "DYLD_"].iter().any(|start| name.starts_with(start));
    let ends = ["PATH", "LIB", "PRELOAD", "STARTUP", "_OPTIONS"];
    begins || ends.iter().any(|end| name.ends_with(end)) || name == "BASH_ENV" || name == "ENV"
}

/// The relative paths in the value of a variable that has programs load code: they begin where the
/// program starts, and an empty one in a list is that folder itself.
fn relative_paths<'a>(name: &str, value: &'a str) -> BTreeSet<&'a str> {
    // Options have words with slashes that are no paths.
    if !loads_code(name) || name.ends_with("_OPTIONS") {
        return BTreeSet::new();
    }
    let separates = |c| c == ':' || c == ' ' && name.ends_with("PRELOAD");
    let is_list_of_folders = name.ends_with("PATH");
    let parts = value.split(separates);
    let is_relative = |part: &&str| !part.starts_with('/');
    // Without a slash the loader looks for a library where it always does.
    parts
        .filter(is_relative)
        .filter(|part| is_list_of_folders || part.contains('/'))
        .collect()
}

/// The absolute paths in a value: the whole of it, and the parts of a list.
fn paths(value: &str) -> BTreeSet<&str> {
    let lists = [":", ": ,;="].map(|separators| value.split(|c| separators.contains(c)));
    let parts = lists.into_iter().flatten().chain([value]);
    parts.filter(|part| part.starts_with('/')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::parse;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn paths_are_found_in_values_of_all_kinds() {
        for (value, expected) in [
            ("", &[][..]),
            ("C.UTF-8", &[]),
            ("/a b", &["/a", "/a b"]),
            ("/a:/b::c", &["/a", "/a:/b::c", "/b"]),
            ("/a.so /b.so", &["/a.so", "/a.so /b.so", "/b.so"]),
            ("-javaagent:/a.jar=x", &["/a.jar", "/a.jar=x"]),
            ("--require /a.js", &["/a.js"]),
        ] {
            let found: Vec<_> = paths(value).into_iter().collect();
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn paths_that_others_can_change_are_found_in_every_field() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        for (name, mode) in [
            ("good", 0o700),
            ("open", 0o777),
            ("d/in", 0o755),
            ("s/in", 0o755),
        ] {
            if let Some((parent, _)) = name.split_once('/') {
                fs::create_dir(path(parent)).expect("a folder");
            }
            fs::write(path(name), "#!/bin/sh\n").expect("a file");
            fs::set_permissions(path(name), Permissions::from_mode(mode)).expect("its mode");
        }
        for (name, mode) in [("d", 0o777), ("s", 0o1777)] {
            fs::set_permissions(path(name), Permissions::from_mode(mode)).expect("its mode");
        }
        let [good, open, inside, weak, sticky] = ["good", "open", "d/in", "d", "s"].map(path);
        let found = |text: &str| {
            let text = format!("[commands.x]\n{text}\n");
            let entries = parse::parse(&text).expect("an entry");
            let found = exposed(&entries[0], trusted_file::user()).into_iter();
            found.map(|(is_run, _)| is_run).collect::<Vec<_>>()
        };
        let program = |line: &str| found(&format!("run = [{good:?}]\n{line}"));
        for (line, expected) in [
            (String::new(), &[][..]),
            (format!("cwd = {weak:?}"), &[true]),
            (format!("cwd = {sticky:?}"), &[]),
            (format!("env = {{ LD_PRELOAD = {open:?} }}"), &[true]),
            (format!("env = {{ LD_PRELOAD = {inside:?} }}"), &[true]),
            (format!("env = {{ LD_PRELOAD = {:?} }}", path("s/in")), &[]),
            // Not there yet, but others could put it there.
            (
                format!("env = {{ LD_PRELOAD = {:?} }}", path("s/new")),
                &[true],
            ),
            (format!("env = {{ LD_PRELOAD = {:?} }}", path("new")), &[]),
            (format!("env = {{ PATH = \"/usr/bin:{weak}\" }}"), &[true]),
            (format!("env = {{ PYTHONPATH = {sticky:?} }}"), &[true]),
            (format!("env = {{ PATH = {:?} }}", path("")), &[]),
            (
                format!("env = {{ DATA = {open:?}, MORE = {good:?} }}"),
                &[false],
            ),
            (format!("env = {{ TMPDIR = {sticky:?} }}"), &[]),
            ("env = { HISTFILE = \"/dev/null\" }".into(), &[]),
            // What is relative begins in `cwd`.
            (
                format!("cwd = {sticky:?}\nenv = {{ PATH = \"/usr/bin:.\" }}"),
                &[true],
            ),
            (
                format!("cwd = {sticky:?}\nenv = {{ PATH = \":/usr/bin\" }}"),
                &[true],
            ),
            (
                format!("cwd = {sticky:?}\nenv = {{ LD_PRELOAD = \"a.so x/y.so\" }}"),
                &[true],
            ),
            (
                format!("cwd = {sticky:?}\nenv = {{ BASH_ENV = \"./x\" }}"),
                &[true],
            ),
            (
                format!("cwd = {sticky:?}\nenv = {{ LD_PRELOAD = \"a.so\", A = \"./x\" }}"),
                &[],
            ),
            (
                format!(
                    "cwd = {:?}\nenv = {{ PATH = \".:bin\", LD_PRELOAD = \"./x.so\" }}",
                    path("")
                ),
                &[],
            ),
        ] {
            assert_eq!(program(&line), expected, "{line}");
        }
        assert_eq!(found(&format!("run = [{open:?}]")), [true]);
        assert_eq!(found(&format!("run = [{inside:?}]")), [true]);
        for (script, head, expected) in [
            ("a1", format!("#! \t{open} -x\n"), &[true][..]),
            ("b1", format!("#!{inside}"), &[true]),
            // An interpreter may be a script itself.
            ("c1", format!("#!{}\n", path("b1")), &[true]),
            ("d1", format!("#!{good}\n{open}\n"), &[]),
            ("e1", format!("{open}\n"), &[]),
            ("f1", "#!\n".into(), &[]),
            // Without an end.
            ("g1", format!("#!{}\n", path("g1")), &[]),
        ] {
            fs::write(path(script), head).expect("a script");
            assert_eq!(
                found(&format!("run = [{:?}]", path(script))),
                expected,
                "{script}"
            );
        }
        let (relative, weak_start) = (path("h"), format!("cwd = {weak:?}"));
        fs::write(&relative, "#!in\n").expect("a script");
        let text = format!("run = [{relative:?}]\n{weak_start}");
        assert_eq!(found(&text), [true, true], "the folder and what is in it");
        assert_eq!(
            found(&format!("run = [\"/bin/sh\", {open:?}, \"/x\"]")),
            [false]
        );
    }
}
