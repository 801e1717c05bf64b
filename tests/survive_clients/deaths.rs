//! What holds if something dies: clients in the middle of a command, and the server under all of
//! them. `tests/survive_clients.sh` runs the same for longer.

use crate::support::programs::{Process, Server};
use crate::support::{PATIENCE, Raw, loosely, tunnel};
use client::{
    Authorities, Client, ClientTls, Command, Config, ExecutionResult, Job, RequestError, SendEvent,
    SendHandle,
};
use fastrand::Rng;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A number from the environment, where a longer run says it.
pub(crate) fn from_environment(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| text.parse().expect("a number"))
}

/// The dice of a test; a failure shows how to throw them again.
fn dice() -> Rng {
    let seed = from_environment("SURVIVE_SEED", Rng::new().u64(..));
    eprintln!("the same again with SURVIVE_SEED={seed}");
    Rng::with_seed(seed)
}

/// Tells others to stop, after a failure too.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_target_that_is_killed_in_mid_command_is_lost_within_a_second() {
    const PROMISED: Duration = Duration::from_secs(1);
    let server = Server::start(&["10"]);
    let mut boss = server.raw("boss", 0);
    for n in 0..20 {
        let name = format!("web{n}");
        let mut command = server.client(&["work", "--allow-any", "--allow-root"]);
        let worker = Process::start(command.args(["--name", &name]));
        worker.stderr.wait_for("joined as");
        let id = boss.command(&name, &["/bin/sh", "-c", "echo on; exec sleep 1000"]);
        assert_eq!(boss.notification("output")["text"], "on\n");
        worker.signal(Signal::KILL);
        let killed = Instant::now();
        let outcome = boss.result_of(&id);
        let took = killed.elapsed();
        assert!(took <= loosely(PROMISED), "{took:?}");
        let what = (&outcome["status"], &outcome["started"]);
        assert_eq!(what, (&json!("lost"), &json!(true)), "{outcome}");
    }
}

/// How many clients execute while others of them are killed.
const EXECUTORS: usize = 8;

/// How many send to them.
const SENDERS: usize = 4;

/// Sends that each of these has open.
const OPEN: usize = 8;

/// What a command runs: it says what it is, and in which client it runs. Of a client's own
/// variables few are passed on; its process's number will not do, as the system gives it again.
const MARK: &str = "echo \"$1 $TZ\" >>\"$0\"";

/// A real client that executes, killed without a word when this is dropped.
struct Victim(Child);

impl Victim {
    fn start(server: &Server, n: u64) -> Victim {
        let name = format!("w{n}");
        let mut command = server.client(&["work", "--allow-any", "--allow-root", "--slots", "2"]);
        let named = command.args(["--name", &name]).env("TZ", &name);
        let quiet = named.stdin(Stdio::null());
        let child = quiet.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Victim(child.expect("the client's program starts"))
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Selectors of kind one, and of kind many.
const TO_ONE: [&str; 2] = ["next", "least-loaded"];
const TO_MANY: [&str; 2] = ["w*", "below"];

/// What a sender of bare lines has seen of one of its sends.
#[derive(Debug, Default)]
struct Seen {
    mark: u64,
    is_to_one: bool,
    targets: Option<u64>,
    /// Those that have had an outcome.
    ended: HashSet<u64>,
    /// Their names, with what it said.
    told: HashMap<String, Told>,
}

/// What an outcome says of whether its command ran at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Ran,
    MayHave,
    HasNot,
}

impl Told {
    #[track_caller]
    fn by(outcome: &Value) -> Told {
        match (outcome["status"].as_str(), outcome["started"].as_bool()) {
            (Some("done"), _) => Told::Ran,
            (Some("lost"), Some(true)) => Told::MayHave,
            (Some("lost"), Some(false)) | (Some("busy"), _) => Told::HasNot,
            _ => panic!("no sender asked for that: {outcome}"),
        }
    }
}

/// A sender of bare lines that checks the order of what it is told.
struct Sender<'a> {
    raw: Raw,
    open: HashMap<u64, Seen>,
    marks: &'a AtomicU64,
    log: &'a Path,
    /// What it was told of each send that has ended.
    ended: Vec<Seen>,
}

impl Sender<'_> {
    fn send(&mut self, to: &str) {
        let mark = self.marks.fetch_add(1, Ordering::Relaxed);
        let log = self.log.to_str().expect("a plain path");
        let words = ["/bin/sh", "-c", MARK, log, &mark.to_string()];
        let id = self.raw.command(to, &words);
        let seen = Seen {
            mark,
            is_to_one: TO_ONE.contains(&to),
            ..Seen::default()
        };
        self.open.insert(id.as_u64().expect("a number"), seen);
    }

    /// Takes the next message in.
    fn step(&mut self) {
        let message = self.raw.next(&format!("what becomes of {:?}", self.open));
        let params = &message["params"];
        let id = params["send"].as_u64().or_else(|| message["id"].as_u64());
        match message["method"].as_str() {
            Some("rank" | "output") => {}
            Some("accepted") => {
                let seen = self.open.get_mut(&id.expect("of a send")).expect("open");
                assert!(!seen.is_to_one, "{message}");
                assert!(seen.ended.is_empty(), "accepted comes first: {message}");
                let before = seen
                    .targets
                    .replace(params["targets"].as_u64().expect("so many"));
                assert_eq!(before, None, "{message}");
            }
            Some("outcome") => self.outcome(id.expect("of a send"), params),
            None => self.answer(id.expect("of a send"), &message),
            Some(_) => panic!("{message}"),
        }
    }

    fn outcome(&mut self, id: u64, outcome: &Value) {
        let seen = self.open.get_mut(&id).expect("an outcome of an open send");
        let member = outcome["member"].as_u64().expect("a number");
        assert!(seen.ended.insert(member), "a second one: {outcome}");
        let name = outcome["name"].as_str().expect("a name").to_owned();
        let before = seen.told.insert(name, Told::by(outcome));
        assert_eq!(before, None, "each has a name of its own: {outcome}");
    }

    fn answer(&mut self, id: u64, message: &Value) {
        if message["result"]["status"].is_string() {
            self.outcome(id, &message["result"]);
        }
        let seen = self.open.remove(&id).expect("an answer to an open send");
        match (message["result"].is_object(), seen.targets) {
            (true, targets) => {
                assert_ne!(targets.is_some(), seen.is_to_one, "{message}");
                let (ended, targets) = (seen.ended.len() as u64, targets.unwrap_or(1));
                assert_eq!(ended, targets, "one outcome for each target: {message}");
            }
            // All of them are dead at the moment.
            (false, targets) => {
                assert_eq!((&message["error"]["code"], targets), (&json!(7), None));
            }
        }
        self.ended.push(seen);
    }
}

/// Sends until it is told to stop, and then waits for the ends of all.
fn send_under_load<'a>(mut sender: Sender<'a>, stop: &AtomicBool, seed: u64) -> Sender<'a> {
    let mut dice = Rng::with_seed(seed);
    while !stop.load(Ordering::Relaxed) {
        while sender.open.len() < OPEN {
            let to = [TO_ONE, TO_MANY].concat();
            sender.send(to[dice.usize(..to.len())]);
        }
        sender.step();
    }
    while !sender.open.is_empty() {
        sender.step();
    }
    let rest = sender.raw.fence();
    let late = rest.iter().find(|message| message["method"] != "rank");
    assert_eq!(late, None, "nothing comes after the end");
    sender
}

/// Kills clients at random moments, each followed by another one.
fn kill_at_random(server: &Server, kills: u64, dice: &mut Rng) {
    /// Between two kills; a client that was just started is still joining then.
    const AT_MOST_MS: u64 = 30;
    let start = |n| Victim::start(server, n);
    let mut victims: Vec<Victim> = (0..EXECUTORS as u64).map(start).collect();
    server.process.stderr.wait_for("joined as w0");
    for n in 0..kills {
        std::thread::sleep(Duration::from_millis(dice.u64(..AT_MOST_MS)));
        // Killed by being replaced, so that as many are there as before.
        victims[dice.usize(..EXECUTORS)] = start(n + EXECUTORS as u64);
    }
}

#[test]
fn whichever_client_is_killed_nothing_runs_twice_and_every_send_has_its_outcomes() {
    let kills = from_environment("SURVIVE_KILLS", 250);
    let mut dice = dice();
    // A client that is killed with something unread before its watchdog has its socket looks like one
    // whose network broke, so what it was sent may be lost only after the hold.
    let server = Server::start(&["64", "--hold", "1s"]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (log, marks) = (folder.path().join("log"), AtomicU64::new(0));
    std::fs::write(&log, "").expect("the folder can be written");
    let senders: Vec<Sender<'_>> = (0..SENDERS)
        .map(|n| Sender {
            raw: server.raw(&format!("s{n}"), 0),
            open: HashMap::new(),
            marks: &marks,
            log: &log,
            ended: Vec::new(),
        })
        .collect();
    let stop = AtomicBool::new(false);
    let senders = std::thread::scope(|scope| {
        let seeds: Vec<u64> = senders.iter().map(|_| dice.u64(..)).collect();
        let stop = &stop;
        let sending: Vec<_> = senders
            .into_iter()
            .zip(seeds)
            .map(|(sender, seed)| scope.spawn(move || send_under_load(sender, stop, seed)))
            .collect();
        let stopping = StopAtEnd(stop);
        kill_at_random(&server, kills, &mut dice);
        drop(stopping);
        sending
            .into_iter()
            .map(|sending| sending.join().expect("its send had its outcomes"))
            .collect::<Vec<_>>()
    });
    check_log(&log, &senders);
}

/// Checks that every command was run by those only that its sender was told of as its targets,
/// at most once by each, and that what an outcome says of it is true.
fn check_log(log: &Path, senders: &[Sender<'_>]) {
    let text = std::fs::read_to_string(log).expect("the log");
    let mut ran: HashMap<u64, Vec<&str>> = HashMap::new();
    for line in text.lines() {
        let (mark, name) = line.split_once(' ').expect("a mark and a name");
        ran.entry(mark.parse().expect("a mark"))
            .or_default()
            .push(name);
    }
    let (mut lost, mut done) = (0, 0);
    for seen in senders.iter().flat_map(|sender| &sender.ended) {
        let by = ran.remove(&seen.mark).unwrap_or_default();
        // Each has an outcome, and so a name of its own among these: at most one where it was
        // for one, and never more than targets.
        let most = seen.told.len();
        assert!(by.len() <= most, "{by:?} ran {seen:?}");
        let names: HashSet<&str> = by.iter().copied().collect();
        assert_eq!(names.len(), by.len(), "{by:?} ran {seen:?}");
        for name in &names {
            let told = seen.told.get(*name);
            let may_have = matches!(told, Some(Told::Ran | Told::MayHave));
            assert!(may_have, "{name} ran {seen:?}");
        }
        for (name, told) in &seen.told {
            let is_true = *told != Told::Ran || names.contains(name.as_str());
            assert!(is_true, "{name} has not run {seen:?}");
            lost += usize::from(*told == Told::MayHave);
            done += usize::from(*told == Told::Ran);
        }
    }
    assert!(ran.is_empty(), "no client sent these: {ran:?}");
    let ended: usize = senders.iter().map(|sender| sender.ended.len()).sum();
    eprintln!("{ended} sends ended, {done} outcomes done, {lost} lost in mid-command");
    assert!(lost > 0 && done > 0, "under load, and in mid-command");
}

/// Clients of the library among those that lose their server.
const EMBEDDED: usize = 40;

/// Programs among them.
const PROGRAMS: usize = 10;

/// What all clients have seen of one run.
#[derive(Default)]
struct Witness {
    /// Which client executed which command.
    ran: Mutex<HashSet<(usize, String)>>,
    twice: Mutex<Vec<String>>,
    marks: AtomicU64,
    ended: AtomicUsize,
    lost: AtomicUsize,
    stop: AtomicBool,
}

/// A client that comes back, and notes what it executes.
fn embedded(server: &Server, n: usize, witness: &Arc<Witness>) -> Client {
    let tls = || ClientTls {
        authorities: Some(Authorities::File(tunnel::ca().into())),
        ..ClientTls::default()
    };
    let config = Config {
        server: server.address().to_string(),
        name: Some(format!("e{n}")),
        tls: tunnel::is_carrier().then(tls),
        reconnect: true,
        ..Config::default()
    };
    let witness = Arc::clone(witness);
    let note = move |job: &Job| {
        let is_new = locked(&witness.ran).insert((n, job.words()[1].clone()));
        if !is_new {
            locked(&witness.twice).push(format!("e{n}: {job:?}"));
        }
        ExecutionResult::exited(0, "")
    };
    Client::connect(config, note).expect("there is a place")
}

/// Sends until it is told to stop: each send ends, once.
fn send_for_life(client: &Client, witness: &Witness, seed: u64) {
    const WINDOW: usize = 4;
    let mut dice = Rng::with_seed(seed);
    while !witness.stop.load(Ordering::Relaxed) {
        let mut open = Vec::new();
        while open.len() < WINDOW {
            let mark = witness.marks.fetch_add(1, Ordering::Relaxed).to_string();
            let to = ["next", "next", "least-loaded", "below"];
            let command = Command::new(["mark", &mark]).to(to[dice.usize(..to.len())]);
            match client.send(command) {
                Ok(sent) => open.push(sent),
                Err(RequestError::NotConnected) => {
                    // Until something changes, or the test is over.
                    let _ = client.events().recv_timeout(Duration::from_millis(10));
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        for sent in open {
            expect_one_end(&sent, witness);
        }
    }
}

fn expect_one_end(sent: &SendHandle, witness: &Witness) {
    let deadline = Instant::now() + PATIENCE * 3;
    let mut members = BTreeSet::new();
    let end = loop {
        match sent.receiver().recv_deadline(deadline).expect("an end") {
            SendEvent::Outcome(outcome) => assert!(members.insert(outcome.member)),
            SendEvent::End(end) => break end,
            _ => {}
        }
    };
    assert!(
        sent.receiver().recv_deadline(deadline).is_err(),
        "nothing comes after the end"
    );
    match end {
        Ok(_) => {}
        Err(RequestError::Lost) => drop(witness.lost.fetch_add(1, Ordering::Relaxed)),
        // The first client that comes back has no client below; and a queue may be full.
        Err(error) => assert!(error.code().is_some(), "{error}"),
    }
    witness.ended.fetch_add(1, Ordering::Relaxed);
}

/// All names and ranks, in the order of ranks, as a client sees them that joins and leaves again.
fn ranking(server: &Server, look: u64) -> Vec<(String, u64)> {
    let mut raw = server.raw(&format!("look{look}"), 0);
    let members = raw.result("members", &json!({}));
    raw.leave();
    let members = members["members"].as_array().expect("a list").clone();
    let pair = |m: &Value| {
        let name = m["name"].as_str().expect("a name").to_owned();
        (name, m["rank"].as_u64().expect("a rank"))
    };
    members.iter().map(pair).collect()
}

/// Waits until all clients are back, with whole ranks; returns how long that took.
fn wait_for_all(server: &Server, since: Instant, looks: &mut u64) -> Duration {
    const PROMISED: Duration = Duration::from_secs(5);
    loop {
        *looks += 1;
        let ranking = ranking(server, *looks);
        let took = since.elapsed();
        let ranks: Vec<u64> = ranking.iter().map(|(_, rank)| *rank).collect();
        let whole: Vec<u64> = (0..ranking.len() as u64).collect();
        assert_eq!(ranks, whole, "ranks without gaps or twins");
        let names: BTreeSet<&str> = ranking.iter().map(|(name, _)| name.as_str()).collect();
        let is_back = |name: &&str| !name.starts_with("look");
        if names.iter().filter(|name| is_back(name)).count() == EMBEDDED + PROGRAMS {
            return took;
        }
        assert!(
            took < loosely(PROMISED),
            "after {took:?} only {names:?} are back"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn whenever_the_server_dies_all_clients_come_back_and_every_send_ends_once() {
    const ROOM: &[&str] = &["100"];
    let rounds = from_environment("SURVIVE_RESTARTS", 3);
    let mut dice = dice();
    let mut server = Server::start(ROOM);
    let address = server.address();
    let witness = Arc::new(Witness::default());
    let clients: Vec<Client> = (0..EMBEDDED)
        .map(|n| embedded(&server, n, &witness))
        .collect();
    let _programs: Vec<Process> = (0..PROGRAMS)
        .map(|n| server.worker(&format!("p{n}")))
        .collect();
    let mut looks = 0;
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&witness.stop);
        for client in &clients {
            let (witness, seed) = (&witness, dice.u64(..));
            scope.spawn(move || send_for_life(client, witness, seed));
        }
        for round in 0..rounds {
            // For a while everything runs: the moment of the death is the dice's.
            std::thread::sleep(Duration::from_millis(dice.u64(500..1500)));
            server.kill();
            std::thread::sleep(Duration::from_millis(dice.u64(..1500)));
            server = Server::start_at(address, ROOM);
            let took = wait_for_all(&server, Instant::now(), &mut looks);
            eprintln!("round {round}: all are back after {took:?}");
        }
    });
    let lost = witness.lost.load(Ordering::Relaxed);
    let ended = witness.ended.load(Ordering::Relaxed);
    eprintln!("{ended} sends ended, {lost} of them lost");
    let twice = locked(&witness.twice);
    assert!(twice.is_empty(), "ran a second time: {twice:#?}");
    assert!(lost > 0, "they were under way when the server died");
}
