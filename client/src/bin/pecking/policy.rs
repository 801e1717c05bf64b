//! `pecking policy`: says what a policy file allows, and runs nothing.

use crate::cli::LookAtPolicy;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::print;
use client::policy::Policy;
use common::terminal::console::complain;
use common::terminal::escape::one_line;

/// Prints the whole policy, or what it makes of one command.
pub(crate) fn look(look: &LookAtPolicy) -> Result<ExitCode, Failure> {
    match look {
        LookAtPolicy::Check { file } => {
            let policy = Policy::load(file)?;
            for warning in policy.warnings() {
                complain(&format!("warning: {}", one_line(warning)));
            }
            print(&policy.to_string())
        }
        LookAtPolicy::Try { file, words } => {
            let plan = Policy::load(file)?.plan(words)?;
            print(&format!("{plan}\n"))
        }
    }
}
