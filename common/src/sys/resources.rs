//! What the system grants this process: files and sockets that it may have open, and memory.
//! A connection takes one descriptor, and many systems allow a thousand unless a process asks for
//! more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::time::Duration;

/// Bytes of memory if the system does not say how many there are.
const UNKNOWN: u64 = 4 << 30;

/// Asks for as many descriptors as the system allows this process; returns how many it has then.
/// `None`: no limit.
pub fn raise_descriptor_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If it is refused, the limit stays as it was.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current
}

/// Bytes up to which this process may write a file: the system ends a program that writes beyond
/// them (`RLIMIT_FSIZE`). `None`: no limit.
pub fn file_size_limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Has the system write no image of this process when it crashes, as there may be keys in it. On
/// Linux a limit of 1 keeps it from programs that collect such images, too (core(5)): they take
/// those of any other limit.
pub fn forbid_core_dumps() {
    let most = Some(u64::from(cfg!(target_os = "linux")));
    let none = Rlimit {
        current: most,
        maximum: most,
    };
    // To lower a limit is refused nowhere; if it is lower already, it is as it should be.
    let _ = setrlimit(Resource::Core, none);
}

/// The numbers of the descriptors that this process has open. A new one is the lowest number that
/// is free (POSIX), and the limit is for that number.
///
/// # Errors
/// The system does not show them.
pub fn open_descriptors() -> io::Result<Vec<u64>> {
    const FOLDER: &str = "/dev/fd";
    let entries = std::fs::read_dir(FOLDER)?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut numbers: Vec<u64> = numbers.collect();
    // One of them was that of the folder itself, which is closed by now.
    numbers.retain(|number| std::fs::symlink_metadata(format!("{FOLDER}/{number}")).is_ok());
    Ok(numbers)
}

/// Bytes of memory that this process may have: the machine's, or fewer in a container.
pub fn memory() -> u64 {
    let allowed = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let allowed = allowed.and_then(|most| most.trim().parse().ok());
    installed_memory().min(allowed.unwrap_or(u64::MAX))
}

/// How many descriptors this process has open, where the system tells without a look at each:
/// with thousands of them that is what monitoring would cost most. Linux 6.2 and later do.
pub fn descriptor_count() -> Option<u64> {
    let folder = std::fs::metadata("/proc/self/fd").ok()?;
    Some(folder.len()).filter(|count| *count > 0)
}

/// How many threads this process has, where the system tells.
pub fn threads() -> Option<u64> {
    status("Threads:")
}

/// Bytes of memory that this process has in the machine's, where the system tells.
pub fn resident_memory() -> Option<u64> {
    Some(status("VmRSS:")? << 10)
}

/// How many descriptors this process may have open; `None`: as many as it likes.
pub fn descriptor_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Processor time that this process has taken, of all its threads together.
pub fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// A number that the system tells of this process (proc(5)).
fn status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn installed_memory() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let machine = rustix::system::sysinfo();
        let bytes = machine.totalram as u64 * u64::from(machine.mem_unit);
        if bytes == 0 { UNKNOWN } else { bytes }
    }
    #[cfg(not(target_os = "linux"))]
    UNKNOWN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_is_among_the_open_descriptors() {
        use std::os::fd::AsRawFd;
        let file = std::fs::File::open("/dev/null").expect("it is everywhere");
        let number = u64::try_from(file.as_raw_fd()).expect("no number is negative");
        let open = open_descriptors().expect("the system shows them");
        assert!(open.contains(&number), "{number} is not among {open:?}");
    }

    #[test]
    fn the_raised_descriptor_limit_is_the_systems_maximum() {
        assert_eq!(
            raise_descriptor_limit(),
            getrlimit(Resource::Nofile).maximum
        );
    }

    #[test]
    fn open_descriptors_are_counted_without_a_look_at_each() {
        let Some(count) = descriptor_count() else {
            return;
        };
        // Other tests open and close some at the same time.
        let open = open_descriptors().expect("the system shows them").len() as u64;
        assert!(count.abs_diff(open) < 100, "{count} and {open}");
    }

    #[test]
    fn a_thread_more_is_counted() {
        let Some(before) = threads() else { return };
        let more = std::thread::spawn(threads).join().expect("no panic");
        assert!(before >= 1 && more >= Some(2));
    }

    #[test]
    fn what_the_process_takes_is_within_what_it_may() {
        let resident = resident_memory();
        assert!(resident.is_none_or(|bytes| (1 << 16..memory()).contains(&bytes)));
        let open = open_descriptors().expect("the system shows them").len() as u64;
        assert!(descriptor_limit().is_none_or(|most| open <= most));
        let before = processor_time();
        while processor_time() == before {
            std::hint::spin_loop();
        }
        assert!(processor_time() > before);
    }

    #[test]
    fn memory_is_within_the_sizes_that_machines_have() {
        assert!((1 << 24..1 << 50).contains(&memory()), "{}", memory());
    }
}
