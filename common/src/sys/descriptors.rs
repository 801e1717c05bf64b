//! How many files and sockets this process may have open: a connection is one of them, and
//! many systems allow a thousand unless a process asks for more.

use rustix::process::{Resource, getrlimit, setrlimit};
use std::io;

/// Asks for as many descriptors as the system allows this process; how many it has then.
/// `None`: as many as it likes.
pub fn raise_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused, what was allowed before still is.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current
}

/// The numbers of the descriptors that this process has open. A new one is the lowest number that
/// is free (POSIX), and the limit is for that number.
///
/// # Errors
/// The system does not show them.
pub fn open() -> io::Result<Vec<u64>> {
    const FOLDER: &str = "/dev/fd";
    let entries = std::fs::read_dir(FOLDER)?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut numbers: Vec<u64> = numbers.collect();
    // One of them was that of the folder itself, which is closed by now.
    numbers.retain(|number| std::fs::symlink_metadata(format!("{FOLDER}/{number}")).is_ok());
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_is_among_the_numbers() {
        use std::os::fd::AsRawFd;
        let file = std::fs::File::open("/dev/null").expect("it is everywhere");
        let number = u64::try_from(file.as_raw_fd()).expect("no number is negative");
        let open = open().expect("the system shows them");
        assert!(open.contains(&number), "{number} is not among {open:?}");
    }

    #[test]
    fn the_limit_is_what_the_system_allows_at_most() {
        assert_eq!(raise_limit(), getrlimit(Resource::Nofile).maximum);
    }
}
