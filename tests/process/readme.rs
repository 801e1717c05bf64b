//! The README's examples of policies, word by word.

use crate::executing::{Folder, PATIENCE, Program, Relay, client_for};
use crate::policy::{run, text};

/// An example of the README: the indented lines from the one that this is up to one that is
/// not indented, without their margin.
pub(crate) fn example(first: &str) -> String {
    let readme = include_str!("../../README.md");
    let start = readme.find(&format!("    {first}\n")).expect(first);
    let lines = readme[start..].lines();
    let lines = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
    let line = |line: &str| format!("{}\n", line.trim_start());
    lines.map(line).collect()
}

#[test]
fn the_readmes_example_of_a_rule_works_word_by_word() {
    if !rustix::process::geteuid().is_root() {
        return crate::support::skipped("only root can have a program run as another user");
    }
    let folder = Folder::new();
    let whole = example("[defaults]");
    let (policy, tried) = whole.split_at(whole.find("\npecking ").expect("a command"));
    let policy = policy.replace("/usr/local/bin/deploy", "/bin/echo");
    let policy = policy.replace("user = \"deploy\"", "user = \"daemon\"");
    let path = folder.file("policy.toml", &policy, 0o600);
    let mut lines = tried.trim_start().lines();
    let words = lines.next().expect("a command").split_whitespace().skip(1);
    let path = path.to_str().expect("a plain path");
    let words = words.map(|word| match word.starts_with("/etc/") {
        true => path,
        false => word,
    });
    let ended = run(&words.collect::<Vec<_>>());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (found, shown) = (text(&ended), lines.collect::<Vec<_>>());
    let found: Vec<_> = found.lines().collect();
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(
        shown[0].replace("/usr/local/bin/deploy", "/bin/echo"),
        found[0]
    );
    assert!(shown[1].starts_with("# as deploy (uid ") && found[1].starts_with("# as daemon (uid "));
    assert_eq!(shown[2], found[2]);
}

#[test]
fn the_readmes_example_works_word_by_word() {
    let folder = Folder::new();
    let path = folder.word("policy.toml");
    let whole = example("# /etc/pecking-order/policy.toml");
    let (policy, commands) = whole.split_at(whole.find("\npecking ").expect("commands"));
    // Not every machine has these, or has them there.
    let policy = policy
        .replace("/usr/bin/uptime", "/bin/echo")
        .replace("/usr/bin/journalctl", "/bin/echo");
    folder.file("policy.toml", &policy, 0o600);
    let here = |line: &str| -> Vec<String> {
        let line = line.replace("/etc/pecking-order/policy.toml", &path);
        let words = line
            .split(" #")
            .next()
            .unwrap_or_default()
            .split_whitespace();
        words.skip(1).map(str::to_owned).collect()
    };
    let mut lines = commands.trim_start().lines();
    for shown in [
        "logs: /bin/echo -n 50 -u <[a-z][a-z0-9-]{0,31}> (timeout 30s)\nuptime: /bin/echo\n",
        "/bin/echo -n 50 -u nginx\n",
    ] {
        let words = here(lines.next().expect("a command"));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ended = run(&words);
        let is_shown = ended.code == Some(0) && text(&ended).starts_with(shown);
        assert!(is_shown, "{}{}", text(&ended), ended.stderr);
    }
    let by_hand = here(lines.next().expect("a command"));
    let unit = example("[Unit]").replace("\\\n", "");
    let service = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    // The relay here is not encrypted.
    let service = [
        "--cert /etc/pecking-order/%H.pem",
        "--key /etc/pecking-order/%H.key",
    ]
    .iter()
    .fold(
        service.expect("it starts something").to_owned(),
        |line, option| {
            assert!(line.contains(option), "{line}");
            line.replace(option, "")
        },
    );
    let service = here(&service.replace("%H", "web1"));
    for words in [by_hand, service] {
        let relay = Relay::start();
        let mut boss = relay.boss();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let worker = Program::start(&mut client_for(&relay, &words));
        worker.stderr.wait_for("joined as", PATIENCE);
        assert_eq!(boss.run(&["logs", "nginx"]).exited(0).text(), "50 -u nginx");
        assert_eq!(boss.run(&["reboot"]).status(), "refused");
    }
}
