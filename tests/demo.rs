//! Everything in one go: a server and four clients in this process, commands by several
//! selectors, the first one leaving, and who takes over. `cargo run --example demo`.

use client::{Client, ClientEvent, Command, Config, ExecutionResult, Job};
use server::Server;
use std::error::Error;
use std::time::{Duration, Instant};

/// How long the demo waits for what should come at once, on a machine under load.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::bind(server::Config {
        listen: "127.0.0.1:0".into(),
        max_clients: 10,
        ..server::Config::default()
    })?
    .spawn()?;
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
        println!("    {name:6} has rank {}, {slots} slots", client.rank());
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

    say("dan ranks lowest. Nobody is there to execute what he sends.");
    match dan.send(Command::new(["print"]))?.wait() {
        Ok(outcomes) => print_outcomes(outcomes),
        Err(refusal) => println!("    {refusal}"),
    }

    say("anna leaves. Everybody moves up; ben takes over.");
    anna.leave();
    for client in [&ben, &cleo, &dan] {
        println!("    {:6} now has rank {}", client.name(), new_rank(client)?);
    }
    show(&ben, &Command::new(["print"]).to("below"))?;

    say("The server stops: everybody is told.");
    server.stop()?;
    for client in [ben, cleo, dan] {
        println!("    {:6} heard: {}", client.name(), farewell(&client)?);
    }
    Ok(())
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
