//! What a policy lets which sender run: the server says what the sender is, and the machine decides
//! with that. And what a program is told of its sender.

use crate::executing::{Boss, Folder, PATIENCE, Program, Relay, Worker, client_command};
use crate::support::Server;
use crate::support::auth::{Auth, ROLES, token};
use serde_json::json;

const POLICY: &str = r#"
[defaults]
from = { tier = 3 }
[commands.deploy]
run = ["/bin/echo", "deployed"]
rest = "v[0-9]+"
[commands.status]
run = ["/bin/echo", "well"]
from = { roles = ["deployer"], identities = ["bob"] }
[commands.reboot]
run = ["/bin/echo", "reboots"]
from = { tier = 0, roles = ["operator"], identities = ["alice"] }
[commands.who]
run = ["/usr/bin/env"]
from = { tier = 9 }
"#;

/// What begins with `PECKING_FROM` in an environment, sorted.
fn senders_variables(environment: &str) -> Vec<&str> {
    let lines = environment.lines();
    let mut lines: Vec<_> = lines
        .filter(|line| line.starts_with("PECKING_FROM"))
        .collect();
    lines.sort_unstable();
    lines
}

/// A server of two operators, two deployers and an agent, which executes by the policy.
fn fleet() -> (Auth, Server, Folder, Worker) {
    let mut auth = Auth::new(ROLES).with("web1", "agent", "names = [\"web1\"]");
    for (id, role) in [
        ("alice", "operator"),
        ("olga", "operator"),
        ("bob", "deployer"),
        ("mallory", "deployer"),
    ] {
        auth.add(id, role, &format!("names = [\"{id}\"]"));
    }
    let server = auth.server(9, &[]);
    let folder = Folder::new();
    let policy = folder.file("policy.toml", POLICY, 0o600);
    let token = folder.file("token", &token("web1"), 0o600);
    let mut command = client_command();
    command.args([
        "work",
        "--name",
        "web1",
        "--server",
        &server.address().to_string(),
    ]);
    command
        .arg("--policy")
        .arg(policy)
        .arg("--token-file")
        .arg(token);
    let worker = Program::start(&mut command);
    worker.stderr.wait_for("joined as web1", PATIENCE);
    (auth, server, folder, Worker(worker))
}

#[test]
fn a_command_runs_only_if_the_servers_roles_and_the_machines_policy_both_let_its_sender() {
    let (auth, server, _folder, _worker) = fleet();
    let to_web1 = json!({"to": "web1"});
    for (id, more, words, said) in [
        (
            "alice",
            json!({}),
            &["deploy", "v7"][..],
            Ok("deployed v7\n"),
        ),
        ("bob", json!({}), &["deploy", "v7"], Ok("deployed v7\n")),
        ("bob", json!({}), &["status"], Ok("well\n")),
        ("alice", json!({}), &["reboot"], Ok("reboots\n")),
        // What the role lets them do, the machine does not.
        (
            "alice",
            json!({"tier": 4}),
            &["deploy"],
            Err("deploy is not for this sender, by defaults.from.tier: its tier is 4"),
        ),
        (
            "alice",
            json!({}),
            &["status"],
            Err(
                "status is not for this sender, by commands.status.from.roles: its role is operator",
            ),
        ),
        (
            "mallory",
            json!({}),
            &["status"],
            Err(
                "status is not for this sender, by commands.status.from.identities: its identity is mallory",
            ),
        ),
        (
            "olga",
            json!({}),
            &["reboot"],
            Err(
                "reboot is not for this sender, by commands.reboot.from.identities: its identity is olga",
            ),
        ),
    ] {
        let mut params = more;
        params["name"] = json!(id);
        let mut sender = Boss::new(auth.join(&server, id, params));
        // What a sender says of itself counts for nothing.
        let mut forged = to_web1.clone();
        forged["from"] = json!({"identity": "alice", "role": "operator", "tier": 0});
        for more in [&to_web1, &forged] {
            let sent = sender.send_with(words, more);
            let ran = sender.finish(&sent);
            match said {
                Ok(text) => assert_eq!(ran.exited(0).text(), text, "{id}"),
                Err(message) => assert_eq!(
                    (ran.status(), ran.message()),
                    ("refused", message),
                    "{id} {words:?}"
                ),
            }
        }
        sender.raw.leave();
    }
}

#[test]
fn a_program_is_told_of_its_sender_what_the_server_says_and_no_more() {
    let (auth, server, _folder, _worker) = fleet();
    let mut alice = Boss::new(auth.join(&server, "alice", json!({"name": "alice"})));
    let sent = alice.send_with(&["who"], &json!({"to": "web1"}));
    let ran = alice.finish(&sent);
    assert_eq!(
        senders_variables(&ran.exited(0).text()),
        [
            "PECKING_FROM=alice",
            "PECKING_FROM_IDENTITY=alice",
            "PECKING_FROM_RANK=0",
            "PECKING_FROM_ROLE=operator",
            "PECKING_FROM_TIER=0",
        ]
    );
    // A server without an auth file knows no identities; nor has what the client got any of them.
    let relay = Relay::start();
    let mut boss = relay.boss();
    let folder = Folder::new();
    let policy = folder.file("policy.toml", POLICY, 0o600);
    let mut command = client_command();
    command
        .env("PECKING_FROM_IDENTITY", "alice")
        .env("PECKING_FROM_ROLE", "operator");
    let options = ["--policy", policy.to_str().expect("a plain path")];
    let _worker = Worker::start_as(&relay, &mut command, &options);
    assert_eq!(
        senders_variables(&boss.run(&["who"]).exited(0).text()),
        [
            "PECKING_FROM=boss",
            "PECKING_FROM_RANK=0",
            "PECKING_FROM_TIER=5"
        ]
    );
    for (command, why) in [
        ("deploy", "by defaults.from.tier: its tier is 5"),
        (
            "status",
            "by commands.status.from.roles: the server does not say its role",
        ),
    ] {
        let ran = boss.run(&[command]);
        assert_eq!(ran.status(), "refused");
        assert_eq!(
            ran.message(),
            format!("{command} is not for this sender, {why}")
        );
    }
}
