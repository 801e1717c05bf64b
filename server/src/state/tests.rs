//! The state file: any cut, anything else that may stand in it or at its place, and what it comes to.

use super::file::{NoState, StateFile, check};
use super::record::{Credential, Kept, Line, Proof, Replay, whole};
use crate::authority::token::TokenHash;
use common::wire::tags::Tags;
use common::wire::tier::Tier;
use proptest::prelude::*;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use tempfile::TempDir;

fn kept(member: u64, token: u8) -> Kept {
    let hash = |of: u8| TokenHash::of(&format!("{member}.{of}"));
    let mut tags = Tags::default();
    if token.is_multiple_of(3) {
        tags.add("role", "web").expect("it is allowed");
    }
    Kept {
        member,
        name: format!("web{member}").into(),
        tier: Tier::new(member % 10).expect("it is one"),
        slots: member as u32 % 3,
        rank_news: token.is_multiple_of(2),
        stdin: token.is_multiple_of(5),
        tags,
        address: ([127, 0, 0, 1], 4000).into(),
        credential: token.is_multiple_of(2).then(|| Credential {
            identity: "alice".into(),
            role: "operator".into(),
            proof: match token.is_multiple_of(4) {
                true => Proof::Token(hash(99)),
                false => Proof::Certificate("pecking:web1".into()),
            },
        }),
        token: hash(token),
        before: token.is_multiple_of(3).then(|| hash(token + 1)),
    }
}

fn line() -> impl Strategy<Value = Line> {
    prop_oneof![
        6 => (1..20u64, any::<u8>()).prop_map(|(number, token)| {
            Line::Place(Box::new(kept(number, token % 200)))
        }),
        3 => (1..20u64).prop_map(Line::Gone),
        1 => (1..100u64).prop_map(Line::Numbers),
    ]
}

fn text(lines: &[Line]) -> Vec<u8> {
    let mut text = whole(1, [].into_iter());
    lines.iter().for_each(|line| line.write_to(&mut text));
    text
}

proptest! {
    #[test]
    fn a_file_that_is_cut_anywhere_comes_to_what_its_whole_lines_say(
        lines in proptest::collection::vec(line(), 0..30),
        cut in any::<prop::sample::Index>(),
    ) {
        let all = text(&lines);
        let cut = cut.index(all.len() + 1);
        let read = Replay::read(&all[..cut]).expect("it is one");
        let ends = all[..cut].iter().filter(|byte| **byte == b'\n').count();
        let mut expected = Replay { next: u64::from(ends > 1), ..Replay::default() };
        lines.into_iter().take(ends.saturating_sub(2)).for_each(|line| expected.take(line));
        prop_assert_eq!(read.is_cut, cut > 0 && all[cut - 1] != b'\n');
        prop_assert_eq!(read.unreadable, 0);
        prop_assert_eq!((&read.places, read.next), (&expected.places, expected.next));
        // Written anew, it comes to the same.
        let anew = whole(read.next, read.places.values());
        let again = Replay::read(&*anew).expect("it is one");
        prop_assert_eq!((again.places, again.next), (read.places, read.next));
    }

    #[test]
    fn no_bytes_behind_the_first_line_are_more_than_lines_that_cannot_be_read(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000), times in 1..10usize,
    ) {
        let bytes = bytes.repeat(times);
        let mut all = text(&[Line::Place(Box::new(kept(7, 1)))]);
        all.extend_from_slice(&bytes);
        all.push(b'\n');
        Line::Place(Box::new(kept(8, 1))).write_to(&mut all);
        let read = Replay::read(&*all).expect("it is one");
        prop_assert_eq!(read.places.keys().copied().collect::<Vec<_>>(), [7, 8]);
    }
}

#[test]
fn other_files_and_those_of_a_newer_version_are_told_apart() {
    let version_2 = &b"{\"pecking-server state\":2}\n{\"place\":{\"new\":1}}\n"[..];
    assert!(matches!(Replay::read(version_2), Err(NoState::Newer(2))));
    let long = vec![b'x'; 100_000];
    for foreign in [
        &b"version = 1\n"[..],
        b"\n",
        b"{\"numbers\":1}\n",
        b"{\"pecking-server state\":0}\n",
        b"{\"pecking-server state\":\"1\"}\n",
        b"x",
        b"\0\0\0",
        &long,
    ] {
        let read = Replay::read(foreign);
        assert!(matches!(read, Err(NoState::Foreign)), "{read:?}");
    }
    assert_eq!(
        Replay::read(&b""[..]).expect("an empty one"),
        Replay::default()
    );
}

#[test]
fn lines_that_this_server_would_not_write_are_passed_over() {
    let right = {
        let mut line = Vec::new();
        Line::Place(Box::new(kept(9, 3))).write_to(&mut line);
        String::from_utf8(line).expect("JSON")
    };
    for (what, by) in [
        ("\"member\":9", "\"member\":0"),
        ("\"member\":9", "\"member\":1152921504606846976"),
        ("\"name\":\"web9\"", "\"name\":\"web 9\""),
        ("\"name\":\"web9\"", "\"name\":\"\\u001b[2J\""),
        ("\"tier\":9", "\"tier\":10"),
        ("\"slots\":0", "\"slots\":1025"),
        ("\"role\":\"web\"", "\"ROLE\":\"web\""),
        ("sha256:", "sha1:"),
        ("\"tier\":9", "\"tier\":9,\"more\":1"),
    ] {
        assert!(right.contains(what), "{what} in {right}");
        let mut all = text(&[]);
        all.extend_from_slice(right.replacen(what, by, 1).as_bytes());
        let read = Replay::read(&*all).expect("it is one");
        assert_eq!((read.places.len(), read.unreadable), (0, 1), "{by}");
    }
}

#[test]
fn the_longest_line_is_read() {
    let mut longest = kept(u64::from(u32::MAX), 12);
    longest.name = "n".repeat(64).into();
    let credential = Credential {
        identity: "i".repeat(256).into(),
        role: "r".repeat(64).into(),
        proof: Proof::Certificate("c".repeat(256).into()),
    };
    longest.credential = Some(credential);
    longest.address = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535"
        .parse()
        .expect("an address");
    longest.tags = Tags::default();
    for n in 0..16 {
        let (key, value) = (format!("{}{n:02}", "k".repeat(30)), "v".repeat(64));
        longest.tags.add(&key, &value).expect("it is allowed");
    }
    let all = whole(1, [&longest].into_iter());
    let read = Replay::read(&*all).expect("it is one");
    assert_eq!(read.places.values().collect::<Vec<_>>(), [&longest]);
}

/// A folder, and the path of a file in it.
fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state");
    (folder, path)
}

fn mode(path: &PathBuf, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("a mode");
}

#[test]
fn a_file_is_made_for_its_owner_alone_and_is_appended_to_and_replaced_under_its_lock() {
    let (folder, path) = folder();
    let (mut file, replay) = StateFile::open(&path).expect("a file");
    assert_eq!(replay, Replay::default());
    let mode = |path: &PathBuf| path.metadata().expect("it is there").mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    for round in 0..3 {
        let is_used = || matches!(StateFile::open(&path), Err(NoState::InUse));
        assert!(is_used());
        file.replace(&whole(5, [&kept(1, round)].into_iter()))
            .expect("room");
        assert!(is_used(), "the new one has the lock");
        assert_eq!(mode(&path), 0o600);
        let mut line = Vec::new();
        Line::Place(Box::new(kept(2, round))).write_to(&mut line);
        file.append(&line).expect("room");
        file.sync().expect("a disk");
        assert!(check(&path).is_ok(), "a look needs no lock");
    }
    drop(file);
    let (mut file, replay) = StateFile::open(&path).expect("it is free");
    assert_eq!(
        replay.places.values().collect::<Vec<_>>(),
        [&kept(1, 2), &kept(2, 2)]
    );
    // What a server left that was killed while it replaced its file.
    fs::write(folder.path().join("state.new"), "half").expect("a file");
    file.replace(&whole(9, [].into_iter())).expect("room");
    assert_eq!(folder.path().read_dir().expect("it").count(), 1);
}

#[test]
fn a_line_without_an_end_is_cut_off_before_others_follow() {
    let (_folder, path) = folder();
    let mut all = text(&[Line::Place(Box::new(kept(1, 1)))]);
    all.extend_from_slice(b"{\"place\":{\"mem");
    fs::write(&path, &all).expect("a file");
    mode(&path, 0o600);
    let (mut file, replay) = StateFile::open(&path).expect("it is one");
    assert!(replay.is_cut);
    let mut line = Vec::new();
    Line::Gone(1).write_to(&mut line);
    file.replace(&whole(replay.next, replay.places.values()))
        .expect("room");
    file.append(&line).expect("room");
    drop(file);
    let (_, replay) = StateFile::open(&path).expect("it is one");
    assert_eq!(
        (replay.places.len(), replay.unreadable, replay.is_cut),
        (0, 0, false)
    );
}

#[test]
fn a_file_that_was_deleted_is_made_anew_and_another_one_in_its_place_stays() {
    let (folder, path) = folder();
    let (mut file, _) = StateFile::open(&path).expect("a file");
    fs::remove_file(&path).expect("it is there");
    let error = file.append(b"x\n").expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    file.replace(&whole(1, [].into_iter())).expect("room");
    file.append(b"{\"numbers\":4}\n").expect("it is there");
    fs::rename(&path, folder.path().join("moved")).expect("it is there");
    fs::write(&path, "something else").expect("a file");
    for tried in [file.append(b"x\n"), file.replace(b"x\n")] {
        let error = tried.expect_err("another one").to_string();
        assert!(error.contains("another file"), "{error}");
    }
    assert_eq!(fs::read_to_string(&path).expect("it"), "something else");
}

#[test]
fn what_is_no_state_file_is_refused_and_not_touched() {
    let (folder, path) = folder();
    let other = folder.path().join("other");
    let refused = |what: &str, expected: &str| {
        let before = path.is_file().then(|| fs::read(&path).expect("it"));
        let opened = StateFile::open(&path)
            .map(|_| ())
            .expect_err(what)
            .to_string();
        let checked = check(&path).expect_err(what).to_string();
        for error in [&opened, &checked] {
            assert!(error.contains(expected), "{what}: {error}");
        }
        let after = path.is_file().then(|| fs::read(&path).expect("it"));
        assert_eq!(before, after, "{what}");
    };
    fs::create_dir(&path).expect("a folder");
    refused("a folder", "");
    fs::remove_dir(&path).expect("it is there");
    symlink("/dev/null", &path).expect("a link");
    refused("a device", "no regular file");
    fs::remove_file(&path).expect("it is there");
    fs::write(&other, "version = 1\n").expect("a file");
    symlink(&other, &path).expect("a link");
    mode(&other, 0o600);
    refused("foreign", "no state file");
    fs::write(&other, "{\"pecking-server state\":7}\n").expect("a file");
    refused("newer", "version 7");
    fs::write(&other, text(&[])).expect("a file");
    mode(&other, 0o644);
    refused("readable by others", "chmod o-r");
    mode(&other, 0o620);
    refused("writable by others", "may write it");
    fs::remove_file(&other).expect("it is there");
    // A link to nothing leads to a file that is made.
    assert!(check(&path).is_ok());
    fs::remove_file(&path).expect("it is there");
    assert!(check(&path).is_ok());
}

#[test]
fn a_file_is_long_once_it_is_four_times_what_it_would_be() {
    let (_folder, path) = folder();
    let (mut file, _) = StateFile::open(&path).expect("a file");
    let places: Vec<Kept> = (1..1000).map(|number| kept(number, 2)).collect();
    let all = whole(1000, places.iter());
    file.replace(&all).expect("room");
    let mut times = 1;
    while !file.is_long() {
        file.append(&all).expect("room");
        times += 1;
    }
    assert_eq!(times, 5);
    file.replace(&all).expect("room");
    assert!(!file.is_long());
    file.replace(&whole(1, [].into_iter())).expect("room");
    file.append(&all[..50_000]).expect("room");
    assert!(!file.is_long(), "a short one stays");
}
