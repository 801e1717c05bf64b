//! What the program does besides serving.

mod audit;
mod auth;
mod init;
mod tls;

use crate::cli::Cli;
use anyhow::Context;
use clap::{CommandFactory, Subcommand};
use common::sys::trusted_file::{Distrust, ROOT};
use common::terminal::console::complain;
use common::terminal::escape::{one_line, path_line};
use common::terminal::package_files;
use common::wire::Identity;
use common::wire::name::Name;
use server::authority::AuthError;
use server::pki::PkiError;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A subcommand.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Change, check and try the file of --auth: which clients may join, and what they may do
    #[command(subcommand, arg_required_else_help = false)]
    Auth(auth::Auth),
    /// Write man pages, completion scripts, and a file with every option as a comment
    #[command(hide = true)]
    PackageFiles {
        /// The folder, which is made
        dir: PathBuf,
    },
    /// Read what was put on record: check that nothing was changed, or show it
    #[command(subcommand, arg_required_else_help = false)]
    Audit(audit::Audit),
    /// Make certificates, tokens and an auth file for a server that other machines reach
    ///
    /// Prints the lines that start the server and its first clients.
    Init(init::Init),
    /// Make, renew and show certificates of clients and of the server
    #[command(subcommand, arg_required_else_help = false)]
    Tls(tls::Tls),
}

/// How a subcommand ended.
pub(crate) type Ended = anyhow::Result<ExitCode>;

impl Command {
    /// Does it, and says what went wrong.
    pub(crate) fn run(self) -> ExitCode {
        let ended = match self {
            Command::Auth(auth) => auth.run(),
            Command::Audit(audit) => audit.run(),
            Command::PackageFiles { dir } => write_package_files(&dir),
            Command::Init(init) => init.run(),
            Command::Tls(tls) => tls.run(),
        };
        ended.unwrap_or_else(|error| {
            let hint = owner(&error).map_or_else(String::new, as_owner);
            complain(&format!("error: {}{hint}", one_line(&format!("{error:#}"))));
            match error.is::<Unwritten>() {
                true => ExitCode::FAILURE,
                false => ExitCode::from(crate::USAGE),
            }
        })
    }
}

fn write_package_files(dir: &Path) -> Ended {
    package_files::write(&Cli::command(), None, "server.toml", dir)
        .with_context(|| format!("cannot write to {}", path_line(dir)))?;
    Ok(ExitCode::SUCCESS)
}

/// The user that the files are of, if root must not take them because they are another user's.
fn owner(error: &anyhow::Error) -> Option<u32> {
    let reason = match (error.downcast_ref(), error.downcast_ref()) {
        (Some(AuthError::Untrusted { reason, .. }), _)
        | (
            _,
            Some(
                PkiError::Auth(AuthError::Untrusted { reason, .. })
                | PkiError::Untrusted { reason, .. },
            ),
        ) => reason,
        (_, Some(PkiError::File(file))) => file.distrust()?,
        _ => return None,
    };
    match reason {
        Distrust::Owner {
            user: ROOT, owner, ..
        } => Some(*owner),
        _ => None,
    }
}

fn as_owner(owner: u32) -> String {
    let known = nix::unistd::User::from_uid(owner.into()).ok().flatten();
    let name = known.map_or_else(|| format!("#{owner}"), |user| user.name);
    format!(
        "; as that user: sudo -u '{}' pecking-server …",
        one_line(&name)
    )
}

/// An identity of the command line.
fn identity(text: &str) -> Result<Identity<'static>, String> {
    Identity::new(text.to_owned())
}

/// The name of one client, as it asked for it or the server gave it.
fn name(text: &str) -> Result<Name<'static>, String> {
    Name::told(text.to_owned()).map_err(|why| format!("{why}; expected the name of one client"))
}

/// Prints lines to standard output, with which a command has ended well; a reader that has seen
/// enough of them is no error.
pub(crate) fn print(lines: &str) -> Ended {
    written(io::stdout().write_all(lines.as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}

fn written(result: io::Result<()>) -> Result<(), Unwritten> {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Unwritten(error)),
        _ => Ok(()),
    }
}

/// Standard output takes no more, which is no fault of the command line.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub(crate) struct Unwritten(io::Error);
