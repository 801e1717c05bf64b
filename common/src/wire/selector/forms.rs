//! The forms of names and patterns, and of what must not be taken for one.

use super::WORDS;
use super::error::SelectorError;
use crate::limits::{MAX_NAME, MAX_PATTERN};
use crate::wire::text::clip;

/// Checks a pattern of names: it starts like a name or with `*` or `?`, and goes on with these and
/// the characters of names.
///
/// # Errors
/// It is no pattern, or has more than [`MAX_PATTERN`] characters.
pub fn check_pattern(text: &str) -> Result<(), SelectorError> {
    let starts_right = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "*?".contains(c));
    let rest_is_right = text.bytes().all(|b| is_name_byte(b) || b"*?".contains(&b));
    match starts_right && rest_is_right {
        true if text.len() > MAX_PATTERN => Err(SelectorError::PatternTooLong(text.len())),
        true => Ok(()),
        false => Err(SelectorError::NoItem(clip(text).into())),
    }
}

/// Whether an item is a pattern rather than a name or a rank.
pub fn is_pattern(part: &str) -> bool {
    part.contains(['*', '?'])
}

/// Whether there is nothing but digits, if anything.
pub(super) fn is_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

/// Whether a text has the form of a name: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`, and is neither a
/// rank nor a range of ranks, open ones included.
pub fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(is_name_byte)
        && !is_ranks(text)
}

/// `2`, `3-` or `3-7`.
fn is_ranks(text: &str) -> bool {
    let (first, last) = text.split_once('-').unwrap_or((text, ""));
    !first.is_empty() && is_digits(first) && is_digits(last)
}

/// Checks a name that a client asks for.
///
/// # Errors
/// A sentence that names it and says what would be right.
pub fn check_name(name: &str) -> Result<(), String> {
    if is_ranks(name) {
        return Err(format!(
            "the name {:?} is not allowed: it would be read as a rank or a range of ranks; \
             add a letter",
            clip(name)
        ));
    }
    if !is_name(name) {
        return Err(format!(
            "the name {:?} is not allowed: a name starts with a letter or a digit, goes on with \
             letters, digits, '.', '_' or '-', and has at most {MAX_NAME} characters",
            clip(name)
        ));
    }
    if WORDS.iter().any(|word| word.eq_ignore_ascii_case(name)) {
        return Err(format!(
            "the name {name:?} is not allowed: it is a selector"
        ));
    }
    let (start, end) = name.split_at(name.len().min(GIVEN.len()));
    if start.eq_ignore_ascii_case(GIVEN) && !end.is_empty() && is_digits(end) {
        return Err(format!(
            "the name {name:?} is not allowed: the server gives names of that form; take another, such as web1"
        ));
    }
    Ok(())
}

/// How the names begin that a server gives; a client's number follows.
pub const GIVEN: &str = "client-";
