//! A log's files that are moved, deleted, replaced, cut off or none of its own, and its chain
//! afterwards.

use super::*;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

#[test]
fn the_chain_goes_on_over_rotations_and_restarts() {
    let place = Place::new();
    let settings = || Settings {
        rotate: 2000,
        keep: 3,
        ..place.settings()
    };
    for _ in 0..4 {
        let audit = Audit::open(settings()).expect("a log");
        for _ in 0..5 {
            note(&audit, 10);
        }
        assert!(audit.close(PATIENCE));
    }
    let mut names: Vec<_> = place.files();
    names.sort();
    let names = names
        .iter()
        .map(|file| file.strip_prefix(place.0.path()).expect("in it"));
    let names: Vec<_> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(
        names[0] == "audit.log" && names[1].starts_with("audit.log.00000"),
        "{names:?}"
    );
    let found = place.verified();
    assert_eq!(found.last, 200);
    assert_eq!(found.first + found.records, 201);
    assert!(found.first > 1, "the oldest are deleted");
    // A crash between the two steps of a rotation: the chain is that of the file before.
    fs::remove_file(place.file()).expect("it goes");
    let last_there = place.verified().last;
    note(&place.open(), 1);
    assert_eq!(place.verified().last, last_there + 1);
}

#[test]
fn a_line_cut_off_by_a_kill_is_closed_off_and_said_to_be_one() {
    for cut in ["{\"v\":1,\"seq\":4", "{\"v\":1,\"seq\":4,\n", "a\nb"] {
        let place = Place::new();
        note(&place.open(), 3);
        let mut file = OpenOptions::new()
            .append(true)
            .open(place.file())
            .expect("it");
        file.write_all(cut.as_bytes()).expect("half a line");
        drop(file);
        until("the first one has let go of it", || {
            Audit::open(place.settings()).is_ok_and(|audit| audit.close(PATIENCE))
        });
        note(&place.open(), 2);
        let found = place.verified();
        assert_eq!((found.last, found.unfinished.len()), (6, 1), "{cut:?}");
        assert_eq!(found.unfinished[0].line, 4);
        assert!(
            place
                .content()
                .contains(r#""type":"gap","reason":"unfinished_line""#)
        );
    }
}

#[test]
fn a_file_that_is_moved_deleted_or_replaced_is_opened_anew() {
    let place = Place::new();
    let audit = place.open();
    let moved = place.0.path().join("moved");
    note(&audit, 2);
    fs::rename(place.file(), &moved).expect("moved");
    note(&audit, 2);
    assert_eq!(place.verified().records, 4);
    fs::remove_file(place.file()).expect("deleted");
    note(&audit, 2);
    assert_eq!(place.content().lines().count(), 2);
    fs::remove_file(place.file()).expect("deleted");
    File::create(place.file()).expect("replaced");
    note(&audit, 1);
    assert_eq!(place.content().lines().count(), 1);
    assert!(place.content().contains("\"seq\":7"));
    let mode = std::os::unix::fs::PermissionsExt::mode;
    assert_eq!(
        mode(&moved.metadata().expect("a file").permissions()) & 0o777,
        0o600
    );
}

#[test]
fn what_a_link_leads_to_next_is_opened_anew() {
    let place = Place::new();
    let path = |name: &str| place.0.path().join(name);
    let link_to = |name: &str| {
        std::os::unix::fs::symlink(path(name), path("link")).expect("a link");
    };
    link_to("first");
    let audit = Audit::open(Settings::new(path("link"))).expect("a log");
    note(&audit, 2);
    fs::remove_file(path("link")).expect("deleted");
    link_to("second");
    note(&audit, 1);
    let lines = ["first", "second"].map(|name| {
        let text = fs::read_to_string(path(name)).expect("text");
        text.lines().count()
    });
    assert_eq!(lines, [2, 1]);
}

#[test]
fn a_deleted_file_is_closed_although_no_other_one_can_be_written() {
    let place = Place::new();
    let sync = |file: &File| match file.metadata()?.nlink() {
        // A full disk may have no room for what was written to it before.
        0 => Err(io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    };
    let audit = Audit::open_synced_by(place.settings(), sync).expect("a log");
    note(&audit, 2);
    fs::remove_file(place.file()).expect("deleted");
    fs::create_dir(place.file()).expect("what is no file");
    audit.note(&stop("meanwhile"));
    assert!(!audit.settle(PATIENCE), "it cannot be written");
    until("it is closed", || {
        let open = fs::read_dir("/proc/self/fd").expect("descriptors");
        let mut open = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        !open.any(|path| path.starts_with(place.0.path()))
    });
    fs::remove_dir(place.file()).expect("deleted");
    until("it is written again", || audit.reserve(1, 0).is_ok());
    assert!(place.content().contains("\"seq\":3"));
    assert!(audit.close(PATIENCE));
}

#[test]
fn a_second_writer_is_refused() {
    let place = Place::new();
    let audit = place.open();
    let error = Audit::open(place.settings())
        .expect_err("it is in use")
        .to_string();
    assert!(
        error.contains("another program") && error.contains("audit.log"),
        "{error}"
    );
    assert!(audit.close(PATIENCE));
}

#[test]
fn nothing_is_appended_to_what_is_no_log() {
    let place = Place::new();
    for text in ["buy milk\n", "buy milk", "{\"v\":1}\n", "\n"] {
        fs::write(place.file(), text).expect("a file");
        let error = Audit::open(place.settings()).expect_err(text).to_string();
        assert!(
            error.ends_with("it is no audit log; give a new file"),
            "{error}"
        );
        assert_eq!(place.content(), text);
    }
    // A system that went down may leave nothing but the beginning of the first line.
    fs::write(place.file(), "{\"v\":1,\"seq\":1,\"ts\"").expect("a file");
    note(&place.open(), 1);
    assert_eq!(place.verified().unfinished.len(), 1);
}

#[test]
fn nothing_is_appended_to_what_takes_the_place_of_a_log() {
    let place = Place::new();
    let audit = place.open();
    note(&audit, 1);
    fs::rename(place.file(), place.0.path().join("moved")).expect("moved");
    fs::write(place.file(), "buy milk\n").expect("a file");
    audit.note(&stop("meanwhile"));
    assert!(!audit.settle(PATIENCE));
    assert!(audit.reserve(10, 0).is_err());
    assert_eq!(place.content(), "buy milk\n");
    fs::remove_file(place.file()).expect("deleted");
    until("it is written again", || audit.reserve(10, 0).is_ok());
    assert!(place.content().contains("meanwhile"));
}

#[test]
fn a_file_that_others_may_write_is_no_log() {
    let place = Place::new();
    File::create(place.file()).expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(place.file(), mode).expect("its mode");
    for (file, part) in [
        (place.file(), "every user may write it"),
        (place.0.path().to_owned(), "Is a directory"),
        (
            Path::new("/nowhere/at/all").to_owned(),
            "/nowhere cannot be read",
        ),
    ] {
        let error = Audit::open(Settings::new(&file))
            .expect_err(part)
            .to_string();
        assert!(
            error.contains(part) && error.contains(&*file.to_string_lossy()),
            "{error}"
        );
    }
}
