//! Selectors of any form, against the letter of the protocol and the plainest search.

use super::selector::client;
use crate::wire::name::{check_name, is_name};
use crate::wire::selector::*;
use proptest::prelude::*;
use regex_lite::Regex;

/// What a text is that has no comma and no `!`, by the letter of the protocol.
fn forms(text: &str) -> Vec<&'static str> {
    let is = |form: &str| Regex::new(form).expect("a pattern").is_match(text);
    let ends: Vec<Option<u32>> = text.split('-').map(|end| end.parse().ok()).collect();
    [
        ("word", WORDS.contains(&text)),
        ("rank", is("^[0-9]+$") && ends[0].is_some()),
        (
            "range",
            is("^[0-9]+-[0-9]+$") && !ends.contains(&None) && ends[0] <= ends[1],
        ),
        (
            "name",
            is("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
                && !is("^[0-9]+(-[0-9]*)?$")
                && !WORDS.contains(&text),
        ),
        (
            "pattern",
            is("^[A-Za-z0-9*?][A-Za-z0-9._*?-]*$") && text.contains(['*', '?']),
        ),
        (
            "member",
            is("^#[0-9]+$") && text[1..].parse::<u64>().is_ok(),
        ),
        (
            "tag",
            is("^[a-z][a-z0-9_.-]{0,31}=[A-Za-z0-9._:/@+*?-]+$") && text.len() < 64,
        ),
    ]
    .into_iter()
    .filter_map(|(form, is_it)| is_it.then_some(form))
    .collect()
}

proptest! {
    #[test]
    fn every_text_has_one_form_at_most_and_is_read_as_that(
        text in "[0-9]{0,3}[0-9aZ._*?-]{0,6}|[#a][#=a0*/]{0,4}|[0-9]{1,12}-?[0-9]{0,12}|\\PC{0,8}|next|a{60,66}",
    ) {
        let text = text.replace([',', '!', '&', '[', ']'], "x");
        let forms = forms(&text);
        prop_assert!(forms.len() <= 1, "{:?}: {:?}", text, forms);
        let read = Selector::parse(&text);
        match forms.first() {
            None => prop_assert!(read.is_err()),
            Some(&"word") => prop_assert!(!matches!(read, Ok(Selector::Single(_) | Selector::List(_)) | Err(_))),
            Some(&"rank") => prop_assert!(matches!(read, Ok(Selector::Single(Single::Rank(_))))),
            Some(&"member") => prop_assert!(matches!(read, Ok(Selector::Single(Single::Member(_))))),
            Some(&"name") => prop_assert_eq!(read, Ok(Selector::Single(Single::Name(text.as_str().into())))),
            Some(_) => prop_assert!(matches!(read, Ok(Selector::List(_)))),
        }
        // So what a client may be called finds that client, and nothing else does.
        let has_form = forms == ["name"];
        prop_assert!(check_name(&text).is_err() || has_form);
        prop_assert_eq!(is_name(&text), has_form || WORDS.contains(&text.as_str()));
    }

    /// A node set is the same list as its names, written out by hand.
    #[test]
    fn a_node_set_is_the_list_of_its_names(
        parts in prop::collection::vec(("[a-z]{1,3}", 0u64..30, 0u64..5, 1usize..4), 1..3),
        is_excluded: bool,
    ) {
        let (mut set, mut names) = (String::new(), vec![String::new()]);
        for (before, first, more, width) in &parts {
            let last = first + more;
            let width = match format!("{last}").len() <= *width {
                true => *width,
                false => 1,
            };
            set += &format!("{before}[{first:0width$}-{last:0width$}]");
            names = names
                .iter()
                .flat_map(|name| {
                    (*first..=last).map(move |n| format!("{name}{before}{n:0width$}"))
                })
                .collect();
        }
        let mark = if is_excluded { "!" } else { "" };
        let names: Vec<String> = names.iter().map(|name| format!("{mark}{name}")).collect();
        // Two of a kind, as a name alone is no list.
        let (set, names) = (format!("{mark}{set},!x"), format!("{},!x", names.join(",")));
        prop_assert_eq!(Selector::parse(&set), Selector::parse(&names), "{}", set);
    }

    /// A list is right if each of its items is, and finds what they find one by one.
    #[test]
    fn a_list_finds_what_its_items_find(
        items in prop::collection::vec("!?([0-9]{1,2}|[0-4]-[0-9]{1,2}|[ab]{1,2}|[0-9a]?[*?]|-|1-)", 2..8),
        ranks in prop::collection::vec(0u32..100, 8),
    ) {
        let text = items.join(",");
        let bare = |item: &String| item.trim_start_matches('!').to_owned();
        let are_right = items.iter().all(|item| !forms(&bare(item)).is_empty());
        let Ok(Selector::List(list)) = Selector::parse(&text) else {
            prop_assert!(!are_right, "{}", text);
            return Ok(());
        };
        prop_assert!(are_right, "{}", text);
        let finds = |item: &String, rank: u32, name: &str| {
            let item = bare(item);
            let (first, last) = item.split_once('-').unwrap_or((&item, &item));
            match (first.parse(), last.parse()) {
                (Ok(first), Ok(last)) => (first..=last).contains(&rank),
                _ => {
                    let form = item.replace('.', "\\.").replace('*', ".*").replace('?', ".");
                    Regex::new(&format!("^{form}$")).expect("a pattern").is_match(name)
                }
            }
        };
        for (rank, name) in ranks.into_iter().zip(["a", "b", "ab", "ba", "aa", "7x", "1.a", "A"]) {
            let by_items = |excluded: bool| {
                let mut items = items.iter().filter(|item| item.starts_with('!') == excluded);
                items.any(|item| finds(item, rank, name))
            };
            prop_assert_eq!(list.includes(&client(rank, name)), by_items(false), "{} {} {}", text, rank, name);
            prop_assert_eq!(list.excludes(&client(rank, name)), by_items(true), "{} {} {}", text, rank, name);
        }
    }
}
