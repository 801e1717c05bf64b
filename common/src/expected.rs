//! The machines that ought to be here, as a file names them: what an operator keeps for the client,
//! and what a server is started with. A selector such as `below` finds the clients that are here, so
//! nothing else tells that one is not.

use crate::limits::MAX_SELECTOR_NAMES;
use crate::sys::fault::{self, Fault};
use crate::wire::name::check_name;
use crate::wire::selector::{Selector, Single, parts};
use crate::wire::text::clip;
use serde::Deserialize;
use std::collections::BTreeSet;
use toml::Spanned;

/// Bytes of such a file: 10,000 of the longest names, with a line and a comment for each.
pub const MAX_FILE: usize = 2 << 20;

/// What `serde` expects of a type that it has a name for, and what an owner would write.
const TYPES: &fault::Expected = &[
    ("a sequence", "an array such as [\"web[01-20]\", \"db1\"]"),
    (
        "a string",
        "a name (\"web1\") or a node set (\"web[01-20]\")",
    ),
];

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    /// Names and node sets.
    names: Vec<Spanned<String>>,
}

/// Names of machines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected(BTreeSet<String>);

impl Expected {
    /// The machines that the text of a file stands for.
    ///
    /// # Errors
    /// The text is no such file, or names more than 10,000 machines, those that it repeats included.
    pub fn parse(text: &str) -> Result<Expected, Fault> {
        let raw: Raw = toml::from_str(text).map_err(|error| Fault::of_toml(&error, TYPES))?;
        let mut names = BTreeSet::new();
        // Those that are repeated count, too, so that a small file is read in a short time.
        let mut room = MAX_SELECTOR_NAMES;
        for text in raw.names {
            let at = text.span().start;
            let new = named(text.as_ref()).map_err(|why| Fault::at(at, why))?;
            room = room.checked_sub(new.len() as u64).ok_or_else(|| {
                let text = clip(text.as_ref());
                let why = format!("with {text:?} it names more than {MAX_SELECTOR_NAMES} machines");
                Fault::at(at, why)
            })?;
            names.extend(new);
        }
        Ok(Expected(names))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Those that have none of these names, in order.
    pub fn missing<'a>(&'a self, here: &BTreeSet<&str>) -> Vec<&'a str> {
        self.names().filter(|name| !here.contains(name)).collect()
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<String> for Expected {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Expected {
        Expected(names.into_iter().collect())
    }
}

/// The names that a name or a node set stands for.
fn named(text: &str) -> Result<Vec<String>, String> {
    let wrong = || {
        let text = clip(text);
        format!("{text:?} is neither a name (web1) nor a node set (web[01-20])")
    };
    let is_set = |part: &str| part.contains('[') && !part.contains(['&', '!', '=']);
    if !parts(text).all(|part| check_name(part).is_ok() || is_set(part)) {
        return Err(wrong());
    }
    let names = match Selector::parse(text).map_err(|error| error.to_string())? {
        Selector::Single(Single::Name(name)) => vec![name.into_owned()],
        Selector::List(list) => list.named().iter().map(ToString::to_string).collect(),
        _ => return Err(wrong()),
    };
    names.iter().try_for_each(|name| check_name(name))?;
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names, or the line and what is wrong there.
    fn read(text: &str) -> Result<Vec<String>, String> {
        let expected = Expected::parse(text).map_err(|fault| {
            let (place, why) = fault.located(text.as_bytes());
            let line = place.map_or(0, |place| place.line);
            format!("{line}: {why}")
        })?;
        Ok(expected.names().map(ToOwned::to_owned).collect())
    }

    #[test]
    fn names_and_node_sets_are_expected_in_order_and_each_once() {
        let names = read("# all\nnames = [\"web[01-02]\", \"db1\",\n  \"web[02,3]\"]");
        assert_eq!(
            names,
            Ok(["db1", "web01", "web02", "web3"].map(String::from).into())
        );
        assert_eq!(read("names = []"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_neither_is_named_with_its_line() {
        for (item, why) in [
            (
                "\"web*\"",
                "2: \"web*\" is neither a name (web1) nor a node set",
            ),
            ("\"role=web\"", "2: \"role=web\" is neither"),
            ("\"web[1-2],!web1\"", "neither"),
            ("\"web[1-2],3\"", "neither"),
            ("\"web[1-2],db*\"", "neither"),
            ("\"web[1-2],#3\"", "neither"),
            ("\"ALL\"", "neither"),
            ("\"client-[1-2]\"", "\"client-1\" is not allowed"),
            ("\"Client-[1-2]\"", "\"Client-1\" is not allowed"),
            ("\"3\"", "neither"),
            ("\"below\"", "neither"),
            ("\"\"", "neither"),
            ("\"a b\"", "neither"),
            ("\"\\u001b[1-2]\"", "2: "),
            (
                "3",
                "2: invalid type: integer `3`, expected a name (\"web1\")",
            ),
            ("\"web[1-20000]\"", "20000 names"),
            ("\"web[1\"", "lacks its"),
            (
                "\"a[1-9000]\", \"b[1-1001]\"",
                "2: with \"b[1-1001]\" it names more than 10000 machines",
            ),
        ] {
            let error = read(&format!("names = [\n{item}]")).expect_err(item);
            assert!(error.contains(why), "{item}: {error}");
            assert!(!error.contains('\u{1b}'), "{error:?}");
        }
        for (text, why) in [
            ("", "missing field `names`"),
            (
                "names = \"web1\"",
                "1: invalid type: string \"web1\", expected an array",
            ),
            ("names = []\nname = []", "2: unknown field `name`"),
            ("web1\n", "1: "),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_small_file_that_repeats_itself_is_no_long_work() {
        let text = format!("names = [{}]", "\"a[1-10000]\",".repeat(MAX_FILE / 16));
        assert!(read(&text).is_err());
    }
}
