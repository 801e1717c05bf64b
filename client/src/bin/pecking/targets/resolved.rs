//! What a list means once its groups are resolved: items, and what is left out of them.
//!
//! An exclusion that names alone can tell is taken out at once. One that only the server can tell stays, and
//! counts for the whole selector.

use crate::output::node_set::fold;
use common::limits::{MAX_SELECTOR, MAX_SELECTOR_ITEMS};
use common::wire::name::is_name;
use common::wire::selector::{Selector, is_pattern, parts};
use common::wire::text::clip;
use std::ops::Range;

/// What a list means once its groups are resolved.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    include: Vec<String>,
    /// What only the server can leave out.
    exclude: Vec<String>,
    /// The groups that leave such out, with the place of their items in `include`.
    leaving_out: Vec<LeavingOut>,
    bytes: usize,
}

/// A group with exclusions that count for the whole selector.
#[derive(Debug)]
struct LeavingOut {
    name: String,
    items: Range<usize>,
    exclude: Vec<String>,
}

impl Resolved {
    pub(super) fn add(&mut self, item: String, is_left_out: bool) -> Result<(), String> {
        self.bytes += item.len() + 1;
        let items = match is_left_out {
            true => &mut self.exclude,
            false => &mut self.include,
        };
        items.push(item);
        let count = self.include.len() + self.exclude.len();
        match count {
            _ if self.bytes > MAX_SELECTOR => Err(format!(
                "the groups stand for more than the {MAX_SELECTOR} bytes that a selector may have"
            )),
            ..=MAX_SELECTOR_ITEMS => Ok(()),
            _ => Err(too_many(count)),
        }
    }

    pub(super) fn add_group(
        &mut self,
        group: Resolved,
        is_left_out: bool,
        name: &str,
    ) -> Result<(), String> {
        if is_left_out {
            let mut items = group.without_exclusions(name)?.into_iter();
            return items.try_for_each(|item| self.add(item, true));
        }
        let first = self.include.len();
        for item in group.include {
            self.add(item, false)?;
        }
        if !group.exclude.is_empty() {
            self.leaving_out.push(LeavingOut {
                name: name.to_owned(),
                items: first..self.include.len(),
                exclude: group.exclude.clone(),
            });
        }
        let mut exclude = group.exclude.into_iter();
        exclude.try_for_each(|item| self.add(item, true))
    }

    /// Checks that no group leaves out what another item names: it would not be reached, and
    /// nothing would tell.
    pub(super) fn check_left_out(&self) -> Result<(), String> {
        for group in &self.leaving_out {
            let excluded = group.exclude.iter().map(|item| format!(",!{item}"));
            let excluded = excluded.collect::<String>();
            let others = self.include.iter().enumerate();
            let others = others.filter(|(at, item)| !group.items.contains(at) && has_names(item));
            for (_, item) in others {
                let text = format!("{item},{item}{excluded}");
                let whole = format!("{item},{item}");
                let count = |text: &str| match Selector::parse(text) {
                    Ok(Selector::List(list)) => list.named().len(),
                    _ => 0,
                };
                if count(&text) < count(&whole) {
                    return Err(format!(
                        "the group {:?} leaves out {:?}, or a part of it, for the whole selector: only the \
                         server can tell what is left of the group; send to both one by one",
                        clip(&group.name),
                        clip(item)
                    ));
                }
            }
        }
        Ok(())
    }

    pub(super) fn without_exclusions(self, name: &str) -> Result<Vec<String>, String> {
        match self.exclude.first() {
            None => Ok(self.include),
            Some(item) => Err(format!(
                "the group {name:?} leaves out {:?}, which only the server can tell, so it cannot be \
                 left out itself or be joined by \"&\"",
                clip(item)
            )),
        }
    }

    /// Takes out what is left out, if names alone tell that.
    pub(super) fn settled(self) -> Result<Resolved, String> {
        if self.include.is_empty() {
            return Err("it only leaves clients out; write those first that it has".into());
        }
        let is_told = self.include.iter().all(|item| has_names(item))
            && self
                .exclude
                .iter()
                .all(|item| has_names(item) || is_pattern(item) && !item.contains(['&', '=']));
        if self.exclude.is_empty() || !is_told {
            return Ok(self);
        }
        let text = self.items().join(",");
        let Selector::List(list) = Selector::parse(&text).map_err(|e| e.to_string())? else {
            return Ok(self);
        };
        let left: Vec<String> = list.named().iter().map(ToString::to_string).collect();
        let folded = fold(left.iter().map(String::as_str), usize::MAX);
        if folded.is_empty() {
            return Err("it leaves out all that it has".into());
        }
        let mut settled = Resolved::default();
        let mut items = parts(&folded).map(str::to_owned);
        items.try_for_each(|item| settled.add(item, false))?;
        Ok(settled)
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Vec<String> {
        let excluded = self.exclude.iter().map(|item| format!("!{item}"));
        self.include.iter().cloned().chain(excluded).collect()
    }
}

/// A name or a node set.
fn has_names(item: &str) -> bool {
    is_name(item) || item.contains('[') && !item.contains(['&', '='])
}

pub(super) fn too_many(count: usize) -> String {
    format!("the groups stand for {count} items; a selector has at most {MAX_SELECTOR_ITEMS}")
}
