//! A log with files that are full, gone, moved, cut off or not taken, and its chain afterwards.

use super::record::{Cancel, Denied, Outcome, Record, Stop, Who};
use super::verify::{Verified, verify};
use super::*;
use crate::wire::Status;
use rustix::fs::{CWD, FileType, mknodat};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A log in a folder of its own.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("audit.log")
    }

    fn settings(&self) -> Settings {
        Settings::new(self.file())
    }

    fn open(&self) -> Audit {
        Audit::open(self.settings()).expect("a log")
    }

    /// Every file of the log.
    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.0.path()).expect("a folder");
        entries.map(|e| e.expect("an entry").path()).collect()
    }

    fn verified(&self) -> Verified {
        verify(&self.files()).expect("it holds together")
    }

    fn content(&self) -> String {
        fs::read_to_string(self.file()).expect("text")
    }
}

fn stop(why: &str) -> Record<'_> {
    Record::Stop(Stop { why })
}

fn outcome(cmd: u64) -> Record<'static> {
    Record::Outcome(Outcome {
        cmd: cmd.into(),
        member: Some(3),
        name: Some("web1"),
        rank: None,
        status: Status::Done,
        exit_code: Some(0),
        signal: None,
        ms: Some(12),
        bytes: Some(0),
        message: None,
    })
}

fn note(audit: &Audit, records: usize) {
    for n in 0..records {
        audit.note(&stop(&format!("record {n}")));
    }
    assert!(audit.settle(PATIENCE), "they are written");
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

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
fn a_full_disk_is_an_error_and_what_is_dropped_is_counted() {
    let full = Settings::new("/dev/full");
    let audit = Audit::open(full.clone()).expect("a device");
    assert!(audit.reserve(100, 1).is_ok(), "nothing has failed yet");
    audit.note(&stop("x"));
    assert!(!audit.settle(PATIENCE));
    let refused = audit.reserve(100, 1).expect_err("it cannot be written");
    assert!(refused.is_failing && refused.retry_after() == RETRY);
    assert!(!audit.close(PATIENCE));

    let dropping = Settings {
        full: Full::Drop,
        ..full
    };
    let audit = Audit::open(dropping).expect("a device");
    audit.note(&stop("x"));
    assert!(!audit.settle(PATIENCE));
    for n in 0..3 * QUEUE_RECORDS {
        let places = audit.reserve(100, 1).expect("it runs all the same");
        places.begin(&outcome(n as u64));
        places.go_on(&outcome(n as u64));
    }
}

/// A log in a FIFO, with a reader that has read nothing so far.
fn fifo(place: &Place, full: Full) -> (Audit, File) {
    mknodat(CWD, place.file(), FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
    let refused = Audit::open(place.settings()).expect_err("it has no reader");
    assert!(
        refused.to_string().contains("cannot be written"),
        "{refused}"
    );
    let reader = OpenOptions::new().read(true).write(true).open(place.file());
    let reader = reader.expect("a reader");
    let settings = Settings {
        full,
        ..place.settings()
    };
    (Audit::open(settings).expect("a log"), reader)
}

/// Reads a FIFO up to the record that says that it is the end.
fn read_to_the_end(mut reader: File) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let mut piece = [0; 1 << 16];
        let ends = |text: &[u8]| {
            let last = &text[text.len().saturating_sub(200)..];
            String::from_utf8_lossy(last).contains("the end")
        };
        while !(ends(&text) && text.ends_with(b"\n")) {
            let read = reader.read(&mut piece).expect("it reads");
            text.extend_from_slice(&piece[..read]);
        }
        text
    })
}

/// Reads a FIFO to its end, and finds a whole chain; what else it says.
fn read_chain(place: &Place, mut reader: impl Read) -> (Verified, String) {
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    let copy = place.0.path().join("copy");
    fs::write(&copy, &text).expect("a copy");
    (verify(&[copy]).expect("it holds together"), text)
}

#[test]
fn a_disk_that_stands_still_stops_new_commands_and_loses_none_under_way() {
    /// Records that a FIFO takes: 64 KiB of more than a hundred bytes each.
    const IN_THE_FIFO: usize = 656;
    let place = Place::new();
    let (audit, reader) = fifo(&place, Full::Refuse);
    let mut under_way = Vec::new();
    let begun = Instant::now();
    let refused = loop {
        match audit.reserve(100, 2) {
            Ok(places) => {
                places.begin(&outcome(under_way.len() as u64));
                under_way.push(places);
            }
            Err(refused) => break refused,
        }
        assert!(under_way.len() <= QUEUE_RECORDS + IN_THE_FIFO);
    };
    assert!(!refused.is_failing && under_way.len() >= QUEUE_RECORDS);
    for places in &under_way {
        places.go_on(&outcome(0));
        places.go_on(&outcome(0));
    }
    assert!(begun.elapsed() < PATIENCE / 2, "no call waits for the disk");
    assert!(!audit.settle(Duration::from_millis(50)), "nor does a wait");
    let copy = read_to_the_end(reader);
    assert!(audit.settle(PATIENCE));
    audit.note(&stop("the end"));
    let text = copy.join().expect("no panic");
    let (found, _) = read_chain(&place, &text[..]);
    assert_eq!(found.records, 3 * under_way.len() as u64 + 1);
}

#[test]
fn a_program_ends_in_time_while_its_disk_stands_still() {
    let place = Place::new();
    let (audit, _reader) = fifo(&place, Full::Drop);
    for n in 0..QUEUE_RECORDS as u64 {
        audit.reserve(1, 0).expect("it drops").begin(&outcome(n));
    }
    assert!(!audit.close(Duration::from_millis(50)));
}

#[test]
fn records_that_find_no_place_are_counted_in_a_gap() {
    let place = Place::new();
    let (audit, reader) = fifo(&place, Full::Drop);
    let commands = 2 * QUEUE_RECORDS as u64;
    for n in 0..commands {
        let places = audit.reserve(100, 1).expect("it runs all the same");
        places.begin(&outcome(n));
        places.go_on(&outcome(n));
    }
    let copy = read_to_the_end(reader);
    assert!(audit.settle(PATIENCE));
    audit.note(&stop("the end"));
    let text = copy.join().expect("no panic");
    let (found, text) = read_chain(&place, &text[..]);
    let gaps = text
        .lines()
        .filter(|line| line.contains(r#""reason":"dropped""#));
    let missing = gaps.map(|line| {
        let (_, rest) = line.split_once("\"records\":").expect("a count");
        rest.split(',')
            .next()
            .and_then(|n| n.parse::<u64>().ok())
            .expect("a number")
    });
    let missing: Vec<u64> = missing.collect();
    assert!(!missing.is_empty());
    let own = 1 + missing.len() as u64;
    assert_eq!(
        found.records - own + missing.iter().sum::<u64>(),
        2 * commands
    );
}

#[test]
fn a_pipe_that_closes_is_an_error_until_it_has_a_reader_again() {
    let place = Place::new();
    let (audit, reader) = fifo(&place, Full::Refuse);
    audit.note(&stop("before"));
    assert!(audit.settle(PATIENCE));
    drop(reader);
    audit.note(&stop("meanwhile"));
    assert!(!audit.settle(PATIENCE));
    assert!(audit.reserve(10, 0).is_err());
    let mut reader = OpenOptions::new()
        .read(true)
        .write(true)
        .open(place.file())
        .expect("it");
    until("it is written again", || audit.reserve(10, 0).is_ok());
    let mut piece = [0; 4096];
    let read = reader.read(&mut piece).expect("it reads");
    assert!(String::from_utf8_lossy(&piece[..read]).contains("meanwhile"));
}

#[test]
fn one_record_of_any_length_has_a_place_and_a_second_one_has_none() {
    let place = Place::new();
    let audit = place.open();
    let first = audit.reserve(2 * QUEUE_BYTES, 0).expect("nothing waits");
    let refused = audit.reserve(1, 0).expect_err("the queue is full");
    assert!(!refused.is_failing && refused.retry_after() < RETRY);
    drop(first);
    let many = audit
        .reserve(1, 2 * LATER_RECORDS)
        .expect("it is given back");
    assert!(audit.reserve(1, 1).is_err());
    drop(many);
    assert!(audit.reserve(1, 1).is_ok());
}

#[test]
fn no_command_waits_for_places_that_only_outcomes_free() {
    let place = Place::new();
    let audit = place.open();
    let _all = audit.reserve(1, LATER_RECORDS).expect("they are free");
    assert!(audit.is_crowded(), "what others are told goes out first");
    // The shortest of several, as the machine may be busy; what is written ends a vain wait.
    let waited = (0..5).map(|_| {
        note(&audit, 1);
        let began = Instant::now();
        assert!(audit.reserve(1, 1).is_err());
        began.elapsed()
    });
    let shortest = waited.min().expect("five");
    assert!(shortest < Duration::from_millis(50), "{shortest:?}");
}

#[test]
fn denials_of_one_address_are_counted_past_ten_a_second() {
    let place = Place::new();
    let audit = place.open();
    for _ in 0..500 {
        audit.deny(Denied {
            method: "join",
            reason: "unauthorized",
            rule: None,
            message: None,
            showed: None,
            who: None,
            address: "10.0.0.1:5".parse().expect("an address"),
            to: None,
            words: None,
        });
    }
    until("the rest is counted", || {
        place.content().contains("\"more\":")
    });
    let records = place
        .content()
        .lines()
        .filter(|l| l.contains("unauthorized"))
        .count();
    assert!((10..=20).contains(&records), "{records}");
    assert!(
        place
            .content()
            .contains(r#""type":"denied","from":"10.0.0.1","more":4"#)
    );
    place.verified();
}

#[test]
fn a_log_is_shown_by_who_what_and_when_with_nothing_that_steers_a_terminal() {
    let place = Place::new();
    let audit = place.open();
    let who = |identity, name| Who {
        identity: Some(identity),
        role: None,
        tier: None,
        member: 17,
        name,
        rank: Some(0),
        address: None,
        via: None,
    };
    audit.note(&Record::Cancel(Cancel {
        cmd: 1,
        who: who("alice", "a"),
        why: "\u{1b}[2J\u{202e}",
    }));
    audit.note(&Record::Cancel(Cancel {
        cmd: 2,
        who: who("bob", "b"),
        why: "x",
    }));
    audit.note(&outcome(3));
    audit.note(&Record::Outcome(Outcome {
        cmd: 4_u64.into(),
        member: None,
        name: Some("web2"),
        rank: None,
        status: Status::Lost,
        exit_code: None,
        signal: None,
        ms: None,
        bytes: None,
        message: Some("gone, it is"),
    }));
    assert!(audit.settle(PATIENCE));
    let shown = |filter: &show::Filter| {
        let mut out = Vec::new();
        show::show(&[place.file()], filter, &mut out).expect("it is shown");
        String::from_utf8(out).expect("text")
    };
    let all = shown(&show::Filter::default());
    assert_eq!(all.lines().count(), 4);
    assert!(all.contains("#1 a (alice, member 17, rank 0)"), "{all}");
    assert!(
        all.contains("\\x1b[2J\\u{202e}") && !all.contains('\u{1b}'),
        "{all}"
    );
    let some = Some;
    for (filter, lines) in [
        (
            show::Filter {
                identity: some("alice".into()),
                ..Default::default()
            },
            1,
        ),
        (
            show::Filter {
                name: some("b".into()),
                ..Default::default()
            },
            1,
        ),
        (
            show::Filter {
                name: some("web1".into()),
                ..Default::default()
            },
            1,
        ),
        (
            show::Filter {
                name: some("web".into()),
                ..Default::default()
            },
            0,
        ),
        (
            show::Filter {
                failed: true,
                ..Default::default()
            },
            1,
        ),
        (
            show::Filter {
                since: show::since("1h").ok(),
                ..Default::default()
            },
            4,
        ),
        (
            show::Filter {
                since: show::since("2999-01-01").ok(),
                ..Default::default()
            },
            0,
        ),
    ] {
        assert_eq!(shown(&filter).lines().count(), lines, "{filter:?}");
    }
    for wrong in ["", "soon", "2026-13-01"] {
        assert!(show::since(wrong).is_err(), "{wrong}");
    }
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

#[test]
fn a_disk_that_syncs_slowly_holds_nothing_up_and_one_that_fails_to_stops_commands() {
    let place = Place::new();
    let (tell, told) = crossbeam_channel::bounded::<bool>(0);
    let sync = move |_: &File| match told.recv() {
        Ok(false) => Err(std::io::Error::other("a bad block")),
        _ => Ok(()),
    };
    let audit = Audit::open_synced_by(place.settings(), sync).expect("a log");
    for n in 0..3 * QUEUE_RECORDS as u64 {
        // On a busy machine the queue may be full for longer than a command waits.
        until("it is written", || {
            let places = audit.reserve(100, 0);
            places.is_ok_and(|places| {
                places.begin(&outcome(n));
                true
            })
        });
    }
    assert!(audit.settle(PATIENCE), "while the first sync is under way");
    tell.send(false).expect("the sync waits");
    until("commands are refused", || audit.reserve(1, 0).is_err());
    tell.send_timeout(true, PATIENCE)
        .expect("it is tried again");
    until("commands are taken", || audit.reserve(1, 0).is_ok());
    drop(tell);
    assert!(audit.close(PATIENCE));
    assert_eq!(place.verified().records, 3 * QUEUE_RECORDS as u64);
}
