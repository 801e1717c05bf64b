//! A certificate authority of the operator's own, in one folder: what a server that other machines
//! reach needs, made in one step, and certificates for its clients later.
//!
//! A public authority would not do: it signs names of servers, and no identities of clients. The
//! authority here signs both, and a client knows it by the pin of its key, which stands in the
//! server's address. So no file has to be copied for that.
//!
//! Nothing in here is part of a running server, which reads the files as it would any others. There
//! are no lists of revoked certificates: what a certificate gives is a line of the auth file, and
//! is taken away there.

mod address;
mod error;
mod files;
mod init;
mod issuer;
mod names;
mod show;
#[cfg(test)]
mod tests;

pub use address::{PORT, address};
pub use error::PkiError;
pub use init::init;
pub use issuer::{Days, Issuer, server_names};
pub use names::{ClientName, ServerNames};
pub use show::{Description, Signature, show};

use std::path::{Path, PathBuf};

/// The authority's certificate: it is no secret, and what clients' certificates are held against.
pub const CA_CERT: &str = "ca.pem";

/// The authority's key: it signs, and a running server does not need it.
pub const CA_KEY: &str = "ca.key";

/// The server's certificate, and the authority's behind it, for clients that pin the authority.
pub const SERVER_CERT: &str = "server.pem";

/// The key of the server's certificate.
pub const SERVER_KEY: &str = "server.key";

/// Which clients may join, and what each may do.
pub const AUTH: &str = "auth.toml";

/// The token of an operator.
pub const OPERATOR_TOKEN: &str = "operator.token";

/// The token that agents share until they have certificates.
pub const AGENT_TOKEN: &str = "agent.token";

/// What clients dial, with the pin of the authority.
pub const ADDRESS: &str = "address";

/// What the server's certificate is called where clients' certificates go by their names.
pub const SERVER: &str = "server";

/// Where the certificate of a name is, in a folder of certificates.
pub fn cert_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.pem"))
}

/// Where its key is.
pub fn key_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.key"))
}
