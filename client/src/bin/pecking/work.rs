//! `pecking work`: only executes, as a service does, until a signal comes.

use crate::dial::{Signals, Wait};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::render::{self, duration, leftovers, words};
use crate::settings::{Executes, Settings};
use clap::Args;
use client::{Client, ClientEvent, Disconnect, ExecutionResult, Job};
use common::audit::record::{Join, Record, Start, Stop, Who};
use common::audit::{Audit, CLOSE_PATIENCE, clipped};
use common::audit::{AuditOptions, KeptOutcomes};
use common::logging::log_limit;
use common::logging::logged::{self, details};
use common::terminal::console::Console;
use common::terminal::escape::one_line;
use crossbeam_channel::select;
use std::fmt;
use std::path::PathBuf;

/// The program, as its audit log calls it.
const PROGRAM: &str = "pecking work";

/// What `work` takes.
#[derive(Debug, Args)]
pub(crate) struct Work {
    #[command(flatten)]
    pub(crate) audit: AuditOptions,

    /// Take options from this file, too: its keys are the names of options (`slots = 4`). The
    /// command line wins over it, and the environment as well
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print every option with its value and where that is from, and end
    #[arg(long)]
    pub(crate) check_config: bool,
}

/// Joins, and logs what happens until the end.
pub(crate) fn work(
    mut settings: Settings,
    audit: &AuditOptions,
    console: &Console,
) -> Result<ExitCode, Failure> {
    settings.audit = audit.open(KeptOutcomes::Notable)?;
    let audit = settings.audit.clone();
    if let Some(audit) = &audit {
        audit.note(&Record::Start(Start {
            program: PROGRAM,
            version: env!("CARGO_PKG_VERSION"),
            address: &settings.config.server,
        }));
    }
    let ended = join_and_log(settings, console);
    if let Some(audit) = audit {
        let why = match &ended {
            Ok(ExitCode::Done) => "told to stop".into(),
            Ok(ExitCode::Refused) => "ended by the server".into(),
            Ok(_) => "disconnected".into(),
            Err(failure) => failure.to_string(),
        };
        audit.note(&Record::Stop(Stop { why: clipped(&why) }));
        audit.close(CLOSE_PATIENCE);
    }
    ended
}

fn join_and_log(mut settings: Settings, console: &Console) -> Result<ExitCode, Failure> {
    let slots = settings.config.slots.unwrap_or_default();
    if slots == 0 {
        log::warn!("--slots 0: this client executes nothing");
    }
    settings.config.job_events = log::log_enabled!(log::Level::Info);
    match settings.join(console) {
        Ok((client, signals)) => {
            if slots > 0 && matches!(settings.executes, Executes::Simulation) {
                log::warn!(
                    "without --policy this client runs no program: it answers each command with a \
                     made-up text and exit code 0"
                );
            }
            Ok(log_until_the_end(
                client,
                &signals,
                settings.audit.as_ref(),
                slots,
            ))
        }
        // A service that is told to stop ends well, also while it waits for its server.
        Err(Failure::Interrupted) if settings.wait != Wait::No => Ok(ExitCode::Done),
        Err(e) => Err(e),
    }
}

fn log_until_the_end(
    client: Client,
    signals: &Signals,
    audit: Option<&Audit>,
    slots: u32,
) -> ExitCode {
    put_on_record(&client, audit, slots);
    log::info!("joined as {}, rank {}", client.name(), client.rank());
    let mut not_yet = String::new();
    let end = loop {
        select! {
            recv(client.events()) -> event => match event {
                Ok(ClientEvent::Disconnected(reason)) => break Some(reason),
                Ok(ClientEvent::Rejoined { rank, .. }) => {
                    not_yet.clear();
                    put_on_record(&client, audit, slots);
                    // It is not told its rank when that changes, so what that was is not known.
                    log::info!("joined again as {}, rank {rank}", client.name());
                }
                Ok(ClientEvent::NotYet { error, .. }) => {
                    log_failed_try(&mut not_yet, error.to_string());
                }
                Ok(event) => log_event(&event),
                Err(_) => break Some(Disconnect::Closed),
            },
            recv(signals) -> _ => break None,
        }
    };
    match end {
        None => {
            log::info!("leaving");
            client.leave();
            ExitCode::Done
        }
        Some(reason) => {
            match &reason {
                Disconnect::NotAdmitted(why) => log::error!("not let in again: {why}"),
                reason if reason.is_final() => {
                    log::error!("{reason}");
                    return ExitCode::Refused;
                }
                reason => log::error!("the server is gone: {reason}"),
            }
            ExitCode::NotConnected
        }
    }
}

/// Puts on record under which number and name this client runs commands from now on.
fn put_on_record(client: &Client, audit: Option<&Audit>, slots: u32) {
    let Some(audit) = audit else {
        return;
    };
    audit.note(&Record::Join(Join {
        who: Who {
            identity: None,
            role: None,
            tier: None,
            member: client.member(),
            name: &client.name(),
            rank: Some(client.rank()),
            address: None,
            via: None,
        },
        slots,
    }));
}

/// Logs why a try failed, if the last try had another reason.
fn log_failed_try(last: &mut String, why: String) {
    if *last != why {
        log::warn!("not connected yet: {why}");
        *last = why;
    }
}

fn log_event(event: &ClientEvent) {
    let _about = match event {
        ClientEvent::JobReceived(job) | ClientEvent::JobFinished { job, .. } => {
            log_limit::about(&job.origin().name)
        }
        ClientEvent::Refused { from, .. } => log_limit::about(&from.name),
        _ => log_limit::unlimited(),
    };
    match event {
        ClientEvent::JobReceived(job) => {
            log::info!("{} received from {}", logged(job.words()), sender(job));
        }
        ClientEvent::JobFinished { job, answer } => {
            let took = duration(job.received().elapsed());
            log::info!(
                "{} from {}: {} ({took})",
                logged(job.words()),
                sender(job),
                how(job, answer)
            );
        }
        ClientEvent::Away { reason, rank, left } => {
            log::warn!("{}", render::away(reason, *rank, *left));
        }
        ClientEvent::Resumed { kept, rank, after } => {
            log::info!("{}", render::resumed(*kept, *rank, *after));
        }
        ClientEvent::Lost(reason) => log::warn!("connection lost: {reason}; trying again"),
        ClientEvent::Rank { rank, members } => log::info!("rank {rank} of {members}"),
        ClientEvent::Refused { from, words: w, .. } => {
            log::info!(
                "refused {} from {}, which ranks below",
                logged(w),
                from.name
            );
        }
        ClientEvent::Bye { message, .. } => log::info!("the server says bye: {message}"),
        ClientEvent::Missed(count) => log::warn!("{count} events were not logged"),
        _ => {}
    }
}

fn logged(all: &[String]) -> impl fmt::Display {
    logged::command(words(&all[..all.len().min(1)]), words(all), all.len())
}

fn sender(job: &Job) -> String {
    let origin = job.origin();
    let identity = origin.identity.as_deref();
    let identity = identity.map_or(String::new(), |identity| format!(", identity {identity}"));
    format!(
        "{} (rank {}{identity})",
        one_line(&origin.name),
        origin.rank
    )
}

fn how(job: &Job, answer: &ExecutionResult) -> String {
    match answer {
        ExecutionResult::Ended(ended) => {
            let how = match (job.stop_reason(), ended.exit_code, &ended.signal) {
                (Some(client::StopReason::TimedOut), ..) => "timed out".into(),
                (Some(_), ..) => "cancelled".into(),
                (None, Some(code), _) => format!("exit code {code}"),
                (None, None, Some(signal)) => format!("ended by {signal}"),
                (None, None, None) => "ended".into(),
            };
            how + &leftovers(ended.leftovers)
        }
        ExecutionResult::Refused(why) => format!("refused{}", details(why)),
        ExecutionResult::NotFound(why) => format!("not found{}", details(why)),
        ExecutionResult::Failed(why) => format!("failed{}", details(why)),
    }
}
