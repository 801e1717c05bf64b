//! How the program ends: its exit codes, what it prints if all went well, and the line that says what
//! did not.

use common::sys::trusted_file::{Distrust, ROOT};
use common::terminal::console::complain;
use common::terminal::escape::one_line;
use server::authority::AuthError;
use server::pki::PkiError;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// The exit code for a wrong command line.
pub(crate) const USAGE: u8 = 2;

/// The exit code after a second signal: as a shell shows one that ended by SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// How the program ends if it does not serve.
pub(crate) type Ended = anyhow::Result<ExitCode>;

/// Its exit code; says what went wrong.
pub(crate) fn exit_code(ended: Ended) -> ExitCode {
    ended.unwrap_or_else(|error| {
        let hint = owner(&error).map_or_else(String::new, as_owner);
        complain(&format!("error: {}{hint}", one_line(&format!("{error:#}"))));
        match error.is::<Unwritten>() {
            true => ExitCode::FAILURE,
            false => ExitCode::from(USAGE),
        }
    })
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

/// Prints lines to standard output, with which the program ends well; a reader that has seen enough
/// of them is no error.
pub(crate) fn print(lines: &str) -> Ended {
    written(io::stdout().write_all(lines.as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}

/// What became of a write to standard output; a reader that has gone is no error.
pub(crate) fn written(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Unwritten(error).into()),
        _ => Ok(()),
    }
}

/// Standard output takes no more, which is no fault of the command line.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
struct Unwritten(io::Error);
