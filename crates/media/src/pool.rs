//! Buffers that are used again. The one that was given back last is lent first: it is still in the near caches, which a
//! buffer that each stream kept for itself would not be. Each thread has its own.
use std::cell::RefCell;

/// Buffers kept, and the largest of them.
const KEPT: usize = 1024;
const KEPT_BYTES: usize = 8 * 1024;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
pub fn lend() -> Vec<u8> {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Takes a buffer back; its content is forgotten.
pub fn give_back(mut buffer: Vec<u8>) {
    if !(1..=KEPT_BYTES).contains(&buffer.capacity()) {
        return;
    }
    buffer.clear();
    POOL.with_borrow_mut(|pool| {
        if pool.len() < KEPT {
            pool.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_and_the_last_first() {
        let (mut first, mut second) = (Vec::with_capacity(10), Vec::with_capacity(20));
        first.push(1);
        second.push(2);
        give_back(first);
        give_back(second);
        let lent = lend();
        assert!(lent.is_empty() && lent.capacity() == 20);
        assert_eq!(lend().capacity(), 10);
        assert_eq!(lend().capacity(), 0);
    }

    #[test]
    fn large_buffers_and_too_many_are_let_go() {
        give_back(Vec::with_capacity(KEPT_BYTES + 1));
        assert_eq!(lend().capacity(), 0);
        for _ in 0..2 * KEPT {
            give_back(vec![0]);
        }
        POOL.with_borrow_mut(|pool| assert_eq!(pool.len(), KEPT));
    }
}
