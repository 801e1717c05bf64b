//! Many names as one short text, in the notation of node sets: `web[1-3,7]`.
//!
//! Names that differ in one number only are folded. If a name has several numbers, the fold is at
//! the number with the rest that most names share. The order of the names does not matter.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

/// Digits of a number that is folded: 64 bits hold it. Longer ones count as letters.
const MOST_DIGITS: usize = 18;

/// Bytes of names that are said by themselves: a few lines of a terminal.
pub(crate) const A_FEW_LINES: usize = 1 << 10;

/// Bytes of names at the end of a line.
pub(crate) const END_OF_A_LINE: usize = 200;

/// Bytes of names in a question or an announcement: two rows of a terminal.
pub(crate) const TWO_ROWS: usize = 120;

/// A name without one of its numbers: what comes before that, and after it.
type Rest<'a> = (&'a str, &'a str);

/// Folds names: as many as fit into about this many bytes, and the count of the others.
pub(crate) fn fold<'a>(names: impl IntoIterator<Item = &'a str>, most: usize) -> String {
    let names: BTreeSet<&str> = names.into_iter().collect();
    let mut alike: HashMap<Rest<'_>, usize> = HashMap::new();
    for (rest, _) in names.iter().flat_map(|name| numbers(name)) {
        *alike.entry(rest).or_default() += 1;
    }
    // A name that shares its rest with no other has no end of its own.
    let mut groups: BTreeMap<(&str, Option<&str>), Vec<&str>> = BTreeMap::new();
    for name in &names {
        let best = numbers(name).max_by_key(|(rest, _)| alike[rest]);
        let (key, number) = match best {
            Some((rest, number)) if alike[&rest] > 1 => ((rest.0, Some(rest.1)), number),
            _ => ((*name, None), ""),
        };
        groups.entry(key).or_default().push(number);
    }
    let mut folded = Folded {
        text: String::new(),
        most,
        shown: 0,
    };
    let is_whole = groups.into_iter().all(|((start, end), numbers)| match end {
        None => folded.add(start, 1),
        Some(end) => folded.add_group(start, &ranges(&numbers), end),
    });
    if !is_whole {
        let more = names.len() - folded.shown;
        let _ = write!(folded.text, " and {more} more");
    }
    folded.text
}

/// Each number in a name, with the rest. Digits at the start do not count: an address has them.
fn numbers(name: &str) -> impl Iterator<Item = (Rest<'_>, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let is_digit = |c: char| c.is_ascii_digit();
            let start = at + name[at..].find(is_digit)?;
            let len = name[start..].find(|c| !is_digit(c));
            let end = len.map_or(name.len(), |len| start + len);
            at = end;
            if start > 0 && end - start <= MOST_DIGITS {
                return Some(((&name[..start], &name[end..]), &name[start..end]));
            }
        }
    })
}

/// Numbers as ranges, with the count of each. Numbers with leading zeros form ranges of their own,
/// by width: `08-11` are `08`, `09`, `10` and `11`.
fn ranges(numbers: &[&str]) -> Vec<(String, usize)> {
    let is_padded = |number: &&&str| number.len() > 1 && number.starts_with('0');
    let padded: BTreeSet<usize> = numbers.iter().filter(is_padded).map(|n| n.len()).collect();
    let mut values: Vec<(usize, u64)> = numbers
        .iter()
        .map(|number| {
            let width = padded.get(&number.len()).copied().unwrap_or(0);
            let value = number.parse();
            (width, value.expect("18 digits are a number of 64 bits"))
        })
        .collect();
    values.sort_unstable();
    let follows = |a: &(usize, u64), b: &(usize, u64)| a.0 == b.0 && a.1 + 1 == b.1;
    let range = |range: &[(usize, u64)]| {
        let ((width, first), (_, last)) = (range[0], range[range.len() - 1]);
        let text = match range.len() {
            1 => format!("{first:0width$}"),
            _ => format!("{first:0width$}-{last:0width$}"),
        };
        (text, range.len())
    };
    values.chunk_by(follows).map(range).collect()
}

struct Folded {
    text: String,
    most: usize,
    shown: usize,
}

impl Folded {
    /// Adds text for this many names, if there is room.
    fn add(&mut self, text: &str, names: usize) -> bool {
        let comma = if self.text.is_empty() { "" } else { "," };
        let fits = self.shown == 0 || self.text.len() + comma.len() + text.len() <= self.most;
        if fits {
            self.text += comma;
            self.text += text;
            self.shown += names;
        }
        fits
    }

    /// Adds names that differ in their numbers, as far as there is room for them.
    fn add_group(&mut self, start: &str, ranges: &[(String, usize)], end: &str) -> bool {
        let Some(((first, count), others)) = ranges.split_first() else {
            return true;
        };
        if others.is_empty() && *count == 1 {
            return self.add(&format!("{start}{first}{end}"), 1);
        }
        if !self.add(&format!("{start}[{first}"), *count) {
            return false;
        }
        let all = others.iter().all(|(range, count)| self.add(range, *count));
        self.text += "]";
        self.text += end;
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    fn folded(names: &str) -> String {
        fold(names.split(' '), usize::MAX)
    }

    #[test]
    fn names_that_differ_in_one_number_are_folded() {
        for (names, expected) in [
            ("web3 web19 web7", "web[3,7,19]"),
            ("web1 web2 web3", "web[1-3]"),
            ("web2 web1", "web[1-2]"),
            ("web1", "web1"),
            ("web1 web1", "web1"),
            ("web web1 web2 db", "db,web,web[1-2]"),
            ("web01 web02 web03", "web[01-03]"),
            ("web08 web09 web10 web11", "web[08-11]"),
            ("web8 web9 web10 web11", "web[8-11]"),
            ("web1 web01 web2 web02 web10", "web[1-2,01-02,10]"),
            ("web005 web100 web101 web99", "web[99,005,100-101]"),
            ("web0 web00", "web[0,00]"),
            ("web1.dc2.example web2.dc2.example", "web[1-2].dc2.example"),
            ("rack1n1 rack1n2 rack2n1 rack2n2", "rack1n[1-2],rack2n[1-2]"),
            ("10.0.0.7 10.0.0.8 10.0.0.10", "10.0.0.[7-8,10]"),
            ("1a 2a", "1a,2a"),
            ("7 8", "7,8"),
            ("b a", "a,b"),
            (
                "n1234567890123456789 n1234567890123456780",
                "n1234567890123456780,n1234567890123456789",
            ),
            ("", ""),
        ] {
            assert_eq!(folded(names), expected, "{names}");
        }
    }

    #[test]
    fn names_beyond_the_bound_are_counted() {
        let names: Vec<String> = (0..1000).map(|n| format!("web{}", n * 2)).collect();
        let text = fold(names.iter().map(String::as_str), 40);
        assert_eq!(
            text,
            "web[0,2,4,6,8,10,12,14,16,18,20,22,24,26] and 986 more"
        );
        let others = ["a-long-name", "another-long-name", "b"];
        assert_eq!(fold(others, 20), "a-long-name and 2 more");
        assert_eq!(fold(others, 0), "a-long-name and 2 more");
    }

    #[test]
    fn ten_thousand_names_take_no_time() {
        let names: Vec<String> = (0..10_000)
            .map(|n| format!("r{}c{}n{:04}.dc{}", n % 7, n % 11, n, n % 3))
            .collect();
        let took = || {
            let started = Instant::now();
            let text = fold(names.iter().map(String::as_str), usize::MAX);
            assert!(text.len() > 10_000);
            started.elapsed()
        };
        // A busy machine may spoil some tries, and what is slow for a reason of its own spoils all.
        let is_quick = (0..5).any(|_| took() < Duration::from_secs(2));
        assert!(is_quick);
    }

    /// The names of a node set, or of several.
    fn expanded(text: &str) -> Vec<String> {
        let mut names = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find([',', '[']).unwrap_or(rest.len());
            let (start, after) = rest.split_at(end);
            rest = match after.strip_prefix('[') {
                None => {
                    names.push(start.to_owned());
                    after
                }
                Some(group) => {
                    let (ranges, after) = group.split_once(']').expect("an end");
                    let end = after.find(',').unwrap_or(after.len());
                    for range in ranges.split(',') {
                        let (first, last) = range.split_once('-').unwrap_or((range, range));
                        let width = if first.starts_with('0') {
                            first.len()
                        } else {
                            0
                        };
                        let value = |text: &str| text.parse::<u64>().expect("a number");
                        for n in value(first)..=value(last) {
                            names.push(format!("{start}{n:0width$}{}", &after[..end]));
                        }
                    }
                    &after[end..]
                }
            };
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        names
    }

    proptest! {
        #[test]
        fn folded_names_are_all_there_once_each(
            names in prop::collection::vec("[a1]{0,2}[a.0-2][0-9]{0,3}[.b]?[0-9]{0,2}", 1..40),
            most in 0usize..60,
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let text = fold(names.iter().copied(), usize::MAX);
            let all: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
            let again = expanded(&text);
            prop_assert_eq!(again.len(), all.len(), "{}", text);
            prop_assert_eq!(&again.into_iter().collect::<BTreeSet<_>>(), &all, "{}", text);
            let reversed = fold(names.iter().rev().copied(), usize::MAX);
            prop_assert_eq!(&text, &reversed);

            let part = fold(names.iter().copied(), most);
            let (shown, more) = part.split_once(" and ").unwrap_or((&part, "0 more"));
            let more: usize = more.trim_end_matches(" more").parse().expect("a count");
            let shown = expanded(shown);
            prop_assert_eq!(shown.len() + more, all.len(), "{}", part);
            prop_assert!(shown.iter().all(|name| all.contains(name)), "{}", part);
        }
    }
}
