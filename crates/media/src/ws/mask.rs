//! Unpredictable masking keys and nonces (RFC 6455 sections 5.3 and 10.3).

/// One system call fills this many bytes: a thousand frames.
const POOL_BYTES: usize = 4096;

/// A source of masking keys, drawn from the operating system a few kilobytes at a time.
///
/// One per worker thread. Used keys are overwritten, so that memory never shows a past key.
#[derive(Debug)]
pub struct MaskKeys {
    pool: Box<[u8; POOL_BYTES]>,
    used: usize,
}

impl Default for MaskKeys {
    fn default() -> Self {
        Self::new()
    }
}

impl MaskKeys {
    /// An empty source; the first key fills it.
    pub fn new() -> Self {
        Self {
            pool: Box::new([0; POOL_BYTES]),
            used: POOL_BYTES,
        }
    }

    /// The next key: 32 fresh random bits.
    pub fn next_key(&mut self) -> [u8; 4] {
        if self.used + 4 > POOL_BYTES {
            fill_random(&mut self.pool[..]);
            self.used = 0;
        }
        let mut key = [0; 4];
        let slot = &mut self.pool[self.used..self.used + 4];
        key.copy_from_slice(slot);
        slot.fill(0);
        self.used += 4;
        key
    }
}

/// A nonce for `Sec-WebSocket-Key` (RFC 6455 section 4.1).
pub fn nonce() -> [u8; 16] {
    let mut nonce = [0; 16];
    fill_random(&mut nonce);
    nonce
}

/// Fills `bytes` from the operating system's generator.
///
/// The generator can fail only before the kernel has booted or when the call is forbidden by a sandbox. A frame
/// may not go out with a known key, so there is no way on: the panic ends the one stream that asked.
#[allow(clippy::panic)]
fn fill_random(bytes: &mut [u8]) {
    if let Err(error) = getrandom::fill(bytes) {
        panic!("the operating system gives no random bytes: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_do_not_repeat_over_refills() {
        let mut masks = MaskKeys::new();
        let keys: HashSet<[u8; 4]> = (0..4000).map(|_| masks.next_key()).collect();
        assert!(keys.len() > 3990, "{} of 4000 keys differ", keys.len());
    }

    #[test]
    fn a_used_key_leaves_the_pool() {
        let mut masks = MaskKeys::new();
        for _ in 0..8 {
            masks.next_key();
        }
        assert_eq!(masks.pool[..32], [0; 32]);
    }

    #[test]
    fn nonces_differ() {
        assert_ne!(nonce(), nonce());
    }
}
