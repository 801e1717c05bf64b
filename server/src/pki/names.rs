//! Names that certificates may have: those by which clients dial a server, and those of clients.

use super::file_names::{CA_CERT, SERVER};
use common::wire::name::Name;
use common::wire::text::clip;
use rcgen::SanType;
use rcgen::string::Ia5String;
use rustls::pki_types::ServerName;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Names of one server: more than any has, and few enough that a handshake stays one packet or two.
const MAX_NAMES: usize = 32;

/// How the identities begin that this authority gives; behind it stands the name.
const SCHEME: &str = "pecking:";

/// The names and addresses that clients dial, in the order in which they were given: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerNames(Vec<ServerName<'static>>);

impl ServerNames {
    /// The one that comes first, as it stands in front of a port.
    pub fn first(&self) -> String {
        match &self.0[0] {
            ServerName::IpAddress(address) => match IpAddr::from(*address) {
                IpAddr::V6(address) => format!("[{address}]"),
                IpAddr::V4(address) => address.to_string(),
            },
            name => name.to_str().into_owned(),
        }
    }

    /// Those of a certificate; there may be none of these kinds.
    pub(super) fn of(names: Vec<ServerName<'static>>) -> Option<ServerNames> {
        (!names.is_empty()).then_some(ServerNames(names))
    }

    /// As a certificate has them.
    pub(super) fn alternative_names(&self) -> Result<Vec<SanType>, rcgen::Error> {
        let names = self.0.iter().map(|name| match name {
            ServerName::IpAddress(address) => Ok(SanType::IpAddress((*address).into())),
            name => Ok(SanType::DnsName(Ia5String::try_from(&*name.to_str())?)),
        });
        names.collect()
    }
}

impl FromStr for ServerNames {
    type Err = String;

    fn from_str(text: &str) -> Result<ServerNames, String> {
        let names: Vec<&str> = text.split(',').collect();
        if names.len() > MAX_NAMES {
            let count = names.len();
            return Err(format!("expected at most {MAX_NAMES} names, found {count}"));
        }
        let names: Result<Vec<_>, _> = names.into_iter().map(server_name).collect();
        names.map(ServerNames)
    }
}

/// In the order in which they were given.
impl fmt::Display for ServerNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(ServerName::to_str).collect();
        f.write_str(&names.join(", "))
    }
}

fn server_name(text: &str) -> Result<ServerName<'static>, String> {
    let wrong = || {
        format!(
            "{:?} is neither a host name nor an IP address; expected what clients dial, without a \
             port (--port), such as relay.example,10.0.0.5",
            clip(text)
        )
    };
    // A last dot is right for a resolver, and in no certificate.
    if text.ends_with('.') {
        return Err(wrong());
    }
    let name = ServerName::try_from(text).map_err(|_| wrong())?;
    Ok(name.to_owned())
}

/// The name of a client that gets a certificate: its clients join with that name, and the
/// certificate's files are called by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName(String);

impl ClientName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The identity that its certificate proves, as `cert` in an auth file names it.
    pub fn identity(&self) -> String {
        format!("{SCHEME}{}", self.0)
    }

    pub(super) fn alternative_name(&self) -> Result<SanType, rcgen::Error> {
        Ok(SanType::URI(Ia5String::try_from(self.identity())?))
    }
}

impl FromStr for ClientName {
    type Err = String;

    fn from_str(text: &str) -> Result<ClientName, String> {
        Name::asked_for(text)?;
        // The file systems of some machines do not tell case apart.
        let is_taken = |file: &str| {
            let name = file.split('.').next().unwrap_or_default();
            text.eq_ignore_ascii_case(name)
        };
        match is_taken(CA_CERT) || is_taken(SERVER) {
            true => Err(format!(
                "{text:?} is what files of the server are called; expected another name"
            )),
            false => Ok(ClientName(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_of_a_server_are_read() {
        for (text, first, shown) in [
            ("relay.example", "relay.example", "relay.example"),
            (
                "10.0.0.5,relay.example",
                "10.0.0.5",
                "10.0.0.5, relay.example",
            ),
            ("::1", "[::1]", "::1"),
            (
                "localhost,127.0.0.1,::1",
                "localhost",
                "localhost, 127.0.0.1, ::1",
            ),
        ] {
            let names: ServerNames = text.parse().expect(text);
            assert_eq!(
                (names.first().as_str(), names.to_string().as_str()),
                (first, shown)
            );
        }
    }

    #[test]
    fn what_is_no_name_of_a_server_is_named() {
        let long = "a".repeat(64);
        let many = ["a"; MAX_NAMES + 1].join(",");
        for (text, why) in [
            ("", "\"\" is neither"),
            ("a,,b", "\"\" is neither"),
            ("a, b", "\" b\" is neither"),
            ("relay.example:5555", "without a port"),
            ("tls://relay.example", "\"tls://relay.example\""),
            ("*.example", "\"*.example\""),
            ("relay.example.", "\"relay.example.\""),
            ("10.0.0.256", "\"10.0.0.256\""),
            ("relay\u{1b}.example", "\\u{1b}"),
            (&long, "is neither"),
            (&many, "at most 32 names, found 33"),
        ] {
            let error = text.parse::<ServerNames>().expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_name_of_a_client_is_one_that_it_may_join_with_and_no_file_of_the_server() {
        let name: ClientName = "web1".parse().expect("a name");
        assert_eq!(name.identity(), "pecking:web1");
        for wrong in [
            "", "..", "a/b", "client-1", "42", "all", "a b", "ca", "CA", "server", "Server",
        ] {
            assert!(wrong.parse::<ClientName>().is_err(), "{wrong}");
        }
    }
}
