//! The names of one bench's clients: nobody else has any that begin like them.

use std::hash::{BuildHasher, Hasher, RandomState};

/// What all names of one bench begin with.
pub(super) struct Names(String);

impl Names {
    pub(super) fn new() -> Names {
        // Keyed at random by the system.
        let random = RandomState::new().build_hasher().finish();
        Names(format!("bench-{:08x}-", random as u32))
    }

    pub(super) fn sender(&self, number: u32) -> String {
        format!("{}s{number}", self.0)
    }

    pub(super) fn executor(&self, number: u32) -> String {
        format!("{}e{number}", self.0)
    }

    pub(super) fn idle(&self, number: u32) -> String {
        format!("{}i{number}", self.0)
    }

    /// A selector that finds every executor, and nobody else.
    pub(super) fn executors(&self) -> String {
        format!("{}e*", self.0)
    }

    /// What the name of every sender begins with.
    pub(super) fn senders(&self) -> String {
        format!("{}s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::wire::selector::{Selector, check_name};

    #[test]
    fn names_are_allowed_and_another_bench_has_others() {
        let names = Names::new();
        for name in [
            names.sender(0),
            names.executor(u32::MAX),
            names.idle(10_000),
        ] {
            assert_eq!(check_name(&name), Ok(()), "{name}");
            assert!(!name.starts_with(&Names::new().0));
        }
        let Ok(Selector::List(list)) = names.executors().parse() else {
            panic!("a pattern is a list");
        };
        assert!(list.includes(7, &names.executor(7)));
        assert!(!list.includes(7, &names.idle(7)) && !list.includes(7, &names.sender(7)));
    }
}
