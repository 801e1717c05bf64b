//! Pushing lines and writing them to a loopback socket that is read all the time, by one,
//! two and eight threads at once.

use common::memory::{Charge, Memory};
use common::net::listener::Listener;
use common::net::outbox::{Line, Outbox};
use common::net::stream::Stream;
use common::sys::sync::Arc;
use divan::Bencher;
use divan::counter::ItemsCount;
use std::io::Read;
use std::thread::JoinHandle;
use std::time::Duration;

fn main() {
    divan::main();
}

const LINE: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":12345,\"result\":{\"member\":2,\"name\":\"web1\",\"rank\":1,\"status\":\"done\",\"exit_code\":0,\"stdout\":\"0123456789abcdef\",\"elapsed_ms\":0}}\n";

/// Lines that one batch of input causes, where there is much to do.
const BATCH: usize = 64;

/// An outbox, and a thread that reads what it writes.
struct Pair {
    outbox: Arc<Outbox>,
    reader: Option<JoinHandle<()>>,
}

impl Pair {
    fn new() -> Pair {
        let (listener, _waker) = Listener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.address().to_string();
        let far = Stream::connect(&address, Duration::from_secs(5)).expect("loopback");
        let near = listener.accept().expect("loopback").expect("not woken");
        let reader = std::thread::spawn(move || {
            let mut sink = vec![0; 256 << 10];
            while matches!((&far).read(&mut sink), Ok(1..)) {}
        });
        Pair {
            outbox: Arc::new(Outbox::new(Arc::new(near), None, Memory::unlimited())),
            reader: Some(reader),
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.outbox.close();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// Each thread pushes a batch of lines and flushes it, as a session does.
fn push_and_drain(bencher: Bencher<'_, '_>, batch: usize) {
    let pair = Pair::new();
    bencher.counter(ItemsCount::new(batch)).bench(|| {
        pair.outbox.wait_for_room();
        for _ in 0..batch {
            assert!(pair.outbox.push(LINE.to_vec()));
        }
        pair.outbox.flush();
    });
}

#[divan::bench(threads = [1, 2, 8])]
fn line_by_line(bencher: Bencher<'_, '_>) {
    push_and_drain(bencher, 1);
}

#[divan::bench(threads = [1, 2, 8])]
fn in_batches(bencher: Bencher<'_, '_>) {
    push_and_drain(bencher, BATCH);
}

/// Without the socket's part: a line that goes to many is queued for each of them.
#[divan::bench]
fn push_alone(bencher: Bencher<'_, '_>) {
    let pair = Pair::new();
    let line = Line::shared(LINE.to_vec(), Charge::default());
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        if !pair.outbox.push(line.clone()) {
            panic!("it takes lines");
        }
        if pair.outbox.is_over_half() {
            pair.outbox.flush();
            pair.outbox.wait_for_room();
        }
    });
}
