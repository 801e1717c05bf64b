//! What the options of every command become: how this client joins, what it executes for other
//! clients, and how it shows their output.

use crate::dial::{self, Signals, Wait};
use crate::failure::Failure;
use client::policy::{Command, Policy};
use client::{Client, Config, Processes, SharedExecutor, Simulation, watchdog};
use common::audit::Audit;
use common::sys::trusted_file::ROOT;
use common::terminal::console::Console;
use std::path::PathBuf;

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) wait: Wait,
    pub(crate) executes: Executes,
    /// Whether control characters of other clients reach the terminal.
    pub(crate) raw: bool,
    /// Where what runs here is put on record.
    pub(crate) audit: Option<Audit>,
}

#[derive(Debug)]
pub(crate) enum Executes {
    /// The originals' simulation, which starts no program.
    Simulation,
    Policy(PathBuf),
    Anything {
        even_as_root: bool,
    },
}

impl Settings {
    /// Joins the server. From now on signals arrive at the channel.
    pub(crate) fn join(&self, console: &Console) -> Result<(Client, Signals), Failure> {
        let signals = dial::signals()?;
        let (executor, takes_input) = self.executes.executor(self.audit.as_ref())?;
        let config = Config {
            takes_input,
            ..self.config.clone()
        };
        let client = dial::dial(&config, self.wait, &executor, &signals, console)?;
        Ok((client, signals))
    }

    /// Joins the server once more, only to send: an answer was lost.
    pub(crate) fn dial_again(&self) -> Result<Client, Failure> {
        let config = Config {
            slots: Some(0),
            ..self.config.clone()
        };
        Ok(Client::connect(config, Simulation)?)
    }
}

impl Executes {
    /// What executes, and whether it takes input.
    fn executor(&self, audit: Option<&Audit>) -> Result<(SharedExecutor, bool), Failure> {
        let is_root = rustix::process::geteuid().is_root();
        let processes = match self {
            Executes::Simulation => {
                let executor = SharedExecutor::with_audit(Simulation, audit.cloned());
                return Ok((executor, false));
            }
            Executes::Policy(path) => {
                let policy = Policy::load(path)?;
                for warning in policy.warnings() {
                    log::warn!("{warning}");
                }
                let own_user = rustix::process::geteuid().as_raw();
                let is_for_root = |(_, command): (_, &Command)| {
                    command.settings.rights(own_user).user_id() == ROOT
                };
                warn_of_programs(policy.commands().any(is_for_root));
                Processes::with_policy(policy)
            }
            Executes::Anything {
                even_as_root: false,
            } if is_root => return Err(Failure::AnyAsRoot),
            Executes::Anything { .. } => {
                log::warn!("--allow-any: a client that ranks higher can run any program here");
                warn_of_programs(is_root);
                Processes::allow_any()
            }
        };
        let processes = processes.map_err(Failure::NoThread)?;
        let takes_input = processes.takes_input();
        let executor = SharedExecutor::new(processes.with_audit(audit.cloned()));
        Ok((executor, takes_input))
    }
}

/// Warns about what programs may do here, and starts the watchdog that ends them when this
/// client is killed. A client without a watchdog is useful as well.
fn warn_of_programs(run_as_root: bool) {
    if run_as_root {
        log::warn!(
            "commands run as root here, with every right on this machine: run the client as a \
             user of its own (useradd --system pecking, User=pecking in its unit)"
        );
    }
    if let Err(e) = watchdog::start() {
        log::warn!("if this client is killed, processes of its commands keep running: {e}");
    }
}
