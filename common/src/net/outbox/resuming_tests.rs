//! An outbox that outlives its connections.

use super::tests::{pair, streams};
use super::*;
use proptest::prelude::*;
use std::io::{ErrorKind, Read};
use std::time::Instant;

fn ack(received: u64) -> Vec<u8> {
    format!("ack {received}\n").into_bytes()
}

/// A line that says its number, and is as long as it is told.
fn line(number: usize, length: usize) -> Vec<u8> {
    let mut line = format!("{number} ").into_bytes();
    line.resize(line.len().max(length), b'x');
    line.push(b'\n');
    line
}

/// The other end: what it has received over all connections.
#[derive(Default)]
struct Peer {
    lines: Vec<Vec<u8>>,
    partial: Vec<u8>,
    acks: Vec<Vec<u8>>,
}

impl Peer {
    fn received(&self) -> u64 {
        self.lines.len() as u64
    }

    /// Reads so many bytes, or to the end.
    fn read(&mut self, mut stream: &Stream, bytes: usize) {
        let mut input = vec![0; bytes];
        let mut read = 0;
        while read < bytes {
            match stream.read(&mut input[read..]) {
                Ok(0) | Err(_) => break,
                Ok(more) => read += more,
            }
        }
        for part in input[..read].split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial);
                match line.starts_with(b"a") {
                    true => self.acks.push(line),
                    false => self.lines.push(line),
                }
            }
        }
    }

    /// The connection has ended, and with it the line that has begun.
    fn cut(&mut self) {
        self.partial.clear();
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A line of so many bytes is pushed.
    Push(usize),
    Flush,
    /// The peer acknowledges all but so many of the lines that it has.
    Acknowledge(u64),
    /// This end acknowledges something.
    Say,
    /// The connection breaks after the peer has read so many bytes of what is written.
    Cut(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![9 => 1..200usize, 2 => 1..80_000usize];
    prop_oneof![
        8 => length.prop_map(Step::Push),
        3 => Just(Step::Flush),
        2 => (0..3u64).prop_map(Step::Acknowledge),
        1 => Just(Step::Say),
        2 => (0..100_000usize).prop_map(Step::Cut),
    ]
}

/// Brings a new connection in the place of one that broke after so many bytes.
fn cut(outbox: &Arc<Outbox>, far: &mut Stream, peer: &mut Peer, bytes: usize) {
    outbox.flush();
    std::thread::scope(|scope| {
        // What is written beyond that is lost with the connection.
        let reading = scope.spawn(|| peer.read(far, bytes));
        outbox.break_off(Cut::Broken);
        reading.join().expect("no panic");
    });
    peer.cut();
    let (near, next) = streams();
    assert!(outbox.resume(&near, peer.received(), b"answer\n", Instant::now()));
    *far = next;
    outbox.flush();
    let mut answer = [0; 7];
    (&*far).read_exact(&mut answer).expect("an answer first");
    assert_eq!(&answer, b"answer\n");
}

fn every_line_arrives_once_and_in_order(steps: Vec<Step>) {
    let (outbox, mut far) = pair(None);
    outbox.push(b"welcome\n".to_vec());
    outbox.keep(ack);
    outbox.flush();
    let mut welcome = [0; 8];
    (&far).read_exact(&mut welcome).expect("a welcome");
    let (mut peer, mut pushed, mut said) = (Peer::default(), Vec::new(), 0);
    for step in steps {
        match step {
            Step::Push(length) => {
                pushed.push(line(pushed.len(), length));
                assert!(outbox.push(pushed[pushed.len() - 1].clone()));
            }
            Step::Flush => outbox.flush(),
            Step::Acknowledge(less) => outbox.acknowledge(peer.received().saturating_sub(less)),
            Step::Say => {
                said += 1;
                outbox.say_received(said);
            }
            Step::Cut(bytes) => cut(&outbox, &mut far, &mut peer, bytes),
        }
    }
    outbox.say_received(said + 1);
    outbox.finish();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| peer.read(&far, usize::MAX >> 34));
        outbox.flush();
        reading.join().expect("no panic");
    });
    assert!(
        peer.lines == pushed,
        "{} of {}",
        peer.received(),
        pushed.len()
    );
    assert!(peer.acks.last() == Some(&ack(said + 1)));
    outbox.close();
    assert_eq!(outbox.kept(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_at_any_byte_loses_no_line_and_repeats_none(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        every_line_arrives_once_and_in_order(steps);
    }
}

#[test]
fn an_acknowledgement_that_cannot_be_is_ignored() {
    let (outbox, far) = pair(None);
    outbox.keep(ack);
    for number in 0..4 {
        outbox.push(line(number, 10));
    }
    outbox.flush();
    for (received, acknowledged) in [
        (5, 0),
        (u64::MAX, 0),
        (2, 2),
        (1, 2),
        (5, 2),
        (2, 2),
        (4, 4),
    ] {
        outbox.acknowledge(received);
        assert_eq!(outbox.acknowledged(), acknowledged, "{received}");
    }
    assert!(!outbox.is_unacknowledged());
    assert!(
        role(&outbox.writer).kept.is_none(),
        "an idle peer needs nothing"
    );
    outbox.unplug(Cut::Broken);
    let (near, _next) = streams();
    for received in [0, 3, 5] {
        assert!(
            !outbox.resume(&near, received, b"", Instant::now()),
            "{received}"
        );
    }
    assert!(outbox.resume(&near, 4, b"", Instant::now()));
    drop(far);
    outbox.close();
}

#[test]
fn a_peer_that_never_acknowledges_does_not_keep_up() {
    for length in [10, 1 << 20] {
        let (outbox, far) = pair(None);
        outbox.keep(ack);
        let (reading, of_reader) = (Arc::clone(&outbox), far);
        let reader = std::thread::spawn(move || {
            Peer::default().read(&of_reader, usize::MAX >> 34);
            drop(reading);
        });
        let most = (OUTBOX_LINES + 1).min(OUTBOX_BYTES / length + 1);
        let pushed = (0..2 * most).take_while(|number| {
            let taken = outbox.push(line(*number, length));
            // What is pushed without a pause goes out together.
            if length > 10 || number % 64 == 0 {
                outbox.flush();
                outbox.settle();
            }
            taken
        });
        let pushed = pushed.count();
        assert!(outbox.was_too_slow());
        assert!(pushed.abs_diff(most) <= 2, "{pushed} of {most}");
        outbox.close();
        reader.join().expect("no panic");
    }
}

#[test]
fn a_reset_is_a_reset_whichever_direction_is_told_of_it() {
    for (kind, met_later, is_broken) in [
        // One direction is told of a reset, the other one then that nothing can be written.
        (ErrorKind::BrokenPipe, ErrorKind::ConnectionReset, true),
        (ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, true),
        (ErrorKind::BrokenPipe, ErrorKind::TimedOut, false),
    ] {
        let (outbox, _far) = pair(None);
        outbox.keep(ack);
        assert!(!outbox.is_broken());
        outbox.fail(&kind.into());
        outbox.fail(&met_later.into());
        assert_eq!(outbox.is_broken(), is_broken, "{kind}, {met_later}");
    }
}

#[test]
fn lines_wait_while_there_is_no_connection_up_to_the_bound() {
    let (outbox, _far) = pair(None);
    outbox.keep(ack);
    assert_eq!(outbox.unplug(Cut::Broken), Cut::Broken);
    assert_eq!(outbox.unplug(Cut::Ended), Cut::Broken, "what was met first");
    let pushed = (0..).take_while(|number| {
        let taken = outbox.push(line(*number, 1));
        outbox.flush();
        taken
    });
    let pushed = pushed.count();
    assert!(pushed >= OUTBOX_LINES, "{pushed}");
    outbox.flush();
    let (near, _next) = streams();
    assert!(
        !outbox.resume(&near, 0, b"", Instant::now()),
        "lines were lost"
    );
    outbox.close();
    assert_eq!(outbox.kept(), 0);
}
