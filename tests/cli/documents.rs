//! What the documents name is there: files by their paths or names, and tests by theirs.

use std::path::{Path, PathBuf};

const DOCUMENTS: [&str; 6] = [
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "README.md",
    "client/JSON.md",
    "common/PROTOCOL.md",
    "server/PERFORMANCE.md",
];

/// The shortest name that is taken for that of a test; shorter ones may be of anything.
const LONG_NAME: usize = 25;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files of the project, but for what a build makes.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of the project");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_source = |path: &PathBuf| !path.ends_with("target") && !path.ends_with(".git");
    let files = paths.filter(is_source).map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    files.flatten().collect()
}

/// The words of a document that stand between backquotes, examples in blocks left out.
fn quoted(document: &str) -> impl Iterator<Item = &str> {
    let lines = document.lines().filter(|line| !line.starts_with("```"));
    lines.flat_map(|line| line.split('`').skip(1).step_by(2))
}

fn is_path(word: &str) -> bool {
    let of_project = ["common/", "server/", "client/", "tests/", ".ci/"];
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    of_project.iter().any(|folder| word.starts_with(folder)) && word.chars().all(is_plain)
}

fn is_file_name(word: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c == '_';
    [".rs", ".sh", ".py"].iter().any(|ending| {
        let name = word.strip_suffix(ending);
        name.is_some_and(|name| name.chars().all(is_plain))
    })
}

fn is_test_name(word: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    word.len() >= LONG_NAME && word.chars().all(is_plain)
}

#[test]
fn documents_name_only_files_and_tests_that_exist() {
    let files = files(&root());
    let sources = files
        .iter()
        .filter(|file| file.extension().is_some_and(|it| it == "rs"));
    let sources: String = sources
        .map(|file| std::fs::read_to_string(file).expect("a source file"))
        .collect();
    let mut checked = 0;
    for name in DOCUMENTS {
        let document = std::fs::read_to_string(root().join(name)).expect(name);
        for word in quoted(&document) {
            let exists = match () {
                () if is_path(word) => root().join(word).exists(),
                () if is_file_name(word) => files.iter().any(|file| file.ends_with(word)),
                () if is_test_name(word) => sources.contains(&format!("fn {word}(")),
                () => continue,
            };
            assert!(exists, "{name} names {word}, which does not exist");
            checked += 1;
        }
    }
    assert!(checked > 0, "the documents name nothing");
}
