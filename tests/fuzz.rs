//! A short run of each fuzz target's entry on every run of the tests: the seeds as they are,
//! and thousands of inputs that are made of them. `tests/fuzz.sh` runs the targets themselves,
//! from the same seeds.

#[path = "fuzz/entry.rs"]
mod entry;
#[path = "fuzz/made.rs"]
mod made;

use proptest::test_runner::{Config, TestCaseError, TestRunner};

/// Inputs made for each entry, unless `PROPTEST_CASES` asks for more.
const CASES: u32 = 2000;

/// Gives an entry its seeds, and then what is made of them.
fn run(name: &str) {
    let entries = entry::ENTRIES.iter().find(|(entry, _)| *entry == name);
    let (_, entry) = entries.unwrap_or_else(|| panic!("there is no entry {name}"));
    let seeds = made::seeds(name);
    assert!(seeds.len() >= 3, "few seeds: {}", seeds.len());
    for seed in &seeds {
        entry(seed);
    }
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let cases = std::env::var("PROPTEST_CASES").map_or(CASES, |_| config.cases);
    let mut runner = TestRunner::new(Config { cases, ..config });
    let made = runner.run(&made::input(seeds), |input| {
        let held = std::panic::catch_unwind(|| entry(&input));
        held.map_err(|_| TestCaseError::fail(format!("of {:?}", String::from_utf8_lossy(&input))))
    });
    made.unwrap_or_else(|e| panic!("{name}: {e}"));
}

#[test]
fn lines_are_split_as_a_plain_search_would() {
    run("line");
}

#[test]
fn messages_are_what_a_json_library_makes_of_them() {
    run("message");
}

#[test]
fn lines_read_in_one_pass_are_read_as_the_long_way_does() {
    run("plain");
}

#[test]
fn selectors_find_whom_their_items_name() {
    run("selector");
}

#[test]
fn policies_are_told_wrong_in_one_line_or_run_what_they_name() {
    run("policy");
}

#[test]
fn every_entry_has_a_target() {
    let manifest = include_str!("fuzz/Cargo.toml");
    for (name, _) in entry::ENTRIES {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
