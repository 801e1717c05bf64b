//! What is on record, how often, and how it is shown.

use super::super::record::{Cancel, Denied, Who};
use super::*;

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
