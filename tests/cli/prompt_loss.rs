//! The prompt when the server goes and comes back: the line stays, and what was lost is said.

use crate::prompt::{Scene, expect_command};
use crate::support::programs::{Server, client};
use crate::support::proxy::Proxy;
use crate::support::terminal::PROMPT;
use rustix::process::Signal;

/// A server that holds no place: a client that loses it says so at once, not once the hold is over.
const HOLDS_NOTHING: &[&str] = &["10", "--hold", "0s"];

#[test]
fn a_server_that_goes_ends_the_line_and_leaves_a_sane_terminal() {
    for (signal, why) in [
        (Signal::KILL, "The server is gone: "),
        (Signal::TERM, "The server is gone: the server said bye: "),
    ] {
        let scene = Scene::new();
        let mut client = scene.leaver("a");
        client.keys("half a li");
        client.wait_prompt("half a li");
        scene.server.process.signal(signal);
        client.wait_for(&format!("{PROMPT}half a li\n{why}"));
        client.expect_end(255);
    }
}

#[test]
fn a_command_that_goes_with_the_server_is_said_to_be_lost() {
    let scene = Scene::new();
    let boss = scene.leaver("boss");
    let mut web1 = scene.server.raw("web1", 1);
    boss.line("print");
    web1.execute();
    scene.server.process.signal(Signal::KILL);
    boss.wait_for("print: lost: ");
    boss.wait_for("The server is gone: ");
}

#[test]
fn the_exit_code_says_that_a_command_was_lost_and_no_prompt_is_drawn_behind_the_last_line() {
    // Whether it goes wrong depends on which of two threads is quicker.
    for _ in 0..20 {
        let scene = Scene::new();
        let mut boss = scene.leaver("boss");
        let mut web1 = scene.server.raw("web1", 1);
        boss.line("print");
        web1.execute();
        boss.wait_prompt("");
        scene.server.process.signal(Signal::KILL);
        boss.wait_for("The server is gone: ");
        boss.expect_start_of_line();
        boss.expect_code(3);
    }
}

#[test]
fn the_line_being_typed_outlives_the_server() {
    let mut scene = Scene::with(HOLDS_NOTHING);
    let address = scene.server.address();
    let first = scene.server.raw("first", 0);
    let second = scene.server.raw("second", 0);
    let boss = scene.client("boss");
    boss.keys("half a li");
    boss.wait_prompt("half a li");
    scene.server.kill();
    drop((first, second));
    boss.wait_for("Connection lost: ");
    boss.wait_for("Trying again.\n");
    boss.wait_for(&format!("Not connected yet: no server at {address}"));
    boss.wait_prompt("half a li");
    boss.keys("ne");
    boss.wait_prompt("half a line");

    scene.server = Server::start_at(address, HOLDS_NOTHING);
    boss.wait_for("\nConnected again. You were rank 2; you are now rank 0.\n");
    boss.wait_prompt("half a line");
    let mut web1 = scene.server.raw("web1", 1);
    boss.keys("\r");
    expect_command(&mut web1, &["half", "a", "line"]);
    boss.wait_for("[web1, rank 1] done, exit code 0");
}

#[test]
fn a_client_that_comes_back_to_its_old_rank_is_told_so() {
    let mut scene = Scene::with(&["10", "--hold", "1s", "--heartbeat", "1s"]);
    let address = scene.server.address();
    let boss = scene.client("boss");
    boss.wait_prompt("");
    scene.server.kill();
    // Its place is held for a second, after what it takes to see that it is silent.
    boss.wait_for("Connection lost, holding rank 0 for ");
    boss.wait_for("Connection lost: ");
    scene.server = Server::start_at(address, HOLDS_NOTHING);
    boss.wait_for("\nConnected again. You are still rank 0.\n");
}

#[test]
fn a_client_that_loses_its_connection_comes_back_last() {
    let scene = Scene::new();
    let network = Proxy::to(scene.server.address());
    let dialled = network.address().to_string();
    let boss = scene.start(client(&["--server", &dialled, "--name", "boss"]));
    boss.wait_prompt("");
    let mut below = ["a", "b", "c"].map(|name| scene.server.raw(name, 1));
    boss.line("@a print");
    below[0].execute();
    boss.wait_prompt("");
    network.cut();
    boss.wait_for("print: lost: ");
    boss.wait_for("Connected again. You were rank 0; you are now rank 3.\n");
    boss.wait_prompt("");
    // What was lost is not sent again, and the rank is what it says.
    boss.line(":whoami");
    boss.wait_for("You are boss, member 5, rank 3 of 4.\n");
    let id = below[0].command("boss", &["print"]);
    assert_eq!(below[0].result_of(&id)["rank"], 3);
    let cancelled = below[0].notification("cancel");
    assert!(cancelled["id"].is_i64(), "{cancelled}");
    let shown = boss.shown();
    let order = ["print: lost: ", "Connection lost: ", "Connected again. "];
    let places = order.map(|part| shown.find(part));
    assert!(places.is_sorted(), "{shown}");
}

#[test]
fn a_connection_that_breaks_is_held_and_is_back_with_nothing_lost() {
    let scene = Scene::new();
    let network = Proxy::to(scene.server.address());
    let dialled = network.address().to_string();
    let boss = scene.start(client(&["--server", &dialled, "--name", "boss"]));
    boss.wait_prompt("");
    let mut web1 = scene.server.raw("web1", 1);
    boss.line("@web1 print");
    let execute = web1.execute();
    network.reset();
    boss.wait_for("Connection lost, holding rank 0 for ");
    boss.wait_for(", nothing lost.\n");
    web1.reply(&execute, &serde_json::json!({"exit_code": 0}));
    boss.wait_for("[web1, rank 1] done, exit code 0");
    boss.line(":whoami");
    boss.wait_for("You are boss, member 1, rank 0 of 2.\n");
}

#[test]
fn a_line_without_a_connection_is_answered() {
    let mut scene = Scene::with(HOLDS_NOTHING);
    let mut boss = scene.client("boss");
    scene.server.kill();
    boss.wait_for("Connection lost: ");
    for (line, answer) in [
        ("print 'it'", "print 'it': not sent: there is no connection"),
        (":ranks", "there is no connection to the server\n"),
        (
            ":whoami",
            "You were boss, rank 0; there is no connection now.\n",
        ),
        (
            ":jobs",
            "Nothing that you sent is open.\nNothing runs here.\n",
        ),
    ] {
        boss.line(line);
        boss.wait_for(answer);
    }
    boss.line("exit");
    boss.expect_end(0);
}

#[test]
fn a_client_that_is_not_let_in_again_is_told_why() {
    let mut scene = Scene::new();
    let token = scene.state.path().join("token");
    crate::support::write_secret(&token, "secret\n");
    let token = token.to_str().expect("a plain path");
    let mut boss = scene.client("boss");
    boss.keys("half a li");
    boss.wait_prompt("half a li");
    scene.server.replace(&["--token-file", token]);
    boss.wait_for("\nNot connected again: ");
    boss.wait_for("did not let this client in");
    boss.expect_end(255);
}

#[test]
fn a_signal_ends_the_tries_at_once() {
    let mut scene = Scene::with(HOLDS_NOTHING);
    let mut boss = scene.client("boss");
    scene.server.kill();
    boss.wait_for("Not connected yet: ");
    boss.signal(Signal::TERM);
    boss.expect_end(130);
}
