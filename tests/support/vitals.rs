//! What a process costs, as the system counts it, and how quick a server is for clients that use
//! it: pairs of clients of which one commands the other all the time.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{IS_RELEASE, PATIENCE, dial, skipped};

/// Between two commands of a pair, so that all of them leave the machine idle. With a debug build
/// 24 pairs would take two cores otherwise.
const PAUSE: Duration = Duration::from_millis(if IS_RELEASE { 2 } else { 10 });

/// Commands that say something about how quick a server is.
const ENOUGH: usize = 20;

/// How long an executor serves on after a test that has failed: its boss may wait for an outcome.
const SERVES_ON: Duration = Duration::from_millis(100);

/// A process in `/proc`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vitals(u32);

impl Vitals {
    /// Of the process with this number; none, and says so, where the system does not show it.
    pub(crate) fn of(pid: u32) -> Option<Vitals> {
        let shown = fs::exists(format!("/proc/{pid}/task")).unwrap_or(false);
        if !shown {
            skipped("there is no /proc to look at the server in");
        }
        shown.then_some(Vitals(pid))
    }

    pub(crate) fn threads(self) -> usize {
        self.count("task")
    }

    pub(crate) fn descriptors(self) -> usize {
        self.count("fd")
    }

    fn count(self, folder: &str) -> usize {
        let folder = fs::read_dir(format!("/proc/{}/{folder}", self.0));
        folder.expect("the process is there").count()
    }

    /// Bytes of memory that it has in use. Counted page by page, since `VmRSS` in `status` is
    /// an estimate: proc(5). So it costs the process some time.
    pub(crate) fn resident(self) -> usize {
        let counted = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0));
        kib(&counted.expect("the process is there"), "Rss:") << 10
    }

    /// The most that it ever had in use, in bytes, as an estimate that costs it nothing: proc(5).
    pub(crate) fn most_resident(self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0));
        kib(&status.expect("the process is there"), "VmHWM:") << 10
    }

    /// Time that it spent on a processor, of a clock that ticks a hundred times a second.
    pub(crate) fn cpu(self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0));
        let stat = stat.expect("the process is there");
        // After the name, which may have anything in it: utime and stime, proc(5).
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks = ticks.map(|ticks| ticks.parse::<u64>().expect("a number"));
        Duration::from_millis(10 * ticks.sum::<u64>())
    }
}

/// How many KiB a line of `/proc` tells of.
fn kib(lines: &str, name: &str) -> usize {
    let line = lines.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.expect("the system says how much")
}

/// Pairs of clients, with what each command took.
pub(crate) struct Pairs {
    stop: Arc<AtomicBool>,
    samples: Arc<Mutex<Vec<(Instant, Duration)>>>,
    /// Of those that command.
    bosses: Vec<JoinHandle<()>>,
    /// Of those that execute, with their connections.
    workers: Vec<(TcpStream, JoinHandle<()>)>,
}

impl Pairs {
    /// Joins them, and has them begin.
    #[track_caller]
    pub(crate) fn start(address: SocketAddr, pairs: usize) -> Pairs {
        let stop = Arc::<AtomicBool>::default();
        let samples = Arc::<Mutex<Vec<(Instant, Duration)>>>::default();
        let mut bosses = Vec::new();
        let mut workers = Vec::new();
        for pair in 0..pairs {
            let worker_name = format!("pair-{pair}-worker");
            let boss = join(address, &format!("pair-{pair}-boss"), 0);
            let worker = join(address, &worker_name, 1);
            let connection = worker.try_clone().expect("a socket can be cloned");
            workers.push((connection, std::thread::spawn(move || serve(&worker))));
            let (stop, samples) = (Arc::clone(&stop), Arc::clone(&samples));
            bosses.push(std::thread::spawn(move || {
                command(&boss, &worker_name, &stop, &samples);
            }));
        }
        Pairs {
            stop,
            samples,
            bosses,
            workers,
        }
    }

    /// The time that 99 of 100 commands took at most that began in this span.
    #[track_caller]
    pub(crate) fn p99(&self, from: Instant, to: Instant) -> Duration {
        let mut took = self.took(from, to);
        took.sort_unstable();
        took[took.len() * 99 / 100]
    }

    /// Lets them work for a while, and for as long as it takes until there are enough commands to
    /// say something; what each of these took.
    #[track_caller]
    pub(crate) fn work(&self, span: Duration) -> Vec<Duration> {
        let began = Instant::now();
        std::thread::sleep(span);
        let deadline = Instant::now() + PATIENCE;
        while self.began_in(began, Instant::now()).len() < ENOUGH && Instant::now() < deadline {
            std::thread::sleep(PAUSE);
        }
        self.took(began, Instant::now())
    }

    /// What each command took that began in this span.
    #[track_caller]
    pub(crate) fn took(&self, from: Instant, to: Instant) -> Vec<Duration> {
        let took = self.began_in(from, to);
        let count = took.len();
        assert!(count >= ENOUGH, "only {count} commands went through");
        took
    }

    fn began_in(&self, from: Instant, to: Instant) -> Vec<Duration> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let inside = samples.iter().filter(|(at, _)| (from..to).contains(at));
        inside.map(|(_, took)| *took).collect()
    }

    /// Ends them; panics where one of them was not served as it should be.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for boss in self.bosses.drain(..) {
            boss.join().expect("every command had its outcome");
        }
        for (connection, worker) in self.workers.drain(..) {
            // The server may have closed it.
            let _ = connection.shutdown(Shutdown::Both);
            worker.join().expect("it executes until nothing comes");
        }
    }
}

impl Drop for Pairs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for (connection, _) in &self.workers {
            let _ = connection.set_read_timeout(Some(SERVES_ON));
        }
    }
}

#[track_caller]
fn join(address: SocketAddr, name: &str, slots: u32) -> TcpStream {
    let stream = dial(address);
    stream.set_nodelay(true).expect("an open socket");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("an open socket");
    let join = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"join\",\
         \"params\":{{\"protocol\":1,\"name\":\"{name}\",\"slots\":{slots}}}}}\n"
    );
    (&stream).write_all(join.as_bytes()).expect("it is taken");
    let mut answer = Vec::new();
    // Nothing else comes before a client commands it.
    let _ = BufReader::with_capacity(1, &stream).read_until(b'\n', &mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("\"result\""), "{name}: {answer:?}");
    stream
}

/// Executes until nothing comes any more.
fn serve(worker: &TcpStream) {
    let mut writer = worker;
    for line in BufReader::new(worker).lines().map_while(Result::ok) {
        if let Some(id) = id_of(&line).filter(|_| line.contains("\"method\":\"execute\"")) {
            let answer =
                format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"exit_code\":0}}}}\n");
            if writer.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

fn command(
    boss: &TcpStream,
    to: &str,
    stop: &AtomicBool,
    samples: &Mutex<Vec<(Instant, Duration)>>,
) {
    let mut writer = boss;
    let mut lines = BufReader::new(boss).lines();
    for id in 1_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let send = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"send\",\
             \"params\":{{\"to\":\"{to}\",\"command\":[\"x\"]}}}}\n"
        );
        let began = Instant::now();
        writer.write_all(send.as_bytes()).expect("it is taken");
        let outcome = lines
            .by_ref()
            .map(|line| line.expect("it comes in time"))
            .find(|line| id_of(line) == Some(id) && !line.contains("\"method\""))
            .expect("an outcome");
        assert!(outcome.contains("\"status\":\"done\""), "{outcome}");
        let mut samples = samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push((began, began.elapsed()));
        drop(samples);
        std::thread::sleep(PAUSE);
    }
}

/// The number behind `"id":`, which is all of a line that matters here.
fn id_of(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("\"id\":")?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    rest[..end].parse().ok()
}
