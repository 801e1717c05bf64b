//! The client at a terminal: what a user sees while text arrives, and how the
//! terminal is left.

use std::num::NonZero;
use std::os::unix::fs::PermissionsExt;

use crate::support::Raw;
use crate::support::programs::Server;
use crate::support::terminal::Terminal;
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

pub(crate) const UP: &str = "\x1b[A";

pub(crate) const LEFT: &str = "\x1b[D";

pub(crate) const CTRL_C: &str = "\x03";

pub(crate) const CTRL_D: &str = "\x04";

/// A server, and a folder for the state of its users.
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) state: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(&["10"])
    }

    /// A server with these options.
    pub(crate) fn with(options: &[&str]) -> Self {
        Self {
            server: Server::start(options),
            state: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// A prompt at a terminal.
    #[track_caller]
    pub(crate) fn client(&self, name: &str) -> Terminal {
        self.client_with(&["--name", name])
    }

    /// A prompt at a terminal that does not reconnect.
    #[track_caller]
    pub(crate) fn leaver(&self, name: &str) -> Terminal {
        self.client_with(&["--name", name, "--no-reconnect"])
    }

    #[track_caller]
    pub(crate) fn client_with(&self, words: &[&str]) -> Terminal {
        self.start(self.server.client(words))
    }

    #[track_caller]
    pub(crate) fn start(&self, mut command: std::process::Command) -> Terminal {
        command.env("XDG_STATE_HOME", self.state.path());
        let terminal = Terminal::start(command);
        terminal.wait_prompt("");
        terminal
    }
}

/// The screen with one word in place of what something took.
pub(crate) fn without_times(shown: &str) -> String {
    let lines = shown.lines().map(|line| match line.rsplit_once(" (") {
        Some((before, time)) if time.ends_with("s)") => format!("{before} (TIME)"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Executes what comes next with exit code 0, and checks its words.
#[track_caller]
pub(crate) fn expect_command(executor: &mut Raw, words: &[&str]) {
    let execute = executor.execute();
    assert_eq!(execute.command, words);
    executor.reply(&execute, &json!({"exit_code": 0}));
}

#[test]
fn a_command_and_what_became_of_it() {
    let scene = Scene::new();
    let boss = scene.client("boss");
    let _web1 = scene.server.worker("web1");
    boss.line("print");
    boss.wait_for("watch me print\n");
    boss.wait_prompt("");
    let expected = include_str!("../transcripts/prompt-commanding.txt");
    assert_eq!(without_times(&boss.shown()), expected.trim_end());
}

#[test]
fn a_program_that_runs_at_a_prompt_has_no_terminal() {
    let scene = Scene::new();
    let mut boss = scene.server.raw("boss", 0);
    let words = ["--name", "web1", "--allow-any", "--allow-root"];
    let web1 = scene.client_with(&words);
    let script = "(printf 'STE%s' ERED >/dev/tty) 2>/dev/null && echo opened; \
                  set -- $(cat /proc/$$/stat); shift 6; echo terminal $1; ls /proc/self/fd";
    let id = boss.command("web1", &["/bin/sh", "-c", script]);
    let outcome = boss.result_of(&id);
    // The fourth is that of the folder itself.
    assert_eq!(outcome["stdout"], "terminal 0\n0\n1\n2\n3\n", "{outcome}");
    web1.wait_for("Command Executed.");
    assert!(!web1.shown().contains("STEERED"), "{}", web1.shown());
    web1.wait_prompt("");
}

#[test]
fn text_that_arrives_stays_above_the_line_that_is_typed() {
    let scene = Scene::new();
    let mut boss = scene.server.raw("boss", 0);
    let mut middle = scene.client("middle");
    let mut low = scene.server.raw("low", 1);
    middle.keys("pri");
    middle.wait_prompt("pri");
    let id = boss.command("middle", &["print"]);
    boss.result_of(&id);
    let expected = include_str!("../transcripts/prompt-executing.txt");
    middle.wait_shown(expected.trim_end());
    middle.wait_prompt("pri");

    // A rank that changes, and a refusal, arrive there as well.
    let id = low.command("all", &["no"]);
    low.answer(&id);
    middle.wait_for("\nCannot execute command from a lower ranked client.\n");
    boss.leave();
    middle.wait_for("\nMy new rank is 0\n");
    middle.wait_prompt("pri");

    middle.keys("nt");
    middle.wait_prompt("print");
    middle.keys("\r");
    expect_command(&mut low, &["print"]);
    middle.wait_for("[low, rank 1] done, exit code 0");
    middle.wait_prompt("");
    let shown = middle.shown();
    assert_eq!(shown.matches("Enter command: print").count(), 1, "{shown}");
    middle.keys(CTRL_D);
    middle.expect_end(0);
}

#[test]
fn a_line_stays_whole_however_much_arrives() {
    let scene = Scene::new();
    let mut boss = scene.server.raw("boss", 0);
    let middle = scene.client("middle");
    let mut low = scene.server.raw("low", 1);
    // More than a row of the terminal, with characters of several bytes.
    let words = "käse und brot, 12345678901234567890 und so weiter bis über das Ende der Zeile hinaus 'two words'";
    for (n, key) in words.char_indices() {
        middle.keys(&key.to_string());
        if n % 3 == 0 {
            boss.command("middle", &[&format!("w{n}")]);
        }
    }
    boss.sync();
    middle.wait_prompt(words);
    middle.keys("\r");
    let execute = low.execute();
    assert_eq!(execute.command.last().expect("words"), "two words");
    let sent = execute.command.join(" ");
    assert_eq!(sent, words.replace('\'', ""));
}

#[test]
fn the_cursor_stays_where_it_was_in_the_line() {
    let scene = Scene::new();
    let mut boss = scene.server.raw("boss", 0);
    let middle = scene.client("middle");
    let mut low = scene.server.raw("low", 1);
    middle.keys(&format!("prnt{LEFT}{LEFT}"));
    middle.wait_prompt_before("prnt", 2);
    let id = boss.command("middle", &["x"]);
    boss.result_of(&id);
    middle.wait_for("Command Executed.\n");
    middle.wait_prompt_before("prnt", 2);
    middle.keys("i");
    middle.wait_prompt_before("print", 2);
    middle.keys("\r");
    expect_command(&mut low, &["print"]);
}

#[test]
fn a_terminal_that_gets_narrower_keeps_the_session() {
    const NARROW: NonZero<u16> = NonZero::new(60).expect("more than none");
    const WIDE: NonZero<u16> = NonZero::new(120).expect("more than none");
    let scene = Scene::new();
    let boss = scene.client("boss");
    let mut low = scene.server.raw("low", 1);
    boss.keys("pri");
    boss.wait_prompt("pri");
    boss.resize(NARROW);
    boss.keys("nt");
    boss.wait_prompt("print");
    boss.keys("\r");
    expect_command(&mut low, &["print"]);
    boss.wait_for("[low, rank 1] done");
    boss.wait_prompt("");
    boss.resize(WIDE);
    boss.line("again");
    expect_command(&mut low, &["again"]);
}

#[test]
fn up_brings_back_what_was_typed_also_the_next_time() {
    let scene = Scene::new();
    let mut boss = scene.client("boss");
    let mut low = scene.server.raw("low", 1);
    boss.line("first one");
    expect_command(&mut low, &["first", "one"]);
    boss.line("second");
    expect_command(&mut low, &["second"]);
    boss.wait_prompt("");
    boss.keys(UP);
    boss.wait_prompt("second");
    boss.keys(UP);
    boss.wait_prompt("first one");
    boss.keys("!\r");
    expect_command(&mut low, &["first", "one!"]);
    boss.line("exit");
    boss.expect_end(0);

    let again = scene.client("boss");
    // It ranks below the executor now, so it only looks.
    again.keys(UP);
    again.wait_prompt("exit");
    again.keys(UP);
    again.wait_prompt("first one!");
}

#[test]
fn a_line_that_begins_with_a_space_runs_and_is_not_kept() {
    let scene = Scene::new();
    let boss = scene.client("boss");
    let mut low = scene.server.raw("low", 1);
    boss.line("first");
    expect_command(&mut low, &["first"]);
    boss.line(" secret");
    expect_command(&mut low, &["secret"]);
    // As a terminal pastes: each line counts by itself.
    boss.wait_prompt("");
    boss.keys("\x1b[200~pasted\n hidden\x1b[201~\r");
    boss.wait_for("Run these 2 lines? [y/N]");
    boss.keys("y\r");
    for word in ["pasted", "hidden"] {
        expect_command(&mut low, &[word]);
    }
    boss.wait_for("hidden command sent.\n");
    boss.wait_prompt("");
    boss.keys(UP);
    boss.wait_prompt("pasted");
    boss.keys(UP);
    boss.wait_prompt("first");
    let history = scene.state.path().join("pecking-order/history");
    let history = std::fs::read_to_string(history).expect("a history");
    assert!(history.ends_with("first\npasted\n"), "{history:?}");
}

#[test]
fn a_new_history_is_for_its_user_alone() {
    let scene = Scene::new();
    let state = scene.state.path().join("new/state");
    let mut command = scene.server.client(&["--name", "boss"]);
    command.env("XDG_STATE_HOME", &state);
    let boss = Terminal::start(command);
    boss.wait_prompt("");
    let mut low = scene.server.raw("low", 1);
    boss.line("first");
    expect_command(&mut low, &["first"]);
    let mode = |path: std::path::PathBuf| {
        let found = std::fs::metadata(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        found.permissions().mode() & 0o7777
    };
    assert_eq!(mode(scene.state.path().join("new")), 0o700);
    assert_eq!(mode(state.join("pecking-order")), 0o700);
    assert_eq!(mode(state.join("pecking-order/history")), 0o600);
}

#[test]
fn selectors_and_the_words_with_a_colon() {
    let scene = Scene::new();
    let boss = scene.client("boss");
    let mut web1 = scene.server.raw("web1", 1);
    let mut web2 = scene.server.raw("web2", 1);

    boss.line("@web2 'two words' x");
    expect_command(&mut web2, &["two words", "x"]);
    boss.wait_for("[web2, rank 2] done, exit code 0");

    boss.line(":to below");
    boss.wait_for("Plain lines go to below.\n");
    boss.line("both");
    expect_command(&mut web1, &["both"]);
    expect_command(&mut web2, &["both"]);
    boss.wait_for("both: 2 targets: 2 done\n");
    boss.line("@web1,nope,9 some");
    expect_command(&mut web1, &["some"]);
    boss.wait_for("[nope] absent: no client here has the name \"nope\"\n");
    boss.wait_for("[rank 9] absent: there is no rank 9; the lowest is 2\n");
    boss.wait_for("some: 3 targets: 1 done, 2 absent\n");
    boss.line(":to");
    boss.wait_for("Plain lines go to the server's default.\n");

    boss.line(":whoami");
    boss.wait_for("You are boss, member 1, rank 0 of 3.\n");

    boss.line(":ranks");
    boss.wait_for("RANK  TIER  NAME        ADDRESS");
    boss.wait_for("\n   0     5  boss (you)  127.0.0.1:");
    boss.wait_for("\n   2     5  web2        127.0.0.1:");

    boss.line(":jobs");
    boss.wait_for("Nothing that you sent is open.\nNothing runs here.\n");
    boss.line("slow job");
    let slow = web1.execute();
    boss.line(":jobs");
    boss.wait_for("Sent and still open (:cancel ID ends one):\n");
    let shown = boss.shown();
    let job = shown
        .lines()
        .find(|line| line.contains("  slow job, since"));
    let job = job.unwrap_or_else(|| panic!("the job is listed:\n{shown}"));
    let id = job.split_whitespace().next().expect("an id");
    boss.line(&format!(":cancel {id}"));
    assert_eq!(web1.notification("cancel"), json!({"id": slow.id}));
    web1.reply(&slow, &json!({"cancelled": true}));
    boss.wait_for("[web1, rank 1] cancelled");
    boss.line(&format!(":cancel {id}"));
    boss.wait_for(&format!("nothing that you sent has the ID {id};"));

    boss.line(":help");
    boss.wait_for("@SELECTOR WORDS…");
    boss.wait_prompt("");
}

#[test]
fn a_send_to_many_says_at_how_many_it_has_ended() {
    let scene = Scene::new();
    let boss = scene.client("boss");
    let mut workers = ["web1", "web2", "web3"].map(|name| scene.server.raw(name, 1));
    boss.line("@below all three");
    let executes = workers.each_mut().map(Raw::execute);
    // That it has three targets is known before what became of it at one of them.
    for (ended, n) in [(1, 0), (2, 2)] {
        workers[n].reply(&executes[n], &json!({"exit_code": n}));
        boss.wait_for(&format!("[web{}, rank {}] done", n + 1, n + 1));
        boss.line(":jobs");
        boss.wait_for(&format!(
            "  all three to below ({ended} of 3 ended), since "
        ));
    }
    workers[1].reply(&executes[1], &json!({"exit_code": 0}));
    // As everywhere, one that did not end with 0 has failed.
    boss.wait_for("all three: 3 targets: 2 done, 1 failed\n");
    boss.line(":jobs");
    boss.wait_for("Nothing that you sent is open.\n");
}

#[test]
fn output_comes_as_it_is_shown() {
    let scene = Scene::new();
    let boss = scene.client("boss");
    let mut web1 = scene.server.raw("web1", 1);
    boss.line("much");
    let execute = web1.execute();
    let window = execute.params["window"].as_u64().expect("a window");
    let line = "x".repeat(63) + "\n";
    let piece = line.repeat(256);
    let (mut written, mut consumed) = (0, 0);
    while written < 4 * window {
        web1.output(&execute, "stdout", &piece);
        written += piece.len() as u64;
        while written + piece.len() as u64 > consumed + window {
            let told = web1.notification("consumed")["bytes"].as_u64();
            consumed += told.expect("a number");
        }
    }
    web1.reply(&execute, &json!({"exit_code": 0}));
    boss.wait_for("[web1, rank 1] done, exit code 0 (");
    let shown = boss.shown();
    assert!(!shown.contains("cut") && shown.contains(&format!("web1: {line}")));
}

#[test]
fn a_wrong_line_is_named_and_nothing_is_sent() {
    let scene = Scene::new();
    let boss = scene.client("boss");
    let mut web1 = scene.server.raw("web1", 1);
    for (line, why) in [
        (
            ":nonsense",
            "there is no :nonsense; :help shows what there is\n",
        ),
        ("print \"open", "a quote is not closed"),
        ("@7-3 print", "the range \"7-3\" is reversed"),
        ("@web1", "there is no command after @web1"),
        (":to a/b", "\"a/b\" is neither"),
        (":cancel x", "such as :cancel 3, not \"x\"\n"),
        ("@web9 print", "print: no target: "),
    ] {
        boss.line(line);
        boss.wait_for(why);
    }
    boss.wait_prompt("");
    web1.expect_nothing("no line was right");
}

#[test]
fn the_lowest_client_is_told_why_no_client_executes() {
    let scene = Scene::new();
    let lowest = scene.client("lowest");
    lowest.line("print");
    lowest.wait_for(
        "print command sent.\n\
         print: no target: you rank lowest: no client is below you to execute it\n",
    );
}

#[test]
fn every_way_of_leaving_leaves_a_sane_terminal() {
    let scene = Scene::new();
    let mut last = scene.server.raw("last", 0);
    for (name, keys, code) in [("a", CTRL_D, 0), ("b", "exit\r", 0), ("c", ":quit\r", 0)] {
        let mut client = scene.client(name);
        client.keys(keys);
        client.expect_end(code);
        let id = last.request("members", &json!({}));
        assert_eq!(last.result_of(&id)["total"], 1, "{name} has left");
    }
    for signal in [Signal::TERM, Signal::HUP] {
        let mut client = scene.client("d");
        client.keys("half a li");
        client.wait_prompt("half a li");
        client.signal(signal);
        client.expect_end(130);
    }
}

#[test]
fn ctrl_d_in_a_line_does_not_leave() {
    let scene = Scene::new();
    let mut client = scene.client("a");
    client.keys("ab");
    client.wait_prompt("ab");
    client.keys(&format!("{LEFT}{CTRL_D}"));
    client.wait_prompt("a");
    client.keys(CTRL_C);
    client.wait_prompt("");
    client.keys(CTRL_D);
    client.expect_end(0);
}

#[test]
fn each_line_typed_ahead_is_a_line_of_its_own() {
    let scene = Scene::new();
    let boss = scene.client("boss");
    let mut web1 = scene.server.raw("web1", 1);
    boss.keys("one\rtwo\rthree\r");
    for word in ["one", "two", "three"] {
        expect_command(&mut web1, &[word]);
    }
}
