//! From an address to a connection that has joined, within one deadline. Lines that the server
//! sends right after its answer stay in the line reader, which goes on to the reader thread.

use crate::config::Config;
use crate::connection::tls_failure;
use crate::error::ConnectError;
use crate::tls::Prepared;
use crate::token::Token;
use common::limits::{LINE_HEADROOM, MAX_LINE, MAX_LINE_BEFORE_JOIN, OUTBOX_BYTES, PROTOCOL};
use common::memory::Memory;
use common::net::line_reader::LineReader;
use common::net::outbox::Outbox;
use common::net::stream::Stream;
use common::net::tls::handshake::{self, HandshakeError};
use common::sys::sync::Arc;
use common::token::Secret;
use common::wire::message::{self, AnswerBody, Id, Message, RpcError};
use common::wire::text::clip;
use common::wire::{Bye, ByeReason, Empty, Join, Joined, Resume, ResumeToken, method};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// The id of `join`; every other request has a higher one.
pub(crate) const JOIN_ID: u64 = 0;

/// The longest line that is believed of a server that announces `max_line`: as much as
/// an outbox holds, so that no server makes a client keep more.
const LONGEST_LINE: usize = OUTBOX_BYTES;

pub(crate) struct Handshake {
    pub(crate) stream: Arc<Stream>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) lines: LineReader,
    pub(crate) joined: Joined,
    /// What it has shown to come back.
    pub(crate) shown: Option<ResumeToken>,
}

/// What a client shows to come back.
pub(crate) struct Resuming<'a> {
    /// The address that it was connected to: to look up its name again may take long while there is
    /// no network. Without it, its name is looked up.
    pub(crate) server: Option<SocketAddr>,
    pub(crate) token: &'a ResumeToken,
    /// Lines of the server's that it has received.
    pub(crate) received: u64,
    /// How long the try may take.
    pub(crate) timeout: Duration,
}

/// Joins, or comes back to the place that a token is of.
pub(crate) fn join(
    config: &Config,
    resuming: Option<&Resuming<'_>>,
) -> Result<Handshake, ConnectError> {
    let timeout = resuming.map_or(config.connect_timeout, |resuming| resuming.timeout);
    let attempt = Attempt {
        server: &config.server,
        timeout,
        deadline: Instant::now() + timeout,
    };
    // Read each time: it may have changed since the last connection.
    let token = config.token.as_ref().map(Token::read).transpose();
    let token = token.map_err(ConnectError::NoToken)?;
    let tls = config.tls.as_ref().map(|tls| tls.prepare(&config.server));
    let tls = tls.transpose().map_err(ConnectError::NoTls)?;
    let address = resuming.and_then(|resuming| Some(resuming.server?.to_string()));
    let address = address.as_deref().unwrap_or(&config.server);
    let stream = attempt.connect(config, address, tls, token.is_some())?;
    let line = join_line(config, token.as_ref(), resuming);
    drop(token);
    let written = attempt.write(&stream, &line);
    drop(line);
    if let Err(e) = written {
        stream.abort();
        return Err(attempt.failed(e));
    }
    let outbox = Arc::new(Outbox::new(Arc::clone(&stream), None, Memory::unlimited()));
    let mut lines = LineReader::new(MAX_LINE_BEFORE_JOIN);
    match attempt.read_answer(&stream, &outbox, &mut lines) {
        Ok(joined) => {
            lines.set_limit(joined.max_line.clamp(MAX_LINE, LONGEST_LINE) + LINE_HEADROOM);
            Ok(Handshake {
                stream,
                outbox,
                lines,
                joined,
                shown: resuming.map(|resuming| resuming.token.clone()),
            })
        }
        Err(e) => {
            if resuming.is_some() {
                // The server may have taken it: a close would tell it that this client has left.
                stream.abort();
            }
            outbox.close();
            Err(e)
        }
    }
}

/// The line that asks to join. With the token in it, it is in one place, and is wiped there.
fn join_line(
    config: &Config,
    token: Option<&Secret>,
    resuming: Option<&Resuming<'_>>,
) -> Zeroizing<Vec<u8>> {
    /// Bytes of a character that JSON escapes, at the most.
    const ESCAPED: usize = 6;
    /// Bytes of everything else: the envelope, some numbers of 64 bits, and a token of the server's.
    const AROUND: usize = 384;
    let name = config.name.as_deref();
    let token = token.map(Secret::reveal);
    let texts = [name, token].into_iter().flatten();
    let bytes: usize = texts.map(|text| ESCAPED * text.len()).sum();
    // Their characters need no escapes.
    let tags = config
        .tags
        .iter()
        .map(|(k, v)| r#""":"","#.len() + k.len() + v.len());
    let mut line = Zeroizing::new(Vec::with_capacity(AROUND + bytes + tags.sum::<usize>()));
    let mut params = match resuming {
        Some(resuming) => Join {
            resume: Some(Box::new(Resume {
                token: resuming.token.reveal().into(),
                received: resuming.received,
            })),
            ..Join::default()
        },
        None => Join {
            name: name.map(Into::into),
            slots: config.slots.map(u64::from),
            tier: config.tier.map(|tier| tier.number().into()),
            rank_news: (!config.rank_news).then_some(false),
            stdin: config.takes_input.then_some(true),
            tags: (!config.tags.is_empty()).then(|| config.tags.clone()),
            hold: config.hold.then_some(true),
            ..Join::default()
        },
    };
    params.protocol = PROTOCOL;
    params.token = token.map(Into::into);
    message::append_request(&mut line, &JOIN_ID.into(), method::JOIN, params);
    line
}

struct Attempt<'a> {
    server: &'a str,
    timeout: Duration,
    deadline: Instant,
}

impl Attempt<'_> {
    /// Dials, and encrypts the connection, unless it may be in the clear. The server is known
    /// when this returns, and has heard nothing of this client.
    fn connect(
        &self,
        config: &Config,
        address: &str,
        tls: Option<Prepared>,
        has_token: bool,
    ) -> Result<Arc<Stream>, ConnectError> {
        let stream = Stream::connect(address, self.timeout);
        let stream = stream.map_err(|e| self.failed(e))?;
        let Some(tls) = tls else {
            let address = stream.peer();
            return match config.plain.allows(address.ip(), has_token) {
                true => Ok(Arc::new(stream)),
                false => Err(ConnectError::InTheClear {
                    server: self.server.into(),
                    address,
                }),
            };
        };
        let stream = stream.undecided();
        match handshake::connect(&stream, tls.config, tls.name, self.deadline) {
            Ok(()) => Ok(Arc::new(stream)),
            Err(HandshakeError::Io(e)) => Err(self.failed(e)),
            Err(error) => Err(tls_failure::not_encrypted(self.server, &error)),
        }
    }

    fn read_answer(
        &self,
        stream: &Stream,
        outbox: &Arc<Outbox>,
        lines: &mut LineReader,
    ) -> Result<Joined, ConnectError> {
        let mut last_words = None;
        loop {
            while let Some(line) = lines
                .next_line()
                .map_err(|e| self.not_this_protocol(&e.to_string()))?
            {
                if let Some(joined) = self.look_at(line, outbox, &mut last_words)? {
                    return Ok(joined);
                }
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.timed_out());
            }
            let read = stream
                .set_read_timeout(Some(left))
                .and_then(|()| lines.fill(&mut &*stream));
            match read {
                Ok(0) => return Err(self.closed(last_words)),
                Ok(_) => {}
                // What the server said last tells more than how the connection went.
                Err(_) if last_words.is_some() => return Err(self.closed(last_words)),
                Err(e) => return Err(self.failed(e)),
            }
        }
    }

    /// Takes the answer to `join` out of the server's lines.
    fn look_at(
        &self,
        line: &[u8],
        outbox: &Arc<Outbox>,
        last_words: &mut Option<(ByeReason, String)>,
    ) -> Result<Option<Joined>, ConnectError> {
        if line.is_empty() {
            return Ok(None);
        }
        let message = Message::parse(line).map_err(|_| {
            self.not_this_protocol(&format!(
                "it says {:?}",
                clip(&String::from_utf8_lossy(line))
            ))
        })?;
        match message {
            Message::Answer {
                id: Some(id),
                body: AnswerBody::Result(raw),
            } if id == Id::from(JOIN_ID) => message::result(raw)
                .map(Some)
                .map_err(|e| self.not_this_protocol(&format!("its answer to join: {e}"))),
            Message::Answer {
                body: AnswerBody::Error(raw),
                ..
            } => match RpcError::parse(raw) {
                Ok(error) => Err(ConnectError::Refused {
                    server: self.server.into(),
                    error,
                }),
                Err(e) => Err(self.not_this_protocol(&format!("its error: {e}"))),
            },
            Message::Request { id, method, .. } if method == method::PING => {
                outbox.push(message::result_line(&id, Empty {}));
                outbox.flush();
                Ok(None)
            }
            Message::Notification { method, params } if method == method::BYE => {
                let bye = message::params::<Bye<'_>>(params).ok();
                *last_words = bye.map(|bye| (bye.reason, bye.message.into_owned()));
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Writes a line past the outbox, because its buffers are used again and never wiped.
    fn write(&self, stream: &Stream, mut line: &[u8]) -> io::Result<()> {
        while !line.is_empty() || stream.owes() {
            match stream.write_now(line)? {
                0 if !line.is_empty() || stream.owes() => {
                    let left = self.deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() || !stream.wait_writable(left)? {
                        return Err(ErrorKind::TimedOut.into());
                    }
                }
                written => line = &line[written..],
            }
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> ConnectError {
        match source.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => self.timed_out(),
            _ => tls_failure::of_tls(self.server, &source).unwrap_or_else(|| {
                ConnectError::Unreachable {
                    server: self.server.into(),
                    source,
                }
            }),
        }
    }

    fn timed_out(&self) -> ConnectError {
        ConnectError::TimedOut {
            server: self.server.into(),
            after: self.timeout,
        }
    }

    fn closed(&self, last_words: Option<(ByeReason, String)>) -> ConnectError {
        let server = self.server.into();
        match last_words {
            Some((ByeReason::IdleHandshake, message)) => {
                ConnectError::TurnedAway { server, message }
            }
            Some((_, message)) => ConnectError::Closed { server, message },
            None => ConnectError::Closed {
                server,
                message: "it said nothing".into(),
            },
        }
    }

    fn not_this_protocol(&self, what: &str) -> ConnectError {
        ConnectError::NotThisProtocol {
            server: self.server.into(),
            what: what.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::wire::Tier;
    use serde_json::{Value, json};

    #[test]
    fn a_join_says_what_is_not_the_default() {
        let tier = Tier::new(7).ok();
        for (tier, rank_news, expected) in [
            (None, true, json!({"protocol": 1})),
            (
                tier,
                false,
                json!({"protocol": 1, "tier": 7, "rank_news": false}),
            ),
        ] {
            let config = Config {
                tier,
                rank_news,
                ..Config::default()
            };
            let line = join_line(&config, None, None);
            let join: Value = serde_json::from_slice(&line).expect("JSON");
            assert_eq!(join["params"], expected);
        }
    }
}
