//! `pecking policy`: says what a policy file allows, and runs nothing.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::print;
use client::policy::{Command, Pattern, Plan, Policy, Sender};
use common::terminal::console::complain;
use common::terminal::escape::one_line;
use std::path::Path;

/// Words that no careful pattern takes together: an option, and what a shell would run.
const ANY_WORDS: [&str; 2] = ["-x", "../a b;$(c)"];

/// Prints the whole policy, and warns of what weakens it: files that other users can change, patterns
/// that take any words.
pub(crate) fn check(file: &Path) -> Result<ExitCode, Failure> {
    let policy = Policy::load(file)?;
    for warning in policy.warnings() {
        complain(&format!("warning: {}", one_line(warning)));
    }
    policy.commands().for_each(warn_of_any_words);
    print(&policy.to_string())
}

/// Prints what the policy makes of a command of this sender.
pub(crate) fn try_out(
    file: &Path,
    sender: &Sender<'_>,
    words: &[String],
) -> Result<ExitCode, Failure> {
    let policy = Policy::load(file)?;
    let plan = policy.plan(sender, words)?;
    print(&tried(&policy, &plan))
}

/// What would be run, as a shell would take it: as what, within which bounds and by which rule
/// stand in comments.
fn tried(policy: &Policy, plan: &Plan) -> String {
    let own_user = rustix::process::geteuid().as_raw();
    let mut lines = format!("{plan}\n# as {}\n", plan.settings.rights(own_user));
    let settings = plan.settings.shown();
    if !settings.is_empty() {
        lines += &format!("# with {}\n", settings.join(", "));
    }
    let from = policy.command(&plan.command);
    lines += &match from.and_then(|command| command.from.as_ref()) {
        Some(from) => format!("# by {}: {from}\n", from.rule),
        None => format!("# by commands.{}, for every sender\n", plan.command),
    };
    lines
}

/// Warns if a sender can add any words to a command.
fn warn_of_any_words((name, command): (&str, &Command)) {
    let takes_all = |rest: &&Pattern| ANY_WORDS.iter().all(|word| rest.matches(word));
    if let Some(rest) = command.rest.as_ref().filter(takes_all) {
        let rest = one_line(rest.as_str());
        complain(&format!(
            "warning: commands.{name}: rest takes any words, options of the program too: {rest}"
        ));
    }
}
