//! One folder with everything that a server needs so that other machines can reach it.

use super::address;
use super::error::PkiError;
use super::file_names::{
    ADDRESS, AGENT_TOKEN, AUTH, CA_CERT, CA_KEY, OPERATOR_TOKEN, SERVER_CERT, SERVER_KEY,
};
use super::files::{self, SECRET, Written};
use super::issuer::Issuer;
use super::names::ServerNames;
use crate::authority::NewCredential;
use common::sys::trusted_file::{self, Finds};
use std::path::Path;

/// All that is written.
const FILES: [&str; 8] = [
    ADDRESS,
    CA_CERT,
    CA_KEY,
    SERVER_CERT,
    SERVER_KEY,
    AUTH,
    OPERATOR_TOKEN,
    AGENT_TOKEN,
];

/// The roles of an auth file, without credentials.
const ROLES: &str = include_str!("auth.toml");

/// Makes an authority, a server's certificate, an auth file and two tokens, in a folder that is made
/// if there is none; returns the address that clients dial, with the pin of the authority.
///
/// # Errors
/// One of the files is there already, or cannot be written, or another user could change the
/// folder. Then none of them is left.
pub fn init(folder: &Path, names: &ServerNames, port: u16) -> Result<String, PkiError> {
    let mut all = FILES.iter().map(|file| folder.join(file));
    if let Some(there) = all.find(|file| files::exists(file)) {
        return Err(PkiError::Exists(there));
    }
    let mut written = Written::default();
    written.folder(folder)?;
    trusted_file::look(folder, trusted_file::user(), Finds::WhatIsIn).map_err(|reason| {
        let folder = folder.to_owned();
        PkiError::Untrusted { folder, reason }
    })?;
    let issuer = Issuer::generate()?;
    issuer.write(folder, &mut written)?;
    issuer.issue_server(folder, names, &mut written)?;
    let auth = folder.join(AUTH);
    written.file(&auth, ROLES, SECRET)?;
    for (role, names, token) in [
        ("operator", &[][..], OPERATOR_TOKEN),
        ("agent", &["*"], AGENT_TOKEN),
    ] {
        let credential = NewCredential {
            id: role.to_owned(),
            role: role.to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..NewCredential::default()
        };
        let token = folder.join(token);
        credential.add_to(&auth, Some(&token))?;
        written.note(&token);
    }
    let address = address::of(names, port, &issuer.pin());
    written.file(
        &folder.join(ADDRESS),
        &format!("{address}\n"),
        files::PUBLIC,
    )?;
    written.keep();
    Ok(address)
}
