//! Sessions against a real server in this process, line by line.

use super::*;
use client::{Config, ExecutionResult, Job, Simulation};
use common::sys::sync::{Mutex, lock};
use crossbeam_channel::{never, unbounded};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps what was shown.
#[derive(Default)]
struct Recorder(Mutex<String>);

impl Recorder {
    /// Waits until this part was shown.
    #[track_caller]
    fn wait_for(&self, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !lock(&self.0).contains(part) {
            let shown = || lock(&self.0).clone();
            assert!(
                Instant::now() < deadline,
                "waited for {part:?}: {}",
                shown()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

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

/// Lines that a test types, and where it types them.
fn typed(one_by_one: bool) -> (Sender<Result<String, String>>, ReplInput) {
    let (into, lines) = unbounded();
    let input = ReplInput {
        lines,
        handled: None,
        one_by_one,
        asks: never(),
    };
    (into, input)
}

/// Runs lines one by one; gives what was shown, how it ended and what it counts as.
fn run(client: &Client, lines: &[&str]) -> (String, ReplEnd, ExitCode) {
    let (into, input) = typed(true);
    for line in lines {
        into.send(Ok((*line).to_owned())).expect("the repl");
    }
    drop(into);
    let output = Recorder::default();
    let mut repl = Repl::new(client, &output, false);
    let end = repl.run(&input, &never());
    let worst = repl.worst;
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
        print: no target: you rank lowest: no client is below you to execute it\n\
        error: there is no :nope; :help shows what there is\n";
    assert_eq!(shown, expected);
}

#[test]
fn a_command_that_runs_here_is_shown_as_in_the_originals() {
    let (_server, config) = serve();
    let boss = Client::connect(&config, Simulation).expect("a place");
    let worker = Client::connect(&config, Simulation).expect("a place");
    let (into, lines) = typed(false);
    let output = Recorder::default();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let mut repl = Repl::new(&worker, &output, false);
            repl.run(&lines, &never())
        });
        let sent = boss.send(Command::new(["print"])).expect("a connection");
        assert!(sent.wait().expect("an outcome")[0].succeeded());
        boss.leave();
        output.wait_for("My new rank is 0\n");
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

#[test]
fn lines_about_the_session_say_what_is_so() {
    let (_server, config) = serve();
    let boss = Client::connect(&config, Simulation).expect("a place");
    let tagged = |name: &str, role: &str| {
        let mut config = Config {
            name: Some(name.into()),
            ..config.clone()
        };
        config.tags.add("role", role).expect("a tag");
        Client::connect(&config, Simulation).expect("a place")
    };
    let _clients = [tagged("web1", "web"), tagged("db1", "db")];
    for (lines, expected) in [
        (&[":ranks role=db"][..], &["RANK", "  db1  ", "role=db"][..]),
        (&[":ranks !web1"], &["client-1 (you)", "db1"]),
        (&[":ranks nope"], &["nope finds no client that is here."]),
        (&[":who below"], &["web1  execute", "db1   execute"]),
        (&[":to web1", ":who"], &["   1     5  web1  execute"]),
        (&[":who client-9"], &["error: no target"]),
        (&[":timeout 2s"], &["may run for 2.0 s at each target"]),
        (&[":timeout off"], &["as long as it takes"]),
        (&[":output"], &["You have sent nothing so far."]),
        (&[":output 99"], &["error: nothing is kept of 99"]),
        (&[":cancel"], &["error: nothing that you sent is open"]),
    ] {
        let (shown, ..) = run(&boss, lines);
        for part in expected {
            assert!(shown.contains(part), "{lines:?}: {part}: {shown}");
        }
        assert!(
            !lines[0].contains("role=db") || !shown.contains("web1"),
            "{shown}"
        );
    }
}

#[test]
fn equal_outputs_are_shown_once_if_they_are_gathered() {
    let (_server, config) = serve();
    let boss = Client::connect(&config, Simulation).expect("a place");
    let worker = |job: &Job| match (job.words()[0].as_str(), job.words().len()) {
        ("refuse", _) => ExecutionResult::Refused("only print".into()),
        (word, _) => ExecutionResult::exited(0, format!("did {word}\n")),
    };
    let _workers = [1, 2, 3].map(|_| Client::connect(&config, worker).expect("a place"));
    let lines = [
        ":gather on",
        "@1-3 print",
        "@1-2 refuse",
        "@1 alone",
        ":gather off",
    ];
    let (shown, ..) = run(&boss, &lines);
    assert_eq!(
        without_times(&shown),
        "What several targets write alike is shown once, when all have ended.\n\
         print command sent.\n\
         client-[2-4] (3):\n\
         did print\n\
         print: 3 targets: 3 done\n\
         refuse command sent.\n\
         client-[2-3]: refused: only print\n\
         refuse: 2 targets: 2 refused\n\
         alone command sent.\n\
         [client-2, rank 1] done, exit code 0\n\
         did alone\n\
         Output is shown as it comes.\n"
    );
}

#[test]
fn what_came_of_a_command_is_shown_again() {
    let (_server, config) = serve();
    let boss = Client::connect(&config, Simulation).expect("a place");
    let _worker = Client::connect(&config, Simulation).expect("a place");
    let (into, lines) = typed(true);
    let output = Recorder::default();
    let mut repl = Repl::new(&boss, &output, false);
    into.send(Ok("print".into())).expect("the repl");
    into.send(Ok(":output".into())).expect("the repl");
    drop(into);
    assert_eq!(repl.run(&lines, &never()), ReplEnd::NoMoreLines);
    let (id, typed) = repl.kept.list().next().expect("a command");
    assert_eq!(typed, "print");
    let shown = lock(&output.0).clone();
    assert!(shown.ends_with(&format!("\n  {id}  print\n")), "{shown}");
    let came = shown.split_once("sent.\n").expect("what came").1;
    let came = came.split_once("What came").expect("the list").0;
    assert_eq!(repl.kept.again(id).as_deref(), Some(came));
}

#[test]
fn an_outcome_names_its_command_if_several_are_open_and_the_last_one_is_cancelled_first() {
    let (_server, config) = serve();
    let boss = Client::connect(&config, Simulation).expect("a place");
    let stuck = |job: &Job| {
        job.wait_for_stop(None);
        ExecutionResult::exited(0, "")
    };
    let worker = Config {
        slots: Some(2),
        ..config.clone()
    };
    let _worker = Client::connect(&worker, stuck).expect("a place");
    let (into, mut lines) = typed(false);
    let (ask, asks) = unbounded();
    lines.asks = asks;
    let output = Recorder::default();
    let shown = |part: &str| output.wait_for(part);
    std::thread::scope(|scope| {
        scope.spawn(|| Repl::new(&boss, &output, false).run(&lines, &never()));
        for line in ["first", "second"] {
            into.send(Ok(line.into())).expect("the repl");
            shown(&format!("{line} command sent."));
        }
        for (line, outcome) in [("second", "): [client-2"), ("first", "[client-2")] {
            ask.send(Ask::CancelLast).expect("the repl");
            shown(&format!(", {line}.\n"));
            shown(&format!("{outcome}, rank 1] cancelled"));
        }
        drop(into);
    });
    let shown = lock(&output.0).clone();
    assert!(
        shown.contains("\nsecond (ID ") && !shown.contains("first (ID "),
        "{shown}"
    );
}

#[test]
fn ctrl_c_leaves_a_detached_command_that_is_followed_and_does_not_end_it() {
    let (_server, config) = serve();
    let boss = Client::connect(&config, Simulation).expect("a place");
    let worker = |job: &Job| {
        job.write(client::OutputStream::Stdout, b"half");
        job.wait_for_stop(None);
        ExecutionResult::exited(0, "")
    };
    let _worker = Client::connect(&config, worker).expect("a place");
    let (into, mut lines) = typed(false);
    let (ask, asks) = unbounded();
    lines.asks = asks;
    let output = Recorder::default();
    let shown = |part: &str| output.wait_for(part);
    std::thread::scope(|scope| {
        scope.spawn(|| Repl::new(&boss, &output, false).run(&lines, &never()));
        let say = |line: &str| into.send(Ok(line.into())).expect("the repl");
        say("x &");
        shown("it goes on as job &1");
        say(":fg 1");
        say(":jobs");
        shown("job &1, since");
        ask.send(Ask::CancelLast).expect("the repl");
        shown("Job &1 goes on (:fg 1 shows it again, :cancel &1 ends it).\n");
        say(":jobs");
        shown("Nothing that you sent is open.");
        let jobs = boss.detached().expect("jobs");
        assert!(jobs[0].open, "{jobs:?}");
        say(":cancel &1");
        say(":fg 1");
        shown("] cancelled");
        drop(into);
    });
}
