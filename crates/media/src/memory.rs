//! Memory that the process no longer needs, given back to the system.

/// Gives back the pages of what has been freed.
///
/// The queues of many streams grow together when their endpoint is away, and their messages are small: the allocator
/// would keep all of it for the rest of the process's life. A thread that allocates meanwhile may wait for some
/// milliseconds; relaying allocates nothing. Another allocator than glibc's is left to itself.
pub fn trim() {
    // SAFETY: the call takes no pointers and may be made from any thread (malloc_trim(3)).
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::malloc_trim(0) };
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    fn resident_kb() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.and_then(|kb| kb.parse().ok()).unwrap_or_default()
    }

    #[test]
    fn small_messages_leave_nothing_behind() {
        let messages: Vec<Vec<u8>> = (0..400_000_u32).map(|n| vec![n as u8; 256]).collect();
        let last = vec![1_u8; 256];
        let full = resident_kb();
        drop(messages);
        trim();
        let after = resident_kb();
        assert!(after + 80_000 < full, "{full} kB, then {after} kB");
        assert_eq!(last.len(), 256);
    }
}
