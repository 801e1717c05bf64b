//! What the machine has.

/// Bytes of memory where the system does not say how many there are.
const UNKNOWN: u64 = 4 << 30;

/// Bytes of memory that this process may have: the machine's, or fewer in a container.
pub fn memory() -> u64 {
    let allowed = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let allowed = allowed.and_then(|most| most.trim().parse().ok());
    installed().min(allowed.unwrap_or(u64::MAX))
}

#[cfg(target_os = "linux")]
fn installed() -> u64 {
    let machine = rustix::system::sysinfo();
    let bytes = machine.totalram as u64 * u64::from(machine.mem_unit);
    if bytes == 0 { UNKNOWN } else { bytes }
}

#[cfg(not(target_os = "linux"))]
fn installed() -> u64 {
    UNKNOWN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_some_memory() {
        assert!((1 << 24..1 << 50).contains(&memory()), "{}", memory());
    }
}
