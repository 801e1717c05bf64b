//! What the files of a folder of certificates are called.

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
