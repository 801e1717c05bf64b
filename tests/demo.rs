//! Everything in one go: a server and four clients in this process, commands by several
//! selectors, the first one leaving, and its successor. `cargo run --example demo`.
//!
//! At a terminal it goes on: four agents execute real programs, and the user commands them at a prompt. That
//! is the program `pecking` itself, which cargo builds during the show. In a pipe the demo ends by itself.

#[path = "support/nested_build.rs"]
mod nested_build;

use client::policy::Policy;
use client::{
    Client, ClientEvent, Command, Config, ExecutionResult, Job, Processes, Tags, Tier, watchdog,
};
use escargot::{CargoBuild, CargoRun};
use nested_build::as_a_user;
use server::{Running, Server};
use std::error::Error;
use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long the demo waits for what should come at once, on a machine under load.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the agents execute: words, the program, and its arguments.
const COMMANDS: [(&str, &str, &[&str]); 4] = [
    ("uptime", "uptime", &[]),
    ("uname", "uname", &["-srm"]),
    (
        "slow",
        "sh",
        &[
            "-c",
            "for i in 1 2 3 4 5 6 7 8; do echo step $i of 8; sleep 1; done",
        ],
    ),
    ("fails", "ls", &["/no/such/folder"]),
];

/// The agents' names and roles.
const AGENTS: [(&str, &str); 4] = [
    ("web1", "web"),
    ("web2", "web"),
    ("web3", "web"),
    ("db1", "db"),
];

const WHAT_TO_TRY: &str = "\
Now it is your turn: a prompt above web1, web2, web3 and db1, which run real programs. Try

    @below uptime            all four run it
    @least-loaded slow       one of them does, and you see it work; Ctrl-C cancels it
    @role=web uname          those with a tag
    fails                    the nearest one, and how a failure looks
    :ranks                   every client, by rank
    @w and the Tab key       names are completed
    :help                    what else there is

exit ends it all.
";

fn main() -> Result<(), Box<dyn Error>> {
    if watchdog::serve_if_asked() {
        return Ok(());
    }
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let prompt = is_terminal.then(|| thread::spawn(build_prompt));
    let server = Server::bind(server::Config {
        listen: "127.0.0.1:0".into(),
        max_clients: 10,
        ..server::Config::default()
    })?
    .spawn()?;
    let clients = succession(&server)?;
    match prompt {
        None => stop(server, clients),
        Some(prompt) => {
            say("ben, cleo and dan leave. Four agents join in the lowest tier, as services do.");
            clients.into_iter().for_each(Client::leave);
            go_on(server, prompt)
        }
    }
}

/// The show: four clients, of which the first one leaves.
fn succession(server: &Running) -> Result<Vec<Client>, Box<dyn Error>> {
    say(&format!(
        "A server listens on {}. Four clients dial in, one after another.",
        server.address()
    ));
    let join = |name: &str, slots: u32| {
        let config = Config {
            server: server.address().to_string(),
            name: Some(name.into()),
            slots: Some(slots),
            ..Config::default()
        };
        let executes = name.to_owned();
        let client = Client::connect(config, move |job: &Job| play(&executes, job))?;
        let plural = if slots == 1 { "" } else { "s" };
        println!(
            "    {name:6} has rank {}, {slots} slot{plural}",
            client.rank()
        );
        Ok::<Client, Box<dyn Error>>(client)
    };
    let anna = join("anna", 1)?;
    let ben = join("ben", 1)?;
    let cleo = join("cleo", 2)?;
    let dan = join("dan", 1)?;

    say("anna sends `print` to the next: ben, the nearest below her.");
    show(&anna, &Command::new(["print"]).to("next"))?;

    say("cleo sends `debug` to all: dan executes, those above her refuse.");
    show(&cleo, &Command::new(["debug"]).to("all"))?;

    say("ben sends `work` three times to the least loaded: cleo has two slots, dan has one.");
    let sent: Vec<_> = (0..3)
        .map(|_| ben.send(Command::new(["work"]).to("least-loaded")))
        .collect::<Result<_, _>>()?;
    for sent in sent {
        print_outcomes(sent.wait()?);
    }

    say("dan ranks lowest. No client is there to execute what it sends.");
    match dan.send(Command::new(["print"]))?.wait() {
        Ok(outcomes) => print_outcomes(outcomes),
        Err(refusal) => println!("    {refusal}"),
    }

    say("anna leaves. Every client below moves up; ben takes over.");
    anna.leave();
    for client in [&ben, &cleo, &dan] {
        println!("    {:6} now has rank {}", client.name(), new_rank(client)?);
    }
    show(&ben, &Command::new(["print"]).to("below"))?;

    Ok(vec![ben, cleo, dan])
}

fn stop(server: Running, clients: Vec<Client>) -> Result<(), Box<dyn Error>> {
    say("The server stops: each client is told.");
    server.stop()?;
    for client in clients {
        println!("    {:6} heard: {}", client.name(), farewell(&client)?);
    }
    Ok(())
}

/// Agents execute real programs until the user has left the prompt.
fn go_on(server: Running, prompt: JoinHandle<Built>) -> Result<(), Box<dyn Error>> {
    watchdog::start()?;
    let address = server.address().to_string();
    let agents = AGENTS.map(|(name, role)| agent(&address, name, role));
    let agents: Vec<Client> = agents.into_iter().collect::<Result<_, _>>()?;
    if !prompt.is_finished() {
        say("Cargo still builds the prompt.");
    }
    let prompt = prompt.join().expect("it does not panic")?;
    say(WHAT_TO_TRY.trim_end());
    println!();
    let words = ["--server", &address, "--name", "you"];
    let mut prompt = Process::new(prompt.path());
    prompt.args(words).env_remove("PECKING_SERVER").status()?;
    agents.into_iter().for_each(Client::leave);
    server.stop()?;
    Ok(())
}

/// A client as `pecking work --policy FILE --tag role=ROLE` is one.
fn agent(server: &str, name: &str, role: &str) -> Result<Client, Box<dyn Error>> {
    let mut tags = Tags::default();
    tags.add("role", role)?;
    let config = Config {
        server: server.into(),
        name: Some(name.into()),
        tier: Some(Tier::LOWEST),
        tags,
        ..Config::default()
    };
    let policy = Policy::read(policy()?.as_bytes(), Path::new("the demo's policy"))?;
    Ok(Client::connect(config, Processes::with_policy(policy)?)?)
}

/// The policy of the agents. A word whose program this machine lacks is left out.
fn policy() -> Result<String, Box<dyn Error>> {
    let mut policy = String::new();
    for (word, program, arguments) in COMMANDS {
        if let Some(path) = find(program) {
            let run: Vec<&str> = path
                .to_str()
                .into_iter()
                .chain(arguments.iter().copied())
                .collect();
            writeln!(policy, "[commands.{word}]\nrun = {run:?}")?;
        }
    }
    Ok(policy)
}

fn find(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let mut paths = std::env::split_paths(&folders).map(|folder| folder.join(program));
    paths.find(|path| path.is_absolute() && path.is_file())
}

type Built = Result<CargoRun, escargot::error::CargoError>;

/// Has cargo build the program of the prompt, as this example was built in the workspace: asked for both,
/// cargo takes the libraries that the example has, where the program alone, or the package alone, would
/// have them with other features.
fn build_prompt() -> Built {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let build = CargoBuild::new().manifest_path(manifest);
    let build = build.args(["--workspace", "--locked", "--example", "demo"]);
    let build = build.bin("pecking").current_release();
    as_a_user(build).run()
}

/// What the clients here execute: they say that they do it.
fn play(name: &str, job: &Job) -> ExecutionResult {
    // Long enough for three commands to overlap.
    job.wait_for_stop(Some(Instant::now() + Duration::from_millis(50)));
    let word = job.words().join(" ");
    ExecutionResult::exited(
        0,
        format!("i am {name}, {word}ing for {}\n", job.origin().name),
    )
}

fn say(text: &str) {
    println!("\n{text}");
}

fn show(sender: &Client, command: &Command) -> Result<(), Box<dyn Error>> {
    print_outcomes(sender.send(command)?.wait()?);
    Ok(())
}

fn print_outcomes(outcomes: Vec<client::Outcome>) {
    for outcome in outcomes {
        let text = String::from_utf8_lossy(&outcome.stdout);
        println!(
            "    [{}] {}  {}",
            outcome.label(),
            outcome.status,
            text.trim_end()
        );
    }
}

/// Waits until a client was told its new rank.
fn new_rank(client: &Client) -> Result<u32, Box<dyn Error>> {
    loop {
        if let ClientEvent::Rank { rank, .. } = client.events().recv_timeout(PATIENCE)? {
            return Ok(rank);
        }
    }
}

/// Waits until a client knows why its connection is over.
fn farewell(client: &Client) -> Result<String, Box<dyn Error>> {
    loop {
        if let ClientEvent::Disconnected(why) = client.events().recv_timeout(PATIENCE)? {
            return Ok(why.to_string());
        }
    }
}
