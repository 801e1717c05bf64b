//! Options from a file: which source of a value wins, and what is said of a file that is wrong.

use std::fs;
use std::process::Command;

use crate::support::programs::{Ended, Process, Server, client, server};
use rustix::process::Signal;

/// The two programs that take such a file, with the options that it cannot have.
fn programs() -> [(Command, &'static [&'static str]); 2] {
    let no_settings = &[
        "--config",
        "--check-config",
        "--completions",
        "--help",
        "--version",
    ];
    [(server(&[]), no_settings), (client(&["work"]), no_settings)]
}

/// Runs a program with more words.
fn with(program: &Command, words: &[&str]) -> Ended {
    let mut command = Command::new(program.get_program());
    command.args(program.get_args()).args(words);
    command.env_remove("PECKING_SERVER");
    Ended::of(&mut command)
}

#[test]
fn every_option_of_the_help_can_stand_in_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.toml");
    let path = file.to_str().expect("it is text");
    for (program, no_settings) in programs() {
        let help = with(&program, &["--help"]);
        let words = help.text().lines().filter_map(|line| {
            let option = &line.trim_start()[..line.trim_start().find("--")? + 2];
            let is_option = option == "--" || option.len() == 6 && option.starts_with('-');
            let rest = line.trim_start().strip_prefix(option)?;
            is_option.then(|| format!("--{}", rest.split([' ', '[', '=']).next().unwrap_or("")))
        });
        let options: Vec<String> = words
            .filter(|option| !no_settings.contains(&option.as_str()))
            .collect();
        assert!(options.len() > 15, "{options:?} in {}", help.text());
        let shown = with(&program, &["--check-config"]);
        shown.expect_code(0);
        for option in options {
            let key = &option[2..];
            let line = shown.text().lines().find(|line| {
                line.starts_with(&format!("{key} = ")) || *line == format!("# {key} is not set")
            });
            let line = line.unwrap_or_else(|| panic!("{key} is not in {}", shown.text()));
            let Some((setting, _)) = line.split_once("  # ") else {
                continue;
            };
            fs::write(&file, setting).expect("it can be written");
            let ended = with(&program, &["--config", path, "--check-config"]);
            // Some mean nothing without another one, and say so.
            match ended.code() {
                Some(0) if setting.ends_with("= false") => {}
                Some(0) => assert!(ended.text().contains("a.toml:1\n"), "{}", ended.text()),
                _ => drop(
                    ended.expect_one_line(&["not provided", &format!("a.toml:1:1 says {key}")]),
                ),
            }
        }
    }
}

#[test]
fn flags_win_then_the_environment_then_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("agent.toml");
    fs::write(&file, "server = \"file:1\"\nslots = 3\n").expect("it can be written");
    let path = file.to_str().expect("it is text");
    for (words, variable, expected) in [
        (&["--server", "flag:1"][..], Some("env:1"), "flag:1"),
        (&[], Some("env:1"), "env:1"),
        (&[], None, "file:1"),
    ] {
        let mut command = client(words);
        command.args(["work", "--check-config", "--config", path]);
        command.envs(variable.map(|value| ("PECKING_SERVER", value)));
        let ended = Ended::of(&mut command);
        ended.expect_code(0);
        let text = ended.text();
        assert!(text.contains(&format!("server = \"{expected}\"")), "{text}");
        assert!(text.contains("slots = 3"), "{text}");
    }
}

#[test]
fn both_programs_run_by_their_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).expect("it can be written");
        file.to_str().expect("it is text").to_owned()
    };
    let config = file(
        "server.toml",
        "clients = 7\ndispatch = \"all\"\nquiet = true\n",
    );
    let server = Server::start(&["--config", &config]);
    server.process.stderr.wait_for("for 7 clients");
    let address = server.address();
    let text =
        format!("server = \"{address}\"\nname = \"web1\"\ntag = [\"role=web\"]\nslots = 2\n");
    let config = file("agent.toml", &text);
    let agent = Process::start(&mut client(&["work", "--config", &config]));
    agent.stderr.wait_for("joined as web1, rank");
    let ended = Ended::of(&mut server.client(&["run", "--to", "role=web", "--", "print"]));
    ended.expect_code(0);
    agent.signal(Signal::TERM);
    agent.end().expect_code(0);
}

#[test]
fn a_file_that_is_wrong_is_one_line_with_the_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.toml");
    let path = file.to_str().expect("it is text");
    for (program, _) in programs() {
        for (text, parts) in [
            (
                "hartbeat = \"5s\"\nnme = 3",
                &["a.toml:1:1", "hartbeat"][..],
            ),
            ("\nplain = 3", &["a.toml:2:9", "plain = true"]),
            (
                "plain = true\ncert = \"c\"\nkey = \"k\"\n\u{1b} = 3",
                &["a.toml:4:1"],
            ),
        ] {
            fs::write(&file, text).expect("it can be written");
            let ended = with(&program, &["--config", path]);
            ended
                .expect_code(2)
                .expect_stdout("")
                .expect_one_line(parts);
        }
        fs::write(&file, "plain = true").expect("it can be written");
        crate::support::set_mode(&file, 0o666);
        let ended = with(&program, &["--config", path]);
        ended
            .expect_code(2)
            .expect_one_line(&["mode 0666", "chmod"]);
        fs::remove_file(&file).expect("it is there");
        let ended = with(&program, &["--config", path]);
        ended
            .expect_code(2)
            .expect_one_line(&["a.toml cannot be read"]);
    }
}
