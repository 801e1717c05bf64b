//! What running a program for another client costs, and how fast output streams, measured
//! in one process with a server, a sender and an executor of its own:
//! `cargo run --release --example bench_spawn [ROUNDS [MIB [KIND...]]]`.
//!
//! Starting `/bin/true` through all of them and hearing how it ended alternates, one by
//! one, with starting it directly (`posix_spawn` and `waitpid`, as the standard library
//! does it), so that both see the same machine. Medians are told.

use client::{Client, Command, Config, Executor, Job, Processes, SendEvent};
use server::{Running, Server};
use std::error::Error;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How far ahead of the sender's reading the executor may be: as `pecking run` has it.
const WINDOW: u64 = 4 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let mut number = || words.next().map(|word| word.parse()).transpose();
    let rounds = number()?.unwrap_or(1000);
    let mib = number()?.unwrap_or(1024);
    let kinds: Vec<String> = words.collect();
    let bench = Bench::start()?;
    bench.starting(rounds)?;
    for (name, script) in [
        (
            "zeroes",
            "dd if=/dev/zero bs=128K iflag=count_bytes count=$0 2>/dev/null",
        ),
        (
            "text",
            "yes 'a line of text, as programs write it' | head -c $0",
        ),
        (
            "random",
            "f=$(mktemp); trap 'rm $f' 0; head -c 16M /dev/urandom >$f; \
                    while cat $f; do :; done | head -c $0",
        ),
    ] {
        if kinds.is_empty() || kinds.iter().any(|kind| kind == name) {
            bench.streaming(name, script, mib)?;
        }
    }
    Ok(())
}

struct Bench {
    boss: Client,
    /// How long the last command took where it was executed, in nanoseconds.
    executing: Arc<AtomicU64>,
    _worker: Client,
    _server: Running,
}

impl Bench {
    fn start() -> Result<Bench, Box<dyn Error>> {
        let server = Server::bind(server::Config {
            listen: "127.0.0.1:0".into(),
            ..server::Config::default()
        })?
        .spawn()?;
        let config = |slots| Config {
            server: server.address().to_string(),
            slots,
            ..Config::default()
        };
        let boss = Client::connect(config(Some(0)), client::Simulation)?;
        let processes = Processes::allow_any()?;
        let executing = Arc::new(AtomicU64::new(0));
        let last = Arc::clone(&executing);
        let worker = Client::connect(config(Some(1)), move |job: &Job| {
            let since = Instant::now();
            let answer = processes.execute(job);
            let took = u64::try_from(since.elapsed().as_nanos()).unwrap_or_default();
            last.store(took, Ordering::Relaxed);
            answer
        })?;
        Ok(Bench {
            boss,
            executing,
            _worker: worker,
            _server: server,
        })
    }

    /// Starts `/bin/true` in turns, through the relay and directly.
    fn starting(&self, rounds: usize) -> Result<(), Box<dyn Error>> {
        let mut relayed = Vec::new();
        let mut executed = Vec::new();
        let mut direct = Vec::new();
        for _ in 0..rounds {
            let since = Instant::now();
            let outcomes = self.boss.send(Command::new(["/bin/true"]))?.wait()?;
            relayed.push(since.elapsed());
            assert!(outcomes.iter().all(client::Outcome::succeeded));
            executed.push(Duration::from_nanos(self.executing.load(Ordering::Relaxed)));

            let since = Instant::now();
            let mut program = std::process::Command::new("/bin/true");
            let program = program.stdin(Stdio::null()).stdout(Stdio::null());
            let status = program.stderr(Stdio::null()).status()?;
            direct.push(since.elapsed());
            assert!(status.success());
        }
        let (relayed, direct) = (median(&mut relayed), median(&mut direct));
        let executed = median(&mut executed);
        println!(
            "/bin/true, median of {rounds}: relayed {relayed:?} (of this, executed {executed:?}), \
             direct {direct:?}, ratio {:.2}",
            relayed.as_secs_f64() / direct.as_secs_f64()
        );
        Ok(())
    }

    /// Takes so much of a script's output, and lets go of it.
    fn streaming(&self, name: &str, script: &str, mib: usize) -> Result<(), Box<dyn Error>> {
        let bytes = mib << 20;
        let words = ["/bin/sh", "-c", script, &bytes.to_string()].map(String::from);
        let since = Instant::now();
        let sent = self.boss.send(Command::new(words).window(WINDOW))?;
        let (mut came, mut chunks) = (0, 0);
        for event in sent.receiver() {
            match event {
                SendEvent::Output(output) => {
                    came += output.bytes.len();
                    chunks += 1;
                }
                SendEvent::Outcome(outcome) => came += outcome.stdout.len(),
                SendEvent::End(Err(error)) => return Err(error.into()),
                _ => {}
            }
        }
        let took = since.elapsed().as_secs_f64();
        assert_eq!(came, bytes, "nothing is lost");
        println!(
            "{name}: {:.0} MiB/s ({mib} MiB in {chunks} chunks)",
            mib as f64 / took
        );
        Ok(())
    }
}

fn median(durations: &mut [Duration]) -> Duration {
    durations.sort_unstable();
    durations
        .get(durations.len() / 2)
        .copied()
        .unwrap_or_default()
}
