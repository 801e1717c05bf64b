//! A stream of a process, read by a thread until its end.

use super::left;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    has_ended: bool,
}

/// What a stream has brought so far.
pub(crate) struct Captured {
    state: Arc<(Mutex<State>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

impl Captured {
    pub(crate) fn new(mut stream: impl Read + Send + 'static) -> Captured {
        let state = Arc::<(Mutex<State>, Condvar)>::default();
        let shared = Arc::clone(&state);
        let reader = std::thread::spawn(move || {
            let (lock, changed) = &*shared;
            let mut buffer = vec![0; 64 << 10];
            loop {
                // A terminal with its other end closed reads as an error.
                let read = stream.read(&mut buffer).unwrap_or(0);
                let mut state = lock.lock().unwrap_or_else(PoisonError::into_inner);
                state.bytes.extend_from_slice(&buffer[..read]);
                state.has_ended = read == 0;
                changed.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Captured {
            state,
            reader: Some(reader),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let state = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.bytes.clone()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    pub(crate) fn len(&self) -> usize {
        let state = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.bytes.len()
    }

    /// Waits until a text has come; all that has come by then.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str, within: Duration) -> String {
        let has_it = |state: &State| {
            let bytes = &state.bytes;
            bytes.windows(text.len()).any(|w| w == text.as_bytes())
        };
        if !self.wait(within, has_it) {
            let came = self.text();
            panic!("waited {within:?} for {text:?}; there was {came:?}");
        }
        self.text()
    }

    /// Waits for the end of the stream; says whether it came.
    pub(crate) fn wait_end(&self, within: Duration) -> bool {
        self.wait(within, |state| state.has_ended)
    }

    fn wait(&self, within: Duration, is_it: impl Fn(&State) -> bool) -> bool {
        let deadline = Instant::now() + within;
        let (lock, changed) = &*self.state;
        let mut state = lock.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if is_it(&state) {
                return true;
            }
            if state.has_ended || Instant::now() >= deadline {
                return false;
            }
            let woken = changed.wait_timeout(state, left(deadline));
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the thread; its stream has ended or is about to.
    pub(crate) fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
