//! `pecking top` at a terminal: what it shows as it changes, what its keys do, and that the terminal
//! is as it was in the end.

use std::num::NonZero;

use crate::support::Raw;
use crate::support::auth::{Auth, ROLES, token};
use crate::support::held::Held;
use crate::support::programs::{Ended, Server};
use crate::support::terminal::Terminal;
use crate::support::{put_file, tunnel};
use rustix::process::Signal;
use serde_json::json;

const fn size(number: u16) -> NonZero<u16> {
    NonZero::new(number).expect("more than none")
}

fn start(server: &Server, words: &[&str]) -> Terminal {
    let mut command = server.client(&["top"]);
    command.env_remove("NO_COLOR").args(words);
    Terminal::start(command)
}

/// An executor of a tier.
fn join(server: &Server, name: &str, tier: u64) -> Raw {
    server.raw_with(json!({
        "name": name, "slots": 1, "tier": tier, "rank_news": false, "tags": {"role": format!("{name}-role")}
    }))
}

#[test]
fn ranks_and_commands_change_while_one_looks() {
    let server = Server::start(&["20"]);
    let (mut boss, mut web) = (join(&server, "boss", 7), join(&server, "web", 8));
    let top = start(&server, &[]);
    top.wait_for("    0 boss ");
    top.wait_for("    1 web ");
    // It ranks below all that are here, and says which one it is.
    top.wait_for("(this top)");
    let high = join(&server, "high", 5);
    top.wait_for("    0 high ");
    top.wait_for("    2 web ");
    let id = boss.command("web", &["uptime", "\u{1b}[2J-p"]);
    let execute = web.execute();
    top.wait_for("runs ");
    top.wait_for("uptime \\x1b[2J-p");
    top.wait_for("1/1 ");
    web.reply(&execute, &json!({"exit_code": 3}));
    boss.result_of(&id);
    top.wait_for("exit code ");
    high.leave();
    top.wait_for("    0 boss ");
    top.wait_for("1 missing");
    top.wait_for("ago: on");
    let _back = join(&server, "high", 5);
    top.wait_without("missing");
}

#[test]
fn keys_sort_filter_and_show_details() {
    let server = Server::start(&["20"]);
    let _members = ["web", "app", "db"].map(|name| join(&server, name, 6));
    let top = start(&server, &[]);
    top.wait_for("    2 db ");
    let order = |names: [&str; 3]| {
        let rows = top.rows();
        let at = names.map(|name| {
            rows.iter()
                .position(|row| row.get(6..).is_some_and(|row| row.starts_with(name)))
        });
        at.is_sorted() && at.iter().all(Option::is_some)
    };
    assert!(order(["web", "app", "db"]), "by rank");
    top.keys("s");
    top.wait_for("sort: name");
    assert!(order(["app", "db", "web"]), "by name");
    top.keys("/B-RO");
    top.wait_for("filter: B-RO");
    top.wait_without(" app ");
    top.keys("\r");
    top.wait_for("filter: B-RO (Esc clears)");
    top.wait_for("web ");
    top.keys("\x1b");
    top.wait_for(" app ");
    top.keys("G");
    top.keys("\r");
    top.wait_for("address");
    top.wait_for("member    #");
    top.keys("?");
    top.wait_for("PgDn");
    top.keys("?c");
    top.wait_for("nothing to cancel");
}

#[test]
fn a_member_whose_connection_breaks_is_away_until_it_is_back() {
    // A reset through a tunnel is none.
    if tunnel::is_carrier() {
        return;
    }
    let server = Server::start(&["20"]);
    let mut web = Held::join(server.address(), "web", 1);
    let top = start(&server, &[]);
    top.wait_for("    0 web ");
    web.wait_for_ack();
    web.reset();
    top.wait_for("  1 away  ");
    top.wait_for(" away 1 s ");
    // One that begins to look now is told, too.
    let later = start(&server, &[]);
    later.wait_for("  1 away  ");
    web.come_back();
    for top in [&top, &later] {
        top.wait_without("away");
        top.wait_for("    0 web ");
    }
}

#[test]
fn machines_that_the_server_expects_are_missing_as_its_file_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("expected.toml");
    put_file(&file, "names = [\"web[1-2]\"]");
    let mut server = Server::start(&["20", "--expected", file.to_str().expect("UTF-8")]);
    let _web = join(&server, "web1", 5);
    let top = start(&server, &[]);
    top.wait_for("web2");
    put_file(&file, "names = [\"web1\", \"db\"]");
    top.wait_without("web2");
    top.wait_for("db");
    // The next server expects none.
    server.kill();
    top.wait_for("NOT CONNECTED");
    server = Server::start_at(server.address(), &["20"]);
    let _other = join(&server, "other", 5);
    top.wait_for(" other ");
    top.wait_without("db");
}

#[test]
fn a_detached_command_of_ones_own_is_cancelled_after_a_question() {
    let server = Server::start(&["20"]);
    let mut web = join(&server, "web", 6);
    let detach = |word: &str| {
        let words = ["run", "--detach", "--to", "web", "--", word];
        Ended::of(&mut server.client(&words)).expect_code(0);
    };
    detach("other");
    let other = web.execute();
    detach("wanted");
    // Those of tier 5 are not for a client of the lowest tier.
    let low = start(&server, &[]);
    let top = start(&server, &["--tier", "5"]);
    for top in [&low, &top] {
        top.wait_for("J jobs");
        top.keys("J");
        top.wait_for("c cancel");
        top.wait_for("YOUR DETACHED");
    }
    low.wait_for("none; without an auth file");
    top.wait_for("  wanted");
    top.keys("c");
    top.wait_for("cancel this job, y or n? wanted");
    top.keys("n");
    top.wait_for("not cancelled");
    top.keys("c");
    top.wait_for("y or n? wanted");
    top.keys("y");
    top.wait_for("cancelled: wanted");
    top.wait_for("cancelled  ");
    top.keys("c");
    top.wait_for("it has ended already");
    top.keys("jc");
    top.wait_for("y or n? other");
    top.keys("y");
    assert_eq!(web.notification("cancel"), json!({"id": other.id}));
}

#[test]
fn it_fits_into_small_terminals_and_follows_their_size() {
    let server = Server::start(&["20"]);
    let _members = ["web", "app", "db"].map(|name| join(&server, name, 6));
    let top = start(&server, &[]);
    top.wait_for("    2 db ");
    top.resize_to(size(5), size(20));
    top.wait_for("\n # NAME");
    top.wait_for("\n 0 web");
    let shown = top.shown();
    assert!(shown.lines().count() <= 5, "{shown}");
    assert!(
        shown.lines().all(|line| line.chars().count() <= 20),
        "{shown}"
    );
    top.keys("jj");
    top.wait_for("\n 2 db");
    top.keys("\t");
    top.wait_for("STATUS");
    top.resize_to(size(30), size(100));
    top.wait_for("commands/s ");
    top.wait_for("role=web-role");
}

#[test]
fn it_has_colours_unless_the_user_wants_none() {
    let server = Server::start(&["20"]);
    let mut boss = join(&server, "boss", 5);
    let _web = join(&server, "web", 6);
    boss.command("web", &["runs-on"]);
    for (words, no_color, has_colours) in [
        (&[][..], false, true),
        (&[], true, false),
        (&["--color", "always"], true, true),
        (&["--color", "never"], false, false),
    ] {
        let mut command = server.client(&["top"]);
        command.args(words).env_remove("NO_COLOR");
        if no_color {
            command.env("NO_COLOR", "1");
        }
        let top = Terminal::start(command);
        top.wait_for("    1 web ");
        top.wait_for("1/1 ");
        assert_eq!(
            top.has_colours(),
            has_colours,
            "{words:?}, NO_COLOR: {no_color}"
        );
    }
}

#[test]
fn the_terminal_is_as_it_was_in_the_end() {
    let mut server = Server::start(&["20"]);
    for (end, code) in [
        (End::Keys("q"), 0),
        (End::Keys("\x03"), 0),
        (End::Signal(Signal::TERM), 130),
        (End::Signal(Signal::HUP), 130),
        (End::Server, 255),
    ] {
        let mut top = start(&server, &["--no-reconnect"]);
        top.wait_for("(this top)");
        match end {
            End::Keys(keys) => top.keys(keys),
            End::Signal(signal) => top.signal(signal),
            End::Server => server.kill(),
        }
        top.expect_end(code);
        let is_said = top.shown().contains("the server is gone");
        assert_eq!(is_said, matches!(end, End::Server), "{}", top.shown());
    }
}

/// What ends it.
enum End {
    Keys(&'static str),
    Signal(Signal),
    Server,
}

#[test]
fn it_joins_again_and_says_what_it_waits_for() {
    let mut server = Server::start(&["20"]);
    let _before = join(&server, "before", 6);
    let top = start(&server, &[]);
    top.wait_for("    0 before ");
    server.kill();
    top.wait_for("NOT CONNECTED");
    top.wait_for("not connected yet: ");
    server = Server::start_at(server.address(), &["20"]);
    let _after = join(&server, "after", 6);
    top.wait_for(" after ");
    top.wait_without(" before ");
    top.wait_without("NOT CONNECTED");
}

#[test]
fn without_a_terminal_it_names_what_would_be_right() {
    let server = Server::start(&["20"]);
    let output = server.client(&["top"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("`pecking members`"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn without_the_right_to_list_it_says_so() {
    let auth = Auth::new(ROLES).with("dora", "deployer", "");
    let path = auth.path();
    let server = Server::start(&["20", "--auth", path.to_str().expect("UTF-8")]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    crate::support::write_secret(&file, token("dora"));
    let file = file.to_str().expect("UTF-8");
    let mut top = start(&server, &["--token-file", file]);
    top.expect_end(5);
    let shown = top.shown();
    assert!(shown.contains("list"), "{shown}");
}
