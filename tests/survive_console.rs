//! The log and the console never stop service, wherever they go and whoever does not read
//! them.

mod support;

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::{IS_RELEASE, PATIENCE, Pairs, program, skipped};

/// Pairs of clients, so that far more is logged than a pipe and the console's queue hold.
const PAIRS: usize = 5;

/// How long they work with each server in a round, how many rounds there are, and within what
/// time a server ends after that.
const WORK: Duration = Duration::from_millis(if IS_RELEASE { 1000 } else { 300 });
const ROUNDS: usize = if IS_RELEASE { 9 } else { 5 };

/// How long they work until more was logged than a pipe and the console's queue hold.
const FILL: Duration = Duration::from_secs(3);
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// A server whose two outputs go somewhere, killed and reaped when it is dropped.
struct Silent {
    child: Child,
    address: SocketAddr,
}

impl Silent {
    #[track_caller]
    fn start(stdout: Stdio, stderr: Stdio) -> Silent {
        // It cannot say which port it got, so it is given one that was free just now.
        let free = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = free.local_addr().expect("it is bound");
        drop(free);
        let child = Command::new(program())
            .args(["50", "--heartbeat", "60s", "--drain", "1s", "--listen"])
            .arg(address.to_string())
            .env("RUST_LOG", "debug")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .expect("the server's program starts");
        let silent = Silent { child, address };
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "no server at {address}");
            std::thread::sleep(Duration::from_millis(5));
        }
        silent
    }

    /// Has pairs work for a while, and says what each of their commands took.
    #[track_caller]
    fn work(&self, span: Duration) -> Vec<Duration> {
        let pairs = Pairs::start(self.address, PAIRS);
        let began = Instant::now();
        std::thread::sleep(span);
        let took = pairs.took(began, Instant::now());
        pairs.stop();
        took
    }

    /// Sends SIGTERM, and checks how it ends.
    #[track_caller]
    fn end(&mut self) {
        let began = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it is still there");
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                assert_eq!(status.code(), Some(0), "a panic would be another code");
                return;
            }
            assert!(began.elapsed() < ENDS_WITHIN * 5, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The median of times, in any order.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn a_console_that_takes_nothing_changes_nothing() {
    let mut servers = vec![("nowhere", Silent::start(Stdio::null(), Stdio::null()))];
    let full = || OpenOptions::new().write(true).open("/dev/full");
    if let (Ok(stdout), Ok(stderr)) = (full(), full()) {
        servers.push(("a full disk", Silent::start(stdout.into(), stderr.into())));
    } else {
        skipped("there is no /dev/full here");
    }
    let mut closed = Silent::start(Stdio::piped(), Stdio::piped());
    drop((closed.child.stdout.take(), closed.child.stderr.take()));
    servers.push(("closed pipes", closed));
    let unread = Silent::start(Stdio::piped(), Stdio::piped());
    unread.work(FILL);
    servers.push(("pipes that nobody reads", unread));

    // In turns, so that whatever else goes on at this machine meets all of them.
    let mut took = vec![Vec::new(); servers.len()];
    for _ in 0..ROUNDS {
        for ((_, server), took) in servers.iter().zip(&mut took) {
            took.push(median(server.work(WORK)));
        }
    }
    let medians: Vec<Duration> = took.into_iter().map(median).collect();
    let usual = medians[0];
    for ((where_to, server), median) in servers.iter_mut().zip(medians) {
        println!("{median:?} a command with a console that goes to {where_to}");
        // At the same speed, as far as it can be told on a machine that others use.
        let allowed = match IS_RELEASE {
            true => usual * 3 / 2,
            false => usual * 3 + Duration::from_millis(20),
        };
        assert!(
            median <= allowed,
            "{where_to}: {median:?} instead of {usual:?}"
        );
        server.end();
    }
    expect_drops_are_counted();
}

/// Whoever reads at last is told how much is missing.
fn expect_drops_are_counted() {
    let mut server = Silent::start(Stdio::null(), Stdio::piped());
    server.work(FILL);
    let stderr = server.child.stderr.take().expect("it is piped");
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    let told = lines
        .by_ref()
        .find(|line| line.contains("lines were dropped here"));
    let told = told.expect("more was logged than anything holds");
    let count = told.trim_start_matches('(').split(' ').next();
    let count = count.and_then(|count| count.parse::<u64>().ok());
    assert!(count.is_some_and(|count| count > 0), "{told}");
    let rest = std::thread::spawn(move || lines.count());
    server.end();
    rest.join().expect("its end ends its log");
}

#[test]
fn a_wrong_command_line_is_no_panic_where_it_cannot_be_told() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        return skipped("there is no /dev/full here");
    };
    let mut wrong = Command::new(program());
    let status = wrong
        .arg("--nonsense")
        .stdin(Stdio::null())
        .stderr(full)
        .status();
    assert_eq!(status.expect("it starts").code(), Some(2));
}
