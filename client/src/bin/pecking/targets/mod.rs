//! The targets as a user writes them: a selector with names of groups in it, or a file of items.
//! What comes out is a selector of the wire, which knows neither.

mod groups;
mod list_file;
mod resolved;

pub(crate) use groups::{Groups, show, split_word};
pub(crate) use list_file::{STANDARD_INPUT, read_list};

use common::wire::selector::Selector;

/// The selector that a text means, its groups resolved; else what is wrong with the text.
pub(crate) fn selector(text: &str) -> Result<String, String> {
    selector_of(text, &mut None)
}

/// [`selector`] for several texts: the groups are read once.
fn selector_of(text: &str, groups: &mut Option<Groups>) -> Result<String, String> {
    let selector = match groups::has_group(text) {
        true => {
            let loaded = groups.take().map_or_else(Groups::load, Ok)?;
            groups.insert(loaded).resolve(text)?
        }
        false => text.to_owned(),
    };
    Selector::parse(&selector).map_err(|e| e.to_string())?;
    Ok(selector)
}
