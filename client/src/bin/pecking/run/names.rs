//! The names of a command's targets by their numbers, looked up once, when the first is asked for:
//! the server tells a start by the number alone.

use client::{Client, Command};
use std::collections::BTreeMap;

/// Names that are looked up when they are needed.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: Option<BTreeMap<u64, String>>,
}

impl Names {
    /// Names that are known already.
    pub(super) fn known(names: BTreeMap<u64, String>) -> Names {
        Names { names: Some(names) }
    }

    /// The name of a target, if it was looked up.
    pub(super) fn get(&self, member: u64) -> Option<&String> {
        self.names.as_ref()?.get(&member)
    }

    /// The names of the clients that the command reaches now, which are those that it reached
    /// unless some have come or left since.
    pub(super) fn of_targets(
        &mut self,
        client: &Client,
        command: &Command,
    ) -> &BTreeMap<u64, String> {
        self.names.get_or_insert_with(|| {
            let targets = client.select(command).map(|selected| selected.targets);
            let targets = targets.unwrap_or_default().into_iter();
            let named = targets.filter_map(|t| Some((t.member?, t.name?.into_string())));
            named.collect()
        })
    }
}
