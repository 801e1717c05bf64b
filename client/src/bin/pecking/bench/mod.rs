//! `pecking bench`: sends commands through a running server as fast as it relays them, and shows
//! how fast that was.

mod args;
mod show;

pub(crate) use args::{Bench, EXAMPLES};

use crate::dial;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::print;
use client::load::{self, Amount, End, Plan, Progress, Report};
use client::{Config, Status};
use common::terminal::console::Console;
use common::terminal::escape::one_line;
use std::io::{self, IsTerminal};
use std::time::Duration;

/// Measures and prints the report. A signal ends it early.
pub(crate) fn bench(
    config: &Config,
    bench: &Bench,
    console: &Console,
) -> Result<ExitCode, Failure> {
    let signals = dial::signals()?;
    let plan = bench.plan()?;
    let mut line = ProgressLine::new(plan.amount, console);
    let measured = load::run(config, &plan, &signals, &mut |progress| line.show(progress));
    line.clear();
    let report = measured?;
    print(&show::report(&plan, &report, bench.json))?;
    if let End::Lost(why) = &report.end {
        let why = one_line(why);
        console.say(&format!("error: the server went in the middle: {why}"));
    }
    Ok(exit(&plan, &report))
}

/// Of all that went wrong, the worst counts.
fn exit(plan: &Plan, report: &Report) -> ExitCode {
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
        _ if report.counts.sent == 0 && plan.amount != Amount::Sends(0) => {
            worst.max(ExitCode::NotConnected)
        }
        _ => worst,
    }
}

/// A line that shows the progress, at a terminal only.
struct ProgressLine<'a> {
    amount: Amount,
    console: &'a Console,
    is_shown: bool,
}

impl<'a> ProgressLine<'a> {
    fn new(amount: Amount, console: &'a Console) -> ProgressLine<'a> {
        ProgressLine {
            amount,
            console,
            is_shown: io::stderr().is_terminal(),
        }
    }

    fn show(&mut self, progress: Progress) {
        let text = match progress {
            Progress::Joining { joined, wanted } => format!("{joined} of {wanted} joined"),
            Progress::WarmingUp => "warming up".into(),
            Progress::Measuring { commands, elapsed } => {
                let rate = show::per_second(commands, elapsed);
                let elapsed = elapsed.as_secs_f64();
                match self.amount {
                    Amount::Sends(_) => format!("{commands} commands, {rate:.0}/s, {elapsed:.0} s"),
                    Amount::Time(all) => {
                        let all = Duration::as_secs_f64(&all);
                        format!("{commands} commands, {rate:.0}/s, {elapsed:.0} of {all:.0} s")
                    }
                }
            }
        };
        self.write(&text);
    }

    fn clear(&mut self) {
        self.write("");
        // Before the report, which goes to standard output.
        self.console.close();
    }

    fn write(&mut self, text: &str) {
        if self.is_shown {
            let line = format!("\r\x1b[K{text}");
            self.console.print(line.into_bytes());
        }
    }
}
