//! Asks the processor for memory ahead of its use. With hundreds of calls none of their state is in the near caches when
//! its turn comes, and a call waits longest for that; asked for while another call's system calls run, it costs nothing.

/// Bytes of a cache line.
const LINE: usize = 64;

/// Asks for all of a value that will be used soon.
#[inline]
pub fn prefetch<T>(value: &T) {
    let start = std::ptr::from_ref(value).cast::<u8>();
    for offset in (0..size_of::<T>()).step_by(LINE) {
        prefetch_line(start.wrapping_add(offset));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn prefetch_line(address: *const u8) {
    use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
    // SAFETY: every x86_64 has SSE, and a prefetch reads nothing and can't fault.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
}

/// Elsewhere the processor is left to itself.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn prefetch_line(_address: *const u8) {}
