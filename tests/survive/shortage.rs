//! What happens if the system has no descriptors or no threads left: members are served, newcomers
//! are told or wait, and all is as before once there are some again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{
    PATIENCE, Raw, Server, Still, Vitals, dial, loosely, server_program, skipped, tunnel,
};
use serde_json::{Value, json};

/// The clients that dial in while there is no room for as many.
const DIALLED: usize = 200;

/// How long a shortage is watched.
const LOOKED_AT: Duration = Duration::from_secs(3);

/// How soon a newcomer is served once there is room again.
const RECOVERY: Duration = Duration::from_secs(1);

/// A server for many, as another command makes it.
fn start(wrapper: &[&str], program: &str) -> Server {
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]);
    command.args([program, "500", "--quiet", "--listen", "127.0.0.1:0"]);
    command.args(["--heartbeat", "10m", "--drain", "1s"]);
    tunnel::encrypt(&mut command);
    // So that what a test starts ends with it, in any way that a test ends.
    command.process_group(0);
    Server::spawn(&mut command)
}

/// Whether a program is there to limit another one with.
fn has(program: &str) -> bool {
    let has = Command::new(program).arg("--version").output().is_ok();
    if !has {
        skipped(&format!("there is no {program} here"));
    }
    has
}

/// During a shortage: members are served, it costs next to no time of a processor, and the log tells
/// of it about once a second, whichever clients come `meanwhile`.
#[track_caller]
fn expect_calm(
    server: &Server,
    vitals: Vitals,
    boss: &mut Raw,
    worker: &mut Raw,
    mut meanwhile: impl FnMut(),
) {
    let (began, cpu, lines) = (Instant::now(), vitals.cpu(), server.stderr_lines().len());
    while began.elapsed() < LOOKED_AT {
        let id = boss.command("worker", &["x"]);
        worker.serve(1);
        assert_eq!(boss.result_of(&id)["status"], "done");
        meanwhile();
        std::thread::sleep(Duration::from_millis(100));
    }
    let (spent, took) = (vitals.cpu() - cpu, began.elapsed());
    assert!(spent <= took / 10, "{spent:?} of {took:?}");
    let logged = server.stderr_lines();
    let complaints: Vec<&String> = logged[lines..]
        .iter()
        .filter(|line| line.contains(" WARN "))
        .collect();
    println!("{spent:?} of {took:?}, and {} lines", complaints.len());
    let seconds = took.as_secs() as usize;
    assert!(
        (1..=seconds + 1).contains(&complaints.len()),
        "in {took:?}: {complaints:#?}"
    );
}

#[test]
fn without_descriptors_members_are_served_and_newcomers_wait() {
    if !has("prlimit") {
        return;
    }
    let server = start(
        &["prlimit", "--nofile=64"],
        &server_program().to_string_lossy(),
    );
    let Some(vitals) = Vitals::of(server.pid()) else {
        return;
    };
    let mut boss = Raw::join(&server, "boss", 0);
    let mut worker = Raw::join(&server, "worker", 1);
    // They all want to join; fewer than 64 can.
    let join = r#"{"jsonrpc":"2.0","id":1,"method":"join","params":{"protocol":1}}"#;
    let dialled: Vec<TcpStream> = (0..DIALLED)
        .map(|_| {
            let mut stream = dial(server.address());
            stream
                .write_all(format!("{join}\n").as_bytes())
                .expect("it is taken");
            stream
        })
        .collect();
    server.wait_stderr("that it cannot accept", |line| {
        line.contains("cannot accept")
    });
    expect_calm(&server, vitals, &mut boss, &mut worker, || {});
    let total = boss.result("members", &json!({}))["total"].as_u64();
    assert!(
        total.is_some_and(|total| (30..64).contains(&total)),
        "{total:?}"
    );

    // A client that goes makes room, for those that have waited longest.
    let mut waiting = dialled.into_iter().enumerate();
    let gone: Vec<_> = waiting.by_ref().take(20).collect();
    drop(gone);
    let freed = Instant::now();
    let mut next = waiting.find(|(n, _)| *n + 2 >= total.unwrap_or(0) as usize);
    let (_, stream) = next.as_mut().expect("more dialled than could join");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("an open socket");
    let mut answer = String::new();
    BufReader::new(&*stream)
        .read_line(&mut answer)
        .expect("an answer");
    assert!(answer.contains("\"result\""), "{answer}");
    let took = freed.elapsed();
    assert!(
        took <= loosely(RECOVERY),
        "{took:?} until the next was served"
    );
}

/// A user of the system that runs nothing else, so that it has the threads of one test alone.
struct LoneUser {
    id: String,
    /// Where it finds the server's program.
    folder: tempfile::TempDir,
    others: Vec<Child>,
}

impl LoneUser {
    /// One for each number; none, and says why, if the test cannot become another user.
    fn new(number: u32) -> Option<LoneUser> {
        if !has("prlimit") || !has("setpriv") {
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            skipped("only root can be another user, which has a limit of its own");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::copy(server_program(), folder.path().join("server")).expect("it can be copied");
        crate::support::set_mode(folder.path(), 0o755);
        // Tests that run at the same time are other users, too.
        let id = 20_000 + std::process::id() % 10_000 * 4 + number;
        Some(LoneUser {
            id: id.to_string(),
            folder,
            others: Vec::new(),
        })
    }

    fn wrapper(&self) -> [&str; 6] {
        let id = self.id.as_str();
        ["setpriv", "--reuid", id, "--regid", id, "--clear-groups"]
    }

    /// Its server, with so many threads for all that this user runs.
    #[track_caller]
    fn start(&self, threads: usize) -> Server {
        let limit = format!("--nproc={threads}");
        let wrapper = [&self.wrapper()[..], &["prlimit", &limit]].concat();
        start(
            &wrapper,
            &self.folder.path().join("server").to_string_lossy(),
        )
    }

    /// Has it run so many other programs, which end when this test does, however that ends.
    #[track_caller]
    fn run_others(&mut self, count: usize) {
        let wrapper = self.wrapper().map(str::to_owned);
        for _ in 0..count {
            let other = Command::new(&wrapper[0])
                .args(&wrapper[1..])
                .arg("cat")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn();
            let mut other = other.expect("the program starts");
            let (stdin, stdout) = (other.stdin.as_mut(), other.stdout.as_mut());
            let (stdin, stdout) = (stdin.expect("piped"), stdout.expect("piped"));
            // Once it answers, it is this user's.
            stdin.write_all(b"?").expect("it reads");
            stdout.read_exact(&mut [0]).expect("it answers");
            self.others.push(other);
        }
    }

    /// Ends the others.
    fn end_others(&mut self) {
        for mut other in self.others.drain(..) {
            // It ends with its input.
            let _ = other.wait();
        }
    }
}

impl Drop for LoneUser {
    fn drop(&mut self) {
        self.end_others();
    }
}

/// Dials in to join: the client, the answer, and whether it joined.
#[track_caller]
fn try_join(server: &Server, name: &str) -> (Raw, Value, bool) {
    let mut client = Raw::connect(server);
    let join = json!({"jsonrpc": "2.0", "id": 1, "method": "join",
                      "params": {"protocol": 1, "name": name}});
    // It may be told before it says anything.
    let _ = client.try_send(format!("{join}\n").as_bytes());
    let answer = client.next("an answer");
    let has_joined = answer["result"].is_object();
    (client, answer, has_joined)
}

/// Checks that an answer says that there is no thread.
#[track_caller]
fn expect_no_thread(answer: &Value) {
    assert_eq!(answer["error"]["data"]["reason"], "internal", "{answer}");
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("thread"), "{answer}");
}

#[test]
fn without_threads_newcomers_are_told_so() {
    /// Threads that the server has, and others of its user meanwhile.
    const THREADS: usize = 30;
    const OTHERS: usize = 10;
    /// The clients that dial in at a time while that is watched.
    const MORE: usize = 5;
    let Some(mut user) = LoneUser::new(0) else {
        return;
    };
    user.run_others(OTHERS);
    let server = user.start(THREADS + OTHERS);
    let Some(vitals) = Vitals::of(server.pid()) else {
        return;
    };
    let descriptors = vitals.descriptors();
    let mut boss = Raw::join(&server, "boss", 0);
    let mut worker = Raw::join(&server, "worker", 1);
    let mut joined = Vec::new();
    // A refused client does not close its end.
    let mut refused = Vec::new();
    for n in 0..DIALLED {
        let (client, answer, has_joined) = try_join(&server, &format!("n{n}"));
        if has_joined {
            joined.push(client);
        } else {
            expect_no_thread(&answer);
            refused.push(client);
        }
    }
    assert!(
        joined.len() > 5 && joined.len() < THREADS,
        "{} joined",
        joined.len()
    );
    expect_calm(&server, vitals, &mut boss, &mut worker, || {
        for _ in 0..MORE {
            let (client, answer, _) = try_join(&server, "more");
            expect_no_thread(&answer);
            refused.push(client);
        }
    });
    let members = boss.result("members", &json!({}));
    let ranks: Vec<Value> = members["members"].as_array().expect("a list").clone();
    assert_eq!(ranks.len(), joined.len() + 2, "no place leaks");
    assert!(
        ranks
            .iter()
            .zip(0..)
            .all(|(member, rank)| member["rank"] == rank),
        "{members}"
    );

    // And there is room again as soon as a client goes.
    joined.pop().expect("one joined").leave();
    let deadline = Instant::now() + PATIENCE;
    while vitals.descriptors() > descriptors + 2 + joined.len() {
        assert!(Instant::now() < deadline, "a descriptor leaks");
        std::thread::sleep(Duration::from_millis(1));
    }
    // Its thread ends after its descriptor is closed, and until then there is none to be had.
    let freed = Instant::now();
    let late = loop {
        let (client, answer, has_joined) = try_join(&server, "late");
        if has_joined {
            break client;
        }
        expect_no_thread(&answer);
        assert!(freed.elapsed() <= loosely(RECOVERY), "a thread leaks");
        std::thread::sleep(Duration::from_millis(1));
    };
    joined.push(late);
    let (_, answer, _) = try_join(&server, "too late");
    expect_no_thread(&answer);

    // Or as soon as others leave their threads to it.
    user.end_others();
    let freed = Instant::now();
    let mut newcomers = 0;
    while newcomers < OTHERS {
        let (client, answer, has_joined) = try_join(&server, &format!("newcomer-{newcomers}"));
        if has_joined {
            newcomers += 1;
            joined.push(client);
        } else {
            expect_no_thread(&answer);
        }
        let took = freed.elapsed();
        assert!(
            took <= loosely(RECOVERY),
            "{newcomers} newcomers after {took:?}"
        );
    }
    let log = server.stderr_lines();
    assert!(log.iter().all(|line| !line.contains("panic")), "{log:?}");
}

#[test]
fn without_a_thread_to_catch_up_with_no_client_is_lost() {
    let Some(user) = LoneUser::new(1) else {
        return;
    };
    let server = user.start(20);
    let mut boss = Raw::join(&server, "boss", 0);
    let mut slow = Still::join(&server, "slow", 64);
    // Other clients take the threads that are left.
    let mut others = Vec::new();
    loop {
        let (client, _, has_joined) = try_join(&server, &format!("n{}", others.len()));
        if !has_joined {
            break;
        }
        others.push(client);
    }
    // More than a socket holds.
    const COMMANDS: usize = 16;
    let long = "x".repeat(900 << 10);
    let ids: Vec<Value> = (0..COMMANDS)
        .map(|_| boss.command("slow", &[&long]))
        .collect();
    boss.sync();
    server.wait_stderr("that there is no thread", |line| {
        line.contains("no thread to catch up")
    });
    for _ in 0..COMMANDS {
        let line = slow.read_line_quickly();
        let execute: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(execute["method"], "execute", "{execute}");
        slow.send(&json!({"jsonrpc": "2.0", "id": execute["id"], "result": {"exit_code": 0}}));
    }
    for id in ids {
        assert_eq!(boss.result_of(&id)["status"], "done");
    }
}
