//! Texts of policies, right and wrong, as tables.

use super::*;
use crate::policy::tests::{refused, with};
use crate::policy::{Policy, PolicyError};
use std::path::Path;
use std::time::Duration;

fn one(text: &str) -> Command {
    let mut entries = parse(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
    assert_eq!(entries.len(), 1, "{text}");
    entries.remove(0).command
}

#[test]
fn an_entry_sets_every_field() {
    let command = one("[commands.logs]\n\
         run = [\"/usr/bin/journalctl\", \"-n\", \"50\", \"-u\"]\n\
         args = [\"[a-z][a-z0-9-]{0,31}\"]\n\
         rest = '\\d+'\n\
         stdin = true\n\
         timeout = \"30s\"\n\
         max_output = \"256 KiB\"\n\
         cwd = \"/var/tmp\"\n\
         env = { LANG = \"C.UTF-8\", EMPTY = \"\" }\n\
         slots = 1\n\
         memory = \"1 GiB\"\n\
         cpu_seconds = 60\n\
         open_files = 64\n\
         setuid = true\n\
         umask = \"027\"\n\
         groups = [\"root\", \"4711\"]\n");
    assert_eq!(command.run, ["/usr/bin/journalctl", "-n", "50", "-u"]);
    let args: Vec<_> = command.args.iter().map(Pattern::as_str).collect();
    assert_eq!(args, ["[a-z][a-z0-9-]{0,31}"]);
    assert_eq!(command.rest.as_ref().map(Pattern::as_str), Some("\\d+"));
    assert!(command.settings.stdin);
    assert_eq!(command.settings.timeout, Some(Duration::from_secs(30)));
    assert_eq!(command.settings.max_output, Some(256 << 10));
    assert_eq!(command.settings.cwd.as_deref(), Some(Path::new("/var/tmp")));
    let env: Vec<_> = command.settings.env.iter().collect();
    let (empty, lang) = (String::from("EMPTY"), String::from("LANG"));
    assert_eq!(env, [(&empty, &String::new()), (&lang, &"C.UTF-8".into())]);
    assert_eq!(command.settings.slots, Some(1));
    let limits = Limits {
        memory: Some(1 << 30),
        cpu_seconds: Some(60),
        open_files: Some(64),
    };
    assert_eq!(command.settings.limits, limits);
    assert!(command.settings.setuid);
    assert_eq!(command.settings.umask, Some(0o027));
    let groups = command.settings.groups.expect("groups");
    let ids: Vec<_> = groups.iter().map(|group| group.id).collect();
    assert_eq!(ids, [0, 4711]);
}

#[test]
fn fields_that_are_left_out_are_not_set() {
    let command = one(&with(""));
    assert_eq!(command.run, ["/bin/true"]);
    assert!(command.args.is_empty() && command.rest.is_none());
    assert_eq!(
        (command.settings.timeout, command.settings.max_output),
        (None, None)
    );
    assert_eq!(
        (command.settings.cwd.as_deref(), command.settings.slots),
        (None, None)
    );
    assert_eq!(command.settings.limits, Limits::default());
    assert!(command.settings.env.is_empty() && !command.settings.setuid);
    assert!(!command.settings.stdin);
    assert!(!one(&with("setuid = false")).settings.setuid);
    assert!(command.settings.umask.is_none() && command.settings.groups.is_none());
}

#[test]
fn other_ways_to_write_a_policy() {
    for text in [
        "commands.x.run = [\"/bin/true\"]",
        "commands = { x = { run = [\"/bin/true\"] } }",
        "[commands]\nx = { run = [\n  \"/bin/true\", # why\n] }\n",
        "\u{feff}[commands.x]\r\nrun = ['/bin/true']\r\n",
        "[commands.\"k\u{e4}se-\u{1f986}\"]\nrun = ['/bin/true']",
        "[commands.x]\nrun = ['/bin/true', '']\nmax_output = \"0\"\ntimeout = \"1\"",
        "[commands.x]\nrun = ['/bin/true']\nslots = 1024\nopen_files = 4\nmemory = '1MiB'",
        "[commands.x]\nrun = ['/bin/true']\n[commands.x.env]\nA = 'b=c'",
    ] {
        assert!(!one(text).run.is_empty());
        Policy::from_bytes(text.as_bytes()).expect(text);
    }
}

#[test]
fn wrong_files_are_told_with_their_place() {
    let long = "x".repeat(65);
    for (text, start, fragment) in [
        ("", "p: ", "names no command"),
        (
            "# nothing\n",
            "p: ",
            "expected at least one [commands.NAME]",
        ),
        ("[commands]\n", "p: ", "names no command"),
        ("commands = 7\n", "p:1:1: ", "[commands.NAME]"),
        (
            "[[commands]]\nrun = ['/bin/true']\n",
            "p:1:3: ",
            "[commands.NAME]",
        ),
        (
            "x = 1\n[commands.x]\nrun = ['/bin/true']\n",
            "p:1:1: ",
            "found the key \"x\"",
        ),
        (
            "[commands.x]\nrun = ['/bin/true']\n[command.y]\n",
            "p:3:2: ",
            "found the key \"command\"",
        ),
        (
            "[commands]\nx = 1\n",
            "p:2:5: ",
            "commands.x: invalid type: integer `1`, expected a table",
        ),
        (
            "[commands]\nx = [['/bin/true']]\n",
            "p:2:5: ",
            "commands.x: invalid type: sequence, expected a table",
        ),
        (
            "[commands.x]\n",
            "p:1:1: ",
            "commands.x: missing field `run`",
        ),
        ("[commands.x]\nrun = []\n", "p:2:7: ", "run is empty"),
        (
            "[commands.x]\nrun = '/bin/true'\n",
            "p:2:7: ",
            "expected an array of strings",
        ),
        (
            "[commands.x]\nrun = ['/bin/true', 7]\n",
            "p:2:21: ",
            "expected a string",
        ),
        (
            "[commands.x]\nrun = ['/bin/true', \"a\\u0000\"]\n",
            "p:2:21: ",
            "without NUL",
        ),
        (
            "[commands.x]\nrun = [\"/bin/true\\u0000\"]\n",
            "p:2:8: ",
            "without NUL",
        ),
        (
            "[commands.x]\nrun = ['true']\n",
            "p:2:8: ",
            "commands.x: run[0] is \"true\", which is no absolute path; expected",
        ),
        (
            "[commands.x]\nrun = [\n  '/no/such']\n",
            "p:3:3: ",
            "run[0] is \"/no/such\", which cannot be found",
        ),
        (
            "[commands.x]\nrun = ['/tmp']\n",
            "p:2:8: ",
            "which is a folder",
        ),
        (
            "[commands.\"a b\"]\nrun = ['/bin/true']\n",
            "p:1:11: ",
            "found the command name \"a b\"",
        ),
        (
            "[commands.\"\"]\nrun = ['/bin/true']\n",
            "p:1:11: ",
            "expected 1 to 64 bytes",
        ),
        (
            "[commands.\"a\\n\"]\nrun = ['/bin/true']\n",
            "p:1:11: ",
            "printable",
        ),
        (
            "[commands.\"a\u{a0}b\"]\nrun = ['/bin/true']\n",
            "p:1:11: ",
            "printable",
        ),
        (
            "[commands.\"a\u{202e}b\"]\nrun = ['/bin/true']\n",
            "p:1:11: ",
            "printable",
        ),
        (
            "[commands.\"a\u{200b}b\"]\nrun = ['/bin/true']\n",
            "p:1:11: ",
            "printable",
        ),
        (
            "[commands.'a\"b']\nrun = ['/bin/true']\n",
            "p:1:11: ",
            "without spaces, quotes",
        ),
        (
            &format!("[commands.{long}]\nrun = ['/bin/true']\n"),
            "p:1:11: ",
            "1 to 64 bytes",
        ),
        (
            "[commands.z]\nrun = 1\n[commands.a]\nrun = 2\n",
            "p:2:7: ",
            "commands.z",
        ),
        ("[commands.x\nrun = 1\n", "p:1:12: ", ""),
        (
            "[commands.x]\nrun = ['/bin/true']\n[commands.x]\n",
            "p:3:11: ",
            "duplicate key",
        ),
    ] {
        let error = refused(text);
        let is_right = error.starts_with(start) && error.contains(fragment);
        assert!(is_right, "{text}\n is not {start}…{fragment}:\n{error}");
        assert!(!error.contains('\n'), "{error:?}");
    }
}

#[test]
fn bytes_that_are_no_text() {
    let bytes = b"[commands.x]\nrun = ['\xff']\n";
    let error = Policy::from_bytes(bytes).expect_err("not UTF-8");
    let shown = PolicyError::of(error, Path::new("p"), bytes).to_string();
    assert!(shown.starts_with("p:2:9: "), "{shown}");
    assert!(shown.contains("not UTF-8"), "{shown}");
}

#[test]
fn deep_nesting_costs_no_stack() {
    let deep = with(&format!("args = {}", "[".repeat(100_000)));
    assert!(refused(&deep).starts_with("p:3:"));
}

/// The policy that the package installs, whose lines are all comments.
const PACKAGED: &str = include_str!("../../debian/policy.toml");

#[test]
fn the_packaged_policy_names_no_command_and_shows_every_key() {
    let fault = format!("{:?}", parse(PACKAGED).expect_err("it names no command"));
    assert!(fault.contains("it names no command"), "{fault}");
    let lines = PACKAGED.lines().filter_map(|line| line.strip_prefix('#'));
    let settings = lines.filter(|line| line.starts_with(|c: char| c == '[' || c.is_alphanumeric()));
    let text = settings.collect::<Vec<_>>().join("\n");
    let entries = parse(&text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
    assert_eq!(entries.len(), 2, "{text}");
    for (table, wrong) in [
        ("[commands.logs]\n", "[commands.x]\nx = 1\n"),
        (
            "[defaults]\n",
            "[defaults]\nx = 1\n[commands.x]\nrun = [\"/x\"]\n",
        ),
        (
            "from = { ",
            "[defaults]\nfrom = { x = 1 }\n[commands.x]\nrun = [\"/x\"]\n",
        ),
    ] {
        let fault = format!("{:?}", parse(wrong).expect_err(wrong));
        let keys: Vec<&str> = fault.split('`').skip(3).step_by(2).collect();
        assert!(keys.len() > 2, "{fault}");
        let (_, table) = text.split_once(table).expect(table);
        for key in keys {
            assert!(table.contains(&format!("{key} = ")), "{key} is not shown");
        }
    }
}
