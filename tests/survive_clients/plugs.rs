//! A long job and the transfer of a file to five machines go on while the plug of each connection
//! is pulled again and again: what comes of them is as if nothing had been.
//!
//! `PLUGS_EVERY_MS` says how often each connection is broken, `PLUGS_FOR_S` for how long;
//! `tests/survive_clients.sh` breaks each of them every ten seconds for ten minutes.

use crate::deaths::from_environment;
use crate::support::programs::{Process, Server, client};
use crate::support::proxy::Proxy;
use crate::support::{PATIENCE, tunnel};
use std::io::{PipeWriter, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const MACHINES: [&str; 5] = ["w0", "w1", "w2", "w3", "w4"];

/// How often the plug of each connection is pulled, in milliseconds, and for how long, in seconds.
const EVERY_MS: u64 = 300;
const FOR_S: u64 = 5;

/// Both programs say which machine runs them (by the one of its variables that is passed on), and
/// so how often they ran.
const JOB: &str = r#"
    echo "$TZ" >>"$0/job.ran"
    n=0
    until [ -e "$0/over" ]; do
        i=0
        while [ $i -lt 20 ]; do
            i=$((i + 1)) n=$((n + 1))
            echo "line $n"
        done
        sleep 0.05
    done
    echo "the end after $n""#;
const TAKE: &str = r#"echo "$TZ" >>"$0/file.ran"; exec cat >"$0/$TZ.file""#;

/// The file: several windows of input, in pieces that come over the whole time.
const PIECE: usize = 64 << 10;
const PIECES: u32 = 256;

/// A client behind a network of its own.
struct Plugged {
    network: Proxy,
    process: Process,
}

impl Plugged {
    /// Starts a client with these words.
    fn start(server: &Server, name: &str, words: &[&str], stdin: Stdio) -> Plugged {
        let network = Proxy::to(server.address());
        let dialled = network.address().to_string();
        let mut command = client(&["--server", &dialled, "--name", name]);
        let command = command.args(words).env("TZ", name);
        let process = Process::start_reading(command, stdin);
        Plugged { network, process }
    }

    fn machine(server: &Server, name: &str) -> Plugged {
        let words = ["work", "--allow-any", "--allow-root", "--slots", "2"];
        let machine = Plugged::start(server, name, &words, Stdio::null());
        machine.process.stderr.wait_for("joined as");
        machine
    }

    /// A `run` of a program at all machines; its first word is a folder.
    fn run(
        server: &Server,
        name: &str,
        options: &[&str],
        words: [&str; 2],
        from: Stdio,
    ) -> Plugged {
        let [program, folder] = words;
        let words = ["--to", "w*", "--", "/bin/sh", "-c", program, folder];
        let words = [&["run", "--hold"], options, &words].concat();
        Plugged::start(server, name, &words, from)
    }
}

/// Waits until a program has begun at all machines.
fn wait_until_begun(list: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while ran(list).len() < MACHINES.len() {
        assert!(Instant::now() < deadline, "{:?}", ran(list));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The machines at which a program began, each as often as it did.
fn ran(list: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(list).unwrap_or_default();
    let mut ran: Vec<String> = text.lines().map(str::to_owned).collect();
    ran.sort();
    ran
}

/// Writes a file that takes so long to come; it ends when what this gives is dropped.
fn feed(mut to: PipeWriter, file: &[u8], time: Duration) -> PipeWriter {
    for piece in file.chunks(PIECE) {
        if to.write_all(piece).is_err() {
            break;
        }
        std::thread::sleep(time / PIECES);
    }
    to
}

/// Breaks each of the connections in turn, for this time and until each client came back more than so often.
fn pull_plugs(all: &[&Plugged], every: Duration, time: Duration, often: usize) {
    let over = Instant::now() + time;
    let is_back = |one: &&Plugged| times_back(&one.process.stderr.text()) > often;
    let mut next = all.iter().cycle();
    while Instant::now() < over || (Instant::now() < over + PATIENCE && !all.iter().all(is_back)) {
        next.next().expect("there are some").network.reset();
        std::thread::sleep(every / all.len() as u32);
    }
}

/// How often a client says that it came back, and has lost nothing.
fn times_back(log: &str) -> usize {
    log.matches(", nothing lost").count()
}

#[test]
fn a_job_and_a_file_to_five_machines_go_on_while_every_plug_is_pulled() {
    if tunnel::is_carrier() {
        // A tunnel ends what breaks in the clear.
        return;
    }
    let every = Duration::from_millis(from_environment("PLUGS_EVERY_MS", EVERY_MS));
    let time = Duration::from_secs(from_environment("PLUGS_FOR_S", FOR_S));
    let server = Server::start(&["9"]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let place = folder.path().to_str().expect("a plain path");
    let machines = MACHINES.map(|name| Plugged::machine(&server, name));
    let job = Plugged::run(&server, "job", &[], [JOB, place], Stdio::null());
    let (source, sink) = std::io::pipe().expect("a pipe");
    let transfer = ["--stdin"];
    let transfer = Plugged::run(&server, "transfer", &transfer, [TAKE, place], source.into());
    let lists = [at("job.ran"), at("file.ran")];
    lists.iter().for_each(|list| wait_until_begun(list));
    let mut file = vec![0; PIECE * PIECES as usize];
    fastrand::fill(&mut file);
    // Seldom enough for a loaded machine.
    let often = (time.as_millis() / every.as_millis() / 4) as usize;
    std::thread::scope(|scope| {
        let feeding = scope.spawn(|| feed(sink, &file, time));
        let all: Vec<&Plugged> = machines.iter().chain([&job, &transfer]).collect();
        pull_plugs(&all, every, time, often);
        drop(feeding.join());
    });
    std::fs::write(at("over"), "").expect("the folder can be written");
    let [job, transfer] = [job, transfer].map(|run| run.process.end());
    transfer.expect_code(0).expect_stdout("");
    job.expect_code(0);
    for ran in lists.map(|list| ran(&list)) {
        assert_eq!(ran, MACHINES, "each of them once");
    }
    let told = machines.map(|machine| machine.process.stderr.text());
    for text in told.iter().chain([&job.stderr, &transfer.stderr]) {
        let came_back = times_back(text);
        assert!(came_back > often, "{came_back} times: {text}");
    }
    for name in MACHINES {
        expect_every_line(job.text(), name);
        let came = std::fs::read(at(&format!("{name}.file"))).expect("it is there");
        assert!(
            came == file,
            "{name} has {} of {} bytes",
            came.len(),
            file.len()
        );
    }
}

/// Checks that the whole output of a machine is there, in order and once.
#[track_caller]
fn expect_every_line(text: &str, name: &str) {
    let mark = format!("{name}: ");
    let came: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix(&mark))
        .collect();
    let (last, lines) = came.split_last().expect("it wrote something");
    assert_eq!(*last, format!("the end after {}", lines.len()), "{name}");
    for (n, line) in (1..).zip(lines) {
        assert_eq!(*line, format!("line {n}"), "{name}");
    }
}
