//! Handshakes: the thread of a connection waits for its bytes, and a few threads that all
//! connections share calculate. So the stack that this takes is theirs, and clients that have not
//! joined never take more of the processor than these threads have.

use super::certificates::Certificates;
use crate::connection::Connection;
use common::net::stream::Stream;
use common::net::tls::ALPN;
use common::net::tls::certificate::{self, NoIdentity};
use common::net::tls::handshake::{Handshake, HandshakeError, is_hello, receive_records};
use common::sys::sync::atomic::{AtomicBool, Ordering};
use common::sys::sync::{Arc, Condvar, Mutex, lock, wait};
use common::sys::thread::{self, JoinHandle};
use crossbeam_channel::{Receiver, Sender, unbounded};
use rustls::ServerConfig;
use std::io;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::available_parallelism;

/// Pieces in which a client may say what it has to say in a handshake: two flights, and as many
/// packets of each as the longest certificates take.
const MOST_FLIGHTS: usize = 32;

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

/// What a step comes to. A handshake that failed may have something to tell its client.
type Stepped = (Box<Handshake>, Result<(), HandshakeError>);

impl Calculators {
    pub(crate) fn new() -> Calculators {
        let (steps, received) = unbounded();
        Calculators { steps, received }
    }

    /// Starts the threads: half as many as there are processors, so that the other half is left
    /// to members, with any number of unjoined clients.
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
        let mut greeted = Some(greeted);
        let hears = |bytes: &[u8]| {
            if let Some(greeted) = greeted.take()
                && is_hello(bytes)
            {
                greeted();
            }
        };
        let handshake = self.handshake(stream, || certificates.current(), hears)?;
        let identity = handshake.certificate().map(certificate::identity);
        handshake.finish(stream, |named| named == Some(ALPN))?;
        Ok(identity.transpose()?)
    }

    /// Does a handshake up to its end, which says of which protocol the client is. `hears` is given
    /// what the client says.
    ///
    /// # Errors
    /// The client was told why, as far as TLS has words for it.
    pub(crate) fn handshake(
        &self,
        stream: &Stream,
        config: impl Fn() -> Arc<ServerConfig>,
        mut hears: impl FnMut(&[u8]),
    ) -> Result<Box<Handshake>, HandshakeError> {
        let mut handshake: Box<Handshake> = Box::default();
        for flight in 0..MOST_FLIGHTS {
            if !handshake.goes_on() {
                break;
            }
            let bytes = receive_records(stream, flight == 0)?;
            hears(&bytes);
            let stepped;
            (handshake, stepped) = self.step(handshake, bytes, config());
            // An alert, if it failed.
            let sent = handshake.send(stream);
            stepped.and(sent)?;
        }
        Ok(handshake)
    }

    /// Has another thread go on with a handshake, and waits for it.
    fn step(
        &self,
        mut handshake: Box<Handshake>,
        bytes: Vec<u8>,
        config: Arc<ServerConfig>,
    ) -> Stepped {
        let slot = Arc::new(Slot::default());
        let done = Done(Arc::clone(&slot));
        // This end holds a receiver, so the channel is never closed.
        let _ = self.steps.send(Some(Box::new(move || {
            let result = handshake.take(&bytes, &config);
            *lock(&done.0.stepped) = Some((handshake, result));
        })));
        slot.wait().unwrap_or_else(|| {
            let panicked = io::Error::other("the handshake panicked");
            (Box::default(), Err(panicked.into()))
        })
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
        // The connection that waits for it hears of it, as its end of the slot is dropped.
        if catch_unwind(AssertUnwindSafe(step)).is_err() {
            log::error!("a TLS handshake panicked");
        }
    }
}

/// Where the result of a step comes. It is small: what a channel takes from the allocator would
/// stay with the thread of the connection.
#[derive(Default)]
struct Slot {
    stepped: Mutex<Option<Stepped>>,
    is_done: AtomicBool,
    changed: Condvar,
}

/// The other end of it, which says that it is done however that ends.
struct Done(Arc<Slot>);

impl Slot {
    fn wait(&self) -> Option<Stepped> {
        let mut stepped = lock(&self.stepped);
        while !self.is_done.load(Ordering::Acquire) {
            stepped = wait(&self.changed, stepped);
        }
        stepped.take()
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        let stepped = lock(&self.0.stepped);
        self.0.is_done.store(true, Ordering::Release);
        drop(stepped);
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_panics_is_told_to_the_connection_that_waits_for_it() {
        let slot = Arc::new(Slot::default());
        let done = Done(Arc::clone(&slot));
        let panics = move || {
            let _done = done;
            panic!("on purpose");
        };
        let (steps, received) = unbounded::<Step>();
        steps.send(Some(Box::new(panics))).expect("it is open");
        steps.send(None).expect("it is open");
        std::thread::scope(|scope| {
            scope.spawn(|| calculate(&received));
            assert!(slot.wait().is_none());
        });
    }
}
