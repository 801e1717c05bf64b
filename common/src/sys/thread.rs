//! How threads are started: with a name, and with an error if the system has no more of them.

#[cfg(shuttle)]
use shuttle::thread::Builder;
use std::io;
#[cfg(not(shuttle))]
use std::thread::Builder;

/// A thread that was started, to be joined.
#[cfg(shuttle)]
pub use shuttle::thread::JoinHandle;
/// A thread that was started, to be joined.
#[cfg(not(shuttle))]
pub use std::thread::JoinHandle;

/// Starts a thread with a name, which debuggers and panics show.
///
/// # Errors
/// The system has no thread left.
pub fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.to_owned()).spawn(body)
}

/// Runs a program's work on its main thread. Under ThreadSanitizer another thread runs it: the
/// sanitizer holds a signal back until the thread makes a call that it watches, and a wait for a
/// thread is such a call, while a wait at a channel or at the end of a scope is not.
pub fn on_main_thread<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    #[cfg(thread_sanitizer)]
    return std::thread::scope(|scope| match scope.spawn(act).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    });
    #[cfg(not(thread_sanitizer))]
    act()
}
