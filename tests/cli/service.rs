//! The server under a service manager, which these tests play: the socket that it hands over, what
//! it is told, and SIGHUP.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::support::programs::{Ended, Process, Server, server};
use crate::support::{PATIENCE, Raw, dial, left};
use rustix::process::Signal;
use tempfile::TempDir;

/// Where the server tells how it is.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    fn new() -> Manager {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        Manager { socket, folder }
    }

    /// The command line of a server that tells it.
    fn server(&self, words: &[&str]) -> Command {
        let mut command = server(words);
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command
    }

    /// Waits until it is told something; says what came with it.
    #[track_caller]
    fn wait_for(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut told = String::new();
        loop {
            let mut buffer = [0; 4096];
            let timeout = self.socket.set_read_timeout(Some(left(deadline)));
            timeout.expect("a time-out");
            let length = self.socket.recv(&mut buffer).unwrap_or_else(|error| {
                panic!("waited for {part:?}: {error}; so far: {told:?}");
            });
            let text = String::from_utf8_lossy(&buffer[..length]);
            told += &text;
            if text.lines().any(|line| line == part) {
                return text.into_owned();
            }
        }
    }
}

#[test]
fn a_service_tells_that_it_is_ready_how_many_members_it_has_that_it_lives_and_that_it_stops() {
    let manager = Manager::new();
    let mut command = manager.server(&["7"]);
    let server = Server::spawn(command.env("WATCHDOG_USEC", "200000"));
    let told = manager.wait_for("READY=1");
    assert!(told.contains("STATUS=0 of at most 7 members\n"), "{told}");
    let _a = dial(server.address());
    let b = server.raw("b", 1);
    manager.wait_for("STATUS=1 of at most 7 members");
    manager.wait_for("WATCHDOG=1");
    manager.wait_for("WATCHDOG=1");
    b.leave();
    manager.wait_for("STATUS=0 of at most 7 members");
    server.process.signal(Signal::TERM);
    manager.wait_for("STOPPING=1");
    server.process.end().expect_code(0);
}

#[test]
fn without_a_watchdog_and_without_news_a_service_tells_nothing() {
    let manager = Manager::new();
    let server = Server::spawn(&mut manager.server(&[]));
    manager.wait_for("READY=1");
    let silence = crate::support::loosely(std::time::Duration::from_millis(250));
    manager
        .socket
        .set_read_timeout(Some(silence))
        .expect("a time-out");
    let told = manager.socket.recv(&mut [0; 64]);
    assert!(told.is_err(), "{told:?} bytes");
    drop(server);
}

#[test]
fn hangup_has_a_service_read_its_files_again_and_ends_any_other_server() {
    let manager = Manager::new();
    let file = manager.folder.path().join("auth.toml");
    let write = |roles: &str| {
        let text = format!("version = 1\n{roles}");
        crate::support::write_secret(&file, text);
    };
    write("[roles.a]\n");
    let words = ["--auth", file.to_str().expect("it is text")];
    let server = Server::spawn(&mut manager.server(&words));
    manager.wait_for("READY=1");
    for round in 1..=2 {
        write(&format!("[roles.a]\n[roles.b{round}]\nmay = [3]\n"));
        server.process.signal(Signal::HUP);
        server.process.stderr.wait("both", |text| {
            let hangups = text.matches("SIGHUP").count();
            let faults = text.matches("auth.toml:4:").count();
            (hangups == round && faults == round).then_some(())
        });
    }
    server.process.signal(Signal::TERM);
    server.process.end().expect_code(0);
    let server = Server::start(&[]);
    server.process.signal(Signal::HUP);
    server.process.end().expect_code(0);
}

/// A server that is handed a socket as systemd does it.
fn handed(socket: impl Into<OwnedFd>, count: u32, words: &[&str]) -> Process {
    let server = server(words);
    let script = format!(
        "exec 3<&0 </dev/null; export LISTEN_FDS={count} LISTEN_PID=$$; exec \"$0\" \"$@\""
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(server.get_program());
    command.args(server.get_args());
    Process::start_reading(&mut command, Stdio::from(socket.into()))
}

fn join(address: SocketAddr, name: &str) -> Raw {
    let mut raw = Raw::over(dial(address), true);
    raw.join_as(name, 1);
    raw
}

#[test]
fn a_restart_of_a_server_with_a_handed_socket_refuses_no_client() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = socket.local_addr().expect("it is bound");
    let again = || socket.try_clone().expect("a descriptor");
    // Where --listen leads counts for nothing: it could not be bound.
    let words = ["--listen", "203.0.113.1:1"];
    let mut last = handed(again(), 1, &words);
    for round in 0..3 {
        let first = join(address, "first");
        let ending = match round {
            0 => Signal::KILL,
            _ => Signal::TERM,
        };
        last.signal(ending);
        last.end();
        // The server is gone, and what dials in now waits.
        let waiting = dial(address);
        last = handed(again(), 1, &words);
        let mut waiting = Raw::over(waiting, true);
        waiting.join_as("second", 1);
        drop(first);
    }
    last.signal(Signal::TERM);
    let ended = last.end();
    ended.expect_code(0);
    let listening = format!("listening on {address}");
    assert!(ended.stderr.contains(&listening), "{}", ended.stderr);
}

#[test]
fn what_is_handed_must_be_one_listening_socket() {
    let tcp = || TcpListener::bind("127.0.0.1:0").expect("loopback");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let everywhere = TcpListener::bind("0.0.0.0:0").expect("a free port");
    for (process, code, part) in [
        (
            handed(tcp(), 2, &[]),
            1,
            "LISTEN_FDS=2: expected one socket",
        ),
        (handed(udp, 1, &[]), 1, "expected a listening TCP socket"),
        (handed(everywhere, 1, &[]), 2, "nothing would be encrypted"),
    ] {
        let ended: Ended = process.end();
        ended.expect_code(code).expect_one_line(&[part]);
    }
}
