//! `pecking bench`: measures how fast a running server relays commands, shows that, keeps it, and compares it with
//! what was kept.

mod args;
mod compare;
mod figures;
mod histogram;
mod saved;
mod show;

pub(crate) use args::{Bench, EXAMPLES};

use compare::Against;
use figures::{Figures, Parameters, per_second};
use saved::SaveFile;

use crate::dial;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::print;
use client::load::{self, End, Plan, Progress, Report};
use client::{Code, Config};
use common::terminal::console::Console;
use common::terminal::escape::one_line;
use rustix::termios::tcgetwinsize;
use serde::Serialize;
use std::io::{self, IsTerminal};
use std::str::FromStr;

/// The columns of a terminal that does not say how many it has: those that all of them had once.
const COLUMNS: u16 = 80;

/// Measures and prints the report. A signal ends it early.
pub(crate) fn bench(
    config: &Config,
    bench: &Bench,
    console: &Console,
) -> Result<ExitCode, Failure> {
    let signals = dial::signals()?;
    let plan = &bench.plan.clone().checked().map_err(Failure::Usage)?;
    let parameters = Parameters::new(plan, config.tls.is_some());
    let before = bench.against.as_deref().map(saved::read).transpose()?;
    let save = bench.save.as_deref().map(SaveFile::create).transpose()?;
    let warning = before
        .as_ref()
        .and_then(|run| compare::warning(run, &parameters));
    if let Some(warning) = warning {
        console.say(&warning);
    }
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
    let figures = Figures::new(plan, parameters, &report);
    print(&match bench.json {
        true => object(&figures, before.as_ref()),
        false => text(plan, &report, &figures, before.as_ref()),
    })?;
    if let End::Lost(why) = &report.end {
        let why = one_line(why);
        console.say(&format!("error: the server went in the middle: {why}"));
    }
    match save.map(|file| file.write(&json(&figures))) {
        Some(Err(why)) => {
            console.say(&format!("error: {why}"));
            Ok(exit(&report).max(ExitCode::Failed))
        }
        _ => Ok(exit(&report)),
    }
}

/// What programs read.
fn object(figures: &Figures, before: Option<&Figures>) -> String {
    #[derive(Serialize)]
    struct Object<'a> {
        #[serde(flatten)]
        figures: &'a Figures,
        #[serde(skip_serializing_if = "Option::is_none")]
        against: Option<Against<'a>>,
    }
    let against = before.map(|before| Against::new(before, figures));
    json(&Object { figures, against })
}

fn json(value: &impl Serialize) -> String {
    let json = serde_json::to_string_pretty(value);
    json.expect("numbers and names always become JSON") + "\n"
}

/// What people read. At a terminal, latencies are a picture, too.
fn text(plan: &Plan, report: &Report, figures: &Figures, before: Option<&Figures>) -> String {
    let mut text = show::text(plan, report, figures);
    if io::stdout().is_terminal() {
        // One that does not tell its size has none to tell of.
        let columns = tcgetwinsize(io::stdout()).map_or(0, |size| size.ws_col);
        let columns = if columns == 0 { COLUMNS } else { columns };
        let picture = histogram::draw(&report.counts.latency, columns.into());
        text.push_str(&picture);
    }
    if let Some(before) = before {
        text.push_str(&compare::table(before, figures));
    }
    text
}

/// Of all that went wrong, the worst counts.
fn exit(report: &Report) -> ExitCode {
    let end = match report.end {
        End::Whole => ExitCode::Done,
        End::Interrupted => ExitCode::Interrupted,
        End::Lost(_) => ExitCode::Lost,
    };
    let outcomes = figures::statuses(&report.counts);
    let outcomes = outcomes.map(|(status, _)| ExitCode::of_status(status));
    let errors = report.counts.errors.keys().map(|reason| match *reason {
        // The two that are no error of the protocol.
        "missing" => ExitCode::Lost,
        "exit_code" => ExitCode::Failed,
        reason => Code::from_str(reason).map_or(ExitCode::NotConnected, ExitCode::of_code),
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
            let rate = per_second(commands, elapsed);
            let elapsed = elapsed.as_secs_f64();
            let of = match plan.count {
                Some(_) => String::new(),
                None => format!(" of {:.0}", plan.duration.as_secs_f64()),
            };
            format!("{commands} commands, {rate:.0}/s, {elapsed:.0}{of} s")
        }
    }
}
