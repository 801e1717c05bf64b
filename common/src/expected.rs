//! The machines that ought to be here, as a file names them: what an operator keeps for the client,
//! and what a server is started with. A selector such as `below` finds the clients that are here, so
//! nothing else tells that one is not.

use crate::limits::MAX_SELECTOR_NAMES;
use crate::wire::message::clip;
use crate::wire::selector::{Selector, Single, is_name};
use serde::Deserialize;
use std::collections::BTreeSet;

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    /// Names and node sets.
    pub names: Vec<String>,
}

/// Names of machines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected(BTreeSet<String>);

impl Expected {
    /// The machines that these names and node sets stand for.
    ///
    /// # Errors
    /// One of them is neither, or there are more than 10,000 machines.
    pub fn of(texts: &[String]) -> Result<Expected, String> {
        let mut names = BTreeSet::new();
        for text in texts {
            let wrong = || {
                format!(
                    "{:?} is neither a name (web1) nor a node set (web[01-20])",
                    clip(text)
                )
            };
            if !is_name(text) && (!text.contains('[') || text.contains(['&', '!', '='])) {
                return Err(wrong());
            }
            match Selector::parse(text).map_err(|e| e.to_string())? {
                Selector::Single(Single::Name(name)) => drop(names.insert(name.into_owned())),
                Selector::List(list) => {
                    names.extend(list.named().iter().map(ToString::to_string));
                }
                _ => return Err(wrong()),
            }
            if names.len() as u64 > MAX_SELECTOR_NAMES {
                return Err(format!(
                    "it expects more than {MAX_SELECTOR_NAMES} machines"
                ));
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(texts: &[&str]) -> Result<Expected, String> {
        Expected::of(&texts.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn names_and_node_sets_are_expected_and_nothing_else() {
        let names = expected(&["web[01-02]", "db1", "web[02,3]"]).expect("names");
        assert_eq!(
            names.0.iter().collect::<Vec<_>>(),
            ["db1", "web01", "web02", "web3"]
        );
        for (text, why) in [
            ("web*", "\"web*\" is neither"),
            ("role=web", "neither"),
            ("web[1-2],!web1", "neither"),
            ("3", "neither"),
            ("below", "neither"),
            ("web[1-20000]", "20000 names"),
            ("web[1", "lacks its"),
        ] {
            let error = expected(&[text]).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
        let error = expected(&["a[1-9000]", "b[1-9000]"]).expect_err("too many");
        assert!(error.contains("more than 10000"), "{error}");
    }
}
