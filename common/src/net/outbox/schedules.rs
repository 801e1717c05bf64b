//! The outbox under schedules that an explorer chooses: the thread that pushes also drains, a
//! thread catches up if the peer is slow, and no line is lost in any order of the threads.

use super::*;
use crate::memory::Charge;
use shuttle::thread;
use std::io::Read;

/// Schedules of each scene, unless `SCHEDULES` says otherwise.
const SCHEDULES: usize = 400;

/// Room for less than two lines, so that a writer has to come back.
const ROOM: usize = 6;

/// The lines of each pusher: its letter, and their place.
const LINES: [[&str; 2]; 2] = [["a0\n", "a1\n"], ["b0\n", "b1\n"]];

fn explore(scene: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("SCHEDULES").ok();
    let schedules = schedules.map_or(SCHEDULES, |n| n.parse().expect("SCHEDULES is a number"));
    // Half of them by chance, half with few changes of thread, which finds what chance does not.
    let scene = Arc::new(scene);
    let other = Arc::clone(&scene);
    shuttle::check_random(move || scene(), schedules.div_ceil(2));
    shuttle::check_pct(move || other(), schedules / 2, 3);
}

fn pair(farewell: Option<fn() -> Vec<u8>>) -> (Arc<Outbox>, Stream) {
    let (near, far) = Stream::pair(ROOM);
    (
        Arc::new(Outbox::new(Arc::new(near), farewell, Memory::unlimited())),
        far,
    )
}

/// Threads that push and flush.
fn pushers(outbox: &Arc<Outbox>) -> Vec<thread::JoinHandle<usize>> {
    let push = |lines: [&'static str; 2]| {
        let outbox = Arc::clone(outbox);
        thread::spawn(move || {
            let push = |line: &&str| outbox.push(line.as_bytes().to_vec());
            let taken = lines.iter().take_while(|line| {
                let taken = push(line);
                outbox.flush();
                taken
            });
            taken.count()
        })
    };
    LINES.map(push).into()
}

fn read_to_end(mut far: &Stream) -> String {
    let mut all = Vec::new();
    far.read_to_end(&mut all).expect("memory never fails");
    String::from_utf8(all).expect("lines are UTF-8")
}

/// Checks that the lines of each pusher are whole, in order, and from the first on; returns how
/// many came of each.
fn lines_of_each(text: &str) -> [usize; 2] {
    let mut count = [0; 2];
    for line in text.split_inclusive('\n') {
        let of = usize::from(line.starts_with('b'));
        assert_eq!(LINES[of].get(count[of]), Some(&line), "in {text:?}");
        count[of] += 1;
    }
    count
}

#[test]
fn lines_of_several_pushers_all_arrive_in_order() {
    explore(|| {
        let (outbox, far) = pair(None);
        let pushers = pushers(&outbox);
        // It is not finished: what was pushed has to come by itself.
        let mut all = [0; 12];
        (&far).read_exact(&mut all).expect("all lines come");
        assert_eq!(
            lines_of_each(std::str::from_utf8(&all).expect("UTF-8")),
            [2, 2]
        );
        for pusher in pushers {
            assert_eq!(pusher.join().expect("no panic"), 2);
        }
        outbox.close();
        assert_eq!(read_to_end(&far), "");
        assert!(!outbox.is_behind());
    });
}

#[test]
fn lines_pushed_before_the_end_arrive_before_it() {
    explore(|| {
        let (outbox, far) = pair(None);
        let pushers = pushers(&outbox);
        let finishing = Arc::clone(&outbox);
        let finishes = thread::spawn(move || {
            finishing.finish_with(b"bye\n".to_vec());
            finishing.flush();
        });
        let all = read_to_end(&far);
        let lines = all
            .strip_suffix("bye\n")
            .unwrap_or_else(|| panic!("in {all:?}"));
        let came = lines_of_each(lines);
        finishes.join().expect("no panic");
        for (of, pusher) in pushers.into_iter().enumerate() {
            // One that was pushed as it finished may have come too late, and is told so or not.
            let taken = pusher.join().expect("no panic");
            assert!(
                came[of] <= taken && taken <= came[of] + 1,
                "{came:?} in {all:?}"
            );
        }
        outbox.close();
    });
}

#[test]
fn a_peer_that_does_not_keep_up_gets_whole_lines_and_at_most_the_last_words() {
    explore(|| {
        let (outbox, far) = pair(Some(|| b"!\n".to_vec()));
        let pushers = pushers(&outbox);
        let overflowing = Arc::clone(&outbox);
        let overflows = thread::spawn(move || {
            // It is only counted, never copied.
            let too_much = Line::shared(vec![0; OUTBOX_BYTES + 1], Charge::default());
            assert!(!overflowing.push(too_much));
            overflowing.push(b"x\n".to_vec());
            overflowing.flush();
        });
        for pusher in pushers {
            pusher.join().expect("no panic");
        }
        overflows.join().expect("no panic");
        outbox.flush();
        outbox.close();
        assert!(!outbox.is_open());
        let all = read_to_end(&far);
        let lines = all.strip_suffix("!\n").unwrap_or(&all);
        // The system holds no more than `ROOM`, so the last line may be cut there.
        let whole = lines.rfind('\n').map_or(0, |at| at + 1);
        lines_of_each(&lines[..whole]);
        // What waited is let go of; what was pushed at that very moment goes with the outbox.
        assert!(outbox.waiting.len() <= LINES.len());
    });
}

#[test]
fn closing_ends_all_that_is_under_way() {
    explore(|| {
        let (outbox, far) = pair(None);
        let pushers = pushers(&outbox);
        let closing = Arc::clone(&outbox);
        let closes = thread::spawn(move || closing.close());
        let all = read_to_end(&far);
        let whole = all.rfind('\n').map_or(0, |at| at + 1);
        lines_of_each(&all[..whole]);
        for pusher in pushers {
            pusher.join().expect("no panic");
        }
        closes.join().expect("no panic");
        assert!(!outbox.push(b"late\n".to_vec()));
    });
}
