//! The lines that travel most, put together from pieces: an encoder for any type would look at
//! every byte of an output several times. Each function writes the same bytes as the serde form
//! of the same message; a property test holds that. What a peer wrote passes as it came.

use crate::wire::encode::{HEAD, Line};
use crate::wire::fast_decode::numbered;
use crate::wire::message::Id;
use crate::wire::name::Name;
use crate::wire::output::as_text;
use crate::wire::{Execute, Outcome, OutputStream, SendOutput, Text, method};
use base64_simd::STANDARD;

/// Bytes of a line besides what peers wrote into it.
const AROUND: usize = 256;

/// The `execute` request of a command, in a buffer whose content goes.
pub fn execute(buffer: Vec<u8>, id: u64, execute: &Execute<'_>) -> Vec<u8> {
    let mut line = cleared(buffer, execute.command.as_json().len());
    line.request(&id.into(), method::EXECUTE);
    line.add(r#"{"from":{"#);
    line.target(execute.from.member, &execute.from.name, execute.from.rank);
    line.add(r#"},"command":"#);
    execute.command.append_to(&mut line.0);
    line.optional(r#""timeout_ms":"#, execute.timeout_ms);
    line.optional(r#""window":"#, execute.window);
    line.add("}");
    line.end()
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
    line.id(&output.send);
    line.target(output.member, &output.name, output.rank);
    line.key(stream(output.stream));
    line.text(r#""text":"#, output.text.as_ref());
    line.text(r#""base64":"#, output.base64.as_ref());
    line.add("}");
    line.end()
}

/// Adds the `output` notification of an executor to a buffer.
pub fn execution_output(buffer: &mut Vec<u8>, id: u64, from: OutputStream, bytes: &[u8]) {
    buffer.reserve(AROUND + bytes.len() + bytes.len() / 3);
    let mut line = Line(std::mem::take(buffer));
    line.notification(method::OUTPUT).add(r#"{"id":"#);
    line.number(id).key(stream(from));
    match as_text(bytes) {
        Some(text) => line.text(r#""text":"#, Some(&text.into())),
        None => {
            line.key(r#""base64":""#);
            STANDARD.encode_append(bytes, &mut line.0);
            line.add("\"");
        }
    }
    line.add("}");
    *buffer = line.end();
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
    /// The start of a member; a comma first, unless it is the first of its object.
    fn key(&mut self, key: &str) -> &mut Line {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.add(key)
    }

    fn optional(&mut self, key: &str, number: Option<impl itoa::Integer>) {
        if let Some(number) = number {
            self.key(key).number(number);
        }
    }

    fn text(&mut self, key: &str, text: Option<&Text<'_>>) {
        if let Some(text) = text {
            self.key(key);
            text.append_to(&mut self.0);
        }
    }

    fn target(&mut self, member: u64, name: &Name<'_>, rank: u32) {
        self.optional(r#""member":"#, Some(member));
        self.name(name);
        self.optional(r#""rank":"#, Some(rank));
    }

    /// A name needs no escapes.
    fn name(&mut self, name: &Name<'_>) {
        self.key(r#""name":""#).add(name).add("\"");
    }

    fn outcome(&mut self, outcome: &Outcome<'_>) {
        self.add("{");
        if let Some(send) = &outcome.send {
            self.key(r#""send":"#).id(send);
        }
        self.optional(r#""member":"#, outcome.member);
        if let Some(name) = &outcome.name {
            self.name(name);
        }
        self.optional(r#""rank":"#, outcome.rank);
        self.key(r#""status":""#)
            .add(outcome.status.name())
            .add("\"");
        self.optional(r#""exit_code":"#, outcome.exit_code);
        self.text(r#""signal":"#, outcome.signal.as_ref());
        self.text(r#""stdout":"#, outcome.stdout.as_ref());
        self.text(r#""stdout_base64":"#, outcome.stdout_base64.as_ref());
        self.text(r#""stderr":"#, outcome.stderr.as_ref());
        self.text(r#""stderr_base64":"#, outcome.stderr_base64.as_ref());
        self.optional(r#""elapsed_ms":"#, outcome.elapsed_ms);
        if outcome.truncated {
            self.key(r#""truncated":true"#);
        }
        if let Some(leftovers) = outcome.leftovers {
            self.key(r#""leftovers":{"ended":"#).number(leftovers.ended);
            self.optional(r#""running":"#, Some(leftovers.running));
            self.add("}");
        }
        self.text(r#""message":"#, outcome.message.as_ref());
        if let Some(started) = outcome.started {
            self.key(r#""started":"#);
            self.add(if started { "true" } else { "false" });
        }
        self.add("}");
    }
}

fn stream(stream: OutputStream) -> &'static str {
    match stream {
        OutputStream::Stdout => r#""stream":"stdout""#,
        OutputStream::Stderr => r#""stream":"stderr""#,
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
