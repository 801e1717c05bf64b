//! Splitting bytes into lines: in bursts, very long ones, and byte by byte.

use common::limits::MAX_LINE;
use common::net::line_reader::LineReader;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use std::io::Read;

fn main() {
    divan::main();
}

/// A stream that gives at most so many bytes at a time.
struct Pieces<'a> {
    bytes: &'a [u8],
    size: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let n = self.size.min(into.len()).min(self.bytes.len());
        into[..n].copy_from_slice(&self.bytes[..n]);
        self.bytes = &self.bytes[n..];
        Ok(n)
    }
}

/// Reads everything; how many lines that was.
fn read(reader: &mut LineReader, bytes: &[u8], size: usize) -> usize {
    let mut stream = Pieces { bytes, size };
    let mut lines = 0;
    while reader.fill(&mut stream).expect("memory never fails") > 0 {
        while reader.next_line().expect("no line is too long").is_some() {
            lines += 1;
        }
    }
    lines
}

fn bench(bencher: Bencher<'_, '_>, bytes: &[u8], size: usize) {
    let mut reader = LineReader::new(MAX_LINE);
    let lines = read(&mut reader, bytes, size);
    assert!(lines > 0);
    bencher
        .counter(ItemsCount::new(lines))
        .counter(BytesCount::of_slice(bytes))
        .bench_local(|| read(&mut reader, black_box(bytes), size));
}

const SHORT: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":12345,\"result\":{\"exit_code\":0,\"stdout\":\"0123456789abcdef\"}}\n";

#[divan::bench]
fn many_short(bencher: Bencher<'_, '_>) {
    bench(bencher, &SHORT.repeat(1000), usize::MAX);
}

/// As one at a time comes from a socket.
#[divan::bench]
fn one_short(bencher: Bencher<'_, '_>) {
    bench(bencher, SHORT, usize::MAX);
}

/// In pieces of the size that the buffer grows to for throughput.
#[divan::bench]
fn one_mebibyte(bencher: Bencher<'_, '_>) {
    let mut line = vec![b'x'; MAX_LINE];
    line[MAX_LINE - 1] = b'\n';
    bench(bencher, &line, 64 << 10);
}

#[divan::bench]
fn trickle(bencher: Bencher<'_, '_>) {
    bench(bencher, &SHORT.repeat(10), 1);
}
