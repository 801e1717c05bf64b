//! A selector as a user writes it, with names of groups in it, becomes one of the wire.

use super::groups::{Groups, has_group};
use common::wire::selector::Selector;

/// The selector that a text means, its groups resolved; else what is wrong with the text.
pub(crate) fn selector(text: &str) -> Result<String, String> {
    selector_of(text, &mut None)
}

/// [`selector`] for several texts: the groups are read once.
pub(super) fn selector_of(text: &str, groups: &mut Option<Groups>) -> Result<String, String> {
    let selector = match has_group(text) {
        true => {
            let loaded = groups.take().map_or_else(Groups::load, Ok)?;
            groups.insert(loaded).resolve(text)?
        }
        false => text.to_owned(),
    };
    Selector::parse(&selector).map_err(|e| e.to_string())?;
    Ok(selector)
}
