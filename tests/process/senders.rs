//! What a policy lets which sender run: the server says what the sender is, and the machine decides
//! with that. And what a program is told of its sender.

use crate::executing::{Boss, Folder, PATIENCE, Program, Relay, Worker, client_command};
use crate::support::Server;
use crate::support::auth::{Auth, ROLES, token};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

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

/// The commands of the senders, as single letters.
const COMMANDS: [&str; 2] = ["a", "b"];

/// A machine: the tier of its role, and for each command of its policy what it asks of a sender.
#[derive(Clone, Debug)]
struct Machine {
    tier: u64,
    takes: [Option<Asks>; 2],
}

#[derive(Clone, Debug)]
enum Asks {
    Nothing,
    Tier(u64),
    Role(usize),
    Identity(usize),
}

/// A sender: the tier of its role, and whether that covers each command on each machine.
#[derive(Clone, Debug)]
struct Sender {
    tier: u64,
    covers: [[bool; 2]; 3],
}

fn machines() -> impl Strategy<Value = [Machine; 3]> {
    let asks = prop_oneof![
        Just(Asks::Nothing),
        (0..10u64).prop_map(Asks::Tier),
        (0..2usize).prop_map(Asks::Role),
        (0..2usize).prop_map(Asks::Identity),
    ];
    let takes = prop::array::uniform2(prop::option::weighted(0.8, asks));
    let machine = (prop::sample::select(vec![2, 5, 7, 9]), takes);
    prop::array::uniform3(machine.prop_map(|(tier, takes)| Machine { tier, takes }))
}

fn senders() -> impl Strategy<Value = [Sender; 2]> {
    let covers = prop::array::uniform3(prop::array::uniform2(prop::bool::weighted(0.7)));
    let sender = (prop::sample::select(vec![0, 3, 5]), covers);
    prop::array::uniform2(sender.prop_map(|(tier, covers)| Sender { tier, covers }))
}

impl Machine {
    fn policy(&self) -> String {
        // A policy has at least one command.
        let mut text = String::from("[commands.other]\nrun = [\"/bin/true\"]\n");
        for (name, asks) in COMMANDS.iter().zip(&self.takes) {
            let from = match asks {
                None => continue,
                Some(Asks::Nothing) => String::new(),
                Some(Asks::Tier(tier)) => format!("from = {{ tier = {tier} }}\n"),
                Some(Asks::Role(of)) => format!("from = {{ roles = [\"r{of}\"] }}\n"),
                Some(Asks::Identity(of)) => format!("from = {{ identities = [\"s{of}\"] }}\n"),
            };
            let _ = writeln!(text, "[commands.{name}]\nrun = [\"/bin/true\"]\n{from}");
        }
        text
    }

    /// What becomes of a command of a sender, which joins after all machines.
    fn outcome(&self, at: usize, command: usize, number: usize, sender: &Sender) -> &'static str {
        let takes = self.takes[command].as_ref().is_some_and(|asks| match asks {
            Asks::Nothing => true,
            Asks::Tier(tier) => sender.tier <= *tier,
            Asks::Role(of) | Asks::Identity(of) => *of == number,
        });
        match (self.tier <= sender.tier, sender.covers[at][command]) {
            (true, _) => "outranked",
            (false, false) => "forbidden",
            (false, true) if takes => "done",
            (false, true) => "refused",
        }
    }
}

/// An auth file of these.
fn rules(machines: &[Machine], senders: &[Sender]) -> Auth {
    let mut text = String::from("version = 1\n");
    for (at, machine) in machines.iter().enumerate() {
        let tier = machine.tier;
        let _ = writeln!(text, "[roles.m{at}]\ntier = {tier}\nmay = [\"execute\"]");
    }
    for (number, sender) in senders.iter().enumerate() {
        let lines = sender.covers.iter().enumerate().flat_map(|(at, covers)| {
            let covered = COMMANDS.iter().zip(covers).filter(|(_, covers)| **covers);
            covered.map(move |(name, _)| format!("{{ to = \"m{at}\", commands = [\"{name}\"] }}"))
        });
        let lines: Vec<String> = lines.collect();
        let (tier, allow) = (sender.tier, lines.join(", "));
        let _ = writeln!(
            text,
            "[roles.r{number}]\ntier = {tier}\nmay = [\"send\", \"list\"]\nallow = [{allow}]"
        );
    }
    let mut auth = Auth::new(&text);
    for at in 0..machines.len() {
        auth.add(
            &format!("m{at}"),
            &format!("m{at}"),
            &format!("names = [\"m{at}\"]"),
        );
    }
    for number in 0..senders.len() {
        auth.add(&format!("s{number}"), &format!("r{number}"), "");
    }
    auth
}

/// A machine's client, which executes by its policy.
fn machine(server: &Server, folder: &Folder, at: usize, machine: &Machine) -> Worker {
    let name = format!("m{at}");
    let policy = folder.file(&format!("{name}.toml"), &machine.policy(), 0o600);
    let token = folder.file(&format!("{name}.token"), &token(&name), 0o600);
    let mut command = client_command();
    let server = server.address().to_string();
    command.args(["work", "--name", &name, "--server", &server]);
    // Else it asks for the lowest.
    command.args(["--tier", &machine.tier.to_string()]);
    command.arg("--policy").arg(policy);
    command.arg("--token-file").arg(token);
    let worker = Program::start(&mut command);
    worker.stderr.wait_for("joined as", PATIENCE);
    Worker(worker)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 8,
        max_shrink_iters: 8,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// What runs is what rank, the server's rules and the machine's policy all allow.
    #[test]
    fn outcomes_are_what_rank_rules_and_policy_all_allow(
        machines in machines(), senders in senders(),
    ) {
        let auth = rules(&machines, &senders);
        let server = auth.server(9, &[]);
        let folder = Folder::new();
        let workers = machines.iter().enumerate();
        let _workers: Vec<Worker> =
            workers.map(|(at, one)| machine(&server, &folder, at, one)).collect();
        for (number, sender) in senders.iter().enumerate() {
            let mut raw = auth.join(&server, &format!("s{number}"), json!({"slots": 0}));
            for (command, word) in COMMANDS.iter().enumerate() {
                let id = raw.command("all", &[word]);
                let tally = raw.result_of(&id);
                let told: BTreeMap<String, Value> = (0..machines.len())
                    .map(|_| raw.notification("outcome"))
                    .map(|one| (one["name"].as_str().unwrap_or_default().to_owned(), one["status"].clone()))
                    .collect();
                let expected = machines.iter().enumerate();
                let expected: BTreeMap<String, Value> = expected
                    .map(|(at, one)| (format!("m{at}"), one.outcome(at, command, number, sender).into()))
                    .collect();
                prop_assert_eq!(told, expected, "{}", tally);
            }
            raw.leave();
        }
    }
}
