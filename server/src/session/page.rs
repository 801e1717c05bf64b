//! The bound on an answer that is a page of a list.

use common::limits::{LINE_HEADROOM, MAX_LINE, MAX_PAGE};
use serde::Serialize;

/// Leaves out the entries behind those that fit into one answer; the first one always stays.
#[inline(never)]
pub(crate) fn fit<T: Serialize>(entries: &mut Vec<T>) {
    // What stands around the entries has room in what is left out of this.
    fit_into(MAX_PAGE - LINE_HEADROOM, entries);
}

/// The same beside something else, with which the answer may be as long as a line.
#[inline(never)]
pub(crate) fn fit_beside<T: Serialize>(beside: &impl Serialize, entries: &mut Vec<T>) {
    let room = (MAX_LINE - LINE_HEADROOM).saturating_sub(len(beside));
    fit_into(room.min(MAX_PAGE - LINE_HEADROOM), entries);
}

fn fit_into<T: Serialize>(mut room: usize, entries: &mut Vec<T>) {
    let fits = entries.iter().take_while(|entry| {
        let left = room.checked_sub(len(entry) + ",".len());
        room = left.unwrap_or_default();
        left.is_some()
    });
    let fits = fits.count().max(1);
    entries.truncate(fits);
}

/// Bytes of an entry.
fn len(entry: &impl Serialize) -> usize {
    serde_json::to_vec(entry).map_or(usize::MAX / 2, |json| json.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_as_many_entries_as_fit_and_at_least_one() {
        // A string has two quotes, and a comma follows it.
        let room = MAX_PAGE - LINE_HEADROOM;
        for (bytes, count, left) in [
            (room, 2, 1),
            (room - 3, 2, 1),
            (room / 2 - 3, 3, 2),
            (100, 9, 9),
            (0, 0, 0),
        ] {
            let mut entries = vec!["x".repeat(bytes); count];
            fit(&mut entries);
            assert_eq!(entries.len(), left, "{count} of {bytes} bytes");
        }
    }
}
