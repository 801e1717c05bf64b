//! Sessions against a real server in this process, line by line.

use super::*;
use client::{Config, ExecutionResult, Job, Simulation};
use common::sys::sync::{Mutex, lock};
use crossbeam_channel::{never, unbounded};

/// Keeps what was shown.
#[derive(Default)]
struct Recorder(Mutex<String>);

impl ReplOutput for Recorder {
    fn show(&self, text: &str) {
        lock(&self.0).push_str(text);
    }
    fn complain(&self, text: &str) {
        lock(&self.0).push_str(&format!("error: {text}"));
    }
    fn columns(&self) -> Option<usize> {
        None
    }
}

fn serve() -> (server::Running, Config) {
    let server = server::Server::bind(server::Config {
        listen: "127.0.0.1:0".into(),
        ..server::Config::default()
    });
    let running = server.expect("a server").spawn().expect("a thread");
    let config = Config {
        server: running.address().to_string(),
        ..Config::default()
    };
    (running, config)
}

/// Runs lines one by one; gives what was shown, how it ended and what it counts as.
fn run(client: &Client, lines: &[&str]) -> (String, ReplEnd, ExitCode) {
    let (into, from) = unbounded();
    for line in lines {
        into.send(Ok((*line).to_owned())).expect("the repl");
    }
    drop(into);
    let lines = ReplInput {
        lines: from,
        handled: None,
        one_by_one: true,
    };
    let output = Recorder::default();
    let mut repl = Repl::new(client, &output, false);
    let end = repl.run(&lines, &never());
    let worst = repl.worst();
    let shown = lock(&output.0).clone();
    (shown, end, worst)
}

/// The time that something took is the one thing that no test knows.
fn without_times(shown: &str) -> String {
    let lines = shown.lines().map(|line| match line.rsplit_once(" (") {
        Some((line, time)) if time.ends_with("s)") => line,
        _ => line,
    });
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn lines_run_one_after_another() {
    let (_server, config) = serve();
    let boss = Client::connect(&config, Simulation).expect("a place");
    let worker = |job: &Job| match job.words()[0].as_str() {
        "refuse" => ExecutionResult::Refused("only print".into()),
        word => ExecutionResult::exited(0, format!("did {word}")),
    };
    let _one = Client::connect(&config, worker).expect("a place");
    let _two = Client::connect(&config, worker).expect("a place");
    let (shown, end, worst) = run(&boss, &["print", "", "@1-2 'x y'", ":to 2", "refuse"]);
    assert_eq!((end, worst), (ReplEnd::NoMoreLines, ExitCode::Refused));
    let mut lines: Vec<String> = without_times(&shown).lines().map(Into::into).collect();
    // Which of the two answers first is open.
    lines[4..8].sort();
    assert_eq!(
        lines,
        [
            "print command sent.",
            "[client-2, rank 1] done, exit code 0",
            "did print",
            "'x y' command sent.",
            "[client-2, rank 1] done, exit code 0",
            "[client-3, rank 2] done, exit code 0",
            "did x y",
            "did x y",
            "'x y': 2 targets: 2 done",
            "Plain lines go to 2.",
            "refuse command sent.",
            "[client-3, rank 2] refused: only print",
        ]
    );
}

#[test]
fn a_refusal_says_why_and_what_would_work() {
    let (_server, config) = serve();
    let _boss = Client::connect(&config, Simulation).expect("a place");
    let low = Client::connect(&config, Simulation).expect("a place");
    let (shown, end, worst) = run(&low, &["print", ":nope", "exit", "never"]);
    assert_eq!((end, worst), (ReplEnd::Quit, ExitCode::Usage));
    let expected = "print command sent.\n\
        print: no target: you rank lowest: nobody is below you to execute it\n\
        error: there is no :nope; :help shows what there is\n";
    assert_eq!(shown, expected);
}

#[test]
fn a_command_that_runs_here_is_shown_as_in_the_originals() {
    let (_server, config) = serve();
    let boss = Client::connect(&config, Simulation).expect("a place");
    let worker = Client::connect(&config, Simulation).expect("a place");
    let (into, from) = unbounded();
    let lines = ReplInput {
        lines: from,
        handled: None,
        one_by_one: false,
    };
    let output = Recorder::default();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let mut repl = Repl::new(&worker, &output, false);
            repl.run(&lines, &never())
        });
        let sent = boss.send(Command::new(["print"])).expect("a connection");
        assert!(sent.wait().expect("an outcome")[0].succeeded());
        boss.leave();
        while worker.rank() != 0 || !lock(&output.0).contains("rank") {
            std::thread::yield_now();
        }
        drop(into);
        assert_eq!(running.join().expect("no panic"), ReplEnd::NoMoreLines);
    });
    let expected = "\n[Processing]......\n\
        [Received] received command print from server:\n\
        [Executing] i am printing watch me print\n\
        \nCommand Executed.\n\
        My new rank is 0\n";
    assert_eq!(*lock(&output.0), expected);
}

#[test]
fn a_server_that_goes_loses_open_commands() {
    let (server, config) = serve();
    let boss = Client::connect(&config, Simulation).expect("a place");
    let (started, running) = unbounded();
    let stuck = move |job: &Job| {
        started.send(()).expect("the test");
        job.wait_for_stop(None);
        ExecutionResult::exited(0, "")
    };
    let _worker = Client::connect(&config, stuck).expect("a place");
    std::thread::scope(|scope| {
        let repl = scope.spawn(|| run(&boss, &["sleep", "never"]));
        running.recv().expect("it starts");
        // Dropping a server ends it at once.
        drop(server);
        let (shown, end, worst) = repl.join().expect("no panic");
        assert!(matches!(end, ReplEnd::ServerGone(_)), "{end:?}");
        assert_eq!(worst, ExitCode::Lost, "{shown}");
    });
}
