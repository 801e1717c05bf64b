//! The address that clients dial: a name of the server, its port, and the pin of its authority. `init`
//! keeps it in the folder, as no certificate has a port.

use super::file_names::ADDRESS;
use super::issuer::server_names;
use super::names::ServerNames;
use super::show::authority;
use common::net::tls::pin::Pin;
use std::path::Path;

/// The port that a server listens at unless it is told another one.
pub const PORT: u16 = 5555;

/// The address of the server whose certificates are in a folder: the one that `init` kept, if the
/// authority is still the same one, else one with the usual port. `None` if there is no authority,
/// or no certificate of a server.
pub fn address(folder: &Path) -> Option<String> {
    let pin = Pin::of(&authority(folder)?)?;
    let kept = std::fs::read_to_string(folder.join(ADDRESS)).ok();
    let kept = kept.filter(|kept| kept.trim_end().ends_with(&format!("#{pin}")));
    let kept = kept.map(|kept| kept.trim_end().to_owned());
    kept.or_else(|| Some(of(&server_names(folder)?, PORT, &pin)))
}

/// The address of a server at a port.
pub(super) fn of(names: &ServerNames, port: u16, pin: &Pin) -> String {
    format!("tls://{}:{port}#{pin}", names.first())
}
