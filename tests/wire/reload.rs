//! The auth file changes while the server runs.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::auth::{Auth, ROLES, token};
use crate::support::{Raw, Server, ranking, set_mode};
use serde_json::json;

/// How soon a revoked client is gone.
const SOON: Duration = Duration::from_secs(3);

fn auth() -> Auth {
    Auth::new(ROLES)
        .with("alice", "operator", "")
        .with("bob", "deployer", "")
        .with("web1", "agent", "names = [\"web1\"]")
        .with("web2", "agent", "names = [\"web2\"]")
}

/// Waits until the server has read the file as often as that.
fn wait_reloads(server: &Server, count: usize) {
    let seen = std::cell::Cell::new(0);
    server.wait_stderr("the auth file to be read again", |line| {
        seen.set(seen.get() + usize::from(line.contains("the auth file ")));
        seen.get() >= count
    });
}

/// Reads until a `bye`, within a time; its reason.
fn bye_within(client: &mut Raw, within: Duration) -> String {
    let bye = client.wait_within(within, "a bye", |message| message["method"] == "bye");
    bye["params"]["reason"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_revoked_client_is_gone_soon_and_no_other_one_notices() {
    let auth = auth();
    let server = auth.server(9, &[]);
    let mut alice = auth.join(&server, "alice", json!({}));
    let mut bob = auth.join(&server, "bob", json!({}));
    let mut web1 = auth.join(&server, "web1", json!({"name": "web1"}));
    let mut web2 = auth.join(&server, "web2", json!({"name": "web2"}));
    let kept = alice.command("web2", &["kept"]);
    let at_web1 = alice.command("web1", &["lost"]);
    let (kept_execute, _lost) = (web2.execute(), web1.execute());
    let at_bob_s = bob.command("web2", &["deploy"]);
    // It waits behind the other one by the time that this is answered.
    let ping = bob.request("ping", &json!({}));
    bob.answer(&ping);

    auth.without("bob");
    let began = Instant::now();
    assert_eq!(bye_within(&mut bob, SOON), "revoked");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(bob.answer(&at_bob_s)["result"]["status"], "cancelled");
    bob.wait_end("the end after bye");
    // Its name is free, its credential proves nothing any more.
    assert_eq!(ranking(&mut alice), ["client-1", "web1", "web2"]);
    let mut again = Raw::connect(&server);
    let error = again.error("join", &json!({"protocol": 1, "token": token("bob")}));
    assert_eq!(error["code"], 2);

    let mut text = auth.text().to_owned();
    text = text.replace("id = \"web1\"", "id = \"web9\"");
    auth.replace(&text);
    assert_eq!(bye_within(&mut web1, SOON), "revoked");
    assert_eq!(alice.result_of(&at_web1)["status"], "lost");

    // The others have their connections, their ranks and what they run.
    web2.reply(&kept_execute, &json!({"exit_code": 0}));
    assert_eq!(alice.result_of(&kept)["status"], "done");
    assert_eq!(ranking(&mut alice), ["client-1", "web2"]);
}

#[test]
fn fewer_rights_end_a_client_and_more_do_not() {
    let rows = [
        ("a right less", "may = [\"send\"]", "may = []", true),
        (
            "a right more",
            "may = [\"send\"]",
            "may = [\"send\", \"list\"]",
            false,
        ),
        ("a lower tier", "tier = 3", "tier = 4", true),
        ("a higher tier", "tier = 3", "tier = 1", false),
        (
            "another role",
            "id = \"bob\"\nrole = \"deployer\"",
            "id = \"bob\"\nrole = \"viewer\"",
            true,
        ),
        ("another identity", "id = \"bob\"", "id = \"bert\"", true),
        (
            "another address",
            "names = [\"bob\"]",
            "names = [\"bob\"]\nfrom = [\"10.0.0.0/8\"]",
            true,
        ),
        (
            "another name",
            "names = [\"bob\"]",
            "names = [\"bert\"]",
            true,
        ),
        (
            "no client any more",
            "names = [\"bob\"]",
            "names = [\"bob\"]\nconnections = 0",
            true,
        ),
        (
            "more names",
            "names = [\"bob\"]",
            "names = [\"bob\", \"bert\"]",
            false,
        ),
        ("less to command", "\"deploy\", ", "", false),
        (
            "no more than one",
            "names = [\"bob\"]",
            "names = [\"bob\"]\nconnections = 1",
            false,
        ),
        (
            "expired",
            "names = [\"bob\"]",
            "names = [\"bob\"]\nexpires = 2001-01-01T00:00:00Z",
            true,
        ),
    ];
    // Each waits for its server to look at the file again.
    std::thread::scope(|scope| {
        for (what, from, to, ends) in rows {
            scope.spawn(move || expect_end_by_change(what, from, to, ends));
        }
    });
}

/// Changes one part of the file of a deployer that is here, which ends it or does not.
fn expect_end_by_change(what: &str, from: &str, to: &str, ends: bool) {
    let auth = auth();
    let text = auth.text().replace(
        "id = \"bob\"\nrole = \"deployer\"\n",
        "id = \"bob\"\nrole = \"deployer\"\nnames = [\"bob\"]\n",
    );
    auth.replace(&text);
    let server = auth.server(9, &[]);
    let mut bob = auth.join(&server, "bob", json!({"name": "bob"}));
    assert!(text.contains(from), "{what}");
    // The roles of the deployer alone have these lines.
    let (head, tail) = text.split_once("[roles.deployer]").expect("a role");
    auth.replace(&format!(
        "{head}[roles.deployer]{}",
        tail.replacen(from, to, 1)
    ));
    wait_reloads(&server, 1);
    if ends {
        let reason = if what == "expired" {
            "expired"
        } else {
            "revoked"
        };
        assert_eq!(bye_within(&mut bob, SOON), reason, "{what}");
    } else {
        bob.expect_nothing(what);
    }
}

#[test]
fn what_allow_covers_counts_from_the_next_send_and_a_tier_from_the_next_join() {
    let auth = auth();
    let server = auth.server(9, &[]);
    let mut bob = auth.join(&server, "bob", json!({}));
    let mut web1 = auth.join(&server, "web1", json!({"name": "web1"}));
    assert_eq!(
        bob.error("send", &json!({"to": "web1", "command": ["rm"]}))["code"],
        11
    );
    let text = auth
        .text()
        .replace("commands = [\"deploy\", \"status\"]", "commands = [\"rm\"]");
    auth.replace(&text.replace("tier = 3", "tier = 1"));
    wait_reloads(&server, 1);
    assert_eq!(
        bob.error("send", &json!({"to": "web1", "command": ["deploy"]}))["code"],
        11
    );
    bob.command("web1", &["rm"]);
    assert_eq!(web1.execute().params["from"]["tier"], 3);
    assert_eq!(auth.join(&server, "bob", json!({})).joined["tier"], 1);
}

#[test]
fn a_wrong_file_changes_nothing_and_is_told() {
    let auth = auth();
    let server = auth.server(9, &[]);
    let mut alice = auth.join(&server, "alice", json!({}));
    for (count, (text, why)) in [
        ("version = 1\n[roles.x]\nmy = 1\n", "unknown field `my`"),
        ("version = 1\n[roles.", "auth.toml:2:"),
    ]
    .into_iter()
    .enumerate()
    {
        auth.replace(text);
        wait_reloads(&server, count + 1);
        server.wait_stderr(why, |line| {
            line.contains("stays as it was") && line.contains(why)
        });
    }
    std::fs::remove_file(auth.path()).expect("it is there");
    wait_reloads(&server, 3);
    let _web1 = auth.join(&server, "web1", json!({"name": "web1"}));
    alice.command("web1", &["x"]);
    alice.sync();
    auth.replace(auth.text());
    wait_reloads(&server, 4);
    assert_eq!(ranking(&mut alice), ["client-1", "web1"]);
}

#[test]
fn what_a_file_revokes_counts_once_the_file_can_be_read() {
    let auth = auth();
    let server = auth.server(9, &[]);
    let mut bob = auth.join(&server, "bob", json!({}));
    let path = auth.path();
    let folder = path.parent().expect("a folder");
    set_mode(folder, 0o770);
    auth.without("bob");
    server.wait_stderr("the folder", |line| {
        line.contains("stays as it was") && line.contains("0770")
    });
    bob.sync();
    // The file itself stays as it is.
    set_mode(folder, 0o700);
    assert_eq!(bye_within(&mut bob, SOON), "revoked");
}

/// The time by the clock on the wall, which the end of a credential is held against.
#[allow(clippy::disallowed_methods)]
fn since_1970() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970")
}

#[test]
fn a_client_ends_with_the_time_of_its_credential() {
    let end = since_1970() + Duration::from_secs(3);
    let seconds = end.as_secs();
    let date = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds));
    let auth = auth().with("short", "agent", &format!("expires = {date}"));
    let server = auth.server(9, &[]);
    let mut alice = auth.join(&server, "alice", json!({}));
    let mut short = auth.join(&server, "short", json!({}));
    let open = alice.command("next", &["x"]);
    short.execute();
    assert_eq!(bye_within(&mut short, Duration::from_secs(6)), "expired");
    // The server's clock is not the wall's, which may be set right meanwhile: by 500 ppm, adjtimex(2).
    let ended = since_1970() + Duration::from_millis(10);
    assert!(
        ended >= Duration::from_secs(seconds) && ended < Duration::from_secs(seconds + 2),
        "{ended:?}"
    );
    assert_eq!(alice.result_of(&open)["status"], "lost");
    let error =
        Raw::connect(&server).error("join", &json!({"protocol": 1, "token": token("short")}));
    assert_eq!(error["code"], 2, "{error}");
}

#[test]
fn a_revoked_client_that_reads_nothing_and_goes_on_writing_is_gone_for_all_others() {
    let auth = auth();
    let server = auth.server(9, &[]);
    let mut alice = auth.join(&server, "alice", json!({}));
    let bob = auth.join(&server, "bob", json!({}));
    let mut web1 = auth.join(&server, "web1", json!({"name": "web1"}));
    auth.without("bob");
    wait_reloads(&server, 1);
    let line = json!({"jsonrpc": "2.0", "id": 1, "method": "send", "params": {"to": "web1", "command": ["deploy"]}});
    let _ = bob.try_send(format!("{line}\n").as_bytes());
    assert_eq!(ranking(&mut alice), ["client-1", "web1"]);
    alice.command("web1", &["x"]);
    assert_eq!(
        web1.execute().command,
        ["x"],
        "what bob has sent is looked at no more"
    );
}
