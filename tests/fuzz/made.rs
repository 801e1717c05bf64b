//! Inputs for all that reads what a peer writes: seeds, and what is made of them by changes.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

/// Changes that make an input of a seed, at most.
const CHANGES: usize = 6;

/// One change of an input; places are taken modulo its length.
#[derive(Clone, Debug)]
enum Change {
    Put(u16, Vec<u8>),
    Remove(u16, u8),
    Flip(u16, u8),
    /// A piece of another seed.
    Splice(u16, usize, u16, u8),
    Repeat(u16, u8, u8),
}

impl Change {
    fn apply(&self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let place = |at: u16| usize::from(at) % (input.len() + 1);
        let piece = |of: &[u8], at: u16, len: u8| {
            let start = usize::from(at) % (of.len() + 1);
            of[start..of.len().min(start + usize::from(len))].to_vec()
        };
        let (at, removed, put) = match self {
            Change::Put(at, bytes) => (place(*at), 0, bytes.clone()),
            Change::Remove(at, len) => (place(*at), usize::from(*len), vec![]),
            Change::Flip(at, bits) => {
                let byte = input.get(place(*at)).map_or(*bits, |byte| byte ^ bits);
                (place(*at), 1, vec![byte])
            }
            Change::Splice(at, seed, from, len) => (
                place(*at),
                0,
                piece(&seeds[seed % seeds.len()], *from, *len),
            ),
            Change::Repeat(at, len, times) => {
                let repeated = piece(input, *at, *len);
                (place(*at), 0, repeated.repeat(usize::from(*times)))
            }
        };
        let end = input.len().min(at + removed);
        input.splice(at..end, put);
    }
}

fn change() -> impl Strategy<Value = Change> {
    let bytes = prop::collection::vec(any::<u8>(), 1..5);
    let json = "[\\[\\]{}\",:\\\\0-9a-z *?!#&=-]{1,4}".prop_map(String::into_bytes);
    prop_oneof![
        2 => (any::<u16>(), bytes).prop_map(|(at, bytes)| Change::Put(at, bytes)),
        3 => (any::<u16>(), json).prop_map(|(at, bytes)| Change::Put(at, bytes)),
        2 => (any::<u16>(), 1u8..20).prop_map(|(at, len)| Change::Remove(at, len)),
        1 => (any::<u16>(), 1u8..).prop_map(|(at, bits)| Change::Flip(at, bits)),
        4 => (any::<u16>(), any::<usize>(), any::<u16>(), 1u8..60)
            .prop_map(|(at, seed, from, len)| Change::Splice(at, seed, from, len)),
        1 => (any::<u16>(), 1u8..20, 1u8..).prop_map(|(at, len, n)| Change::Repeat(at, len, n)),
    ]
}

/// Where the tests are.
fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests")
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn lines(path: &Path) -> Vec<Vec<u8>> {
    let lines = read(path);
    lines.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
}

/// What an entry's inputs are made of: a file of lines or a folder of files, and, for those
/// that read messages, every line of the protocol's document.
pub(crate) fn seeds(name: &str) -> Vec<Vec<u8>> {
    let seeds = tests().join("fuzz/seeds");
    if let Ok(files) = fs::read_dir(seeds.join(name)) {
        return files
            .map(|file| read(&file.expect("a folder can be read").path()))
            .collect();
    }
    let mut all = lines(&seeds.join(name).with_extension("txt"));
    if matches!(name, "message" | "plain" | "line") {
        let document = lines(&tests().join("../common/PROTOCOL.md"));
        let messages = document.iter().filter_map(|line| {
            let is_message = |arrow: &&str| line.starts_with(arrow.as_bytes());
            let arrow = ["→ ", "← "].into_iter().find(is_message)?;
            Some(line[arrow.len()..].to_vec())
        });
        all.extend(messages);
    }
    all
}

/// Inputs that are made of seeds.
pub(crate) fn input(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec(change(), 0..CHANGES);
    (any::<prop::sample::Index>(), changes).prop_map(move |(seed, changes)| {
        let mut input = seed.get(&seeds).clone();
        for change in &changes {
            change.apply(&mut input, &seeds);
        }
        input
    })
}
