//! What a client is told before it connects.

use crate::tls::ClientTls;
use crate::token::Token;
use common::limits;
use common::wire::{Tags, Tier};
use std::net::IpAddr;
use std::time::Duration;

/// How long connecting and joining may take by default: as long as a server waits for `join`.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a client is told. The default executes one command at a time for the server that
/// listens where servers listen by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The server, `HOST:PORT`.
    pub server: String,
    /// The name to ask for; without one the server gives `client-<member>`.
    pub name: Option<String>,
    /// How many commands it executes at once, 0 to 1024; with 0 it only sends. Without a number the
    /// server decides: 1, or 0 for a client whose credential does not let it execute.
    pub slots: Option<u32>,
    /// The tier to ask for: clients of a smaller number rank above all of a larger one. Without
    /// one the server decides, by the credential if it asks for one, else 5. A client may always
    /// ask for less than it would get, and never for more.
    pub tier: Option<Tier>,
    /// What it says of itself, for selectors such as `role=web` to find it by: at most 16.
    pub tags: Tags,
    /// Whether the server tells this client when its rank changes. If not, [`Client::rank`] and
    /// [`Client::ranked`] stay what they were at joining, and [`ClientEvent::Rank`] never comes.
    ///
    /// [`Client::rank`]: crate::Client::rank
    /// [`Client::ranked`]: crate::Client::ranked
    /// [`ClientEvent::Rank`]: crate::ClientEvent::Rank
    pub rank_news: bool,
    /// Whether it takes input for what it executes: then [`Job::input`] reads what its sender writes.
    /// A client without that is given no command with input.
    ///
    /// [`Job::input`]: crate::Job::input
    pub takes_input: bool,
    /// The source of the token, if the server wants one.
    pub token: Option<Token>,
    /// How the connection is encrypted; without this it is not.
    pub tls: Option<ClientTls>,
    /// Where a connection may lead that is not encrypted.
    pub plain: PlainTo,
    /// How long connecting and joining may take together. Looking up a host's name is
    /// the system's own matter and comes on top.
    pub connect_timeout: Duration,
    /// Whether it comes back by itself after it lost its server, for as long as that takes:
    /// see [`Client`](crate::Client).
    pub reconnect: bool,
    /// Whether the server is asked to hold this client's place if the connection breaks: commands go
    /// on, and the client comes back to where it was. Without that a connection that breaks ends all
    /// that is open.
    pub hold: bool,
    /// Whether the [events](crate::ClientEvent) tell of the commands that it executes. Without
    /// that, each command costs two wake-ups less.
    pub job_events: bool,
}

/// Where a connection may lead that is not encrypted. What counts is the address that was dialled,
/// not what was written for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainTo {
    /// To this machine only.
    ThisMachine,
    /// To any, but with a token to this machine only: who sees a token can use it.
    #[default]
    AnyWithoutToken,
    /// To any: something else encrypts, a tunnel or the network.
    Any,
}

impl PlainTo {
    /// Whether a connection to an address may carry what this client has to say.
    pub(crate) fn allows(self, address: IpAddr, has_token: bool) -> bool {
        let is_here = address.to_canonical().is_loopback();
        match self {
            PlainTo::ThisMachine => is_here,
            PlainTo::AnyWithoutToken => is_here || !has_token,
            PlainTo::Any => true,
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            server: limits::DEFAULT_ADDRESS.into(),
            name: None,
            slots: None,
            tier: None,
            tags: Tags::default(),
            rank_news: true,
            takes_input: false,
            token: None,
            tls: None,
            plain: PlainTo::default(),
            connect_timeout: CONNECT_TIMEOUT,
            reconnect: false,
            hold: false,
            job_events: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_encrypted_stays_on_this_machine_unless_that_was_said() {
        let here = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"];
        let elsewhere = ["10.0.0.1", "0.0.0.0", "::", "::ffff:10.0.0.1", "fe80::1"];
        let allows = |plain: PlainTo, address: &str, has_token| {
            plain.allows(address.parse().expect("an address"), has_token)
        };
        for (plain, with_token, without) in [
            (PlainTo::ThisMachine, false, false),
            (PlainTo::AnyWithoutToken, false, true),
            (PlainTo::Any, true, true),
        ] {
            for address in here {
                assert!(allows(plain, address, true) && allows(plain, address, false));
            }
            for address in elsewhere {
                assert_eq!(allows(plain, address, true), with_token, "{address}");
                assert_eq!(allows(plain, address, false), without, "{address}");
            }
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        let config = Config {
            token: Some("secret".into()),
            ..Config::default()
        };
        assert!(!format!("{config:?}").contains("secret"));
    }
}
