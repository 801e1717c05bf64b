//! What is left of a line, and the members of messages that are taken off its front.

use crate::wire::text::Text;
use crate::wire::words::Words;
use crate::wire::{ExecutionOutput, ExecutionResult, OutputStream, Send, SendInput, Stdin};

/// The members of an `input`, the id of its command first.
pub(super) type Input<'a> = (u64, Option<Text<'a>>, Option<Text<'a>>, bool);

/// What is left of a line. What a method finds, it takes off the front.
pub(super) struct Rest<'a>(pub(super) &'a str);

impl<'a> Rest<'a> {
    pub(super) fn has(&mut self, piece: &str) -> bool {
        self.skip(piece).is_some()
    }

    pub(super) fn skip(&mut self, piece: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(piece)?;
        Some(())
    }

    /// The members of an object, each of which `member` takes off the front.
    fn object(&mut self, mut member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.skip("{")?;
        if self.has("}") {
            return Some(());
        }
        loop {
            member(self)?;
            if !self.has(",") {
                return self.skip("}");
            }
        }
    }

    /// A string, for a member that had none before.
    fn text(&mut self, member: &mut Option<Text<'a>>) -> Option<()> {
        first(member, self.string()?)
    }

    pub(super) fn string(&mut self) -> Option<Text<'a>> {
        let text;
        (text, self.0) = Text::prefix_of(self.0)?;
        Some(text)
    }

    /// Which of the streams a member says.
    pub(super) fn stream(&mut self) -> Option<OutputStream> {
        if self.has("\"stream\":\"stdout\"") {
            return Some(OutputStream::Stdout);
        }
        self.skip("\"stream\":\"stderr\"")?;
        Some(OutputStream::Stderr)
    }

    fn words(&mut self, member: &mut Option<Words<'a>>) -> Option<()> {
        let words;
        (words, self.0) = Words::prefix_of(self.0)?;
        first(member, words)
    }

    pub(super) fn natural(&mut self) -> Option<u64> {
        let (number, rest) = natural(self.0.as_bytes())?;
        self.0 = &self.0[self.0.len() - rest.len()..];
        Some(number)
    }

    fn integer(&mut self) -> Option<i64> {
        let is_negative = self.has("-");
        let number = i64::try_from(self.natural()?).ok()?;
        match (is_negative, number) {
            // A parser takes that for a fraction.
            (true, 0) => None,
            (true, _) => Some(-number),
            (false, _) => Some(number),
        }
    }

    pub(super) fn send(&mut self) -> Option<Send<'a>> {
        let (mut command, mut to, mut timeout_ms, mut window) = (None, None, None, None);
        let (mut run, mut deadline_ms, mut progress, mut stdin) = (None, None, None, None);
        self.object(|rest| match () {
            () if rest.has("\"to\":") => rest.text(&mut to),
            () if rest.has("\"command\":") => rest.words(&mut command),
            () if rest.has("\"timeout_ms\":") => first(&mut timeout_ms, rest.natural()?),
            () if rest.has("\"window\":") => first(&mut window, rest.natural()?),
            () if rest.has("\"run\":") => rest.text(&mut run),
            () if rest.has("\"deadline_ms\":") => first(&mut deadline_ms, rest.natural()?),
            () if rest.has("\"progress\":true") => first(&mut progress, true),
            () if rest.has("\"stdin\":") => first(&mut stdin, rest.stdin()?),
            () => None,
        })?;
        Some(Send {
            command: command?,
            to,
            timeout_ms,
            window,
            run,
            deadline_ms,
            progress,
            stdin,
            detach: None,
        })
    }

    fn stdin(&mut self) -> Option<Stdin> {
        match self.has("true") {
            true => Some(Stdin::Flag(true)),
            false => self.natural().map(Stdin::Window),
        }
    }

    pub(super) fn execution_result(&mut self) -> Option<ExecutionResult<'a>> {
        let mut executed = ExecutionResult::default();
        self.object(|rest| match () {
            () if rest.has("\"exit_code\":") => first(&mut executed.exit_code, rest.integer()?),
            () if rest.has("\"stdout\":") => rest.text(&mut executed.stdout),
            () if rest.has("\"stderr\":") => rest.text(&mut executed.stderr),
            () if rest.has("\"signal\":") => rest.text(&mut executed.signal),
            () if rest.has("\"stdout_base64\":") => rest.text(&mut executed.stdout_base64),
            () if rest.has("\"stderr_base64\":") => rest.text(&mut executed.stderr_base64),
            () if rest.has("\"timed_out\":true") => set(&mut executed.timed_out),
            () if rest.has("\"cancelled\":true") => set(&mut executed.cancelled),
            () if rest.has("\"truncated\":true") => set(&mut executed.truncated),
            () => None,
        })?;
        Some(executed)
    }

    #[inline(never)]
    pub(super) fn send_input(&mut self) -> Option<SendInput<'a>> {
        let (send, text, base64, end) = self.input("\"send\":")?;
        Some(SendInput {
            send: send.into(),
            text,
            base64,
            end,
        })
    }

    pub(super) fn input(&mut self, key: &str) -> Option<Input<'a>> {
        let (mut id, mut text, mut base64, mut end) = (None, None, None, false);
        self.object(|rest| match () {
            () if rest.has(key) => first(&mut id, rest.natural()?),
            () if rest.has("\"text\":") => rest.text(&mut text),
            () if rest.has("\"base64\":") => rest.text(&mut base64),
            () if rest.has("\"end\":true") => set(&mut end),
            () => None,
        })?;
        Some((id?, text, base64, end))
    }

    pub(super) fn output(&mut self) -> Option<ExecutionOutput<'a>> {
        let (mut id, mut stream, mut text, mut base64) = (None, None, None, None);
        self.object(|rest| match () {
            () if rest.has("\"id\":") => first(&mut id, rest.natural()?),
            () if rest.has("\"stream\":\"stdout\"") => first(&mut stream, OutputStream::Stdout),
            () if rest.has("\"stream\":\"stderr\"") => first(&mut stream, OutputStream::Stderr),
            () if rest.has("\"text\":") => rest.text(&mut text),
            () if rest.has("\"base64\":") => rest.text(&mut base64),
            () => None,
        })?;
        Some(ExecutionOutput {
            id: id?,
            stream: stream?,
            text,
            base64,
        })
    }
}

/// An unsigned integer of at most 19 digits, which always fit, and what comes after it.
pub(super) fn natural(text: &[u8]) -> Option<(u64, &[u8])> {
    const MOST: usize = 19;
    let (mut number, mut rest) = (0, text);
    while let [digit @ b'0'..=b'9', more @ ..] = rest {
        number = number * 10 + u64::from(digit - b'0');
        rest = more;
        if text.len() - rest.len() == MOST {
            break;
        }
    }
    let digits = &text[..text.len() - rest.len()];
    let is_number = matches!(digits, [b'0'] | [b'1'..=b'9', ..]);
    let ends = !rest.first().is_some_and(u8::is_ascii_digit);
    (is_number && ends).then_some((number, rest))
}

/// Sets a member; `None` where it stands there for the second time.
fn first<T>(member: &mut Option<T>, value: T) -> Option<()> {
    match member.replace(value) {
        None => Some(()),
        Some(_) => None,
    }
}

/// Sets a member; `None` where it is set already.
fn set(member: &mut bool) -> Option<()> {
    (!std::mem::replace(member, true)).then_some(())
}
