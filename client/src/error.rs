//! Why there is no connection, and why a request of this client's was not done.

use crate::tls::TlsError;
use common::token::TokenError;
use common::wire::message::{Code, RpcError};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// The longest pause that a server may ask for: the longest that this project's server asks for.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

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
    ///
    /// [`Config::plain`]: crate::Config::plain
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

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The server answered with an error: `no_target`, `outranked`, `busy`, ...
    #[error("{0}")]
    Rpc(Box<RpcError>),
    /// There was no connection before the request was written: nothing has happened.
    #[error("there is no connection to the server")]
    NotConnected,
    /// The connection ended before the answer came: it may have happened or not.
    #[error("the server was lost before it answered")]
    Lost,
    /// The request is longer than the server takes.
    #[error("the request has {bytes} bytes; the server takes at most {max}")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// The server lives and does not answer.
    #[error("the server did not answer within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// The system has no thread for what follows the answer, and why.
    #[error("cannot start a thread: {0}")]
    NoThread(String),
    /// The server's answer is none to this request.
    #[error("the server's answer makes no sense: {0}")]
    Malformed(String),
}

impl RequestError {
    /// The protocol's code, if the server answered with one.
    pub fn code(&self) -> Option<Code> {
        match self {
            RequestError::Rpc(error) => Code::from_number(error.code),
            _ => None,
        }
    }
}

impl From<RpcError> for RequestError {
    fn from(error: RpcError) -> RequestError {
        RequestError::Rpc(Box::new(error))
    }
}
