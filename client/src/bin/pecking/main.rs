//! The client's program: reads the command line, does what it says, and turns how that went
//! into an exit code.

mod bench;
mod cli;
mod dial;
mod executors;
mod exit_code;
mod failure;
mod input;
mod members;
mod output;
mod prompt;
mod run;
mod work;

use anyhow::Context;
use cli::{Action, Cli, Executing, Joining, LookAtPolicy};
use client::policy::Policy;
use client::{Client, Config};
use common::logging::logger::start_logging;
use common::sys::thread::on_main_thread;
use common::terminal::args;
use common::terminal::console::{Console, complain};
use common::terminal::escape::one_line;
use dial::{Signals, Wait};
use exit_code::ExitCode;
use failure::Failure;
use prompt::repl::{Repl, ReplEnd};
use prompt::screen::{Screen, ScreenWriter};
use std::io::{self, IsTerminal, Write};

fn main() -> std::process::ExitCode {
    if client::watchdog::serve_if_asked() {
        return std::process::ExitCode::SUCCESS;
    }
    hide_memory();
    let exit = match Cli::read() {
        Ok(cli) => start(cli),
        Err(e) if e.exit_code() == 0 => {
            let _ = e.print();
            ExitCode::Done
        }
        Err(e) => {
            complain(&args::one_line_error(&e.to_string()));
            ExitCode::Usage
        }
    };
    exit.code().into()
}

/// Keeps what this process executes for others out of its memory, where a token is for a moment:
/// without this a program of the same user may read it (`/proc/PID/mem`) and trace it.
fn hide_memory() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // No system refuses that.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// Does what the command line says, and says what went wrong, on one line.
fn start(cli: Cli) -> ExitCode {
    on_main_thread(|| act(cli)).unwrap_or_else(|e| {
        // A failure's message is whole; other errors say the rest in their causes.
        let failure = e.downcast_ref::<Failure>();
        let text = failure.map_or_else(|| format!("{e:#}"), ToString::to_string);
        complain(&format!("error: {}", one_line(&text)));
        failure.map_or(ExitCode::NotConnected, Failure::exit)
    })
}

fn act(cli: Cli) -> anyhow::Result<ExitCode> {
    let joining = cli.joining;
    let executing = cli.executing;
    output::render::set_raw(cli.raw);
    match cli.command {
        Some(Action::Bench(bench)) => with_log("warn", |console| {
            let config = bench_config(&joining, &executing)?;
            let signals = dial::signals()?;
            Ok(bench::bench(&config, &bench, &signals, console)?)
        }),
        Some(Action::Completions { shell }) => Ok(print(&Cli::completions(shell))?),
        Some(Action::Policy { look }) => Ok(look_at_policy(&look)?),
        Some(Action::Work) => with_log("info", |console| {
            let config = Config {
                job_events: work::logs_jobs(),
                ..joining.config(1, true)
            };
            let wait = if joining.wait {
                Wait::ForServer
            } else {
                Wait::No
            };
            match join(&config, wait, &executing, console) {
                Ok((client, signals)) => Ok(work::work(client, &signals)),
                // A service that is told to stop ends well, also where it waits for its server.
                Err(Failure::Interrupted) if joining.wait => Ok(ExitCode::Done),
                Err(e) => Err(e.into()),
            }
        }),
        Some(Action::Run(run)) => with_log("warn", |console| {
            let (client, signals) = join_once(&joining, &executing, 0, console)?;
            Ok(run::run(client, &run, &signals, console)?)
        }),
        Some(Action::Members { json }) => with_log("warn", |console| {
            let (client, _signals) = join_once(&joining, &executing, 0, console)?;
            Ok(print(members::members(client, json)?.as_bytes())?)
        }),
        None if io::stdin().is_terminal() && io::stdout().is_terminal() => {
            at_terminal(&joining, &executing)
        }
        None => with_log("warn", |console| run_lines(&joining, &executing, console)),
    }
}

/// What the clients of a bench are told; it gives them their names and slots itself.
fn bench_config(joining: &Joining, executing: &Executing) -> Result<Config, Failure> {
    match joining.only_for_one().or(executing.given()) {
        None => Ok(joining.config(0, false)),
        Some(option) => Err(Failure::Usage(format!(
            "{option} is not for bench, whose many clients are its own matter; leave it out"
        ))),
    }
}

/// Joins as the command line says, with `slots` where it says nothing of them, for as long as
/// one connection holds.
fn join_once(
    joining: &Joining,
    executing: &Executing,
    slots: u32,
    console: &Console,
) -> Result<(Client, Signals), Failure> {
    let config = joining.config(slots, false);
    join(&config, joining.wait_for(), executing, console)
}

fn join(
    config: &Config,
    wait: Wait,
    executing: &Executing,
    console: &Console,
) -> Result<(Client, Signals), Failure> {
    let signals = dial::signals()?;
    let executor = executing.executor()?;
    let client = dial::dial(config, wait, &executor, &signals, console)?;
    Ok((client, signals))
}

/// Logs to standard error while something is done that may say something there, too.
fn with_log(
    default: &str,
    act: impl FnOnce(&Console) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let console = Console::start("log", io::stderr()).context("cannot start a thread")?;
    start_logging(console.clone(), default);
    let result = act(&console);
    console.close();
    result
}

fn at_terminal(joining: &Joining, executing: &Executing) -> anyhow::Result<ExitCode> {
    let (screen, redraw) = Screen::new(io::stdout());
    // Where standard error is a file, the log belongs there; at the terminal it must not
    // get into the line that is being typed.
    let console = match io::stderr().is_terminal() {
        true => Console::start("log", ScreenWriter(screen.clone())),
        false => Console::start("log", io::stderr()),
    };
    let console = console.context("cannot start a thread")?;
    start_logging(console.clone(), "warn");
    let config = joining.config(1, true);
    let exit = join(&config, joining.wait_for(), executing, &console)
        .and_then(|(client, signals)| prompt::prompt(client, &screen, redraw, &signals));
    console.close();
    Ok(exit?)
}

fn run_lines(
    joining: &Joining,
    executing: &Executing,
    console: &Console,
) -> anyhow::Result<ExitCode> {
    // A client that comes back ranks below those that are here by then: the lines that are left
    // would reach others than meant, or none.
    let (client, signals) = join_once(joining, executing, 1, console)?;
    let view = prompt::piped::PipedOutput::new(console.clone());
    let mut to = None;
    let mut repl = Repl::new(&client, &view, &mut to);
    repl.greet();
    let end = repl.run(&prompt::piped::lines()?, &signals);
    let worst = repl.worst();
    if let ReplEnd::ServerGone(reason) = &end {
        let reason = reason.to_string();
        console.say(&format!("the server is gone: {}", one_line(&reason)));
    }
    client.leave();
    Ok(match end {
        ReplEnd::ServerGone(_) => worst.max(ExitCode::NotConnected),
        ReplEnd::Interrupted => ExitCode::Interrupted,
        ReplEnd::Quit | ReplEnd::NoMoreLines => worst,
        ReplEnd::OutputClosed => match view.into_closed() {
            Some(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                return Err(Failure::Output(e).into());
            }
            _ => ExitCode::Unread,
        },
    })
}

/// Says what a policy allows, without running anything.
fn look_at_policy(look: &LookAtPolicy) -> Result<ExitCode, Failure> {
    match look {
        LookAtPolicy::Check { file } => {
            let policy = Policy::load(file)?;
            for warning in policy.warnings() {
                complain(&format!("warning: {}", one_line(warning)));
            }
            print(policy.to_string().as_bytes())
        }
        LookAtPolicy::Try { file, words } => {
            let plan = Policy::load(file)?.plan(words)?;
            print(format!("{plan}\n").as_bytes())
        }
    }
}

/// Prints to standard output; that nobody reads it any more is no error.
fn print(text: &[u8]) -> Result<ExitCode, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(e)),
        _ => Ok(ExitCode::Done),
    }
}
