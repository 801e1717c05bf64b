//! Identities and names of clients, as words of the command line.

use common::wire::Identity;
use common::wire::name::Name;

/// An identity of the command line.
pub(super) fn identity(text: &str) -> Result<Identity<'static>, String> {
    Identity::new(text.to_owned())
}

/// The name of one client, as it asked for it or the server gave it.
pub(super) fn name(text: &str) -> Result<Name<'static>, String> {
    Name::told(text.to_owned()).map_err(|why| format!("{why}; expected the name of one client"))
}
