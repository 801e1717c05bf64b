//! The client's program: the command line becomes settings, a command acts on them, and its
//! result becomes the exit code. Only this file turns results into exit codes.

#![forbid(unsafe_code)]

mod bench;
mod cli;
mod dial;
mod exit_code;
mod expected;
mod failure;
mod jobs;
mod members;
mod output;
mod own_files;
mod policy;
mod prompt;
mod run;
mod settings;
mod targets;
mod top;
mod work;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use cli::{Action, Cli, LookAtPolicy, SERVER_VARIABLE, WORK};
use client::policy::Sender;
use common::sys::thread::on_main_thread;
use common::terminal::args;
use common::terminal::config_file::{self, ConfigError};
use common::terminal::console::{Console, complain};
use common::terminal::escape::one_line;
use common::terminal::package_files;
use exit_code::ExitCode;
use failure::Failure;
use output::progress::Progress;
use output::{print, with_log};
use run::{RunOptions, Task};
use settings::Settings;
use std::io::{self, IsTerminal};

fn main() -> std::process::ExitCode {
    if client::watchdog::serve_if_asked() {
        return std::process::ExitCode::SUCCESS;
    }
    hide_memory();
    let exit = match Cli::read() {
        Ok((mut cli, given)) => {
            on_main_thread(|| cli.read_targets().and_then(|()| act(&cli, &given))).unwrap_or_else(
                |failure| {
                    cli.log_format.complain(&one_line(&failure.to_string()));
                    let exit = cli.exit_of(&failure);
                    if cli.wants_json_lines() {
                        // A reader that has gone is told by the exit code.
                        let _ = print(&output::json::failure_line(&failure, exit));
                    }
                    exit
                },
            )
        }
        Err(ConfigError::Usage(e)) if e.exit_code() == 0 => {
            let _ = e.print();
            ExitCode::Done
        }
        Err(ConfigError::File(why)) => {
            complain(&format!("error: {why}"));
            ExitCode::Usage
        }
        Err(ConfigError::Usage(e)) => {
            complain(&wrong_command_line(&e));
            ExitCode::Usage
        }
    };
    exit.code().into()
}

/// What is wrong with the command line, on one line.
fn wrong_command_line(error: &clap::Error) -> String {
    let words = || std::env::args_os().chain(std::env::var_os(SERVER_VARIABLE));
    match error.kind() {
        ErrorKind::InvalidUtf8 => args::no_utf8(words()),
        ErrorKind::InvalidSubcommand => no_subcommand(error),
        _ => None,
    }
    .unwrap_or_else(|| {
        let rendered = error.to_string();
        args::one_line_error(&match tip(error) {
            Some(tip) => rendered.replacen("\n\n", &format!("; {tip}\n\n"), 1),
            None => rendered,
        })
    })
}

/// What was likely meant, where the parser cannot know: other tools have it so.
fn tip(error: &clap::Error) -> Option<&'static str> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let wrong = text(ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::UnknownArgument if wrong == "-w" => Some("targets are named with --to"),
        ErrorKind::UnknownArgument if wrong.starts_with('-') => None,
        ErrorKind::UnknownArgument => match std::env::args().nth(1)?.as_str() {
            "rerun" => Some("a file is named with --failed"),
            "jobs" => Some("`pecking job ID` shows one"),
            "members" => Some("`pecking run --dry-run --to SELECTOR -- x` shows some of them"),
            _ => None,
        },
        ErrorKind::ArgumentConflict if error.to_string().contains("--stdin") => {
            Some("input goes to all targets at once; send it to a part of them at a time (--to)")
        }
        _ => None,
    }
}

/// What stands in place of a subcommand, and what could, unless the parser knows a similar one.
fn no_subcommand(error: &clap::Error) -> Option<String> {
    let (None, Some(ContextValue::String(wrong))) = (
        error.get(ContextKind::SuggestedSubcommand),
        error.get(ContextKind::InvalidSubcommand),
    ) else {
        return None;
    };
    let root = Cli::command();
    let words = std::env::args_os().skip(1);
    let at = words
        .take_while(|word| word != wrong.as_str())
        .fold(&root, |at, word| at.find_subcommand(word).unwrap_or(at));
    let shown = at
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let names: Vec<&str> = shown.map(clap::Command::get_name).collect();
    Some(args::one_line_error(&format!(
        "error: unrecognized subcommand '{wrong}', expected one of {}",
        names.join(", ")
    )))
}

/// Hides the memory of this process, which holds a token for a moment, from the programs that it
/// runs for others: otherwise a program of the same user may read it (`/proc/PID/mem`).
fn hide_memory() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // No system refuses that.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

fn send(
    cli: &Cli,
    settings: &Settings,
    options: &RunOptions,
    task: &Task,
) -> Result<ExitCode, Failure> {
    let progress = Progress::new(options.wants_progress());
    let log = progress.shown.clone().beside(io::stderr());
    with_log("warn", (log, cli.log_format), |console| {
        run::run(settings, options, task, progress, console)
    })
}

fn act(cli: &Cli, given: &config_file::Settings) -> Result<ExitCode, Failure> {
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let settings = cli.settings(is_terminal)?;
    let format = cli.log_format;
    let warned = |act: &dyn Fn(&Console) -> Result<ExitCode, Failure>| {
        with_log("warn", (io::stderr(), format), act)
    };
    match &cli.command {
        None if is_terminal => prompt::at_terminal(&settings),
        None => warned(&|console| prompt::piped::run(&settings, console)),
        Some(Action::Run(run)) => send(cli, &settings, &run.options, &run.task()),
        Some(Action::Rerun(rerun)) => match rerun.task()? {
            Some(task) => send(cli, &settings, &rerun.options, &task),
            None => {
                if !rerun.options.show.quiet {
                    complain("it ended with 0 everywhere: there is nothing to run again");
                }
                Ok(ExitCode::Done)
            }
        },
        Some(Action::Work(work)) if work.check_config => print(&given.in_force(&Cli::command())),
        Some(Action::Work(work)) => with_log("info", (io::stderr(), format), |console| {
            work::work(settings, &work.audit, console)
        }),
        Some(Action::Members(shown)) => warned(&|console| match shown.missing {
            true => members::missing(&settings, shown.form(), console),
            false => members::members(&settings, shown.form(), console),
        }),
        Some(Action::Jobs(listed)) => warned(&|it| jobs::list(&settings, listed.form(), it)),
        Some(Action::Job(job)) => {
            let progress = Progress::new(job.show.wants_progress());
            let log = progress.shown.clone().beside(io::stderr());
            with_log("warn", (log, format), |console| {
                jobs::follow::follow(&settings, job, progress, console)
            })
        }
        Some(Action::Cancel { job }) => warned(&|it| jobs::cancel(&settings, *job, it)),
        Some(Action::Top(options)) => top::top(&settings, options, format),
        Some(Action::Bench(bench)) => warned(&|it| bench::bench(&settings.config, bench, it)),
        Some(Action::Groups { name }) => targets::show(name.as_deref()),
        Some(Action::Policy { look }) => match look {
            LookAtPolicy::Check { file } => policy::check(file),
            LookAtPolicy::Try {
                file,
                identity,
                role,
                tier,
                words,
            } => {
                let sender = Sender {
                    tier: *tier,
                    role: role.clone(),
                    identity: identity.clone(),
                };
                policy::try_out(file, &sender, words)
            }
        },
        Some(Action::PackageFiles { dir }) => {
            package_files::write(&Cli::command(), Some(WORK), "agent.toml", dir)
                .map_err(Failure::Output)?;
            Ok(ExitCode::Done)
        }
        Some(Action::Completions { shell }) => print(&Cli::completions(*shell)),
    }
}
