//! The real server as a child process on a port of its own choice: both of its output
//! streams are read all the time, and it is killed and reaped when it is dropped.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::programs::server_program;
use super::{PATIENCE, left, try_dial, tunnel};

/// What the server is told where a test says nothing else. A heartbeat beyond every
/// test's end keeps pings out of those that are not about them.
const DEFAULTS: [(&str, &str); 3] = [
    ("--listen", "127.0.0.1:0"),
    ("--heartbeat", "10m"),
    ("--drain", "1s"),
];

/// Lines of its log that a failed test shows.
const SHOWN: usize = 40;

/// A running server.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    stdout: Captured,
    stderr: Captured,
}

impl Server {
    /// Starts a server for at most `clients` and waits until it listens. An option given
    /// here takes the place of its default.
    #[track_caller]
    pub(crate) fn start(clients: usize, options: &[&str]) -> Self {
        Self::spawn(&mut command(clients, options))
    }

    /// Starts a server on a port that is known, and waits until it listens there.
    #[track_caller]
    pub(crate) fn start_at(address: SocketAddr, clients: usize) -> Self {
        Self::start_at_with(address, clients, &[])
    }

    /// [`start_at`](Self::start_at) with options.
    #[track_caller]
    pub(crate) fn start_at_with(address: SocketAddr, clients: usize, options: &[&str]) -> Self {
        let listen = address.to_string();
        let listen = ["--listen", &listen];
        let mut server = Self::launch(&mut command(clients, &[&listen, options].concat()));
        server.address = address;
        // It need not say that it listens where the port is known; that it takes a
        // connection says so.
        let deadline = Instant::now() + PATIENCE;
        while try_dial(address).is_err() {
            let log = server.stderr.lines();
            let over = server.stdout.has_ended() || Instant::now() >= deadline;
            assert!(!over, "waited for a server at {address}; its log: {log:#?}");
            server.stdout.wait_a_little();
        }
        server
    }

    /// Starts exactly this command, which must listen on port 0.
    #[track_caller]
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut server = Self::launch(command);
        server.address = server
            .stdout
            .wait("the address it listens on", find_address);
        server
    }

    #[track_caller]
    fn launch(command: &mut Command) -> Self {
        let mut child = command
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server's program starts");
        let stdout = Captured::new(child.stdout.take().expect("stdout is piped"));
        let stderr = Captured::new(child.stderr.take().expect("stderr is piped"));
        Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            stdout,
            stderr,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Sends any signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the server is still there");
    }

    /// Stops it, and waits until none of its threads goes on: the signal alone does not wait for those
    /// that have work, which on a busy machine may be long.
    #[track_caller]
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        let deadline = Instant::now() + PATIENCE;
        let pid = WaitId::Pid(Pid::from_child(&self.child));
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        while waitid(pid.clone(), stopped).expect("it is ours").is_none() {
            assert!(Instant::now() < deadline, "it stops");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until the process has ended.
    #[track_caller]
    pub(crate) fn wait_exit(&mut self, within: Duration) -> ExitStatus {
        // A process that ends closes its output: that is the event to wait for.
        let deadline = Instant::now() + within;
        self.stdout.wait_end("the server's end", deadline);
        self.child.wait().expect("the server can be waited for")
    }

    /// The process's number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many descriptors it has open, where the system shows that.
    pub(crate) fn descriptors(&self) -> Option<usize> {
        let folder = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(folder).ok().map(Iterator::count)
    }

    /// How many bytes of memory it has had at most, where the system shows that.
    pub(crate) fn most_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib << 10)
    }

    /// The lines it has printed so far.
    pub(crate) fn stdout_lines(&self) -> Vec<String> {
        self.stdout.lines()
    }

    /// The lines it has logged so far.
    pub(crate) fn stderr_lines(&self) -> Vec<String> {
        self.stderr.lines()
    }

    /// Waits for a line on its standard output.
    #[track_caller]
    pub(crate) fn wait_stdout(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let found = |line: &str| is_it(line).then(|| line.to_owned());
        self.stdout.wait(what, found)
    }

    /// Waits for a line of its log.
    #[track_caller]
    pub(crate) fn wait_stderr(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let found = |line: &str| is_it(line).then(|| line.to_owned());
        self.stderr.wait(what, found)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Neither can fail in a way that matters here: it may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.stdout.join();
        self.stderr.join();
        if std::thread::panicking() {
            let lines = self.stderr.lines();
            eprintln!("the last lines of the server's log:");
            for line in &lines[lines.len().saturating_sub(SHOWN)..] {
                eprintln!("  {line}");
            }
        }
    }
}

/// The command line of a server; an option given here takes the place of its default.
fn command(clients: usize, options: &[&str]) -> Command {
    let mut command = Command::new(server_program());
    command.arg(clients.to_string()).arg("--quiet");
    for (option, value) in DEFAULTS {
        if !options.contains(&option) {
            command.args([option, value]);
        }
    }
    command.args(options);
    tunnel::encrypt(&mut command);
    command
}

/// The address in a line such as `Listening on 127.0.0.1:43211`.
fn find_address(line: &str) -> Option<SocketAddr> {
    line.split_whitespace().find_map(|word| {
        word.trim_matches(['.', ',', '(', ')', '\'', '"'])
            .parse()
            .ok()
    })
}

/// An output stream of the server, read by a thread until its end.
struct Captured {
    state: Arc<(Mutex<State>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Captured {
    fn new(stream: impl Read + Send + 'static) -> Self {
        let state = Arc::<(Mutex<State>, Condvar)>::default();
        let shared = Arc::clone(&state);
        let reader = std::thread::spawn(move || {
            let (lock, changed) = &*shared;
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                let mut state = lock.lock().unwrap_or_else(PoisonError::into_inner);
                state.lines.push(line);
                changed.notify_all();
            }
            let mut state = lock.lock().unwrap_or_else(PoisonError::into_inner);
            state.ended = true;
            changed.notify_all();
        });
        Self {
            state,
            reader: Some(reader),
        }
    }

    fn lines(&self) -> Vec<String> {
        let state = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.lines.clone()
    }

    fn has_ended(&self) -> bool {
        let state = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended
    }

    /// Waits until something changes here, and not for long: the pace of a loop that
    /// waits for what happens elsewhere.
    fn wait_a_little(&self) {
        let (lock, changed) = &*self.state;
        let state = lock.lock().unwrap_or_else(PoisonError::into_inner);
        drop(changed.wait_timeout(state, Duration::from_millis(10)));
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let find = |state: &State| state.lines.iter().find_map(|line| find(line));
        self.wait_until(what, deadline, find)
    }

    #[track_caller]
    fn wait_end(&self, what: &str, deadline: Instant) {
        self.wait_until(what, deadline, |state| state.ended.then_some(()));
    }

    #[track_caller]
    fn wait_until<T>(
        &self,
        what: &str,
        deadline: Instant,
        find: impl Fn(&State) -> Option<T>,
    ) -> T {
        let (lock, changed) = &*self.state;
        let mut state = lock.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = find(&state) {
                return found;
            }
            if state.ended || Instant::now() >= deadline {
                let why = if state.ended { "it ended" } else { "too late" };
                let lines = state.lines.clone();
                drop(state);
                panic!("waited for {what}: {why}; it had printed {lines:#?}");
            }
            let waited = changed.wait_timeout(state, left(deadline));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            // It only reads and stores; there is no result to look at.
            let _ = reader.join();
        }
    }
}
