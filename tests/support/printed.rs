//! What a process prints, kept to the byte, and waits for parts of it.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::support::{PATIENCE, left};

/// What a process has printed to one of its streams, read by a thread until its end.
pub(crate) struct Printed {
    what: String,
    state: Arc<(Mutex<State>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

struct State {
    bytes: Vec<u8>,
    ended: bool,
}

impl Printed {
    /// Reads a stream; where there is none, it has ended with nothing in it.
    pub(crate) fn new(what: String, stream: Option<impl Read + Send + 'static>) -> Self {
        let state = State {
            bytes: Vec::new(),
            ended: stream.is_none(),
        };
        let state = Arc::new((Mutex::new(state), Condvar::new()));
        let shared = Arc::clone(&state);
        let reader = stream.map(|stream| std::thread::spawn(move || read(stream, &shared)));
        Self {
            what,
            state,
            reader,
        }
    }

    /// All of it so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let state = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.bytes.clone()
    }

    /// All of it so far, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// Waits until this has been printed.
    #[track_caller]
    pub(crate) fn wait_for(&self, part: &str) {
        self.wait(&format!("{part:?}"), |text| {
            text.contains(part).then_some(())
        });
    }

    /// Waits until what was printed has in it what is looked for.
    #[track_caller]
    pub(crate) fn wait<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        self.wait_until(what, deadline, |state| {
            find(&String::from_utf8_lossy(&state.bytes))
        })
    }

    #[track_caller]
    pub(crate) fn wait_end(&self, deadline: Instant) {
        self.wait_until("its end", deadline, |state| state.ended.then_some(()));
    }

    #[track_caller]
    fn wait_until<T>(
        &self,
        what: &str,
        deadline: Instant,
        find: impl Fn(&State) -> Option<T>,
    ) -> T {
        let mut state = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = find(&state) {
                return found;
            }
            if state.ended || Instant::now() >= deadline {
                let why = if state.ended { "it ended" } else { "too late" };
                let text = String::from_utf8_lossy(&state.bytes).into_owned();
                drop(state);
                panic!("{}: waited for {what}: {why}; so far: {text:?}", self.what);
            }
            let waited = self.state.1.wait_timeout(state, left(deadline));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(crate) fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            // It only reads and stores; there is no result to look at.
            let _ = reader.join();
        }
    }
}

fn read(mut stream: impl Read, (state, changed): &(Mutex<State>, Condvar)) {
    let mut buffer = [0; 8 << 10];
    loop {
        let read = stream.read(&mut buffer).unwrap_or(0);
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.bytes.extend_from_slice(&buffer[..read]);
        state.ended = read == 0;
        changed.notify_all();
        if read == 0 {
            return;
        }
    }
}
