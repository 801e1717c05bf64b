//! A fleet as a new operator makes it: by the lines that `init`, `tls issue` and the README print, run
//! as they are; and what is said of wrong ones.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::programs::{Ended, Process, client, server};
use crate::support::{PATIENCE, skipped};

/// What agents may run: one command that ends, and one that goes on.
const POLICY: &str = r#"
[commands.uptime]
run = ["/usr/bin/env", "true"]
[commands.deploy]
run = ["/bin/echo", "deployed"]
[commands.serve]
run = ["/bin/sh", "-c", "echo started; exec sleep 600"]
"#;

/// A folder for that of `init`, and what is run in it.
struct Fleet {
    around: TempDir,
    /// The port in place of the one that was printed.
    port: u16,
}

impl Fleet {
    fn new() -> Fleet {
        let around = tempfile::tempdir().expect("a folder");
        Fleet { around, port: 0 }
    }

    /// A path in the folder that `init` makes.
    fn path(&self, name: &str) -> String {
        let path = self.around.path().join("relay").join(name);
        path.to_string_lossy().into_owned()
    }

    /// One of the programs with the words of a line: the server beside its folder, and clients in
    /// it, where their tokens and keys are.
    fn command(&self, line: &str) -> Command {
        let line = line.replace(":5555#", &format!(":{}#", self.port));
        let words = shlex::split(&line).expect("a line for a shell");
        let (program, words) = words.split_first().expect("a program");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (mut command, folder) = match program.as_str() {
            "pecking-server" => (server(&words), self.around.path().to_owned()),
            "pecking" => (client(&words), self.path("").into()),
            other => panic!("{other} is none of the programs"),
        };
        command.current_dir::<PathBuf>(folder);
        command
    }

    /// Runs a line to its end, which is a good one; what it printed.
    #[track_caller]
    fn run(&self, line: &str) -> String {
        let ended = Ended::of(&mut self.command(line));
        ended.expect_code(0);
        ended.text().to_owned()
    }

    /// Starts the server by the line that is there for it, but for the port, and writes the policy.
    #[track_caller]
    fn serve(&mut self, line: &str) -> Process {
        std::fs::write(self.path("policy.toml"), POLICY).expect("a policy");
        assert!(line.contains("--listen 0.0.0.0:5555"), "{line}");
        let line = line.replace("0.0.0.0:5555", "0.0.0.0:0");
        let serving = Process::start(&mut self.command(&line));
        self.port = serving.stdout.wait("the port", |text| {
            let (line, _) = text.split_once('\n')?;
            line.strip_prefix("Listening on 0.0.0.0:")?.parse().ok()
        });
        serving
    }

    /// Starts a line that joins, once the server knows the credential that was just added.
    #[track_caller]
    fn join(&self, line: &str) -> Process {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut agent = Process::start(&mut self.command(line));
            let joined = agent.stderr.wait("an answer", |text| match text {
                _ if text.contains("joined as web") => Some(true),
                _ => text
                    .contains("no credential of this server")
                    .then_some(false),
            });
            if joined {
                return agent;
            }
            agent.reap();
            assert!(
                Instant::now() < deadline,
                "{line}: the server does not know it"
            );
        }
    }
}

/// The printed line that begins so and has this in it.
#[track_caller]
fn line<'a>(printed: &'a str, begin: &str, part: &str) -> &'a str {
    let mut lines = printed.lines().filter_map(|line| line.strip_prefix("    "));
    let found = lines.find(|line| line.starts_with(begin) && line.contains(part));
    found.unwrap_or_else(|| panic!("no line {begin} … {part} in {printed}"))
}

#[test]
fn the_lines_that_init_prints_give_a_fleet() {
    let mut fleet = Fleet::new();
    let printed = &fleet.run("pecking-server init relay --name localhost,127.0.0.1");
    let serving = fleet.serve(line(printed, "pecking-server 500", "--dir"));
    let by_token = line(printed, "pecking work", "agent.token");
    let web1 = fleet.join(by_token);
    let issued = fleet.run(line(printed, "pecking-server tls issue", "web2"));
    fleet.run(line(&issued, "pecking-server auth add", "pecking:web2"));
    let web2 = fleet.join(line(
        &issued,
        "pecking work",
        "--cert web2.pem --key web2.key",
    ));

    let members = line(printed, "pecking --server", "operator.token members");
    let shown = fleet.run(members);
    assert!(shown.contains("web1") && shown.contains("web2"), "{shown}");
    let run = members.replace(" members", " run --to below -- deploy");
    let deployed = fleet.run(&run);
    for name in ["web1", "web2"] {
        assert!(
            deployed.contains(&format!("{name}: deployed")),
            "{deployed}"
        );
    }
    // A name that has a certificate belongs to nothing else.
    let impostor = by_token.replace("web1", "web2");
    let refused = Ended::of(&mut fleet.command(&impostor));
    let why = "\"web2\" is not one that the credential \"agent\" gives";
    refused.expect_code(255);
    assert!(refused.stderr.contains(why), "{}", refused.stderr);

    fleet.run(line(printed, "pecking-server auth revoke", "agent"));
    web1.end().expect_code(5);
    assert_eq!(fleet.run(&run), "deployed\n", "the other one stays");
    serving.signal(Signal::TERM);
    serving.end().expect_code(0);
    web2.signal(Signal::TERM);
    web2.end().expect_code(0);

    // What was put on record holds together, and what was noted of it is found again.
    let verified = fleet.run("pecking-server audit verify relay/audit.log");
    let noted = verified.trim_end().rsplit_once(' ').expect("a hash").1;
    let verify = "pecking-server audit verify relay/audit.log --expect";
    let again = fleet.run(&format!("{verify} {noted}"));
    assert!(again.contains("records that follow it: 0\n"), "{again}");
    let other = format!("{verify} {}", "0".repeat(64));
    let missing = Ended::of(&mut fleet.command(&other));
    missing.expect_code(1);
    assert!(
        missing.stderr.contains("none of them has the SHA-256 000"),
        "{}",
        missing.stderr
    );
}

/// A section of the README: the lines that are to be typed, and what is to be put into a file.
fn section<'a>(readme: &'a str, title: &str) -> (Vec<&'a str>, &'a str) {
    let (_, section) = readme.split_once(&format!("\n## {title}\n")).expect(title);
    let (section, _) = section.split_once("\n## ").expect("a section behind it");
    let lines = section.lines().filter_map(|line| line.strip_prefix("    "));
    let (_, file) = section.split_once("```toml\n").expect("a file in TOML");
    let (file, _) = file.split_once("```").expect("its end");
    (lines.collect(), file)
}

#[test]
fn the_two_minutes_of_the_readme_give_a_fleet_from_which_one_agent_is_revoked() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README");
    let (lines, role) = section(&readme, "Two minutes to a fleet");
    let mut fleet = Fleet::new();
    let (mut address, mut auth, mut operator) = (String::new(), String::new(), String::new());
    let (mut serving, mut agents, mut running) = (None, Vec::new(), None);
    let mut on_record = String::new();
    for line in lines {
        let line = line.replace("relay.example,10.0.0.5", "localhost");
        let line = line.replace("ADDRESS", &address);
        if line.contains("--role deployer") {
            // What is written at the end of the file, and stays there when it is changed.
            auth = fleet.path("auth.toml");
            let text = std::fs::read_to_string(&auth).expect("an auth file") + "\n" + role;
            std::fs::write(&auth, text).expect("an auth file");
        }
        let goes = line.contains("auth revoke") && line.ends_with(" web2");
        if goes {
            let sleeping = operator.replace("--to below -- uptime", "--to web2 -- serve");
            let sleeping = Process::start(&mut fleet.command(&sleeping));
            sleeping.stdout.wait_for("started");
            running = Some(sleeping);
        }
        match () {
            () if line.starts_with("pecking-server 500") => serving = Some(fleet.serve(&line)),
            () if line.starts_with("pecking work") => agents.push(fleet.join(&line)),
            () if line.starts_with("pecking --server") => {
                // Its credential was added a moment ago.
                let deadline = Instant::now() + PATIENCE;
                while Ended::of(&mut fleet.command(&line)).code() != Some(0) {
                    assert!(Instant::now() < deadline, "{line}");
                }
            }
            () => {
                let printed = fleet.run(&line);
                let word = printed
                    .split_whitespace()
                    .find(|word| word.starts_with("tls://"));
                if line.starts_with("pecking-server init") {
                    address = word.expect("the server's address").to_owned();
                }
                if goes {
                    // What it ran is lost, and it knows why it is not to come back.
                    running.take().expect("it runs").end().expect_code(3);
                    let gone = agents.pop().expect("the second machine").end();
                    gone.expect_code(5);
                    let why = "your credential is gone";
                    assert!(gone.stderr.contains(why), "{}", gone.stderr);
                }
                on_record = printed;
            }
        }
        if line.contains("alice.token run") {
            operator = line;
        }
    }
    assert!(
        std::fs::read_to_string(auth)
            .expect("a file")
            .contains(role)
    );
    for part in [
        "alice",
        "bob",
        "deploy",
        "web2 (member 2) lost",
        "revoked: its credential is gone",
        ", removed ",
    ] {
        assert!(on_record.contains(part), "{part}: {on_record}");
    }
    // A deployer runs nothing else, and nowhere else.
    let bob = operator.replace("alice.token", "bob.token");
    for run in ["--to web1 -- uptime", "--to db1 -- deploy"] {
        let bob = bob.replace("--to below -- uptime", run);
        Ended::of(&mut fleet.command(&bob)).expect_code(5);
    }
    serving.expect("it serves").signal(Signal::TERM);
    agents
        .pop()
        .expect("the first machine")
        .signal(Signal::TERM);
}

#[test]
fn the_port_that_clients_dial_is_kept_and_told_again() {
    let fleet = Fleet::new();
    let printed = fleet.run("pecking-server init relay --name relay.example --port 7000");
    for (begin, part) in [
        ("pecking-server 500", "--listen 0.0.0.0:7000 --dir"),
        ("ExecStart=", "--listen 0.0.0.0:7000 --dir"),
        ("pecking-server 500", "/relay/audit.log"),
        ("ExecStart=", "/relay/audit.log"),
        ("pecking-server auth revoke", "operator"),
    ] {
        line(&printed, begin, part);
    }
    let address = |text: &str| {
        let mut words = text.split_whitespace();
        words
            .find(|word| word.starts_with("tls://"))
            .map(str::to_owned)
    };
    let told = address(&printed).expect("an address");
    assert!(
        told.starts_with("tls://relay.example:7000#sha256:"),
        "{told}"
    );
    let issued = fleet.run("pecking-server tls issue relay web1");
    assert_eq!(address(&issued).as_ref(), Some(&told));
    let shown = fleet.run("pecking-server tls show relay");
    assert_eq!(address(&shown).as_ref(), Some(&told));
    let again = Ended::of(&mut fleet.command("pecking-server tls issue relay web1"));
    again
        .expect_code(2)
        .expect_one_line(&["exists already", "tls renew"]);
    // The address of an earlier authority is not told.
    let old = told.replace("sha256:", "sha256:0");
    std::fs::write(fleet.path("address"), old).expect("it can be written");
    let shown = fleet.run("pecking-server tls show relay");
    let usual = told.replace(":7000#", ":5555#");
    assert_eq!(address(&shown), Some(usual));
    if !rustix::process::geteuid().is_root() {
        return skipped("only root is told as which user to change files");
    }
    let folder = fleet.path("");
    for path in [Path::new(&folder), Path::new(&fleet.path("auth.toml"))] {
        std::os::unix::fs::chown(path, Some(1), Some(1)).expect("root may");
    }
    let refused = Ended::of(&mut fleet.command("pecking-server auth revoke relay/auth.toml agent"));
    refused
        .expect_code(2)
        .expect_one_line(&["belongs to uid 1", "sudo -u ", " pecking-server"]);
}

#[test]
fn a_renewed_certificate_is_the_servers_own_within_seconds() {
    let mut fleet = Fleet::new();
    let folder = fleet.path("");
    let init = ["init", &folder, "--name", "localhost"];
    Ended::of(&mut server(&init)).expect_code(0);
    let words = ["--dir", &folder, "--listen", "127.0.0.1:0"];
    let serving = Process::start(&mut server(&words));
    fleet.port = serving.stdout.wait("the port", |text| {
        text.split_once('\n')?.0.rsplit_once(':')?.1.parse().ok()
    });
    let shown = fleet.run(&format!(
        "pecking-server tls renew {folder} server --days 20"
    ));
    assert!(shown.contains("19 days left"), "{shown}");
    serving.stderr.wait_for("the certificate files changed");
    serving.stderr.wait_for("ends in 19 days");
    let pin = shown
        .lines()
        .find_map(|line| line.trim().strip_prefix("pin")?.trim().into());
    let members = format!(
        "pecking --server tls://localhost:5555#{} --token-file operator.token members",
        pin.expect("a pin")
    );
    fleet.run(&members);
}

#[test]
fn what_cannot_be_made_is_told_on_one_line_and_leaves_nothing() {
    let fleet = Fleet::new();
    let folder = fleet.path("");
    let init =
        |folder: &str, names: &str| Ended::of(&mut server(&["init", folder, "--name", names]));
    for names in ["", "relay.example:5555", "a b", "*.example"] {
        let ended = init(&folder, names);
        ended
            .expect_code(2)
            .expect_one_line(&["error: ", "is neither a host name nor"]);
        assert!(!Path::new(&folder).exists());
    }
    init("/proc/relay", "localhost")
        .expect_code(2)
        .expect_one_line(&["cannot write /proc/relay"]);
    init(&folder, "localhost").expect_code(0);
    init(&folder, "localhost")
        .expect_code(2)
        .expect_one_line(&["exists already"]);
    for (words, why) in [
        (
            &["issue", &folder, "server"][..],
            "is what files of the server are called",
        ),
        (&["issue", &folder, "all"], "\"all\" is not allowed"),
        (
            &["issue", &folder, "web1", "--days", "0"],
            "'0' for '--days",
        ),
        (
            &["issue", &folder, "web1", "--days", "-1"],
            "'-1' for '--days",
        ),
        (
            &["issue", &folder, "web1", "--days", "3651"],
            "expected 1 to 3649 days",
        ),
        (&["issue", "/", "web1"], "/ has no ca.pem"),
        (&["renew", &folder, "web1"], "web1.pem does not exist"),
        (&["show", "/nowhere"], "/nowhere"),
        (&["show", "/proc/self/fd"], "no file in it ends in .pem"),
    ] {
        let ended = Ended::of(server(&["tls"]).args(words));
        ended.expect_code(2).expect_one_line(&["error: ", why]);
    }
    assert_eq!(Path::new(&folder).read_dir().expect("a folder").count(), 8);
    // A folder without one of the files.
    std::fs::remove_file(fleet.path("server.key")).expect("a key");
    let ended = Ended::of(&mut server(&["--dir", &folder]));
    ended
        .expect_code(2)
        .expect_one_line(&["error: ", "server.key"]);
    if rustix::process::geteuid().is_root() {
        return skipped("root writes to every folder");
    }
    crate::support::set_mode(&folder, 0o500);
    let ended = Ended::of(&mut server(&["tls", "issue", &folder, "web1"]));
    ended
        .expect_code(2)
        .expect_one_line(&["cannot write", "web1.key"]);
}
