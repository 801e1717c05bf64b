//! Node sets: `web[1-20,25]` and `rack[1-4]n[01-32]` stand for names. They are counted before they
//! are expanded, as a few characters can stand for any number of names.

use super::error::SelectorError;
use crate::limits::MAX_NAME;
use crate::wire::name::{is_digits, is_name};
use crate::wire::text::clip;

/// A node set that is understood, and not expanded.
pub(super) struct NodeSet<'a> {
    text: &'a str,
    parts: Vec<Part<'a>>,
    /// What stands behind the last bracket.
    end: &'a str,
}

/// Brackets, and what stands before them.
struct Part<'a> {
    before: &'a str,
    numbers: Vec<Numbers<'a>>,
}

enum Numbers<'a> {
    /// As it is written.
    One(&'a str),
    Range {
        first: u64,
        last: u64,
        /// Shorter ones have zeros in front.
        width: usize,
    },
}

impl<'a> NodeSet<'a> {
    /// Reads a text that has a bracket.
    pub(super) fn read(text: &'a str) -> Result<NodeSet<'a>, SelectorError> {
        let wrong = |why| SelectorError::NoNodeSet(clip(text).into(), why);
        if text.contains(['*', '?']) {
            return Err(wrong(
                "has \"*\" or \"?\"; write a pattern or brackets, not both",
            ));
        }
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('[') {
            let (inside, behind) = after
                .split_once(']')
                .ok_or_else(|| wrong("lacks its \"]\""))?;
            if inside.contains('[') {
                return Err(wrong("has brackets within brackets"));
            }
            let numbers = inside.split(',').map(|part| numbers(part).map_err(wrong));
            let numbers = numbers.collect::<Result<_, _>>()?;
            parts.push(Part { before, numbers });
            rest = behind;
        }
        let stray = parts.iter().any(|part| part.before.contains(']')) || rest.contains(']');
        match stray {
            true => Err(wrong("has a \"]\" without its \"[\"")),
            false => Ok(NodeSet {
                text,
                parts,
                end: rest,
            }),
        }
    }

    /// How many names it stands for, those that occur several times counted as often.
    pub(super) fn count(&self) -> u64 {
        let counts = self.parts.iter().map(|part| {
            let counts = part.numbers.iter().map(Numbers::count);
            counts.fold(0, u64::saturating_add)
        });
        counts.fold(1, u64::saturating_mul)
    }

    /// The names, in the order of the text.
    pub(super) fn expand(&self) -> Result<Vec<String>, SelectorError> {
        let mut names = vec![String::new()];
        for part in &self.parts {
            let mut longer = Vec::new();
            for name in names {
                for numbers in &part.numbers {
                    numbers
                        .each(|number| self.extend(&mut longer, [&name, part.before, number]))?;
                }
            }
            names = longer;
        }
        for name in &mut names {
            name.push_str(self.end);
            if !is_name(name) {
                return Err(self.no_name(name));
            }
        }
        Ok(names)
    }

    /// Adds the beginning of a name, if one may be as long as that: so a long text that stands for
    /// thousands of names takes no more memory than these.
    fn extend(&self, names: &mut Vec<String>, pieces: [&str; 3]) -> Result<(), SelectorError> {
        let name = pieces.concat();
        match name.len() {
            ..=MAX_NAME => names.push(name),
            _ => return Err(self.no_name(&name)),
        }
        Ok(())
    }

    fn no_name(&self, name: &str) -> SelectorError {
        if is_digits(name) {
            return SelectorError::Ranks(clip(self.text).into());
        }
        SelectorError::NoNames(clip(self.text).into(), clip(name).into())
    }
}

impl Numbers<'_> {
    fn count(&self) -> u64 {
        match self {
            Numbers::One(_) => 1,
            Numbers::Range { first, last, .. } => (last - first).saturating_add(1),
        }
    }

    fn each<E>(&self, mut with: impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        match self {
            Numbers::One(digits) => with(digits),
            Numbers::Range { first, last, width } => {
                (*first..=*last).try_for_each(|number| with(&format!("{number:0width$}")))
            }
        }
    }
}

/// What stands between two commas in brackets; or what is wrong with it.
fn numbers(text: &str) -> Result<Numbers<'_>, &'static str> {
    let is_number = |text: &str| !text.is_empty() && is_digits(text);
    let Some((first, last)) = text.split_once('-') else {
        return match is_number(text) {
            true => Ok(Numbers::One(text)),
            false => Err("needs numbers or ranges in its brackets, such as [1-20,25]"),
        };
    };
    if !is_number(first) || !is_number(last) {
        return Err("needs both ends of a range, such as [1-20]");
    }
    let is_padded = |text: &str| text.len() > 1 && text.starts_with('0');
    if (is_padded(first) || is_padded(last)) && first.len() != last.len() {
        return Err("has a range with leading zeros whose ends differ in width; write [01-32]");
    }
    let number = |text: &str| text.parse().map_err(|_| "has a number beyond 64 bits");
    let width = first.len().min(last.len());
    match (number(first)?, number(last)?) {
        (first, last) if first <= last => Ok(Numbers::Range { first, last, width }),
        _ => Err("has a reversed range; write the smaller number first"),
    }
}
