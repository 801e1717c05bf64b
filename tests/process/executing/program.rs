//! The client's own program, as an executor and as anything else.

use super::{Captured, PATIENCE, Relay, client_command, left, no_busy_text};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a client has to end its commands and go before it is killed.
const TO_GO: Duration = Duration::from_secs(8);

/// A process with streams that are read; ended and reaped on drop.
pub(crate) struct Program {
    child: Child,
    status: Option<ExitStatus>,
    pub(crate) stdout: Captured,
    pub(crate) stderr: Captured,
}

/// How a process ended, and all that it wrote.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Program {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Program {
        let (mut program, stdout) = Program::start_unread(command);
        program.stdout = Captured::new(stdout);
        program
    }

    /// Starts one with a standard output that the test itself reads.
    #[track_caller]
    pub(crate) fn start_unread(command: &mut Command) -> (Program, ChildStdout) {
        Program::spawn(command.stdin(Stdio::null()))
    }

    /// Starts one that reads this.
    #[track_caller]
    pub(crate) fn start_reading(command: &mut Command, stdin: impl Into<Stdio>) -> Program {
        let (mut program, stdout) = Program::spawn(command.stdin(stdin));
        program.stdout = Captured::new(stdout);
        program
    }

    #[track_caller]
    fn spawn(command: &mut Command) -> (Program, ChildStdout) {
        let guard = no_busy_text();
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        drop(guard);
        let mut child = child.expect("the program starts");
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = Captured::new(child.stderr.take().expect("it is piped"));
        let program = Program {
            child,
            status: None,
            stdout: Captured::new(std::io::empty()),
            stderr,
        };
        (program, stdout)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.status = self.status.or(self.child.try_wait().expect("our child"));
        self.status.is_some()
    }

    /// Waits for its end; none where it takes longer.
    pub(crate) fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        // A process that ends closes its streams, but so may a grandchild of it hold them.
        while !self.has_ended() && Instant::now() < deadline {
            self.stderr
                .wait_end(left(deadline).min(Duration::from_millis(5)));
            std::thread::yield_now();
        }
        self.status
    }

    #[track_caller]
    pub(crate) fn finish(mut self, within: Duration) -> Finished {
        let Some(status) = self.wait(within) else {
            let said = self.stderr.text();
            panic!("it did not end within {within:?}; it said {said:?}");
        };
        assert!(
            self.stdout.wait_end(PATIENCE),
            "no process holds its output"
        );
        assert!(
            self.stderr.wait_end(PATIENCE),
            "no process holds its errors"
        );
        Finished {
            code: status.code(),
            stdout: self.stdout.bytes(),
            stderr: self.stderr.text(),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.has_ended() {
            // Asked first, so that it ends what it has started.
            self.signal(Signal::TERM);
            if self.wait(TO_GO).is_none() {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
        self.stdout.join();
        self.stderr.join();
        if std::thread::panicking() {
            eprintln!("what process {} said last:", self.id());
            let text = self.stderr.text();
            let lines: Vec<_> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(12)..] {
                eprintln!("  {line:.300}");
            }
        }
    }
}

/// Runs the client to its end, as the words say.
#[track_caller]
pub(crate) fn client(relay: &Relay, words: &[&str]) -> Finished {
    start_client(relay, words).finish(PATIENCE * 2)
}

/// Starts the client as the words say.
#[track_caller]
pub(crate) fn start_client(relay: &Relay, words: &[&str]) -> Program {
    Program::start(&mut client_for(relay, words))
}

/// The client for a server.
pub(crate) fn client_for(relay: &Relay, words: &[&str]) -> Command {
    let mut command = client_command();
    command.env("PECKING_SERVER", relay.address().to_string());
    command.args(words);
    command
}

/// An executor.
pub(crate) struct Worker(pub(crate) Program);

impl Worker {
    /// Starts one that only executes, and waits until it has joined.
    #[track_caller]
    pub(crate) fn start(relay: &Relay, options: &[&str]) -> Worker {
        Worker::start_as(relay, &mut client_command(), options)
    }

    /// The same with a command that becomes the client's program.
    #[track_caller]
    pub(crate) fn start_as(relay: &Relay, command: &mut Command, options: &[&str]) -> Worker {
        let server = relay.address().to_string();
        command.args(["work", "--server", &server]).args(options);
        let program = Program::start(command);
        program.stderr.wait_for("joined as", PATIENCE);
        Worker(program)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// The lines it has logged.
    pub(crate) fn log(&self) -> Vec<String> {
        self.0.stderr.text().lines().map(str::to_owned).collect()
    }
}
