//! Buffers of lines that were written, kept to be used again: a line is made and let go of
//! by the same thread most of the time, and memory that goes through the system's allocator
//! once a line is what a busy relay would do most.

/// Buffers kept at most: one batch of input rarely causes more lines.
const MOST: usize = 256;

/// Bytes of the largest buffer that is kept: most lines are shorter.
const LARGEST: usize = 1 << 10;

/// Buffers to be used again.
#[derive(Debug, Default)]
pub struct Spare(Vec<Vec<u8>>);

impl Spare {
    /// An empty buffer.
    pub fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    /// A buffer that is no longer needed, whatever is in it.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= LARGEST && self.0.len() < MOST {
            buffer.clear();
            self.0.push(buffer);
        }
    }

    /// Keeps this many buffers at most, for now: who was idle gives back what it had while it
    /// was busy.
    pub fn shrink_to(&mut self, most: usize) {
        if self.0.len() > most {
            self.0.truncate(most);
            self.0.shrink_to(most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_buffers_come_back_and_no_more_than_a_few() {
        let mut spare = Spare::default();
        assert_eq!(spare.take().capacity(), 0);
        spare.give(Vec::with_capacity(LARGEST + 1));
        assert!(spare.0.is_empty(), "too large to keep");
        for _ in 0..2 * MOST {
            spare.give(b"a line".to_vec());
        }
        assert_eq!(spare.0.len(), MOST);
        let buffer = spare.take();
        assert!(buffer.is_empty() && buffer.capacity() > 0);
        spare.shrink_to(1);
        assert!(spare.take().capacity() > 0 && spare.take().capacity() == 0);
    }
}
