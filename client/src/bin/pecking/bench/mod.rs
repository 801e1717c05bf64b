//! `pecking bench`: measures how fast a running server relays commands, and shows that.

mod args;
mod show;

pub(crate) use args::{Bench, EXAMPLES};

use crate::dial;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::print;
use client::load::{self, End, Plan, Progress, Report};
use client::{Config, Status};
use common::terminal::console::Console;
use common::terminal::escape::one_line;
use std::io::{self, IsTerminal};

/// Measures and prints the report. A signal ends it early.
pub(crate) fn bench(
    config: &Config,
    bench: &Bench,
    console: &Console,
) -> Result<ExitCode, Failure> {
    let signals = dial::signals()?;
    let plan = &bench.plan;
    plan.check().map_err(Failure::Usage)?;
    let is_terminal = io::stderr().is_terminal();
    let show_line = |text: &str| {
        if is_terminal {
            console.print(format!("\r\x1b[K{text}").into_bytes());
        }
    };
    let mut watch = |progress| show_line(&progress_text(plan, progress));
    let measured = load::run(config, plan, &signals, &mut watch);
    show_line("");
    // Before the report, which goes to standard output.
    console.close();
    let report = measured?;
    print(&show::report(plan, &report, bench.json))?;
    if let End::Lost(why) = &report.end {
        let why = one_line(why);
        console.say(&format!("error: the server went in the middle: {why}"));
    }
    Ok(exit(&report))
}

/// Of all that went wrong, the worst counts.
fn exit(report: &Report) -> ExitCode {
    let end = match report.end {
        End::Whole => ExitCode::Done,
        End::Interrupted => ExitCode::Interrupted,
        End::Lost(_) => ExitCode::Lost,
    };
    let outcomes = Status::ALL.into_iter().zip(report.counts.outcomes);
    let outcomes = outcomes.filter(|(_, count)| *count > 0);
    let outcomes = outcomes.map(|(status, _)| ExitCode::of_status(status));
    let errors = report.counts.errors.keys().map(|reason| match *reason {
        "no_target" => ExitCode::NoTarget,
        "outranked" | "busy" => ExitCode::Refused,
        "missing" => ExitCode::Lost,
        "exit_code" => ExitCode::Failed,
        _ => ExitCode::NotConnected,
    });
    let worst = outcomes.chain(errors).fold(end, ExitCode::max);
    // A server that stops refuses commands before it goes: these refusals do not count.
    match report.end {
        End::Lost(_) => ExitCode::Lost,
        _ if report.counts.sent == 0 => worst.max(ExitCode::NotConnected),
        _ => worst,
    }
}

fn progress_text(plan: &Plan, progress: Progress) -> String {
    match progress {
        Progress::Joining { joined, wanted } => format!("{joined} of {wanted} joined"),
        Progress::WarmingUp => "warming up".into(),
        Progress::Measuring { commands, elapsed } => {
            let rate = show::per_second(commands, elapsed);
            let elapsed = elapsed.as_secs_f64();
            let of = match plan.count {
                Some(_) => String::new(),
                None => format!(" of {:.0}", plan.duration.as_secs_f64()),
            };
            format!("{commands} commands, {rate:.0}/s, {elapsed:.0}{of} s")
        }
    }
}
