//! A log that is full, stands still or takes nothing: what that stops, and what is missing then.

use super::*;
use rustix::fs::{CWD, FileType, mknodat};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::thread::JoinHandle;

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
    (verify(&[copy], None).expect("it holds together"), text)
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
fn a_disk_that_syncs_slowly_holds_nothing_up_and_one_that_fails_to_stops_commands() {
    /// More than the queue takes twice: once before the first sync, and once again.
    const RECORDS: u64 = 2 * QUEUE_RECORDS as u64 + 100;
    let place = Place::new();
    let (tell, told) = crossbeam_channel::bounded::<bool>(0);
    let sync = move |_: &File| match told.recv() {
        Ok(false) => Err(std::io::Error::other("a bad block")),
        _ => Ok(()),
    };
    let audit = Audit::open_synced_by(place.settings(), sync).expect("a log");
    for n in 0..RECORDS {
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
    assert_eq!(place.verified().records, RECORDS);
}
