//! How soon thousands of clients are back after their server was killed and started again:
//! `cargo run --release --example bench_return [--dir DIR] [hold] [elsewhere] [CLIENTS [AWAY_MS...]]`, or
//! `tests/bench_return.sh`, which builds the server, too, and makes such a folder.
//!
//! With a folder that `pecking-server init` has made, all connections are encrypted, and each client
//! shows the certificate `agent.pem` of that folder, and the one that commands the token `operator.token`.
//!
//! With `hold` the server keeps a state, and all come back to their ranks. A pair of other clients
//! measures meanwhile how long a command takes, and did so before. It is in a process of its own, this
//! program once more (`pair ADDRESS [DIR]`): between the threads of the crowd it would measure these. With
//! `elsewhere` it has a server of its own, so that what it measures is what the crowd costs any program of
//! this machine.
//!
//! The clients are those of the library, those of the crowd all in this process and of one address; the
//! server is the program that stands beside this one. Times count from the moment at which the new server
//! takes its first connection.

use client::{
    Authorities, Client, ClientCertificate, ClientEvent, ClientTls, Command as Words, Config,
    ConnectError, Resumed, Simulation, Tier, Token,
};
use std::error::Error;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Threads that dial for the first time.
const DIALLING: usize = 8;

/// How long all may take to be back: several times as long as any of them pauses.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked what happened to a part of the clients.
const TICK: Duration = Duration::from_millis(5);

/// And the parts: to look at all of them at once keeps a core from the pair for half a millisecond.
const PARTS: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1).peekable();
    if words.next_if_eq("pair").is_some() {
        let address = words.next().ok_or("no address")?.parse()?;
        return pair(address, words.next().map(PathBuf::from));
    }
    let dir = words.next_if_eq("--dir").and_then(|_| words.next());
    let holds = words.next_if(|word| word == "hold").is_some();
    let is_elsewhere = words.next_if(|word| word == "elsewhere").is_some();
    let folder = tempfile::tempdir()?;
    let clients = words.next().map_or(Ok(5000), |n| n.parse())?;
    let mut away: Vec<u64> = words.map(|ms| ms.parse()).collect::<Result<_, _>>()?;
    if away.is_empty() {
        away = vec![1000, 8000];
    }
    allow_many_sockets();
    allow_many_waits();
    let setup = Setup {
        clients,
        dir: dir.map(PathBuf::from),
        state: holds.then(|| folder.path().join("state")),
        is_elsewhere,
    };
    for away in away {
        // No place of the round before is held.
        if let Some(state) = &setup.state {
            let _ = std::fs::remove_file(state);
        }
        round(&setup, Duration::from_millis(away))?;
    }
    Ok(())
}

/// What is tried.
struct Setup {
    clients: usize,
    /// Where the certificates are, if connections are encrypted.
    dir: Option<PathBuf>,
    /// Where the server keeps its state, if clients come back to their ranks.
    state: Option<PathBuf>,
    /// Whether the pair has a server of its own.
    is_elsewhere: bool,
}

impl Setup {
    /// The pair's own server, if it has one.
    fn elsewhere(&self, at: SocketAddr) -> Result<Option<(Server, SocketAddr)>, Box<dyn Error>> {
        let setup = Setup {
            clients: 0,
            dir: self.dir.clone(),
            state: None,
            is_elsewhere: false,
        };
        let start = || Server::start(SocketAddr::new(at.ip(), 0), &setup);
        self.is_elsewhere.then(start).transpose()
    }

    fn tls(&self) -> Option<ClientTls> {
        let dir = self.dir.as_ref()?;
        Some(ClientTls {
            authorities: Some(Authorities::File(dir.join("ca.pem"))),
            certificate: Some(ClientCertificate {
                cert: dir.join("agent.pem"),
                key: dir.join("agent.key"),
            }),
            server_name: Some("localhost".into()),
            ..ClientTls::default()
        })
    }
}

/// As many sockets as the system allows.
fn allow_many_sockets() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Places for all threads of this process that wait on a futex. The kernel gives a process four for
/// each processor, and a wake-up walks past all that wait at the same one: the crowd alone would keep
/// a core busy with that, and no client of a real one shares its process with the others. Kernels
/// without this have one table for all processes.
#[allow(unsafe_code, reason = "no safe crate has this call")]
fn allow_many_waits() {
    // `PR_FUTEX_HASH(2const)`.
    const PR_FUTEX_HASH: libc::c_int = 78;
    const PR_FUTEX_HASH_SET_SLOTS: libc::c_ulong = 1;
    const SLOTS: libc::c_ulong = 1 << 14;
    let unused: libc::c_ulong = 0;
    // SAFETY: it takes numbers alone.
    unsafe {
        libc::prctl(
            PR_FUTEX_HASH,
            PR_FUTEX_HASH_SET_SLOTS,
            SLOTS,
            unused,
            unused,
        )
    };
}

/// The server's program, ended with this value.
struct Server(Child);

impl Server {
    /// Starts one there, and says where it listens once it does.
    fn start(listen: SocketAddr, setup: &Setup) -> Result<(Server, SocketAddr), Box<dyn Error>> {
        let mut command = Command::new(program()?);
        command.args([
            &(setup.clients + 3).to_string(),
            "--listen",
            &listen.to_string(),
        ]);
        if let Some(dir) = &setup.dir {
            command.arg("--dir").arg(dir);
        }
        if let Some(state) = &setup.state {
            command.arg("--state").arg(state);
        }
        command.args(["--quiet", "--heartbeat", "10m"]);
        command.env("RUST_LOG", "error").stdout(Stdio::piped());
        let mut server = Server(command.spawn()?);
        if listen.port() > 0 {
            while TcpStream::connect(listen).is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
            return Ok((server, listen));
        }
        let stdout = server.0.stdout.take().ok_or("its output is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.split_whitespace().last().unwrap_or_default().parse()?;
        Ok((server, address))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program() -> Result<PathBuf, Box<dyn Error>> {
    let example = std::env::current_exe()?;
    let target = example.ancestors().nth(2).ok_or("no target folder")?;
    Ok(target.join("pecking-server"))
}

/// What became of one client after the kill.
#[derive(Default)]
struct Fate {
    lost: Option<Duration>,
    back: Option<Duration>,
    /// Dials that led to no server.
    refused: u32,
    /// Whether the first of them led to the one that was dying.
    first_was_reset: bool,
    /// Its place was lost.
    has_no_place: bool,
}

/// Two clients besides, one of which commands the other.
struct Pair {
    boss: Client,
    _worker: Client,
}

impl Pair {
    fn join(address: SocketAddr, setup: &Setup) -> Result<Pair, ConnectError> {
        let join = |slots, tier| {
            let mut tls = setup.tls();
            let mut token = None;
            if let Some(tls) = tls.as_mut().filter(|_| slots == 0) {
                tls.certificate = None;
                let operator = setup.dir.as_ref().map(|dir| dir.join("operator.token"));
                token = operator.map(Token::File);
            }
            let config = Config {
                server: address.to_string(),
                tls,
                token,
                slots: Some(slots),
                tier: Tier::new(tier).ok(),
                rank_news: false,
                ..Config::default()
            };
            loop {
                match Client::connect(&config, Simulation) {
                    Err(error @ ConnectError::Refused { .. }) => return Err(error),
                    // The crowd has the same address, and its handshakes all of the room for that.
                    Err(_) => {}
                    Ok(client) => return Ok(client),
                }
            }
        };
        Ok(Pair {
            boss: join(0, 5)?,
            _worker: join(1, 9)?,
        })
    }

    /// The milliseconds within which 99 of 100 commands had their outcomes, until it is over.
    fn measure(&self, is_over: impl Fn() -> bool) -> f64 {
        let mut times = Vec::new();
        while !is_over() {
            let began = Instant::now();
            let sent = self.boss.send(Words::new(["print"]).to("next"));
            let outcomes = sent.and_then(client::SendHandle::wait);
            if outcomes.is_ok_and(|outcomes| outcomes[0].succeeded()) {
                times.push(began.elapsed());
            }
        }
        times.sort_unstable();
        let at = times.len().saturating_sub(1) * 99 / 100;
        times
            .get(at)
            .map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    }
}

/// Measures until standard input ends, and prints that.
fn pair(address: SocketAddr, dir: Option<PathBuf>) -> Result<(), Box<dyn Error>> {
    let setup = Setup {
        clients: 0,
        dir,
        state: None,
        is_elsewhere: true,
    };
    let pair = Pair::join(address, &setup)?;
    println!();
    let is_over = AtomicBool::new(false);
    let millis = std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            is_over.store(true, Ordering::Relaxed);
        });
        pair.measure(|| is_over.load(Ordering::Relaxed))
    });
    println!("{millis}");
    Ok(())
}

/// The pair in its process.
struct Measuring {
    child: Child,
    told: BufReader<ChildStdout>,
}

impl Measuring {
    fn start(address: SocketAddr, setup: &Setup) -> Result<Measuring, Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("pair").arg(address.to_string());
        command.args(&setup.dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let told = child.stdout.take().ok_or("its output is piped")?;
        let told = BufReader::new(told);
        Ok(Measuring { child, told })
    }

    fn line(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        self.told.read_line(&mut line)?;
        Ok(line)
    }

    /// What it has measured so far.
    fn end(mut self) -> Result<f64, Box<dyn Error>> {
        drop(self.child.stdin.take());
        let millis = self.line()?.trim().parse()?;
        self.child.wait()?;
        Ok(millis)
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long the pair measures before the crowd has lost its server.
const BEFORE: Duration = Duration::from_secs(2);

fn round(setup: &Setup, away: Duration) -> Result<(), Box<dyn Error>> {
    let clients = setup.clients;
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let (mut server, address) = Server::start(anywhere, setup)?;
    let crowd = join(address, setup)?;
    let order = in_order(&crowd);
    let other = setup.elsewhere(address)?;
    let measured = other.as_ref().map_or(address, |(_, address)| *address);
    let mut pair = Measuring::start(measured, setup)?;
    pair.line()?;
    std::thread::sleep(BEFORE);
    let before = pair.end()?;
    let killed = Instant::now();
    // It is waited for later: while it dies, its clients dial already.
    server.0.kill()?;
    let mut fates: Vec<Fate> = crowd.iter().map(|_| Fate::default()).collect();
    while killed.elapsed() < away {
        look(&crowd, &mut fates, killed)?;
    }
    drop(server);
    let (_server, _) = Server::start(address, setup)?;
    let listens = killed.elapsed();
    let mut pair = Measuring::start(measured, setup)?;
    return_of(&crowd, &mut fates, killed, listens)?;
    pair.line()?;
    let meanwhile = pair.end()?;
    let sorted = |times: Vec<Option<Duration>>| {
        let mut times: Vec<Duration> = times.into_iter().flatten().collect();
        times.sort_unstable();
        times
    };
    let lost = sorted(fates.iter().map(|fate| fate.lost).collect());
    let back = sorted(fates.iter().map(|fate| fate.back).collect());
    let after = |part: f64| {
        let at = (part * (back.len() - 1) as f64) as usize;
        back[at].saturating_sub(listens).as_secs_f64()
    };
    let refused: u32 = fates.iter().map(|fate| fate.refused).sum();
    let reset = fates.iter().filter(|fate| fate.first_was_reset).count();
    println!(
        "{clients} clients, server away for {:.2} s: back after {:.2} s (half), {:.2} s (99 %), \
         {:.2} s (all); {:.1} dials refused for each; {reset} first dials reset, the last loss \
         {:.0} ms after the first",
        listens.as_secs_f64(),
        after(0.5),
        after(0.99),
        after(1.0),
        f64::from(refused) / clients as f64,
        (lost[lost.len() - 1] - lost[0]).as_secs_f64() * 1000.0,
    );
    println!(
        "  a command of two others: 99 % within {before:.2} ms before, {meanwhile:.2} ms meanwhile"
    );
    if setup.state.is_some() {
        let placeless = fates.iter().filter(|fate| fate.has_no_place).count();
        let now = in_order(&crowd);
        let same = now.iter().zip(&order).filter(|(now, before)| now == before);
        println!(
            "  at the same place of their order: {} of {clients}; place lost: {placeless}",
            same.count()
        );
    }
    Ok(())
}

/// The crowd by rank.
fn in_order(crowd: &[Client]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..crowd.len()).collect();
    order.sort_by_key(|at| crowd[*at].rank());
    order
}

/// Waits until all are back.
fn return_of(
    crowd: &[Client],
    fates: &mut [Fate],
    killed: Instant,
    listens: Duration,
) -> Result<(), Box<dyn Error>> {
    while fates.iter().any(|fate| fate.back.is_none()) {
        look(crowd, fates, killed)?;
        if killed.elapsed() > listens + PATIENCE {
            return Err("they do not all come back".into());
        }
    }
    Ok(())
}

/// Connects them all; they come back by themselves.
fn join(address: SocketAddr, setup: &Setup) -> Result<Vec<Client>, ConnectError> {
    let config = Config {
        server: address.to_string(),
        tls: setup.tls(),
        slots: Some(0),
        reconnect: true,
        hold: setup.state.is_some(),
        ..Config::default()
    };
    let join = |count: usize| -> Result<Vec<Client>, ConnectError> {
        let mut joined = Vec::new();
        while joined.len() < count {
            match Client::connect(&config, Simulation) {
                Err(ConnectError::TurnedAway { .. }) => {}
                client => joined.push(client?),
            }
        }
        Ok(joined)
    };
    std::thread::scope(|scope| {
        let shares = (0..DIALLING).map(|n| (setup.clients + n) / DIALLING);
        let dialling: Vec<_> = shares
            .map(|share| scope.spawn(move || join(share)))
            .collect();
        let mut all = Vec::new();
        for dialling in dialling {
            all.extend(dialling.join().expect("no panic")?);
        }
        Ok(all)
    })
}

/// Notes what happened since it was looked last.
fn look(crowd: &[Client], fates: &mut [Fate], killed: Instant) -> Result<(), Box<dyn Error>> {
    let part = crowd.len() / PARTS + 1;
    for (crowd, fates) in crowd.chunks(part).zip(fates.chunks_mut(part)) {
        look_at_part(crowd, fates, killed.elapsed())?;
        std::thread::sleep(TICK);
    }
    Ok(())
}

fn look_at_part(crowd: &[Client], fates: &mut [Fate], now: Duration) -> Result<(), Box<dyn Error>> {
    for (client, fate) in crowd.iter().zip(fates) {
        for event in client.events().try_iter() {
            match event {
                ClientEvent::Lost(_) => {
                    fate.has_no_place = true;
                    fate.lost.get_or_insert(now);
                }
                ClientEvent::Away { .. } => fate.lost = Some(now),
                ClientEvent::Resumed { kept, .. } => {
                    fate.has_no_place |= kept != Resumed::Rank;
                    fate.back = Some(now);
                }
                ClientEvent::NotYet { error, .. } => {
                    let is_first = fate.refused == 0;
                    let refused = matches!(
                        &*error,
                        ConnectError::Unreachable { source, .. }
                            if source.kind() == ErrorKind::ConnectionRefused
                    );
                    fate.first_was_reset |= is_first && !refused && fate.back.is_none();
                    fate.refused += 1;
                }
                ClientEvent::Rejoined { .. } => fate.back = Some(now),
                ClientEvent::Disconnected(reason) => return Err(reason.to_string().into()),
                _ => {}
            }
        }
    }
    Ok(())
}
