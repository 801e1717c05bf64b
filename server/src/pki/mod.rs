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
mod file_names;
mod files;
mod init;
mod issuer;
mod names;
mod show;
#[cfg(test)]
mod tests;

pub use address::{PORT, address};
pub use error::PkiError;
pub use file_names::{
    ADDRESS, AGENT_TOKEN, AUTH, CA_CERT, CA_KEY, OPERATOR_TOKEN, SERVER, SERVER_CERT, SERVER_KEY,
    cert_of, key_of,
};
pub use init::init;
pub use issuer::{Days, Issuer, server_names};
pub use names::{ClientName, ServerNames};
pub use show::{Description, Signature, show};
