//! What a server says of itself to readers that look on, over the wire or over HTTP: the members as
//! a reader keeps them by that, and its form.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The members, by number.
#[derive(Default)]
pub(crate) struct KnownMembers(BTreeMap<u64, Value>);

impl KnownMembers {
    /// Takes what has changed of them.
    pub(crate) fn take(&mut self, changes: &Value) {
        if changes["reset"] == true {
            self.0.clear();
        }
        for member in changes["joined"].as_array().into_iter().flatten() {
            let number = member["member"].as_u64().expect("a number");
            self.0.insert(number, member.clone());
        }
        for left in changes["left"].as_array().into_iter().flatten() {
            self.0.remove(&left.as_u64().expect("a number"));
        }
        for load in changes["load"].as_array().into_iter().flatten() {
            let number = load[0].as_u64().expect("a number");
            if let Some(member) = self.0.get_mut(&number) {
                (member["running"], member["queued"]) = (load[1].clone(), load[2].clone());
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Names in the order of rank: by tier, then by number.
    pub(crate) fn ranking(&self) -> Vec<&str> {
        let mut all: Vec<_> = self.0.values().collect();
        all.sort_by_key(|m| (m["tier"].as_u64(), m["member"].as_u64()));
        let names = all.iter().map(|m| m["name"].as_str().expect("a name"));
        names.collect()
    }

    /// What a member runs, and what waits for it.
    pub(crate) fn load(&self, name: &str) -> Value {
        let member = self.0.values().find(|m| m["name"] == name);
        member.map_or(Value::Null, |m| json!([m["running"], m["queued"]]))
    }
}

/// All names of members in a value, with where they stand and of what kind their values are.
pub(crate) fn shape(value: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    add_shape(value, "", &mut all);
    all
}

fn add_shape(value: &Value, at: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                add_shape(value, &format!("{at}.{name}"), into);
            }
        }
        Value::Array(all) => {
            for value in all {
                add_shape(value, &format!("{at}[]"), into);
            }
        }
        // A duration that is not known.
        Value::Null | Value::Number(_) => drop(into.insert(format!("{at}: a number"))),
        Value::String(_) => drop(into.insert(format!("{at}: a text"))),
        Value::Bool(_) => drop(into.insert(format!("{at}: yes or no"))),
    }
}
