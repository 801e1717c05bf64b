//! What the program does besides serving.

mod audit;
mod auth;
mod init;
mod names;
mod tls;

use crate::ended::Ended;
use anyhow::Context;
use clap::Subcommand;
use common::terminal::escape::path_line;
use common::terminal::package_files;
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

impl Command {
    /// Does it; `program` is the whole command line.
    pub(crate) fn run(self, program: &clap::Command) -> Ended {
        match self {
            Command::Auth(auth) => auth.run(),
            Command::Audit(audit) => audit.run(),
            Command::PackageFiles { dir } => write_package_files(program, &dir),
            Command::Init(init) => init.run(),
            Command::Tls(tls) => tls.run(),
        }
    }
}

fn write_package_files(program: &clap::Command, dir: &Path) -> Ended {
    package_files::write(program, None, "server.toml", dir)
        .with_context(|| format!("cannot write to {}", path_line(dir)))?;
    Ok(ExitCode::SUCCESS)
}
