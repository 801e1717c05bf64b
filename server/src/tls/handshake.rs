//! Handshakes: the thread of a connection waits for its bytes, and a few threads that all
//! connections share calculate. So the stack that this takes is theirs, and clients that have not
//! joined never take more of the processor than these threads have.

use super::certificates::Certificates;
use crate::connection::Connection;
use common::net::tls::certificate::{self, NoIdentity};
use common::net::tls::handshake::{Answered, HandshakeError, Hello, Told};
use common::sys::sync::Arc;
use common::sys::thread::{self, JoinHandle};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use rustls::ServerConfig;
use std::io;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::available_parallelism;

/// A step to calculate; `None` ends the thread that receives it.
type Step = Option<Box<dyn FnOnce() + Send>>;

/// The threads that calculate handshakes.
pub(crate) struct Calculators {
    steps: Sender<Step>,
    received: Receiver<Step>,
}

/// The running threads; dropping it ends them once they have done what waits for them.
pub(crate) struct Running<'a> {
    calculators: &'a Calculators,
    threads: Vec<JoinHandle<()>>,
}

/// Why a connection is not encrypted, or is and may not join.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// The handshake.
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    /// The client's certificate gives no identity.
    #[error("{0}")]
    Identity(#[from] NoIdentity),
}

impl Calculators {
    pub(crate) fn new() -> Calculators {
        let (steps, received) = unbounded();
        Calculators { steps, received }
    }

    /// Starts the threads: half as many as there are processors, so that the other half is left
    /// to members whatever strangers ask for.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(crate) fn start(&self) -> io::Result<Running<'_>> {
        let processors = available_parallelism().map_or(1, NonZero::get);
        let mut running = Running {
            calculators: self,
            threads: Vec::new(),
        };
        for _ in 0..(processors / 2).max(1) {
            let steps = self.received.clone();
            let thread = thread::spawn("handshake", move || calculate(&steps))?;
            running.threads.push(thread);
        }
        Ok(running)
    }

    /// Has another thread calculate something, and waits for it.
    fn run<T: Send + 'static>(&self, step: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (done, result) = bounded(1);
        // This end holds a receiver, so the channel is never closed.
        let _ = self
            .steps
            .send(Some(Box::new(move || drop(done.send(step())))));
        let ended = |_| io::Error::other("the thread that calculates has ended");
        result.recv().map_err(ended)
    }

    /// Does the handshake of a connection, whose deadline is the caller's matter; the identity of
    /// the client's certificate, if it shows one. `greeted` hears of a client that has said all
    /// that a client of this protocol says first.
    ///
    /// # Errors
    /// The client was told why, as far as TLS has words for it.
    pub(crate) fn encrypt(
        &self,
        connection: &Connection,
        certificates: &Certificates,
        greeted: impl FnOnce(),
    ) -> Result<Option<Box<str>>, Failed> {
        let stream = &connection.stream;
        let hello = Hello::receive(stream)?;
        if hello.names_protocol() {
            greeted();
        }
        let config = certificates.current();
        let tell = |told: Told| told.tell(stream);
        let mut answered = self.answer(hello, config)?.map_err(tell)?;
        while let Some(bytes) = answered.exchange(stream)? {
            let next = self.run(move || answered.take(&bytes));
            answered = next.map_err(HandshakeError::Io)?.map_err(tell)?;
        }
        let identity = answered.certificate().map(certificate::identity);
        answered.finish(stream)?;
        Ok(identity.transpose()?)
    }

    fn answer(
        &self,
        hello: Hello,
        config: Arc<ServerConfig>,
    ) -> Result<Result<Answered, Told>, HandshakeError> {
        let answered = self.run(move || hello.answer(config));
        answered.map_err(HandshakeError::Io)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        for _ in &self.threads {
            let _ = self.calculators.steps.send(None);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn calculate(steps: &Receiver<Step>) {
    while let Ok(Some(step)) = steps.recv() {
        // The connection that waits for it hears of it, as its result is dropped.
        if catch_unwind(AssertUnwindSafe(step)).is_err() {
            log::error!("a TLS handshake panicked");
        }
    }
}
