//! `pecking-server audit`: reads the files of an audit log, of the server or of an executor.

use super::names::{identity, name};
use crate::ended::{Ended, print, written};
use clap::{Args, Subcommand};
use common::audit::Hash;
use common::audit::show::{Filter, ShowError, show, since};
use common::audit::verify::{Verified, VerifyError, verify};
use common::terminal::console::complain;
use common::wire::Identity;
use common::wire::name::Name;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::SystemTime;

/// What to do with a log.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Check that no record was changed, left out or moved, and name the first line that does
    /// not fit
    #[command(after_help = VERIFY)]
    Verify(Verify),
    /// Print the records for people, the oldest first
    Show(Show),
}

const VERIFY: &str = "\
Each line has the SHA-256 of the line before it. What is printed last is the SHA-256 of the last
line: note it elsewhere, as a user that can write the files can make the whole chain anew. The next
check takes it with --expect.

Exit codes: 0 the lines hold together, 1 they do not, or the expected one is not there, 2 usage, or a file cannot be read or is no
log.";

/// The files of one log.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// The files of one log, in any order: FILE and the rotated FILE.*
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// What is checked.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    files: Files,

    /// The SHA-256 of a record that was printed last by an earlier check: it must be among the
    /// records still
    #[arg(long, value_name = "HASH", value_parser = Hash::from_str)]
    expect: Option<Hash>,
}

/// Which records are printed.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    files: Files,

    /// Only what this identity did, and what became of it
    #[arg(long, value_name = "ID", value_parser = identity)]
    identity: Option<Identity<'static>>,

    /// Only what the client with this name did or was to execute, and what became of it
    #[arg(long, value_name = "NAME", value_parser = name, allow_hyphen_values = true)]
    name: Option<Name<'static>>,

    /// Only what happened from then on: a time (2026-11-28T22:40:00Z), a date, or how long ago (2h)
    #[arg(long, value_name = "TIME", value_parser = since, allow_hyphen_values = true)]
    since: Option<SystemTime>,

    /// Only what failed, was not allowed or is missing
    #[arg(long)]
    failed: bool,
}

impl Audit {
    pub(super) fn run(self) -> Ended {
        match self {
            Audit::Verify(Verify { files, expect }) => report(verify(&files.files, expect), expect),
            Audit::Show(wanted) => show_those(wanted),
        }
    }
}

fn report(verified: Result<Verified, VerifyError>, expected: Option<Hash>) -> Ended {
    let found = match verified {
        Ok(found) => found,
        Err(broken @ VerifyError::Broken { .. }) => {
            complain(&format!("error: {broken}"));
            return Ok(ExitCode::FAILURE);
        }
        Err(unreadable) => return Err(unreadable.into()),
    };
    let mut report = String::new();
    for place in &found.unfinished {
        report += &format!(
            "{place}: unfinished; the program was killed while it wrote this line, or writes it now\n"
        );
    }
    report += &match found.records {
        0 => "no records\n".to_owned(),
        records => format!(
            "{records} records hold together, from seq {} to {}; SHA-256 of the last: {}\n",
            found.first, found.last, found.hash
        ),
    };
    match (expected, found.following) {
        (Some(_), Some(following)) => {
            report += &format!(
                "the expected record is among them; records that follow it: {following}\n"
            );
        }
        (Some(expected), None) => {
            print(&report)?;
            complain(&format!(
                "error: none of them has the SHA-256 {expected}: its file is not among these, or the \
                 lines were made anew"
            ));
            return Ok(ExitCode::FAILURE);
        }
        (None, _) => {}
    }
    print(&report)
}

fn show_those(wanted: Show) -> Ended {
    let filter = Filter {
        identity: wanted.identity.map(|identity| identity.to_string()),
        name: wanted.name.map(Name::into_string),
        since: wanted.since,
        failed: wanted.failed,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let shown = show(&wanted.files.files, &filter, &mut out);
    match shown {
        Ok(()) => written(out.flush())?,
        Err(ShowError::Unwritable(error)) => written(Err(error))?,
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}
