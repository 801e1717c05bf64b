//! The lines that travel most, put together from pieces: an encoder for any type would look at
//! every byte of an output several times. Each function writes the same bytes as the serde form
//! of the same message; a property test holds that. What a peer wrote passes as it came.

use crate::wire::encode::{HEAD, Line};
use crate::wire::fast_decode::numbered;
use crate::wire::id::Id;
use crate::wire::name::Name;
use crate::wire::output::as_text;
use crate::wire::tier::Tier;
use crate::wire::{
    Execute, ExecutionInput, Origin, Outcome, OutputStream, SendOutput, Text, method,
};
use base64_simd::STANDARD;

/// Bytes of a line besides what peers wrote into it.
const AROUND: usize = 256;

/// The `execute` request of a command, in a buffer whose content goes.
pub fn execute(buffer: Vec<u8>, id: u64, execute: &Execute<'_>) -> Vec<u8> {
    let mut line = cleared(buffer, execute.command.as_json().len());
    line.add(HEAD).number(id).method(method::EXECUTE);
    let Origin {
        member,
        name,
        rank,
        tier,
        identity,
        role,
    } = &execute.from;
    line.add(r#"{"from":{"#).client(*member, name, *rank);
    line.optional(r#","tier":"#, tier.map(Tier::number));
    // Neither needs escapes.
    if let Some(identity) = identity {
        line.add(r#","identity":""#).add(identity).add("\"");
    }
    if let Some(role) = role {
        line.add(r#","role":""#).add(role).add("\"");
    }
    line.add(r#"},"command":"#);
    execute.command.append_to(&mut line.0);
    line.optional(r#","timeout_ms":"#, execute.timeout_ms);
    line.optional(r#","window":"#, execute.window);
    if execute.stdin {
        line.add(r#","stdin":true"#);
    }
    line.add("}");
    line.end()
}

/// The line of an `execute` request with another time-out. Behind the command stand no strings, so
/// the last member of that name is it.
#[inline(never)]
pub fn with_timeout(execute: &[u8], timeout_ms: u64) -> Option<Vec<u8>> {
    const KEY: &[u8] = br#","timeout_ms":"#;
    let start = memchr::memmem::rfind(execute, KEY)? + KEY.len();
    let digits = execute[start..].iter().take_while(|b| b.is_ascii_digit());
    let rest = &execute[start + digits.count()..];
    let mut line = Vec::with_capacity(execute.len());
    line.extend_from_slice(&execute[..start]);
    line.extend_from_slice(itoa::Buffer::new().format(timeout_ms).as_bytes());
    line.extend_from_slice(rest);
    Some(line)
}

/// The result of a `send` that has one outcome, in a buffer whose content goes.
pub fn result(buffer: Vec<u8>, id: &Id, outcome: &Outcome<'_>) -> Vec<u8> {
    let mut line = cleared(buffer, outcome.len_of_texts());
    line.result(id).outcome(outcome);
    line.end()
}

/// The `outcome` notification of a `send` that has several, in a buffer whose content goes.
pub fn outcome(buffer: Vec<u8>, outcome: &Outcome<'_>) -> Vec<u8> {
    let mut line = cleared(buffer, outcome.len_of_texts());
    line.notification(method::OUTCOME).outcome(outcome);
    line.end()
}

/// The `output` notification for a sender.
pub fn output(output: &SendOutput<'_>) -> Vec<u8> {
    let texts = [&output.text, &output.base64];
    let written = texts.into_iter().flatten().map(Text::written).sum();
    let mut line = cleared(Vec::new(), written);
    line.notification(method::OUTPUT).add(r#"{"send":"#);
    line.id(&output.send).add(",");
    line.client(output.member, &output.name, output.rank);
    line.add(stream(output.stream));
    line.text(r#","text":"#, output.text.as_ref());
    line.text(r#","base64":"#, output.base64.as_ref());
    line.add("}");
    line.end()
}

/// Adds the `output` notification of an executor to a buffer.
pub fn execution_output(buffer: &mut Vec<u8>, id: u64, from: OutputStream, bytes: &[u8]) {
    buffer.reserve(AROUND + bytes.len() + bytes.len() / 3);
    let mut line = Line(std::mem::take(buffer));
    line.notification(method::OUTPUT).add(r#"{"id":"#);
    line.number(id).add(stream(from));
    line.output(bytes);
    line.add("}");
    *buffer = line.end();
}

/// The `input` notification for an executor.
pub fn input(piece: &ExecutionInput<'_>) -> Vec<u8> {
    let texts = [&piece.text, &piece.base64];
    let written = texts.into_iter().flatten().map(Text::written).sum();
    let mut line = cleared(Vec::new(), written);
    line.notification(method::INPUT).add(r#"{"id":"#);
    line.number(piece.id);
    line.text(r#","text":"#, piece.text.as_ref());
    line.text(r#","base64":"#, piece.base64.as_ref());
    line.end_of_input(piece.end)
}

/// The `input` notification of a sender.
pub fn send_input(send: u64, bytes: &[u8], is_last: bool) -> Vec<u8> {
    let mut line = cleared(Vec::new(), bytes.len() + bytes.len() / 3);
    line.notification(method::INPUT).add(r#"{"send":"#);
    line.number(send);
    if !bytes.is_empty() {
        line.output(bytes);
    }
    line.end_of_input(is_last)
}

/// A line that is ready but for the id that it begins with.
pub struct Prepared {
    tail: Vec<u8>,
}

impl Prepared {
    /// From the line with the id 0.
    ///
    /// # Panics
    /// If the line does not begin with that id.
    pub fn new(line: &[u8]) -> Prepared {
        let tail = numbered(line).filter(|(id, _)| *id == 0);
        let (_, tail) = tail.expect("the encoder writes the id first");
        Prepared {
            tail: tail.to_vec(),
        }
    }

    /// Bytes of the longest line.
    pub fn longest(&self) -> usize {
        const DIGITS: usize = u64::MAX.ilog10() as usize + 1;
        HEAD.len() + DIGITS + self.tail.len()
    }

    /// Adds the line with an id to a buffer.
    pub fn append(&self, id: u64, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(HEAD.as_bytes());
        buffer.extend_from_slice(itoa::Buffer::new().format(id).as_bytes());
        buffer.extend_from_slice(&self.tail);
    }
}

fn cleared(mut buffer: Vec<u8>, content: usize) -> Line {
    buffer.clear();
    buffer.reserve(AROUND + content);
    Line(buffer)
}

impl Line {
    #[inline]
    fn optional(&mut self, key: &str, number: Option<impl itoa::Integer>) {
        if let Some(number) = number {
            self.add(key).number(number);
        }
    }

    fn text(&mut self, key: &str, text: Option<&Text<'_>>) {
        if let Some(text) = text {
            self.add(key);
            text.append_to(&mut self.0);
        }
    }

    /// What a program wrote or is to read: as text, or else as base64.
    fn output(&mut self, bytes: &[u8]) {
        match as_text(bytes) {
            Some(text) => self.text(r#","text":"#, Some(&text.into())),
            None => {
                self.add(r#","base64":""#);
                STANDARD.encode_append(bytes, &mut self.0);
                self.add("\"");
            }
        }
    }

    fn end_of_input(mut self, is_last: bool) -> Vec<u8> {
        if is_last {
            self.add(r#","end":true"#);
        }
        self.add("}");
        self.end()
    }

    /// The members that say which client it is. A name needs no escapes.
    #[inline]
    fn client(&mut self, member: u64, name: &Name<'_>, rank: u32) -> &mut Line {
        self.add(r#""member":"#).number(member);
        self.add(r#","name":""#).add(name);
        self.add(r#"","rank":"#).number(rank)
    }

    fn outcome(&mut self, outcome: &Outcome<'_>) {
        self.add("{");
        if let Some(send) = &outcome.send {
            self.add(r#""send":"#).id(send).add(",");
        }
        // Of a client that is absent some may not be known.
        if let Some(member) = outcome.member {
            self.add(r#""member":"#).number(member).add(",");
        }
        if let Some(name) = &outcome.name {
            self.add(r#""name":""#).add(name).add(r#"","#);
        }
        if let Some(rank) = outcome.rank {
            self.add(r#""rank":"#).number(rank).add(",");
        }
        self.add(r#""status":""#).add(outcome.status.name());
        self.add("\"");
        self.optional(r#","exit_code":"#, outcome.exit_code);
        self.text(r#","signal":"#, outcome.signal.as_ref());
        self.text(r#","stdout":"#, outcome.stdout.as_ref());
        self.text(r#","stdout_base64":"#, outcome.stdout_base64.as_ref());
        self.text(r#","stderr":"#, outcome.stderr.as_ref());
        self.text(r#","stderr_base64":"#, outcome.stderr_base64.as_ref());
        self.optional(r#","elapsed_ms":"#, outcome.elapsed_ms);
        if outcome.truncated {
            self.add(r#","truncated":true"#);
        }
        if let Some(leftovers) = outcome.leftovers {
            self.add(r#","leftovers":{"ended":"#)
                .number(leftovers.ended);
            self.add(r#","running":"#).number(leftovers.running);
            self.add("}");
        }
        self.text(r#","message":"#, outcome.message.as_ref());
        if let Some(started) = outcome.started {
            self.add(r#","started":"#);
            self.add(if started { "true" } else { "false" });
        }
        self.add("}");
    }
}

fn stream(stream: OutputStream) -> &'static str {
    match stream {
        OutputStream::Stdout => r#","stream":"stdout""#,
        OutputStream::Stderr => r#","stream":"stderr""#,
    }
}

impl Outcome<'_> {
    /// Bytes that its texts take, escapes left out that are not written yet.
    fn len_of_texts(&self) -> usize {
        let texts = [
            &self.stdout,
            &self.stdout_base64,
            &self.stderr,
            &self.stderr_base64,
            &self.message,
        ];
        texts.into_iter().flatten().map(Text::written).sum()
    }
}
