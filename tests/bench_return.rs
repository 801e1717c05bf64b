//! How soon thousands of clients are back after their server was killed and started again:
//! `cargo run --release --example bench_return [--dir DIR] [CLIENTS [AWAY_MS...]]`, or
//! `tests/bench_return.sh`, which builds the server, too, and makes such a folder.
//!
//! With a folder that `pecking-server init` has made, all connections are encrypted, and each client
//! shows the certificate `agent.pem` of that folder.
//!
//! The clients are those of the library, all in this process and of one address; the server is
//! the program that stands beside this one. Times count from the moment at which the new server
//! takes its first connection.

use client::{
    Authorities, Client, ClientCertificate, ClientEvent, ClientTls, Config, ConnectError,
    Simulation,
};
use std::error::Error;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Threads that dial for the first time.
const DIALLING: usize = 8;

/// How long all may take to be back: several times as long as any of them pauses.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked what happened to the clients.
const TICK: Duration = Duration::from_millis(5);

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1).peekable();
    let dir = words.next_if_eq("--dir").and_then(|_| words.next());
    let clients = words.next().map_or(Ok(5000), |n| n.parse())?;
    let mut away: Vec<u64> = words.map(|ms| ms.parse()).collect::<Result<_, _>>()?;
    if away.is_empty() {
        away = vec![1000, 8000];
    }
    allow_many_sockets();
    let setup = Setup {
        clients,
        dir: dir.map(PathBuf::from),
    };
    for away in away {
        round(&setup, Duration::from_millis(away))?;
    }
    Ok(())
}

/// What is tried.
struct Setup {
    clients: usize,
    /// Where the certificates are, if connections are encrypted.
    dir: Option<PathBuf>,
}

impl Setup {
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

/// The server's program, ended with this value.
struct Server(Child);

impl Server {
    /// Starts one there, and says where it listens once it does.
    fn start(listen: SocketAddr, setup: &Setup) -> Result<(Server, SocketAddr), Box<dyn Error>> {
        let mut command = Command::new(program()?);
        let places = (setup.clients + 1).to_string();
        command.args([&places, "--listen", &listen.to_string()]);
        if let Some(dir) = &setup.dir {
            command.arg("--dir").arg(dir);
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
}

fn round(setup: &Setup, away: Duration) -> Result<(), Box<dyn Error>> {
    let clients = setup.clients;
    let (mut server, address) = Server::start(SocketAddr::from(([127, 0, 0, 1], 0)), setup)?;
    let crowd = join(address, setup)?;
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
    while fates.iter().any(|fate| fate.back.is_none()) {
        look(&crowd, &mut fates, killed)?;
        if killed.elapsed() > listens + PATIENCE {
            return Err("they do not all come back".into());
        }
    }
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
    Ok(())
}

/// Connects them all; they come back by themselves.
fn join(address: SocketAddr, setup: &Setup) -> Result<Vec<Client>, ConnectError> {
    let config = Config {
        server: address.to_string(),
        tls: setup.tls(),
        slots: Some(0),
        reconnect: true,
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
    let now = killed.elapsed();
    for (client, fate) in crowd.iter().zip(fates) {
        for event in client.events().try_iter() {
            match event {
                ClientEvent::Lost(_) => fate.lost = Some(now),
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
    std::thread::sleep(TICK.saturating_sub(killed.elapsed() - now));
    Ok(())
}
