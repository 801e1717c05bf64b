//! How many files and sockets this process may have open: a connection is one of them, and
//! many systems allow a thousand unless a process asks for more.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Asks for as many descriptors as the system allows this process; how many it has then.
/// `None`: as many as it likes.
pub fn raise_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused, what was allowed before still is.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_what_the_system_allows_at_most() {
        assert_eq!(raise_limit(), getrlimit(Resource::Nofile).maximum);
    }
}
