//! Named groups of clients: `prod = "web[1-3],!web2"` in a file of the user, `@prod` in a selector.
//!
//! A group stands for the clients of its list, so that `@prod,web2` is all three: what a group of
//! names leaves out is taken from it, and the rest is folded again. If only the server can tell what is
//! left (`web*,!web3`), the exclusion stays, and counts for the whole selector like any other.
//!
//! The server knows no groups.

use super::resolved::{Resolved, too_many};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::print;
use crate::own_files;
use common::limits::MAX_SELECTOR_ITEMS;
use common::terminal::escape::{one_line, path_line};
use common::terminal::table::{Align, columns};
use common::wire::name::is_name;
use common::wire::selector::{Selector, WORDS, parts};
use common::wire::text::clip;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The name of the file in the user's folder for settings.
const FILE: &str = "groups.toml";

/// Groups within groups: more than a user keeps in mind, and little of the stack.
const MOST_NESTED: usize = 64;

/// The groups of the user, each as it is written.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    path: Option<PathBuf>,
    lists: BTreeMap<String, String>,
}

/// Whether a selector has an item that may be a group.
pub(super) fn has_group(selector: &str) -> bool {
    let (_, list) = split_word(selector);
    parts(list).any(|part| {
        operands(part.strip_prefix('!').unwrap_or(part))
            .any(|operand| group_name(operand).is_some())
    })
}

/// Prints the groups, or the items of one, a line each.
pub(crate) fn show(name: Option<&str>) -> Result<ExitCode, Failure> {
    let groups = Groups::load().map_err(Failure::Usage)?;
    let Some(name) = name else {
        return groups.show_all();
    };
    let name = name.strip_prefix('@').unwrap_or(name);
    let resolved = groups.group(name, &mut Vec::new());
    let text = resolved.map_err(Failure::Usage)?.items().join("\n");
    print(&(text + "\n"))
}

impl Groups {
    /// Reads the user's file. Without one there are no groups.
    pub(crate) fn load() -> Result<Groups, String> {
        let path = own_files::path(FILE);
        let lists = path.as_deref().map(own_files::read).transpose()?;
        let lists: BTreeMap<String, String> = lists.flatten().unwrap_or_default();
        match lists.keys().find(|name| !is_name(name)) {
            None => Ok(Groups { path, lists }),
            Some(name) => Err(format!(
                "{}: {:?} is no name of a group: it starts with a letter, and goes on with letters, \
                 digits, '.', '_' or '-'",
                path.map_or_else(String::new, |path| path_line(&path)),
                clip(name)
            )),
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.lists.keys().map(String::as_str)
    }

    /// The selector with its groups resolved.
    pub(crate) fn resolve(&self, selector: &str) -> Result<String, String> {
        let (word, list) = split_word(selector);
        let items = self.list(list, &mut Vec::new())?.items();
        Ok(format!("{word}{}", items.join(",")))
    }

    fn show_all(&self) -> Result<ExitCode, Failure> {
        if self.lists.is_empty() {
            return print(&(self.without_any() + "\n"));
        }
        let mut wrong = None;
        let rows = self.lists.iter().map(|(name, list)| {
            let resolved = match self.group(name, &mut Vec::new()) {
                Ok(resolved) => resolved.items().join(","),
                Err(why) => {
                    wrong.get_or_insert(why);
                    "-".into()
                }
            };
            [format!("@{name}"), one_line(list).into_owned(), resolved]
        });
        let head = ["GROUP", "LIST", "MEANS"].map(|title| (title, Align::Left));
        print(&columns(head, rows))?;
        wrong.map_or(Ok(ExitCode::Done), |why| Err(Failure::Usage(why)))
    }

    fn without_any(&self) -> String {
        match &self.path {
            Some(path) => format!(
                "there are no groups; write one into {}, such as prod = \"web[1-3],!web2\"",
                path_line(path)
            ),
            None => "there are no groups: neither XDG_CONFIG_HOME nor HOME names a folder".into(),
        }
    }

    /// What a list means. `way` has the groups that it was found by.
    fn list(&self, list: &str, way: &mut Vec<String>) -> Result<Resolved, String> {
        let mut resolved = Resolved::default();
        for part in parts(list) {
            let (is_left_out, item) = match part.strip_prefix('!') {
                Some(item) => (true, item),
                None => (false, part),
            };
            if let (false, Some(name)) = (item.contains('&'), group_name(item)) {
                let group = self.group(name, way)?;
                resolved.add_group(group, is_left_out, name)?;
                continue;
            }
            for item in self.joined(item, way)? {
                resolved.add(item, is_left_out)?;
            }
        }
        resolved.check_left_out()?;
        Ok(resolved)
    }

    fn group(&self, name: &str, way: &mut Vec<String>) -> Result<Resolved, String> {
        let is_circle = way.iter().any(|passed| passed == name);
        way.push(name.to_owned());
        let by = |way: &[String]| clip(&way.join(" → ")).to_string();
        if is_circle {
            return Err(format!("the groups go in a circle: {}", by(way)));
        }
        if way.len() > MOST_NESTED {
            return Err(format!(
                "the groups are nested more than {MOST_NESTED} deep: {}",
                by(way)
            ));
        }
        let list = self.lists.get(name).ok_or_else(|| self.unknown(name, way));
        let resolved = list.and_then(|list| {
            let wrong = |why| format!("the group {}: {why}", by(way));
            check(list).map_err(wrong)?;
            let resolved = self.list(list, way)?;
            resolved
                .settled()
                .map_err(|why| format!("the group {name}: {why}"))
        })?;
        way.pop();
        Ok(resolved)
    }

    fn unknown(&self, name: &str, way: &[String]) -> String {
        if name.is_empty() {
            return "there is no group's name behind \"@\"; write it there, such as @prod"
                .to_owned();
        }
        if WORDS.contains(&name) {
            return format!("\"@{name}\" has an \"@\", which is for groups here; leave it out");
        }
        let by = match way {
            [_] => String::new(),
            way => format!(" ({})", clip(&way.join(" → "))),
        };
        match &self.path {
            Some(path) if !self.lists.is_empty() => {
                let path = path_line(path);
                format!(
                    "{path} has no group {:?}{by}; `pecking groups` lists them",
                    clip(name)
                )
            }
            _ => format!("there is no group {:?}: {}", clip(name), self.without_any()),
        }
    }

    /// An item whose operands are joined by `&`: one item for each that its groups stand for.
    fn joined(&self, item: &str, way: &mut Vec<String>) -> Result<Vec<String>, String> {
        let mut items = vec![String::new()];
        for operand in operands(item) {
            let choices = match group_name(operand) {
                None => vec![operand.to_owned()],
                Some(name) => self.group(name, way)?.without_exclusions(name)?,
            };
            if items.len() * choices.len() > MAX_SELECTOR_ITEMS {
                return Err(too_many(items.len() * choices.len()));
            }
            let longer = items.iter().flat_map(|item| {
                let joint = if item.is_empty() { "" } else { "&" };
                choices
                    .iter()
                    .map(move |choice| format!("{item}{joint}{choice}"))
            });
            items = longer.collect();
        }
        Ok(items)
    }
}

/// Checks what stands in a group, apart from its groups.
fn check(list: &str) -> Result<(), String> {
    for part in parts(list) {
        let item = part.strip_prefix('!').unwrap_or(part);
        let without_groups = operands(item).map(|operand| match group_name(operand) {
            // Any name does.
            Some(_) => "x",
            None => operand,
        });
        let item = without_groups.collect::<Vec<_>>().join("&");
        match Selector::parse(&item).map_err(|e| e.to_string())? {
            Selector::Single(_) | Selector::List(_) => {}
            _ => {
                return Err(format!(
                    "{:?} stands alone; a group has ranks, ranges, names, patterns and tags",
                    clip(&item)
                ));
            }
        }
    }
    Ok(())
}

fn group_name(operand: &str) -> Option<&str> {
    operand.strip_prefix('@')
}

fn operands(item: &str) -> impl Iterator<Item = &str> {
    item.split('&')
}

/// The word in front of a list, with its colon. The values of tags may have colons too.
pub(crate) fn split_word(selector: &str) -> (&str, &str) {
    let words = ["next:", "least-loaded:"];
    let word = words.iter().find(|word| selector.starts_with(**word));
    selector.split_at(word.map_or(0, |word| word.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> Groups {
        let lists = [
            ("prod", "web[1-3],!web2"),
            ("all-prod", "@prod,db1"),
            ("rest", "@all-prod,!@prod"),
            ("same", "web1,!web1"),
            ("open", "web*,!web3"),
            ("prod2", "db*,!db2"),
            ("clash", "@open,web3"),
            ("a", "@b"),
            ("b", "x,@a"),
            ("gone", "@nope"),
            ("word", "web1,below"),
            ("none", "!web1"),
            ("empty", ""),
            ("many", "@prod,@prod,@prod"),
        ];
        let lists = lists.map(|(name, list)| (name.to_owned(), list.to_owned()));
        let path = Some("/g.toml".into());
        Groups {
            path,
            lists: lists.into(),
        }
    }

    #[test]
    fn groups_stand_for_the_clients_of_their_lists() {
        for (selector, means) in [
            ("@prod", "web[1,3]"),
            ("@prod,web2", "web[1,3],web2"),
            ("@prod,!web3", "web[1,3],!web3"),
            ("@all-prod", "web[1,3],db1"),
            ("@rest", "db1"),
            ("web[1-4],!@prod", "web[1-4],!web[1,3]"),
            ("@all-prod&role=web", "web[1,3]&role=web,db1&role=web"),
            ("@open,web4,@prod2", "web*,web4,db*,!web3,!db2"),
            ("next:@prod", "next:web[1,3]"),
            (
                "least-loaded:role=a@b,@open",
                "least-loaded:role=a@b,web*,!web3",
            ),
        ] {
            assert_eq!(
                groups().resolve(selector).as_deref(),
                Ok(means),
                "{selector}"
            );
            assert!(has_group(selector) && Selector::parse(means).is_ok());
        }
        assert!(!has_group("role=a@b,web1") && !has_group("next:web1"));
    }

    #[test]
    fn wrong_groups_are_named_with_the_way_to_them() {
        for (selector, expected) in [
            ("@a", "in a circle: a → b → a"),
            ("@gone", "no group \"nope\" (gone → nope)"),
            ("@missing", "/g.toml has no group \"missing\";"),
            ("@word", "the group word: \"below\" stands alone"),
            ("@same", "leaves out all"),
            ("@none", "only leaves clients out"),
            ("@empty", "empty item"),
            ("web1,!@open", "leaves out \"web3\""),
            ("web3,@open", "\"open\" leaves out \"web3\""),
            ("@clash", "\"open\" leaves out \"web3\""),
            ("@open,web[1-4]", "leaves out \"web[1-4]\""),
            ("@open&role=web", "leaves out \"web3\""),
            ("@", "no group's name behind \"@\""),
            ("@below", "leave it out"),
        ] {
            let error = groups().resolve(selector).expect_err(selector);
            assert!(error.contains(expected), "{selector}: {error}");
        }
    }

    #[test]
    fn groups_that_stand_for_ever_more_end_at_a_bound() {
        let name = |n: usize| format!("g{n}");
        let doubled = |n: usize| format!("@{0},@{0}", name(n + 1));
        let mut lists: BTreeMap<_, _> = (0..40).map(|n| (name(n), doubled(n))).collect();
        lists.insert(name(40), "w*".into());
        let error = Groups { path: None, lists }
            .resolve("@g0")
            .expect_err("too many");
        assert!(error.contains("at most 10000"), "{error}");
        let lists = (0..1000)
            .map(|n| (name(n), format!("@{}", name(n + 1))))
            .collect();
        let error = Groups { path: None, lists }
            .resolve("@g0")
            .expect_err("too deep");
        assert!(error.contains("nested more than 64 deep"), "{error}");
    }
}
