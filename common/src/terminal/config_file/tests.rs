//! Files and command lines, and what they come to.

use super::*;
use crate::terminal::args;
use clap::{ArgAction, value_parser};

/// A command with an option of each kind, and the same as a subcommand.
fn commands() -> [(Command, Option<&'static str>); 2] {
    let options = |command: Command| {
        command
            .arg(
                Arg::new("clients")
                    .value_name("N")
                    .value_parser(args::number(1..=9_u32)),
            )
            .arg(
                Arg::new("config")
                    .long("config")
                    .value_parser(value_parser!(PathBuf)),
            )
            .arg(
                Arg::new("max_line")
                    .long("max-line")
                    .default_value("5")
                    .help("The longest"),
            )
            .arg(Arg::new("cert").long("cert").requires("key"))
            .arg(Arg::new("key").long("key").requires("cert"))
            .arg(
                Arg::new("tags")
                    .long("tag")
                    .value_name("TAG")
                    .action(ArgAction::Append),
            )
            .arg(
                Arg::new("plain")
                    .long("plain")
                    .action(ArgAction::SetTrue)
                    .conflicts_with("cert"),
            )
            .arg(Arg::new("secret").long("secret").hide(true))
    };
    let work = options(Command::new("work"));
    [
        (options(Command::new("program")), None),
        (Command::new("program").subcommand(work), Some("work")),
    ]
}

/// What a file and a command line come to, for each of the commands.
fn outcomes(file: &str, words: &[&str]) -> [Result<String, String>; 2] {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.toml");
    std::fs::write(&path, file).expect("it can be written");
    let shown = path_line(&path);
    commands().map(|(command, subcommand)| {
        let before = ["program"].into_iter().chain(subcommand);
        let config = ["--config", path.to_str().expect("it is text")];
        let words = before.chain(words.iter().copied()).chain(config);
        let words: Vec<OsString> = words.map(OsString::from).collect();
        let settings = read(&command, &words, subcommand);
        let said = settings.map(|settings| settings.in_force(&command));
        let said = said.map_err(|error| match error {
            ConfigError::Usage(error) => error.to_string(),
            ConfigError::File(error) => error,
        });
        let short = |text: String| text.replace(&shown, "a.toml");
        said.map(short).map_err(short)
    })
}

#[test]
fn the_command_line_wins_over_the_file_and_the_file_over_defaults() {
    let file = "clients = 4\n\ntag = [\"a\", 'b\"']\nmax-line = 7\nplain = true";
    for said in outcomes(file, &["--max-line", "8"]) {
        let said = said.expect("it is right");
        let lines: Vec<String> = said
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let expected = [
            "clients = 4 # a.toml:1",
            "max-line = 8 # command line",
            "# cert is not set",
            "# key is not set",
            "tag = [\"a\", \"b\\\"\"] # a.toml:3",
            "plain = true # a.toml:5",
        ];
        assert_eq!(lines, expected);
    }
}

#[test]
fn mistakes_are_told_with_their_place_and_what_would_be_right() {
    for (file, words, expected) in [
        (
            "\nmax-lin = 3",
            &[][..],
            "a.toml:2:1: found the key \"max-lin\", expected \"max-line\"",
        ),
        (
            "zz = 3",
            &[],
            "a.toml:1:1: found the key \"zz\", expected one of clients, max-line, cert,",
        ),
        ("secret = 3", &[], "found the key \"secret\""),
        ("config = 3", &[], "found the key \"config\""),
        (
            " clients = 10",
            &[],
            "a.toml:1:12: invalid value '10' for 'clients': expected a whole number from 1 to 9",
        ),
        (
            "clients = '--plain'",
            &[],
            "a.toml:1:11: found a string, expected clients = ",
        ),
        (
            "plain = 'yes'",
            &[],
            "a.toml:1:9: found a string, expected plain = true",
        ),
        (
            "max-line = true",
            &[],
            "a.toml:1:12: found a boolean, expected max-line = 5",
        ),
        (
            "max-line = [1]",
            &[],
            "a.toml:1:12: found an array, expected max-line = 5",
        ),
        (
            "tag = [1.5]",
            &[],
            "a.toml:1:8: found a float, expected tag = [\"TAG\"]",
        ),
        (
            "plain = true\nplain = true",
            &[],
            "a.toml:2:1: duplicate key",
        ),
        ("cert = 'c'", &[], "--key <key> (a.toml:1:1 says cert)"),
        (
            "max-line = 7\ncert = 'c'\ntag = ['a']",
            &[],
            "--key <key> (a.toml:2:1 says cert)",
        ),
        (
            "cert = 'c'",
            &["--key", "k", "--plain"],
            "cannot be used with",
        ),
        (
            "cert = 'c'\nplain = true",
            &["--key", "k"],
            "a.toml:2:1 says plain",
        ),
        (
            "plain = true",
            &["--bogus"],
            "unexpected argument '--bogus' found\n",
        ),
    ] {
        for said in outcomes(file, words) {
            let error = said.expect_err(file);
            assert!(error.contains(expected), "{file}: {error}");
        }
    }
}

#[test]
fn a_template_is_a_file_that_changes_nothing_and_whose_lines_are_right() {
    let [(command, _), _] = commands();
    let template = template(&command, None);
    assert!(
        template.contains("# The longest\n#max-line = 5\n"),
        "{template}"
    );
    for said in outcomes(&template, &[]) {
        assert!(!said.expect("all of it is comments").contains("a.toml"));
    }
    let lines = template.lines().filter_map(|line| line.strip_prefix('#'));
    let keys: Vec<&str> = lines
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(keys, ["clients", "max-line", "cert", "key", "tag", "plain"]);
}
