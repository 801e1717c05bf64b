//! The options that say how the connection is encrypted, and by what the server is known.

use crate::settings::Executes;
use clap::Args;
use client::{Authorities, ClientCertificate, ClientTls, Pin, PlainTo};
use common::terminal::args;
use std::path::PathBuf;
use std::str::FromStr;

/// The variable of the environment that counts if `--server` is left out.
pub(crate) const SERVER_VARIABLE: &str = "PECKING_SERVER";

/// What stands before the address of a server that encrypts.
const TLS: &str = "tls://";

/// Where the server is, and what is known of it: one string to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerAddress {
    pub(super) host_and_port: String,
    encrypts: bool,
    pin: Option<Pin>,
}

impl FromStr for ServerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<ServerAddress, String> {
        let (address, encrypts) = match text.strip_prefix(TLS) {
            Some(address) => (address, true),
            None => (text, false),
        };
        let (address, pin) = match address.split_once('#') {
            Some(_) if !encrypts => {
                return Err(format!("a pin stands behind a {TLS} address only"));
            }
            Some((address, pin)) => (address, Some(pin.parse::<Pin>())),
            None => (address, None),
        };
        Ok(ServerAddress {
            host_and_port: args::address(address)
                .map_err(|e| format!("{e}, with {TLS} before it if the server encrypts (if --server is left out, the variable {SERVER_VARIABLE} counts)"))?,
            encrypts,
            pin: pin.transpose().map_err(|e| format!("the pin: {e}"))?,
        })
    }
}

/// How the connection is encrypted. None of this falls back to a connection in the clear.
#[derive(Debug, Args)]
#[command(next_help_heading = "Encryption")]
pub(super) struct Encrypting {
    /// Encrypt the connection, as an address with tls:// does
    #[arg(long, global = true)]
    tls: bool,

    /// The certificates of the authorities that sign the server's (PEM), or `system`; without
    /// this and without a pin, those of the system
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Trust this key, the server's own or one of its authority's: sha256: and 64 hex digits;
    /// may be given several times
    #[arg(long, global = true, value_name = "PIN", allow_hyphen_values = true)]
    pin: Vec<Pin>,

    /// The certificate to show to the server (PEM; those between it and its authority behind it)
    #[arg(long, global = true, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,

    /// The private key of that certificate (PEM), which only its owner may be able to read
    #[arg(long, global = true, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,

    /// The name that the server's certificate must have, if it is not the one that is dialled
    #[arg(long, global = true, value_name = "NAME", value_parser = server_name, allow_hyphen_values = true)]
    server_name: Option<String>,

    /// Show a token to another machine, or run real programs for it, over a connection that is
    /// not encrypted: something else encrypts it, such as a tunnel
    #[arg(long, global = true)]
    plain: bool,
}

fn server_name(text: &str) -> Result<String, String> {
    let checked = ClientTls::check_server_name(text);
    checked.map(|()| text.to_owned()).map_err(|e| e.to_string())
}

impl Encrypting {
    /// What the connection to a server is encrypted with, if it is.
    pub(super) fn tls(&self, server: &ServerAddress) -> Result<Option<ClientTls>, String> {
        let encrypts = self.tls || server.encrypts;
        if let Some(option) = self.first_for_tls().filter(|_| !encrypts) {
            return Err(format!("{option} needs an address with {TLS}, or --tls"));
        }
        if self.plain && encrypts {
            return Err("--plain is for connections without TLS; leave it out".into());
        }
        let authorities = self.ca.clone().map(|ca| match ca.as_os_str() == "system" {
            true => Authorities::System,
            false => Authorities::File(ca),
        });
        let certificate = self.cert.clone().zip(self.key.clone());
        Ok(encrypts.then(|| ClientTls {
            authorities,
            pins: self.pin.iter().copied().chain(server.pin).collect(),
            certificate: certificate.map(|(cert, key)| ClientCertificate { cert, key }),
            server_name: self.server_name.clone(),
        }))
    }

    /// Where the connection may lead if it is not encrypted: who is on the way to a client that
    /// runs real programs could have it run any.
    pub(super) fn plain(&self, executes: &Executes) -> PlainTo {
        match executes {
            _ if self.plain => PlainTo::Any,
            Executes::Simulation => PlainTo::AnyWithoutToken,
            Executes::Policy(_) | Executes::Anything { .. } => PlainTo::ThisMachine,
        }
    }

    /// The first option that only TLS has a use for.
    fn first_for_tls(&self) -> Option<&'static str> {
        let options = [
            (self.ca.is_some(), "--ca"),
            (!self.pin.is_empty(), "--pin"),
            (self.cert.is_some(), "--cert"),
            (self.server_name.is_some(), "--server-name"),
        ];
        let given = options.iter().find(|(is_given, _)| *is_given);
        given.map(|(_, option)| *option)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_whether_and_by_what_the_server_is_known() {
        let pin = format!("sha256:{}", "ab".repeat(32));
        let parse = |text: &str| text.parse::<ServerAddress>();
        let address = |host_and_port: &str, encrypts, pin: Option<&str>| {
            Ok(ServerAddress {
                host_and_port: host_and_port.to_owned(),
                encrypts,
                pin: pin.map(|pin| pin.parse().expect("a pin")),
            })
        };
        assert_eq!(parse("h:1"), address("h:1", false, None));
        assert_eq!(parse("tls://h:1"), address("h:1", true, None));
        let pinned = parse(&format!("tls://[::1]:1#{pin}"));
        assert_eq!(pinned, address("[::1]:1", true, Some(&pin)));
        for (wrong, why) in [
            ("tls://h", "expected HOST:PORT"),
            ("tls://", "expected HOST:PORT"),
            ("tls:h:1", "expected HOST:PORT"),
            ("https://h:1", "expected HOST:PORT"),
            ("tls://h:1#", "the pin: expected sha256:"),
            ("tls://h:1#sha256:00", "the pin: expected sha256:"),
            (&format!("h:1#{pin}"), "tls:// address only"),
        ] {
            let error = parse(wrong).expect_err(wrong);
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }
}
