//! The thread that writes the state file behind what happens.
//!
//! What is written reaches the system at once, and so outlives a server that is killed; the disk has
//! it a second later at most. A disk that takes nothing keeps this thread waiting and no other one.

use super::file::{NoState, StateError, StateFile};
use super::places;
use super::record::{Line, Replay, whole};
use super::{AHEAD, State};
use crate::giving_up;
use crate::hub::Hub;
use common::sys::sync::Arc;
use common::sys::sync::atomic::Ordering;
use common::sys::thread::{self, JoinHandle};
use common::terminal::escape::path_line;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, after, bounded, never, select};
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a change waits for others: a crowd that joins is written in a few pieces, and as much is
/// lost of what happened before a `kill -9`.
const GATHER: Duration = Duration::from_millis(50);

/// The thread does nothing for this many times as long as a look at ten thousand members took: so it
/// takes less than a tenth of a processor.
const PAUSE: u32 = 10;

/// How often a disk is asked for what was written.
const SYNC: Duration = Duration::from_secs(1);

/// How often a file is tried again that could not be written.
const RETRY: Duration = Duration::from_secs(1);

/// How often that is said.
const SAY: Duration = Duration::from_secs(60);

/// How long the server's end waits for the thread: a disk takes megabytes in this time.
const PATIENCE: Duration = Duration::from_secs(5);

/// The thread. Dropping this has it write what is so, and ends it, unless the disk keeps it waiting.
pub(crate) struct Running {
    /// The thread ends once this is dropped.
    stop: Option<Sender<Infallible>>,
    /// Says so once the thread has written for the last time.
    ended: Receiver<Infallible>,
    thread: Option<JoinHandle<()>>,
}

/// Holds the places that the state file has, and reserves numbers in it, if there is one.
///
/// # Errors
/// The file cannot be replaced.
pub(crate) fn begin(hub: &Arc<Hub>) -> Result<Option<Writer>, StateError> {
    let opened = hub.state.as_ref().map(|state| {
        let opened = common::sys::sync::lock(&state.opened).take();
        (state, opened)
    });
    let Some((state, Some((file, mut replay)))) = opened else {
        return Ok(None);
    };
    let shown = path_line(&state.file);
    tell_damage(&replay, &shown);
    places::restore(hub, &mut replay);
    if !replay.places.is_empty() {
        let (places, hold_ms) = (
            replay.places.len(),
            giving_up::hold_ms(hub).unwrap_or_default(),
        );
        log::info!("places of {shown} that are held for {hold_ms} ms: {places}");
    }
    let mut writer = Writer {
        file,
        named: state.file.clone(),
        asked: state.asked.1.clone(),
        written: replay,
        synced: None,
        is_unsynced: false,
        is_stale: true,
        pause: GATHER,
        trouble: None,
    };
    writer.reserve_numbers(hub, state)?;
    Ok(Some(writer))
}

fn tell_damage(replay: &Replay, shown: &str) {
    if replay.is_cut {
        log::warn!("{shown} ends in the middle of a line; what is before that counts");
    }
    if replay.unreadable > 0 {
        let lines = replay.unreadable;
        log::warn!("lines of {shown} that cannot be read, and are passed over: {lines}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            return log::warn!("the state file's disk keeps its thread waiting; it is left behind");
        }
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What the thread knows.
pub(crate) struct Writer {
    file: StateFile,
    named: PathBuf,
    /// Wakes up the thread.
    asked: Receiver<()>,
    /// What the file says.
    written: Replay,
    synced: Option<Instant>,
    is_unsynced: bool,
    /// It has to be written anew as a whole.
    is_stale: bool,
    pause: Duration,
    /// Since when it cannot be written, and when that was said last.
    trouble: Option<Instant>,
}

impl Writer {
    /// Starts the thread that keeps the file.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn start(self, hub: &Arc<Hub>) -> io::Result<Running> {
        let (stop, stopped) = bounded(0);
        let (runs, ended) = bounded(0);
        let hub = Arc::clone(hub);
        let thread = thread::spawn("state", move || {
            let _runs: Sender<Infallible> = runs;
            self.run(&hub, &stopped);
        })?;
        Ok(Running {
            stop: Some(stop),
            ended,
            thread: Some(thread),
        })
    }

    /// Writes the file anew before the first client joins, so that numbers are reserved. A disk that
    /// is full is no reason not to serve.
    fn reserve_numbers(&mut self, hub: &Hub, state: &State) -> Result<(), StateError> {
        self.reserve(hub, AHEAD);
        let replaced = self.replace();
        if let Err(error) = replaced {
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
            ) {
                return Err(NoState::Folder(error).of(&self.named));
            }
            self.complain(&error);
        }
        state.reserved.store(self.written.next, Ordering::Relaxed);
        Ok(())
    }

    fn run(mut self, hub: &Hub, stopped: &Receiver<Infallible>) {
        loop {
            let due = self.due().map_or_else(never, after);
            select! {
                recv(stopped) -> _ => break,
                recv(self.asked) -> _ => {
                    // What happens meanwhile is written with it.
                    if stopped.recv_timeout(self.pause) == Err(RecvTimeoutError::Disconnected) {
                        break;
                    }
                }
                recv(due) -> _ => {}
            }
            let began = Instant::now();
            self.look(hub, AHEAD);
            self.pause = GATHER.max(began.elapsed() * PAUSE).min(SYNC);
            if let Some(state) = &hub.state {
                state.reserved.store(self.written.next, Ordering::Relaxed);
            }
        }
        self.end(hub);
    }

    /// When the thread has something to do, though nothing happens.
    fn due(&self) -> Option<Duration> {
        match self.synced {
            _ if self.trouble.is_some() => Some(RETRY),
            Some(synced) if self.is_unsynced => Some(SYNC.saturating_sub(synced.elapsed())),
            _ => None,
        }
    }

    /// Writes what has changed.
    fn look(&mut self, hub: &Hub, ahead: u64) {
        let mut lines = places::changes(hub, &self.written.places);
        let next = hub.roster.next_number();
        if next.saturating_add(ahead / 2) > self.written.next {
            lines.push(Line::Numbers(next.saturating_add(ahead)));
        }
        let written = self.append(lines).and_then(|()| self.sync());
        match written {
            Ok(()) => self.is_well(),
            Err(error) => self.complain(&error),
        }
    }

    fn append(&mut self, lines: Vec<Line>) -> io::Result<()> {
        let mut text = Vec::new();
        lines.iter().for_each(|line| line.write_to(&mut text));
        if !text.is_empty() {
            match self.file.append(&text) {
                Ok(()) => self.is_unsynced = true,
                // It was deleted, or is as long as a file may be: a new one has room.
                Err(e) if [ErrorKind::NotFound, ErrorKind::FileTooLarge].contains(&e.kind()) => {
                    self.is_stale = true;
                }
                Err(e) => return Err(e),
            }
            lines.into_iter().for_each(|line| self.written.take(line));
        }
        Ok(())
    }

    /// Has the disk take what was written, once a second at most.
    fn sync(&mut self) -> io::Result<()> {
        let is_early = self.synced.is_some_and(|synced| synced.elapsed() < SYNC);
        if self.is_stale || (self.file.is_long() && !is_early) {
            return self.replace();
        }
        if !self.is_unsynced || is_early {
            return Ok(());
        }
        self.synced = Some(Instant::now());
        // What a disk did not take is not in the file for sure.
        self.is_stale = true;
        self.file.sync()?;
        (self.is_stale, self.is_unsynced) = (false, false);
        Ok(())
    }

    fn reserve(&mut self, hub: &Hub, ahead: u64) {
        self.written.next = hub.roster.next_number().saturating_add(ahead);
    }

    /// Writes the file anew.
    fn replace(&mut self) -> io::Result<()> {
        self.is_stale = true;
        self.synced = Some(Instant::now());
        let text = whole(self.written.next, self.written.places.values());
        self.file.replace(&text)?;
        (self.is_stale, self.is_unsynced) = (false, false);
        Ok(())
    }

    /// Writes what is so at the end: the next start goes on with the next number.
    fn end(&mut self, hub: &Hub) {
        self.look(hub, 0);
        self.reserve(hub, 0);
        if let Err(error) = self.replace() {
            self.trouble = None;
            self.complain(&error);
        }
    }

    fn is_well(&mut self) {
        if self.trouble.take().is_some() {
            log::info!("the state is written again to {}", path_line(&self.named));
        }
    }

    /// Says that the file cannot be written, once a minute.
    fn complain(&mut self, error: &io::Error) {
        if self.trouble.is_some_and(|said| said.elapsed() < SAY) {
            return;
        }
        self.trouble = Some(Instant::now());
        log::error!(
            "cannot write the state to {}: {error}; ranks since then do not outlive this server",
            path_line(&self.named)
        );
    }
}
