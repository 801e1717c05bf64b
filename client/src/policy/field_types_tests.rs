//! Lines of an entry that are wrong, one by one, and what is said about each.

use crate::policy::tests::{refused, with};

#[test]
fn wrong_values_are_told_with_their_place() {
    for (line, place, fragments) in [
        // Keys and types.
        (
            "shell = true",
            "3:1",
            ["unknown field `shell`", "expected one of `run`, `args`"],
        ),
        ("Slots = 1", "3:1", ["unknown field `Slots`", "`slots`"]),
        (
            "args = \"x\"",
            "3:8",
            ["string \"x\"", "an array of strings such as ["],
        ),
        ("args = [1]", "3:9", ["integer `1`", "expected a pattern"]),
        ("rest = 1", "3:8", ["integer `1`", "expected a pattern"]),
        (
            "timeout = 30",
            "3:11",
            ["integer `30`", "expected a duration such as \"500ms\""],
        ),
        (
            "max_output = 1024",
            "3:14",
            ["integer `1024`", "expected a size such as \"256 MiB\""],
        ),
        ("cwd = true", "3:7", ["boolean `true`", "absolute path"]),
        ("env = []", "3:7", ["sequence", "a table such as { LANG"]),
        (
            "env = { A = 1 }",
            "3:13",
            ["integer `1`", "expected a string"],
        ),
        (
            "slots = \"1\"",
            "3:9",
            ["string \"1\"", "a whole number from 1 to 1024"],
        ),
        (
            "slots = 1.5",
            "3:9",
            ["floating point `1.5`", "a whole number from 1 to 1024"],
        ),
        // Values.
        (
            "args = ['a', '[a-z']",
            "3:14",
            [
                "found \"[a-z\", expected a regular",
                "unclosed character class",
            ],
        ),
        (
            "args = ['a)|(?:b']",
            "3:9",
            ["a)|(?:b", "without matching '('"],
        ),
        ("rest = '(?=x)'", "3:8", ["(?=x)", "look-around"]),
        (
            "timeout = \"5 parsecs\"",
            "3:11",
            ["found \"5 parsecs\"", "expected a duration"],
        ),
        ("timeout = \"0s\"", "3:11", ["found \"0s\"", "above zero"]),
        (
            "max_output = \"much\"",
            "3:14",
            ["found \"much\"", "expected a size from 0 B"],
        ),
        (
            "max_output = \"-1\"",
            "3:14",
            ["found \"-1\"", "expected a size"],
        ),
        (
            "max_output = \"9 EiB\"",
            "3:14",
            ["found \"9 EiB\"", "to 1.0 PiB"],
        ),
        (
            "memory = \"64 KiB\"",
            "3:10",
            ["found \"64 KiB\"", "expected a size from 1.0 MiB"],
        ),
        ("umask = 22", "3:9", ["integer `22`", "octal digits"]),
        ("umask = \"028\"", "3:9", ["found \"028\"", "octal digits"]),
        ("umask = \"1777\"", "3:9", ["found \"1777\"", "to 777"]),
        ("umask = \"+22\"", "3:9", ["found \"+22\"", "octal digits"]),
        ("groups = \"adm\"", "3:10", ["\"adm\"", "array of strings"]),
        (
            "groups = [\"4294967295\"]",
            "3:11",
            ["found \"4294967295\"", "from 0 to 4294967294"],
        ),
        (
            "groups = [\"+4\"]",
            "3:11",
            ["found \"+4\"", "group of this machine"],
        ),
        (
            "groups = [\"no-such-group\"]",
            "3:11",
            ["found \"no-such-group\"", "group of this machine"],
        ),
        (
            "cwd = \"tmp\"",
            "3:7",
            ["found \"tmp\"", "absolute path of a folder"],
        ),
        (
            "cwd = \"\"",
            "3:7",
            ["found \"\"", "absolute path of a folder"],
        ),
        (
            "cwd = \"/a\\u0000b\"",
            "3:7",
            ["found \"/a\\0b\"", "absolute path of a folder"],
        ),
        (
            "cwd = \"/no/such\"",
            "3:7",
            ["commands.x: cwd is \"/no/such\"", "No such file"],
        ),
        (
            "cwd = \"/dev/null\"",
            "3:7",
            ["cwd is \"/dev/null\"", "no folder; expected a folder"],
        ),
        (
            "env = { \"A=B\" = \"\" }",
            "3:9",
            ["found \"A=B\"", "without \"=\" and NUL"],
        ),
        (
            "env = { \"\" = \"\" }",
            "3:9",
            ["found \"\"", "a variable's name"],
        ),
        (
            "env = { \"A\\u0000\" = \"\" }",
            "3:9",
            ["found \"A\\0\"", "a variable's name"],
        ),
        (
            "env = { A = \"\\u0000\" }",
            "3:13",
            ["found \"\\0\"", "without NUL"],
        ),
        (
            "env = { PECKING_ID = \"7\" }",
            "3:9",
            ["PECKING_ID", "does not begin with PECKING_"],
        ),
        (
            "slots = 0",
            "3:9",
            ["found 0", "a whole number from 1 to 1024"],
        ),
        (
            "slots = 1025",
            "3:9",
            ["found 1025", "a whole number from 1 to 1024"],
        ),
        (
            "slots = -1",
            "3:9",
            ["found -1", "a whole number from 1 to 1024"],
        ),
        (
            "slots = 99999999999999999999",
            "3:9",
            ["found 99999999999999999999", "1 to 1024"],
        ),
        (
            "cpu_seconds = 0",
            "3:15",
            ["found 0", "a whole number from 1 to"],
        ),
        (
            "open_files = 3",
            "3:14",
            ["found 3", "a whole number from 4 to 1048576"],
        ),
        (
            "setuid = 'true'",
            "3:10",
            ["string \"true\"", "expected true or false"],
        ),
        ("setuid = 1", "3:10", ["integer", "expected true or false"]),
        // TOML itself.
        ("slots = 1\nslots = 2", "4:1", ["duplicate key", ""]),
        ("run = ['/bin/false']", "3:1", ["duplicate key", ""]),
        ("timeout = 30s", "3:11", ["", ""]),
        ("cwd = \"/tmp", "3:12", ["", ""]),
    ] {
        let error = refused(&with(line));
        let is_right = error.starts_with(&format!("p:{place}: "))
            && fragments.iter().all(|fragment| error.contains(fragment))
            && !error.contains('\n');
        assert!(
            is_right,
            "{line}\n is not at {place} with {fragments:?}:\n{error}"
        );
    }
}
