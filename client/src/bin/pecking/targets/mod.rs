//! The targets as a user writes them: a selector with names of groups in it, or a file of items.
//! What comes out is a selector of the wire, which knows neither.

mod groups;
mod list_file;
mod resolved;
mod selector;

pub(crate) use groups::{Groups, show, split_word};
pub(crate) use list_file::{STANDARD_INPUT, read_list};
pub(crate) use selector::selector;
