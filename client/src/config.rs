//! What a client is told before it connects, and why connecting may fail.

use crate::tls::{ClientTls, TlsError};
use crate::token::Token;
use common::limits;
use common::token::TokenError;
use common::wire::message::{Code, RpcError};
use common::wire::{Tags, Tier};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long connecting and joining may take by default: as long as a server waits for `join`.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest pause that a server may ask for: the longest that this project's server asks for.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

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

/// Why there is no connection. Every message names the server's address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No server answers at that address.
    #[error("no server at {server}: {source}")]
    Unreachable {
        /// The address.
        server: String,
        /// What the system says.
        source: io::Error,
    },
    /// The server answered, and did not let this client in.
    #[error("the server at {server} did not let this client in: {error}")]
    Refused {
        /// The address.
        server: String,
        /// The server's answer: `full`, `name_taken`, `unauthorized`, ...
        error: RpcError,
    },
    /// The server closed the connection before it answered.
    #[error("the server at {server} closed the connection: {message}")]
    Closed {
        /// The address.
        server: String,
        /// What it said last, if anything.
        message: String,
    },
    /// The server made room for other clients before this client had joined, or this client did
    /// not join in time. The server is there, so another try soon is welcome.
    #[error("the server at {server} turned this client away: {message}")]
    TurnedAway {
        /// The address.
        server: String,
        /// What it said.
        message: String,
    },
    /// Something answers, but no server of this kind.
    #[error("what answers at {server} is no server of this kind: {what}")]
    NotThisProtocol {
        /// The address.
        server: String,
        /// What it said instead.
        what: String,
    },
    /// No answer came in time.
    #[error("no answer from {server} within {}", humantime::format_duration(*after))]
    TimedOut {
        /// The address.
        server: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The server is not the one that is meant, as far as this client can tell: nothing was said
    /// to it.
    #[error("the server at {server} is not trusted: {why}")]
    Untrusted {
        /// The address.
        server: String,
        /// What is wrong with what it shows.
        why: String,
    },
    /// The two could not agree on how to encrypt.
    #[error("no encrypted connection to {server}: {why}")]
    NotEncrypted {
        /// The address.
        server: String,
        /// Why.
        why: String,
    },
    /// The connection would not be encrypted, and [`Config::plain`] does not allow that.
    #[error(
        "{address} is another machine, and the connection would not be encrypted: a \
         machine on the way could read or change what is said; encrypt it (tls://{server}), or say that \
         something else does (--plain)"
    )]
    InTheClear {
        /// The address, as it was named.
        server: String,
        /// The address that was dialled.
        address: SocketAddr,
    },
    /// This client cannot encrypt with what it was told.
    #[error("{0}")]
    NoTls(TlsError),
    /// There is no token to show.
    #[error("{0}")]
    NoToken(TokenError),
    /// The system has no thread left to read with.
    #[error("no thread to read from {server}: {source}")]
    NoThread {
        /// The address.
        server: String,
        /// What the system says.
        source: io::Error,
    },
}

impl ConnectError {
    /// The server's answer, if it gave one.
    pub fn rpc(&self) -> Option<&RpcError> {
        match self {
            ConnectError::Refused { error, .. } => Some(error),
            _ => None,
        }
    }

    /// How long the server asks to wait before another try; zero without that, at most a minute.
    pub fn retry_after(&self) -> Duration {
        let ms = self.rpc().and_then(|rpc| rpc.data.retry_ms);
        Duration::from_millis(ms.unwrap_or(0)).min(LONGEST_RETRY)
    }

    /// Whether the two do not trust each other. For a client that was connected before, that is a
    /// matter of time: certificates are renewed at one end first.
    pub fn is_about_trust(&self) -> bool {
        matches!(
            self,
            ConnectError::Untrusted { .. } | ConnectError::NotEncrypted { .. }
        )
    }

    /// Whether the same try will always fail again, for instance with a wrong token. A server that
    /// is away, is full or stops, and a name that another client has, are a matter of time.
    pub fn is_final(&self) -> bool {
        if self.is_about_trust() || matches!(self, ConnectError::InTheClear { .. }) {
            return true;
        }
        const PASS: [Code; 4] = [
            Code::Full,
            Code::NameTaken,
            Code::ShuttingDown,
            Code::Internal,
        ];
        // One client more than may join with a credential: that the earlier one is gone may not
        // have been noticed yet.
        let is_one_too_many =
            |rpc: &RpcError| rpc.is(Code::Forbidden) && rpc.data.retry_ms.is_some();
        self.rpc()
            .is_some_and(|rpc| !PASS.into_iter().any(|code| rpc.is(code)) && !is_one_too_many(rpc))
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
