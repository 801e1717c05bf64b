//! The log and the console never stop service, wherever they go and whether they are read or not.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::dialled::free_address;
use crate::support::{
    IS_RELEASE, PATIENCE, Pairs, alone, dial, full_pipe, server_program, skipped, try_dial,
};
use rustix::process::{Pid, Signal, kill_process};

/// Pairs of clients, so that far more is logged than a pipe and the console's queue hold.
const PAIRS: usize = 5;

/// How long they work with each server in a round, how many rounds there are at least, and at
/// most, and within what time a server ends after that.
const WORK: Duration = Duration::from_millis(if IS_RELEASE { 1000 } else { 200 });
const ROUNDS: usize = if IS_RELEASE { 9 } else { 4 };
const MOST_ROUNDS: usize = 30;
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Commands in a row, so many of them under way at a time: their time says how fast a server is. Each is logged twice, so that far more is logged than the console's queue holds.
const IN_A_ROW: usize = if IS_RELEASE { 20_000 } else { 4_000 };
const AT_A_TIME: usize = 50;

/// A server with both outputs redirected, killed and reaped when it is dropped.
struct Silent {
    child: Child,
    address: SocketAddr,
}

impl Silent {
    #[track_caller]
    fn start(stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Silent {
        // It cannot say which port it got.
        let address = free_address();
        let child = Command::new(server_program())
            .args(["50", "--heartbeat", "10m", "--drain", "1s", "--listen"])
            .arg(address.to_string())
            .env("RUST_LOG", "debug")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .expect("the server's program starts");
        let silent = Silent { child, address };
        let deadline = Instant::now() + PATIENCE;
        while try_dial(address).is_err() {
            assert!(Instant::now() < deadline, "no server at {address}");
            std::thread::sleep(Duration::from_millis(5));
        }
        silent
    }

    /// Has pairs work for a while, and says what each of their commands took.
    #[track_caller]
    fn work(&self, span: Duration) -> Vec<Duration> {
        let pairs = Pairs::start(self.address, PAIRS);
        let took = pairs.work(span);
        pairs.stop();
        took
    }

    /// Has two clients do so many commands as fast as it goes, and says what that took.
    #[track_caller]
    fn hurry(&self, commands: usize) -> Duration {
        let mut boss = Plain::join(self.address, 0);
        let mut worker = Plain::join(self.address, AT_A_TIME);
        let working = std::thread::spawn(move || {
            for _ in 0..commands {
                let line = worker.read();
                let (_, id) = line.split_once("\"id\":").expect("an execute");
                let id = id.split(',').next().expect("it has an end");
                worker.write(&format!(
                    "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"exit_code\":0}}}}\n"
                ));
            }
            worker
        });
        let began = Instant::now();
        for first in (0..commands).step_by(AT_A_TIME) {
            let ids = first..commands.min(first + AT_A_TIME);
            let send = |id| {
                format!(
                    "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"send\",\
                     \"params\":{{\"to\":\"next\",\"command\":[\"x\"]}}}}\n"
                )
            };
            boss.write(&ids.clone().map(send).collect::<String>());
            for _ in ids {
                let outcome = boss.read();
                assert!(outcome.contains("\"status\":\"done\""), "{outcome}");
            }
        }
        let took = began.elapsed();
        working.join().expect("it is served").leave();
        boss.leave();
        took
    }

    /// Sends SIGTERM, and checks how it ends.
    #[track_caller]
    fn end(&mut self) {
        let began = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it is still there");
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                assert_eq!(status.code(), Some(0), "a panic at its end is another code");
                return;
            }
            assert!(began.elapsed() < ENDS_WITHIN * 5, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it while a thread reads what it logs; all that came.
    #[track_caller]
    fn end_read(&mut self, log: Log) -> Vec<String> {
        self.end();
        let lines = log.into_lines();
        // The acceptor, sessions and the timer thread go on after a panic, and log it.
        let panic = lines.iter().find(|line| line.contains("panicked"));
        assert_eq!(panic, None);
        lines
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that reads no more of a line than it has to, so that it is the server's speed that
/// is measured.
struct Plain {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Plain {
    #[track_caller]
    fn join(address: SocketAddr, slots: usize) -> Plain {
        let stream = dial(address);
        stream.set_nodelay(true).expect("an open socket");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("an open socket");
        let lines = BufReader::new(stream.try_clone().expect("a socket can be cloned"));
        let mut plain = Plain { stream, lines };
        plain.write(&format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"join\",\
             \"params\":{{\"protocol\":1,\"slots\":{slots}}}}}\n"
        ));
        let answer = plain.read();
        assert!(answer.contains("\"result\""), "{answer}");
        plain
    }

    /// The address that the server sees.
    fn address(&self) -> SocketAddr {
        self.stream.local_addr().expect("a socket has an address")
    }

    #[track_caller]
    fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("it is taken");
    }

    /// The next line, but for news of ranks: clients that worked before may still be leaving.
    #[track_caller]
    fn read(&mut self) -> String {
        let mut line = String::new();
        while line.is_empty() || line.contains("\"method\":\"rank\"") {
            line.clear();
            let read = self.lines.read_line(&mut line).expect("it comes in time");
            assert!(read > 0, "it goes on");
        }
        line
    }

    /// Leaves, and waits until the server has noticed.
    #[track_caller]
    fn leave(mut self) {
        self.stream.shutdown(Shutdown::Write).expect("it is open");
        let rest = self.lines.read_to_end(&mut Vec::new());
        rest.expect("the server closes");
    }
}

/// A pipe with its other end closed.
fn closed_pipe() -> PipeWriter {
    pipe().expect("a pipe").1
}

/// What a server logs, read by a thread.
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    reading: JoinHandle<()>,
}

impl Log {
    fn read(log: impl Read + Send + 'static) -> Log {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let read = Arc::clone(&lines);
        let reading = std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                read.lock().expect("no panic").push(line);
            }
        });
        Log { lines, reading }
    }

    /// Waits until a line has come that has this in it; says whether one has.
    fn has(&self, text: &str, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        loop {
            let lines = self.lines.lock().expect("no panic");
            let has = lines.iter().any(|line| line.contains(text));
            drop(lines);
            if has || Instant::now() >= deadline {
                return has;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    fn into_lines(self) -> Vec<String> {
        self.reading.join().expect("its end ends its log");
        std::mem::take(&mut self.lines.lock().expect("no panic"))
    }
}

/// Reads what a pipe was filled with, and no byte beyond it.
#[track_caller]
fn skip(reader: &mut PipeReader, filled: usize) {
    let mut fill = vec![0; filled];
    reader.read_exact(&mut fill).expect("it is in there");
    assert!(fill.iter().all(|byte| *byte == b'.'), "it was full");
}

/// The median of times, in any order.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The time that a quarter of these times, in any order, does not exceed.
fn quartile(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 4]
}

#[test]
fn a_console_that_takes_nothing_changes_nothing() {
    let _turn = alone();
    let mut servers = vec![("nowhere", Silent::start(Stdio::null(), Stdio::null()))];
    if let (Some(stdout), Some(stderr)) = (full_disk(), full_disk()) {
        servers.push(("a full disk", Silent::start(stdout, stderr)));
    }
    let closed = Silent::start(closed_pipe(), closed_pipe());
    servers.push(("closed pipes", closed));
    let (_unread, terminal) = pty_process::blocking::open().expect("the system has terminals");
    let onto = || terminal.as_fd().try_clone_to_owned().expect("a descriptor");
    servers.push(("a terminal without a reader", Silent::start(onto(), onto())));
    let (_stdout, to_stdout, _) = full_pipe();
    let (mut stderr, to_stderr, filled) = full_pipe();
    let unread = Silent::start(to_stdout, to_stderr);
    servers.push(("pipes without a reader", unread));
    for (_, server) in &servers {
        server.hurry(IN_A_ROW);
    }

    // Other work at this machine makes a server slower, and none makes it faster: so a quiet
    // quarter of the rounds counts. Rounds go on until each server has had as many that were as
    // quick as the first server's; one that its console holds up never has.
    let mut rounds = vec![[Vec::new(), Vec::new()]; servers.len()];
    for round in 1.. {
        for ((_, server), [took, hurried]) in servers.iter().zip(&mut rounds) {
            took.push(median(server.work(WORK)));
            hurried.push(server.hurry(IN_A_ROW));
        }
        let quick: Vec<_> = rounds
            .iter()
            .map(|times| times.clone().map(quartile))
            .collect();
        let is_slow = |took: &[Duration; 2]| (0..2).any(|i| took[i] > allowed(quick[0][i]));
        if round >= ROUNDS && !quick.iter().any(is_slow) {
            println!("{round} rounds");
            break;
        }
        let names = servers.iter().map(|(where_to, _)| where_to);
        let took: Vec<_> = names.zip(&quick).collect();
        assert!(
            round < MOST_ROUNDS,
            "a command, and {IN_A_ROW} in a row, with a console that goes there: {took:#?}"
        );
    }
    for (where_to, server) in &mut servers {
        if *where_to != "pipes without a reader" {
            server.end();
        }
    }
    let (_, unread) = servers.last_mut().expect("several");
    skip(&mut stderr, filled);
    let log = unread.end_read(Log::read(stderr));
    assert!(dropped(&log) > 0, "more was logged than anything holds");
}

/// What a server may take that is as fast as one that takes this.
fn allowed(usual: Duration) -> Duration {
    match IS_RELEASE {
        true => usual * 3 / 2,
        false => usual * 3 + Duration::from_millis(20),
    }
}

/// A disk that is full, where the system has one to try.
fn full_disk() -> Option<File> {
    let full = OpenOptions::new().write(true).open("/dev/full").ok();
    if full.is_none() {
        skipped("there is no /dev/full here");
    }
    full
}

/// How many lines a log says are missing in it.
fn dropped(log: &[String]) -> usize {
    let notes = log.iter().filter_map(|line| {
        let line = line.strip_prefix('(')?;
        line.strip_suffix(" lines were dropped here)")
    });
    notes.map(|n| n.parse::<usize>().expect("a number")).sum()
}

/// Reads a server's log at last, ends the server, and checks that each line that it has logged is
/// there or among those that it says were dropped, and that there are no others: one for a
/// panic would be one too many.
#[track_caller]
fn expect_all_is_counted(mut server: Silent, log: Log) {
    // A server that ends waits only so long for what is still to be written, so that is let
    // through first. Of the first visits there may be nothing to read, if there was no room.
    let mut visits = 0;
    loop {
        let visitor = Plain::join(server.address, 1);
        let left = format!("{} left", visitor.address());
        visitor.leave();
        visits += 1;
        if log.has(&left, PATIENCE / 10) {
            break;
        }
        assert!(visits < 20, "a reader gets something to read");
    }
    let log = server.end_read(log);
    let notes = log.iter().filter(|line| line.starts_with('(')).count();
    let dropped = dropped(&log);
    println!(
        "{} lines, {dropped} dropped, {notes} notes of that",
        log.len()
    );
    // The address, and that any user may join; arrivals and departures; what each command is, and its outcome; the request to
    // stop, and the end.
    let logged = 2 + 2 * (2 + visits) + 2 * IN_A_ROW + 2;
    assert_eq!(log.len() - notes + dropped, logged, "{:#?}", log.last());
    assert!(dropped > 0, "more was logged than anything holds");
}

#[test]
fn a_console_that_is_read_at_last_says_how_much_is_missing() {
    let (mut stderr, to_stderr, filled) = full_pipe();
    let server = Silent::start(Stdio::null(), to_stderr);
    server.hurry(IN_A_ROW);
    skip(&mut stderr, filled);
    expect_all_is_counted(server, Log::read(stderr));
}

#[test]
fn a_closed_pipe_that_is_opened_again_says_how_much_is_missing() {
    let (stderr, to_stderr) = pipe().expect("a pipe");
    drop(stderr);
    let kept = to_stderr.try_clone().expect("a descriptor can be cloned");
    let server = Silent::start(Stdio::null(), to_stderr);
    server.hurry(IN_A_ROW);
    let Ok(stderr) = File::open(format!("/proc/self/fd/{}", kept.as_raw_fd())) else {
        return skipped("a pipe that was closed cannot be opened again here");
    };
    drop(kept);
    expect_all_is_counted(server, Log::read(stderr));
}

#[test]
fn a_transcript_without_a_reader_is_no_panic() {
    let (_stdout, full, _) = full_pipe();
    let mut outputs = vec![Stdio::from(full), closed_pipe().into()];
    outputs.extend(full_disk().map(Stdio::from));
    for stdout in outputs {
        let (stderr, to_stderr) = pipe().expect("a pipe");
        let mut server = Silent::start(stdout, to_stderr);
        let log = Log::read(stderr);
        server.hurry(IN_A_ROW);
        server.end_read(log);
    }
}

#[test]
fn a_wrong_command_line_is_no_panic_where_it_cannot_be_told() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        return skipped("there is no /dev/full here");
    };
    let mut wrong = Command::new(server_program());
    let status = wrong
        .arg("--nonsense")
        .stdin(Stdio::null())
        .stderr(full)
        .status();
    assert_eq!(status.expect("it starts").code(), Some(2));
}

#[test]
fn what_to_log_that_makes_no_sense_is_no_panic_where_it_cannot_be_told() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        return skipped("there is no /dev/full here");
    };
    // The address is taken, so that the server ends.
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = taken.local_addr().expect("it is bound");
    let mut server = Command::new(server_program());
    let status = server
        .args(["--listen", &address.to_string()])
        .env("RUST_LOG", "server=loud")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(full)
        .status();
    assert_eq!(status.expect("it starts").code(), Some(1));
}
