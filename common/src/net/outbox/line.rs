//! A line that is queued for a peer, or several that are pushed together.

use crate::memory::Charge;
use crate::sys::sync::Arc;
use std::ops::Deref;

/// A line to write, its `\n` included; one that goes to many is shared by them.
#[derive(Clone, Debug)]
pub enum Line {
    /// For one peer.
    Own(Vec<u8>),
    /// For many.
    Shared(Arc<SharedLine>),
}

/// A line that goes to many peers. It is in memory once, and counted once.
#[derive(Debug)]
pub struct SharedLine {
    bytes: Vec<u8>,
    /// Given back with the line.
    _charge: Charge,
}

impl Deref for Line {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Line::Own(bytes) => bytes,
            Line::Shared(line) => &line.bytes,
        }
    }
}

impl From<Vec<u8>> for Line {
    fn from(bytes: Vec<u8>) -> Line {
        Line::Own(bytes)
    }
}

impl Line {
    /// A line that goes to many peers.
    pub fn shared(bytes: Vec<u8>, charge: Charge) -> Line {
        Line::Shared(Arc::new(SharedLine {
            bytes,
            _charge: charge,
        }))
    }

    /// Bytes that it keeps by itself.
    pub fn own_bytes(&self) -> usize {
        match self {
            Line::Own(bytes) => bytes.capacity(),
            Line::Shared(_) => 0,
        }
    }

    /// The line, for a caller that only borrowed it; an own line is empty then.
    #[must_use]
    pub fn take(&mut self) -> Line {
        match self {
            Line::Own(bytes) => Line::Own(std::mem::take(bytes)),
            Line::Shared(bytes) => Line::Shared(Arc::clone(bytes)),
        }
    }
}
