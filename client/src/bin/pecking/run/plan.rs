//! The plan of a rolling run: its targets, fixed at the start, in batches.
//!
//! Targets are named by their numbers, which no other client has in the same run of the server: one
//! that joins meanwhile, under any name, is in no batch.

use crate::output::report::Batch;
use client::{Reach, SelectedTarget};
use common::limits::MAX_SELECTOR;
use std::collections::{BTreeMap, VecDeque};
use std::str::FromStr;

/// Targets of a batch at most: their numbers, of up to 20 digits, fit into one selector.
pub(crate) const MOST_IN_BATCH: u32 = (MAX_SELECTOR / "#18446744073709551615,".len()) as u32;

/// So many targets, or so many of a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    Count(u32),
    Percent(u32),
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let number = |digits: &str| digits.parse().ok();
        let share = match text.strip_suffix('%') {
            Some(digits) => number(digits)
                .filter(|percent| *percent <= 100)
                .map(Share::Percent),
            None => number(text).map(Share::Count),
        };
        share.ok_or_else(|| {
            "expected a whole number, such as 10, or a share of at most 100%, such as 10%".into()
        })
    }
}

impl Share {
    /// So many of this many, rounded down.
    pub(crate) fn of(self, targets: usize) -> u32 {
        let targets = u64::try_from(targets).unwrap_or(u64::MAX);
        match self {
            Share::Count(count) => count,
            Share::Percent(percent) => {
                let part = targets.saturating_mul(percent.into()) / 100;
                u32::try_from(part).unwrap_or(u32::MAX)
            }
        }
    }
}

/// What is sent to which targets, one after the other.
pub(crate) struct Plan {
    /// All targets, also those that the command cannot reach.
    pub(crate) targets: Vec<SelectedTarget>,
    /// Those that are left.
    pub(crate) batches: VecDeque<Batch>,
    /// With more failures no other batch starts.
    pub(crate) most_failures: u32,
}

impl Plan {
    /// Makes batches of the targets that the command can reach, in the order of the server, which is
    /// by rank.
    pub(crate) fn new(targets: Vec<SelectedTarget>, batch: Share, most: Option<Share>) -> Plan {
        let reached = targets.iter().filter(|it| it.status == Reach::Execute);
        let reached: Vec<SelectedTarget> = reached.cloned().collect();
        let size = batch.of(reached.len()).clamp(1, MOST_IN_BATCH) as usize;
        let of = reached.len().div_ceil(size);
        let batches = reached.chunks(size).enumerate().map(|(at, targets)| Batch {
            number: at + 1,
            of,
            targets: targets.to_vec(),
        });
        Plan {
            batches: batches.collect(),
            most_failures: most.map_or(0, |most| most.of(targets.len())),
            targets,
        }
    }

    /// The targets that no command reaches.
    pub(crate) fn unreached(&self) -> Vec<SelectedTarget> {
        let targets = self.targets.iter();
        let unreached = targets.filter(|target| target.status != Reach::Execute);
        unreached.cloned().collect()
    }

    /// The names of the targets by their numbers.
    pub(crate) fn names(&self) -> BTreeMap<u64, String> {
        let targets = self.targets.iter();
        let named = targets.filter_map(|it| Some((it.member?, it.name.as_deref()?.to_owned())));
        named.collect()
    }
}

/// Names the targets of a batch by their numbers. A list also of one, so that a target that has left is
/// an outcome and no error.
pub(crate) fn selector(batch: &Batch) -> String {
    let members = batch.targets.iter().filter_map(|target| target.member);
    list_of(members.map(|member| format!("#{member}")))
}

/// A list of items, also of a single one, which is named twice: a list says of each that it is
/// absent, where an item alone is an error.
pub(crate) fn list_of(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    match &*items {
        [one] => format!("{one},{one}"),
        _ => items.join(","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::Name;

    fn target(member: u64, status: Reach) -> SelectedTarget {
        SelectedTarget {
            member: Some(member),
            name: Name::told(format!("web{member}")).ok(),
            rank: None,
            tier: None,
            status,
        }
    }

    fn plan(targets: u64, batch: &str, most: Option<&str>) -> Plan {
        let share = |text: &str| text.parse().expect("a share");
        let mut targets: Vec<_> = (1..=targets).map(|it| target(it, Reach::Execute)).collect();
        targets.push(target(99, Reach::Outranked));
        Plan::new(targets, share(batch), most.map(share))
    }

    #[test]
    fn batches_have_as_many_targets_as_asked_for() {
        for (targets, batch, sizes) in [
            (5, "2", &[2, 2, 1][..]),
            (4, "2", &[2, 2]),
            (3, "10", &[3]),
            (40, "10%", &[4; 10]),
            (19, "10%", &[1; 19]),
            (3, "1%", &[1; 3]),
            (3, "100%", &[3]),
            (0, "3", &[]),
        ] {
            let mut plan = plan(targets, batch, None);
            let batches: Vec<Batch> = std::iter::from_fn(|| plan.batches.pop_front()).collect();
            let found: Vec<usize> = batches.iter().map(|it| it.targets.len()).collect();
            assert_eq!(found, sizes, "{targets} by {batch}");
            assert!(batches.iter().all(|it| it.of == sizes.len()));
            let members = batches.iter().flat_map(|it| &it.targets);
            let members: Vec<u64> = members.filter_map(|it| it.member).collect();
            assert_eq!(members, (1..=targets).collect::<Vec<_>>());
        }
    }

    #[test]
    fn shares_are_rounded_down_and_none_are_no_failures() {
        for (most, failures) in [
            (None, 0),
            (Some("2"), 2),
            (Some("5%"), 2),
            (Some("4%"), 1),
            (Some("100%"), 40),
            (Some("0"), 0),
        ] {
            assert_eq!(plan(39, "5", most).most_failures, failures, "{most:?}");
        }
        for wrong in ["", "%", "x", "-1", "1.5", "101%", "10 %", "4294967296"] {
            let error = wrong.parse::<Share>().expect_err(wrong);
            assert!(error.contains("such as 10%"), "{error}");
        }
    }

    #[test]
    fn a_batch_is_a_list_by_number_and_fits_into_a_selector() {
        let mut plan = plan(3, "2", None);
        let (first, second) = (
            plan.batches.pop_front().expect("one"),
            plan.batches.pop_front().expect("two"),
        );
        assert_eq!(selector(&first), "#1,#2");
        assert_eq!(first.text(), "batch 1 of 2: web[1-2]");
        assert_eq!(selector(&second), "#3,#3");
        assert!(
            selector(&second)
                .parse::<common::wire::selector::Selector<'_>>()
                .is_ok()
        );

        let targets = (0..5000).map(|n| target(u64::MAX - n, Reach::Execute));
        let mut plan = Plan::new(targets.collect(), Share::Percent(100), None);
        let first = plan.batches.pop_front().expect("a batch");
        assert_eq!(first.targets.len(), MOST_IN_BATCH as usize);
        assert!(selector(&first).len() <= MAX_SELECTOR);
    }
}
