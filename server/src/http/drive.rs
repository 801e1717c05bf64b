//! Drives hyper's state machine for one connection: the thread asks it to go on, and when it cannot,
//! waits in `poll(2)` for what it lacks. There is no runtime, and no other thread wakes this one: what
//! depends on time says when it wants to be asked again.

use super::connections::Visit;
use crate::timers::timer_queue::TimerQueue;
use common::net::stream::Stream;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

/// Bytes of a request's head, which is all that is kept of a request, and of an answer that hyper
/// copies together: what browsers send, several times over.
const MOST_BUFFERED: usize = 16 << 10;

/// Headers of a request: browsers send some twenty.
const MOST_HEADERS: usize = 64;

/// Bytes that are read at a time: most requests, whole.
const READ: usize = 4 << 10;

/// What a connection waits for, as the parts of it say while they are asked to go on.
#[derive(Default)]
pub(super) struct Wants {
    input: Cell<bool>,
    output: Cell<bool>,
    at: Cell<Option<Instant>>,
}

impl Wants {
    /// Asks to be asked again at a time.
    pub(super) fn at(&self, at: Instant) {
        let earlier = self.at.get().is_none_or(|other| at < other);
        if earlier {
            self.at.set(Some(at));
        }
    }

    /// Waits until a time.
    pub(super) async fn until(&self, at: Instant) {
        poll_fn(|_| {
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            self.at(at);
            Poll::Pending
        })
        .await;
    }
}

/// What an answer says after its head.
pub(super) enum Answer {
    Whole(Option<Bytes>),
    /// Frames without an end; `None`: none now.
    Frames(Box<dyn FnMut() -> Option<Bytes>>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Answer::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Answer::Frames(next) => match next() {
                Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                None => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Answer::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            Answer::Frames(_) => SizeHint::default(),
        }
    }
}

/// Answers the requests of one connection until it ends.
pub(super) fn serve<F: Future<Output = Response<Answer>>>(
    visit: &Visit,
    timers: &TimerQueue,
    wants: &Rc<Wants>,
    answer: impl Fn(Request<Incoming>) -> F,
) {
    let io = Io {
        stream: &visit.stream,
        visit,
        timers,
        wants: Rc::clone(wants),
    };
    let service = service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .max_buf_size(MOST_BUFFERED)
        .max_headers(MOST_HEADERS)
        .serve_connection(io, service);
    if let Err(e) = run(connection, &visit.stream, wants) {
        log::debug!("http: {}: {e}", visit.stream.peer());
    }
}

/// Asks a connection to go on until it has ended.
fn run(
    connection: impl Future<Output = Result<(), hyper::Error>>,
    stream: &Stream,
    wants: &Wants,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut connection = pin!(connection);
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    loop {
        wants.input.set(false);
        wants.output.set(false);
        wants.at.set(None);
        if let Poll::Ready(ended) = connection.as_mut().poll(&mut context) {
            return Ok(ended?);
        }
        if woken.0.swap(false, Ordering::Relaxed) {
            // It has more to do, and only let others have their turn.
            continue;
        }
        let left = |at: Instant| at.saturating_duration_since(Instant::now());
        let timeout = wants.at.get().map(left);
        stream.wait_ready(wants.input.get(), wants.output.get(), timeout)?;
    }
}

/// Notes that a state machine wants to be asked again at once.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection as hyper reads and writes it.
struct Io<'a> {
    stream: &'a Stream,
    visit: &'a Visit,
    timers: &'a TimerQueue,
    wants: Rc<Wants>,
}

impl Read for Io<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = [0; READ];
        let most = into.remaining().min(READ);
        match self.stream.read_now(&mut bytes[..most]) {
            Ok(read) => {
                into.put_slice(&bytes[..read]);
                Poll::Ready(Ok(()))
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                self.wants.input.set(true);
                Poll::Pending
            }
            Err(e) => Poll::Ready(Err(e)),
        }
    }
}

impl Write for Io<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.stream.write_now(bytes) {
            Ok(0) if !bytes.is_empty() => {
                self.wants.output.set(true);
                Poll::Pending
            }
            Ok(written) => {
                self.visit.take(self.timers.now());
                Poll::Ready(Ok(written))
            }
            Err(e) => Poll::Ready(Err(e)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stream.owes() {
            // Of an encrypted connection something may be left that was taken.
            self.stream.write_now(&[])?;
        }
        match self.stream.owes() {
            true => {
                self.wants.output.set(true);
                Poll::Pending
            }
            false => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stream.shutdown_write() {
            true => Poll::Ready(Ok(())),
            false => {
                self.wants.output.set(true);
                Poll::Pending
            }
        }
    }
}
