//! Both programs as a user meets them: started as processes, with what they print kept to
//! the byte, and killed and reaped when they are dropped.
//!
//! Every wait has an absolute deadline and panics with what it waited for and what had been
//! printed until then.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

pub(crate) use crate::support::built::{
    client, client_program, command_of_example, server, server_program,
};
use crate::support::printed::Printed;
use crate::support::{PATIENCE, Raw, dial, tunnel};

/// How long to wait before the next look whether a process has ended: no event tells of that.
const TICK: Duration = Duration::from_millis(2);

/// A server that listens on a port of its own choice.
pub(crate) struct Server {
    /// The process.
    pub(crate) process: Process,
    address: SocketAddr,
}

impl Server {
    /// Starts a server and waits until it listens.
    #[track_caller]
    pub(crate) fn start(words: &[&str]) -> Self {
        let mut command = server(words);
        tunnel::encrypt(&mut command);
        Self::spawn(&mut command)
    }

    /// [`Server::start`] with a command line that says all but where to listen.
    #[track_caller]
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let process = Process::start(command.args(["--listen", "127.0.0.1:0"]));
        let address = process.stdout.wait("the address it listens on", |text| {
            let (line, _) = text.split_once('\n')?;
            line.strip_prefix("Listening on ")?.parse().ok()
        });
        Self { process, address }
    }

    /// Starts a server where another one listened, or one is awaited, and waits until it
    /// listens.
    #[track_caller]
    pub(crate) fn start_at(address: SocketAddr, words: &[&str]) -> Self {
        let listen = address.to_string();
        let mut command = server(words);
        tunnel::encrypt(&mut command);
        let process = Process::start(command.args(["--listen", &listen]));
        process.stderr.wait_for("listening on");
        Self { process, address }
    }

    /// Kills it as `kill -9` does, and starts another one in its place.
    #[track_caller]
    pub(crate) fn replace(&mut self, words: &[&str]) {
        self.kill();
        *self = Self::start_at(self.address, words);
    }

    /// Kills it as `kill -9` does.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.process.signal(Signal::KILL);
        self.process.reap();
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The command line of a client of this server.
    pub(crate) fn client(&self, words: &[&str]) -> Command {
        let address = self.address.to_string();
        let mut command = match tunnel::is_carrier() {
            true => client(&[
                "--server",
                &format!("tls://{address}"),
                "--ca",
                &tunnel::ca(),
            ]),
            false => client(&["--server", &address]),
        };
        command.args(words);
        command
    }

    /// A client of bare lines that has not joined.
    #[track_caller]
    pub(crate) fn stranger(&self) -> Raw {
        let stream = dial(self.address);
        Raw::over(stream, true)
    }

    /// A client of bare lines.
    #[track_caller]
    pub(crate) fn raw(&self, name: &str, slots: u32) -> Raw {
        let mut raw = self.stranger();
        raw.join_as(name, slots);
        raw
    }

    /// A client of bare lines that has joined with these parameters.
    #[track_caller]
    pub(crate) fn raw_with(&self, params: Value) -> Raw {
        let mut raw = self.stranger();
        raw.join_by(params);
        raw
    }

    /// An executor of bare lines in the lowest tier, so that each `pecking run` outranks it.
    #[track_caller]
    pub(crate) fn low(&self, name: &str) -> Raw {
        self.raw_with(json!({"name": name, "slots": 1, "tier": 9, "rank_news": false}))
    }

    /// A `pecking work` that has joined.
    #[track_caller]
    pub(crate) fn worker(&self, name: &str) -> Process {
        let worker = Process::start(&mut self.client(&["work", "--name", name]));
        worker.stderr.wait_for(&format!("joined as {name}, rank"));
        worker
    }

    /// A `client` that is fed lines through a pipe, once it has joined.
    #[track_caller]
    pub(crate) fn fed(&self, name: &str) -> Process {
        let fed = Process::start_fed(&mut self.client(&["--name", name]));
        fed.stdout.wait_for("Assigned rank: ");
        fed
    }

    /// A `pecking run` that sends as soon as the executors have joined. They join behind it,
    /// so that it outranks them.
    #[track_caller]
    pub(crate) fn run<const N: usize>(
        &self,
        words: &[&str],
        executors: [(&str, u32); N],
    ) -> (Process, [Raw; N]) {
        let count = N.to_string();
        let mut command = self.client(&["run", "--wait-for", &count]);
        let run = Process::start(command.args(words));
        run.stderr.wait_for("waiting for clients below");
        (run, executors.map(|(name, slots)| self.raw(name, slots)))
    }
}

/// One of the programs while it runs.
pub(crate) struct Process {
    /// Its command line, for the message of a failed test.
    line: String,
    child: Child,
    stdin: Option<ChildStdin>,
    /// What it writes.
    pub(crate) stdout: Printed,
    /// What it writes to standard error.
    pub(crate) stderr: Printed,
}

impl Process {
    /// Starts a command that has nothing to read.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_reading(command, Stdio::null())
    }

    /// Starts a command that reads what it is fed.
    #[track_caller]
    pub(crate) fn start_fed(command: &mut Command) -> Self {
        Self::start_reading(command, Stdio::piped())
    }

    /// Starts a command that reads from somewhere.
    #[track_caller]
    pub(crate) fn start_reading(command: &mut Command, stdin: Stdio) -> Self {
        Self::spawn(command.stdin(stdin).stdout(Stdio::piped()), Stdio::piped())
    }

    /// Starts a command that prints to somewhere else.
    #[track_caller]
    pub(crate) fn start_printing(command: &mut Command, stdout: Stdio) -> Self {
        Self::spawn(command.stdin(Stdio::null()).stdout(stdout), Stdio::piped())
    }

    /// Starts a command that is fed and prints to somewhere else.
    #[track_caller]
    pub(crate) fn start_fed_printing(command: &mut Command, stdout: Stdio) -> Self {
        Self::spawn(command.stdin(Stdio::piped()).stdout(stdout), Stdio::piped())
    }

    /// Starts a command that is fed and has another standard error.
    #[track_caller]
    pub(crate) fn start_complaining(command: &mut Command, stderr: Stdio) -> Self {
        Self::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()), stderr)
    }

    #[track_caller]
    fn spawn(command: &mut Command, stderr: Stdio) -> Self {
        let line = format!("{command:?}");
        let child = command.stderr(stderr).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{line} does not start: {error}"));
        Self {
            stdin: child.stdin.take(),
            stdout: Printed::new(format!("the output of {line}"), child.stdout.take()),
            stderr: Printed::new(format!("the standard error of {line}"), child.stderr.take()),
            line,
            child,
        }
    }

    /// Writes to its standard input.
    #[track_caller]
    pub(crate) fn feed(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("it is fed");
        stdin
            .write_all(text.as_bytes())
            .unwrap_or_else(|error| panic!("{} does not read: {error}", self.line));
    }

    /// Ends its standard input.
    pub(crate) fn feed_no_more(&mut self) {
        self.stdin = None;
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it has not been reaped");
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the end of a process that was killed; what it printed can still be looked at.
    #[track_caller]
    pub(crate) fn reap(&mut self) {
        self.child.wait().expect("a child can be waited for");
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(self) -> Ended {
        self.end_within(PATIENCE)
    }

    /// [`Process::end`] with another deadline.
    #[track_caller]
    pub(crate) fn end_within(mut self, within: Duration) -> Ended {
        let deadline = Instant::now() + within;
        let code = loop {
            let ended = self.child.try_wait().expect("a child can be waited for");
            if let Some(status) = ended {
                break status.code();
            }
            if Instant::now() >= deadline {
                panic!(
                    "{}: waited {within:?} for its end; it had printed {:?} and {:?}",
                    self.line,
                    self.stdout.text(),
                    self.stderr.text()
                );
            }
            std::thread::sleep(TICK);
        };
        self.stdout.wait_end(deadline);
        self.stderr.wait_end(deadline);
        Ended {
            line: std::mem::take(&mut self.line),
            code,
            stdout: self.stdout.bytes(),
            stderr: self.stderr.text(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; there is nothing to do about it then.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.stdout.join();
        self.stderr.join();
    }
}

/// One of the programs after its end.
pub(crate) struct Ended {
    line: String,
    code: Option<i32>,
    /// All that it wrote.
    pub(crate) stdout: Vec<u8>,
    /// All that it wrote to standard error.
    pub(crate) stderr: String,
}

impl Ended {
    /// Runs a command that has nothing to read to its end.
    #[track_caller]
    pub(crate) fn of(command: &mut Command) -> Self {
        Process::start(command).end()
    }

    /// Its exit code, if no signal ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.code
    }

    /// Checks its exit code.
    #[track_caller]
    pub(crate) fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(
            self.code,
            Some(code),
            "the exit code of {}; it printed {:?} and {:?}",
            self.line,
            String::from_utf8_lossy(&self.stdout),
            self.stderr
        );
        self
    }

    /// Checks all that it wrote, to the byte.
    #[track_caller]
    pub(crate) fn expect_stdout(&self, expected: impl AsRef<[u8]>) -> &Self {
        let expected = expected.as_ref();
        assert!(
            self.stdout == expected,
            "{} wrote {:?} instead of {:?}, and to standard error {:?}",
            self.line,
            String::from_utf8_lossy(&self.stdout),
            String::from_utf8_lossy(expected),
            self.stderr
        );
        self
    }

    /// Checks that it wrote one line to standard error, with each of these in it.
    #[track_caller]
    pub(crate) fn expect_one_line(&self, parts: &[&str]) -> &Self {
        let line = self.stderr.strip_suffix('\n').unwrap_or("");
        let is_plain = !line.is_empty() && !line.contains(char::is_control);
        assert!(
            is_plain,
            "{}: expected one line, got {:?}",
            self.line, self.stderr
        );
        for part in parts {
            assert!(
                line.contains(part),
                "{}: expected {part:?} in {line:?}",
                self.line
            );
        }
        self
    }

    /// All that it wrote, as text.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout)
            .unwrap_or_else(|error| panic!("{} wrote no text: {error}", self.line))
    }
}

/// Text with one word in place of what something took.
pub(crate) fn without_times(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(" (") {
        let (inside, behind) = after.split_once(')').expect("it is closed again");
        let is_time = inside.ends_with('s') && inside.starts_with(|c: char| c.is_ascii_digit());
        let inside = if is_time { "TIME" } else { inside };
        out += &format!("{before} ({inside})");
        rest = behind;
    }
    out + rest
}
