//! How much output one target may still send for one command: its share of the whole
//! without a window, what the sender has not yet consumed with one.

use common::wire::{Text, base64_len};

/// The output that one target may still send for one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutputCredit {
    left: u64,
    /// How much went to the sender.
    taken: u64,
    /// With a window: how much may be on its way.
    window: Option<u64>,
    cut: bool,
}

impl OutputCredit {
    /// Everything beyond this many bytes is cut.
    pub(crate) fn share(bytes: u64) -> OutputCredit {
        OutputCredit {
            left: bytes,
            taken: 0,
            window: None,
            cut: false,
        }
    }

    /// This many bytes may be on their way at a time.
    pub(crate) fn window(bytes: u64) -> OutputCredit {
        OutputCredit {
            left: bytes,
            taken: 0,
            window: Some(bytes),
            cut: false,
        }
    }

    /// The same, with nothing left.
    pub(crate) fn used_up(&self) -> OutputCredit {
        OutputCredit { left: 0, ..*self }
    }

    /// How many bytes of output went to the sender.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether anything was cut.
    pub(crate) fn was_cut(&self) -> bool {
        self.cut
    }

    /// Notes that output is dropped without being counted; with a window, says how much of it
    /// its executor may send again.
    pub(crate) fn drop_output(&mut self, bytes: u64) -> Option<u64> {
        self.cut |= bytes > 0;
        self.window
            .map(|_| bytes.min(self.left))
            .filter(|bytes| *bytes > 0)
    }

    /// The sender got through with some output; says how much of that was on its way.
    pub(crate) fn consume(&mut self, bytes: u64) -> u64 {
        let Some(window) = self.window else { return 0 };
        let consumed = bytes.min(window - self.left);
        self.left += consumed;
        consumed
    }

    /// As much of a text as is left, cut at a character.
    pub(crate) fn take_text<'a>(&mut self, text: Text<'a>) -> Text<'a> {
        let allowed = self.take(text.len() as u64);
        if allowed == text.len() {
            return text;
        }
        let text = text.truncated(allowed);
        self.give_back((allowed - text.len()) as u64);
        text
    }

    /// As much of bytes in base64 as is left; `None` where it is no base64.
    pub(crate) fn take_base64<'a>(&mut self, text: Text<'a>) -> Option<Text<'a>> {
        let len = base64_len(&text.decoded())?;
        let allowed = self.take(len);
        if allowed as u64 == len {
            return Some(text);
        }
        // Four characters stand for three bytes; a part of three cannot be taken out.
        self.give_back((allowed % 3) as u64);
        Some(text.truncated(allowed / 3 * 4))
    }

    /// What could not be used of a window is free again. A share that was cut stays cut: what
    /// came later would pass for what is missing.
    fn give_back(&mut self, bytes: u64) {
        self.taken -= bytes;
        if self.window.is_some() {
            self.left += bytes;
        }
    }

    fn take(&mut self, bytes: u64) -> usize {
        let allowed = bytes.min(self.left);
        self.left -= allowed;
        self.taken += allowed;
        self.cut |= allowed < bytes;
        allowed as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_cut_at_a_character_and_stays_cut() {
        let mut credit = OutputCredit::share(5);
        assert_eq!(credit.take_text("ää".into()).decoded(), "ää");
        assert!(!credit.was_cut());
        assert_eq!(credit.take_text("ä".into()).decoded(), "");
        assert!(credit.was_cut());
        assert_eq!(
            credit.take_text("x".into()).decoded(),
            "",
            "nothing comes after a hole"
        );
        assert_eq!(credit.consume(100), 0, "a share never comes back");
    }

    #[test]
    fn a_window_comes_back_as_far_as_it_was_used() {
        let mut credit = OutputCredit::window(10);
        assert_eq!(
            credit.take_text("0123456789abc".into()).decoded(),
            "0123456789"
        );
        assert_eq!(credit.consume(4), 4);
        assert_eq!(credit.take_text("abcdefgh".into()).decoded(), "abcd");
        assert_eq!(credit.consume(u64::MAX), 10);
        assert_eq!(credit.consume(1), 0);
        assert_eq!(credit.drop_output(4), Some(4), "it is not counted");
        assert_eq!(credit.drop_output(40), Some(10));
        assert_eq!(OutputCredit::share(10).drop_output(4), None);
    }

    #[test]
    fn base64_is_cut_at_whole_groups() {
        let mut credit = OutputCredit::window(4);
        let taken = credit.take_base64("QUJDREVG".into()).expect("base64");
        assert_eq!(taken.decoded(), "QUJD");
        assert!(credit.was_cut());
        assert_eq!(
            credit.take_base64("QQ==".into()).expect("base64").decoded(),
            "QQ=="
        );
        assert_eq!(credit.take_base64("Q".into()), None);
    }
}
