//! `--to-file`: a file, or standard input, with an item of a selector on each line.
//!
//! A comment is a `#` and then a blank or the end of the line, since `#17` is an item. A file without
//! an item is wrong, as it must not mean every client below.

use super::groups::Groups;
use super::selector::selector_of;
use crate::failure::Failure;
use crate::output::node_set::fold;
use crate::own_files;
use common::limits::MAX_SELECTOR;
use common::terminal::escape::path_line;
use common::wire::name::is_name;
use common::wire::selector::{Selector, parts};
use common::wire::text::clip;
use std::fs::File;
use std::io;

/// What stands for standard input in the place of a file.
pub(crate) const STANDARD_INPUT: &str = "-";

/// Reads the file; the items become one selector.
pub(crate) fn read_list(file: &str) -> Result<String, Failure> {
    let (name, text) = match file {
        STANDARD_INPUT => ("standard input".into(), own_files::text(io::stdin().lock())),
        path => (
            path_line(path.as_ref()),
            File::open(path).and_then(own_files::text),
        ),
    };
    let usage = |why: String| Failure::Usage(format!("--to-file: {why}"));
    let text = text.map_err(|e| usage(format!("cannot read {name}: {e}")))?;
    selector(&text).map_err(|why| usage(format!("{name}{why}")))
}

/// The items as one selector. The error goes on after the name of the file.
fn selector(text: &str) -> Result<String, String> {
    let (mut items, mut groups) = (Vec::new(), None);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in (1..).zip(text.lines()) {
        let line = without_comment(line).trim();
        if !line.is_empty() {
            let item = item(line, &mut groups).map_err(|why| format!(", line {number}: {why}"))?;
            items.push(item);
        }
    }
    if items.is_empty() {
        return Err(" has no item: write one a line, such as web1".into());
    }
    if items.iter().all(|item| item.starts_with('!')) {
        return Err(" only leaves clients out: write those first that it has".into());
    }
    let whole = items.join(",");
    let whole = match whole.len() {
        ..=MAX_SELECTOR => whole,
        _ => folded(&items),
    };
    Selector::parse(&whole).map_err(|why| format!(": {why}"))?;
    Ok(whole)
}

/// An item with its group resolved, if it is one.
fn item(line: &str, groups: &mut Option<Groups>) -> Result<String, String> {
    let item = line.strip_prefix('!').unwrap_or(line);
    if parts(item).nth(1).is_some() {
        return Err(format!(
            "{:?} has a comma; write one item a line",
            clip(line)
        ));
    }
    // Resolved with its mark: a group may have several items, each to be left out.
    let item = selector_of(line, groups).map_err(|why| match line.contains('#') {
        true => format!("{why}; a comment is \"#\" and then a blank"),
        false => why,
    })?;
    match Selector::parse(&item) {
        Ok(Selector::Single(_) | Selector::List(_)) => Ok(item),
        _ => Err(format!("{:?} stands alone; use --to", clip(line))),
    }
}

fn without_comment(line: &str) -> &str {
    let is_blank = |c: Option<char>| c.is_none_or(char::is_whitespace);
    let mut marks = line.match_indices('#');
    let begins = |(at, _): &(usize, &str)| {
        is_blank(line[..*at].chars().next_back()) && is_blank(line[at + 1..].chars().next())
    };
    marks.find(begins).map_or(line, |(at, _)| &line[..at])
}

/// The same with its names folded, as many long ones do not fit otherwise.
fn folded(items: &[String]) -> String {
    let (names, others): (Vec<&str>, Vec<&str>) = items
        .iter()
        .map(String::as_str)
        .partition(|item| is_name(item));
    let folded = fold(names, usize::MAX);
    [&[folded.as_str()][..], &others].concat().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_a_list() {
        for (text, expected) in [
            ("web1\nweb2\n", "web1,web2"),
            ("  web1  # front\r\n\r\n#\n# none\n#17", "web1,#17"),
            (
                "\u{feff}role=web&dc=fra\n!web[1,3]",
                "role=web&dc=fra,!web[1,3]",
            ),
            ("web1\t#\n3-7", "web1,3-7"),
        ] {
            assert_eq!(selector(text).as_deref(), Ok(expected), "{text:?}");
        }
        let long = |n: usize| format!("{}{n:04}", "w".repeat(60));
        let many: Vec<String> = (0..5000).map(long).collect();
        let folded = selector(&many.join("\n")).expect("names that fold");
        assert_eq!(folded, format!("{}[0000-4999]", "w".repeat(60)));
    }

    #[test]
    fn what_is_no_list_is_named_by_its_line() {
        for (text, expected) in [
            ("", " has no item"),
            ("# web1\n\n#", " has no item"),
            ("!web1", " only leaves"),
            ("web1\nweb1 web2", ", line 2: \"web1 web2\" is neither"),
            ("web1,web2", ", line 1: \"web1,web2\" has a comma"),
            ("\n\nbelow", ", line 3: \"below\" stands alone"),
            ("#17x", "member number"),
            ("web1 #front", "; a comment is \"#\" and then a blank"),
            ("next:web1", "stands alone"),
            ("web[1-20000]", "20000 names"),
        ] {
            let error = selector(text).expect_err(text);
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
