//! A thread that serves many clients, each as soon as there is something to do for it.

use super::endpoint::ConnectionLost;
use super::peer::{Peer, Role};
use super::report::Counts;
use super::sender::Budget;
use common::limits::LINGER;
use common::sys::sync::Arc;
use common::sys::thread;
use crossbeam_channel::{Receiver, Sender, unbounded};
use mio::{Events, Poll, Token, Waker};
use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Connections that one look at the poller tells of.
const EVENTS: usize = 256;

/// How often it is looked at whether a sender has waited for too long.
const TICK: Duration = Duration::from_secs(1);

/// The token of the one who gives orders; the others are those of clients.
const ORDERS: Token = Token(usize::MAX);

/// What a driver is told.
pub(super) enum DriverOrder {
    /// To serve these as well.
    Add(Vec<Peer>),
    /// To have each sender send this much.
    Start(Budget),
    /// To leave, and to end.
    Stop,
}

/// What a driver tells.
pub(super) enum DriverEvent {
    /// All of its senders have done what they were started for.
    Done,
    /// The server is gone, and why.
    Lost(String),
}

/// A driver as whoever gives it orders has it. Dropping it ends it.
pub(super) struct DriverHandle {
    orders: Sender<DriverOrder>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<Counts>>,
}

impl DriverHandle {
    /// Starts a driver. It tells of its end, and of that of each run.
    pub(super) fn start(told: Sender<DriverEvent>) -> io::Result<DriverHandle> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), ORDERS)?);
        let (orders, received) = unbounded();
        let driver = Driver {
            poll,
            orders: received,
            told,
            peers: Vec::new(),
            is_started: false,
        };
        let thread = Some(thread::spawn("load", move || driver.run())?);
        Ok(DriverHandle {
            orders,
            waker,
            thread,
        })
    }

    /// Gives an order.
    pub(super) fn order(&self, order: DriverOrder) {
        // Where it has ended it has told why.
        let _ = self.orders.send(order);
        let _ = self.waker.wake();
    }

    /// Has it leave and end; what its senders counted.
    pub(super) fn stop(mut self) -> Counts {
        self.end()
    }

    fn end(&mut self) -> Counts {
        self.order(DriverOrder::Stop);
        let ended = self.thread.take().map(JoinHandle::join);
        match ended {
            Some(Ok(counts)) => counts,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Counts::default(),
        }
    }
}

impl Drop for DriverHandle {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end();
        }
    }
}

struct Driver {
    poll: Poll,
    orders: Receiver<DriverOrder>,
    told: Sender<DriverEvent>,
    peers: Vec<Peer>,
    /// Whether senders are to be started, or run.
    is_started: bool,
}

impl Driver {
    fn run(mut self) -> Counts {
        if let Err(ConnectionLost(why)) = self.serve() {
            let _ = self.told.send(DriverEvent::Lost(why));
        }
        self.leave()
    }

    /// Serves until it is told to stop, or a connection ends.
    fn serve(&mut self) -> Result<(), ConnectionLost> {
        let mut events = Events::with_capacity(EVENTS);
        let mut looked = Instant::now();
        loop {
            match self.poll.poll(&mut events, Some(TICK)) {
                Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                    return Err(ConnectionLost(e.to_string()));
                }
                _ => {}
            }
            for event in &events {
                if event.token() == ORDERS {
                    if self.obey()? {
                        return Ok(());
                    }
                } else if let Some(peer) = self.peers.get_mut(event.token().0) {
                    peer.serve(event.is_read_closed() || event.is_error())?;
                }
            }
            let now = Instant::now();
            if self.is_started && self.senders().all(|sender| sender.is_done(now)) {
                self.is_started = false;
                let _ = self.told.send(DriverEvent::Done);
            }
            if now.saturating_duration_since(looked) > TICK {
                looked = now;
                self.senders().try_for_each(|sender| sender.check(now))?;
            }
        }
    }

    fn senders(&self) -> impl Iterator<Item = &super::sender::Sender> {
        self.peers.iter().filter_map(|peer| match &peer.role {
            Role::Send(sender) => Some(&**sender),
            Role::Execute(_) => None,
        })
    }

    /// Does what it was told; says whether that was to stop.
    fn obey(&mut self) -> Result<bool, ConnectionLost> {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                DriverOrder::Stop => return Ok(true),
                DriverOrder::Add(peers) => {
                    for peer in peers {
                        self.add(peer)?;
                    }
                }
                DriverOrder::Start(budget) => {
                    self.is_started = true;
                    for peer in &mut self.peers {
                        if let Role::Send(sender) = &mut peer.role {
                            sender.start(budget);
                            peer.serve(false)?;
                        }
                    }
                }
            }
        }
        Ok(false)
    }

    fn add(&mut self, mut peer: Peer) -> Result<(), ConnectionLost> {
        let token = Token(self.peers.len());
        peer.endpoint
            .register(self.poll.registry(), token)
            .map_err(|e| ConnectionLost(e.to_string()))?;
        peer.serve(false)?;
        self.peers.push(peer);
        Ok(())
    }

    /// Has all clients leave, and waits until they have.
    fn leave(self) -> Counts {
        let Driver { mut peers, .. } = self;
        for peer in &mut peers {
            peer.endpoint.say_leave();
        }
        let deadline = Instant::now() + LINGER;
        let mut counts = Counts::default();
        for peer in peers {
            peer.endpoint.wait_end(deadline);
            if let Role::Send(sender) = peer.role {
                counts.add(sender.into_counts());
            }
        }
        counts
    }
}
