//! Secrets of foreign types, whose memory is overwritten when they are dropped.
use std::mem::MaybeUninit;

use zeroize::Zeroize;

/// Holds a value whose type does not overwrite its own secrets.
pub struct Wiped<T>(MaybeUninit<T>);

impl<T> Wiped<T> {
    /// Takes a value.
    pub const fn new(value: T) -> Self {
        Self(MaybeUninit::new(value))
    }

    /// The value.
    pub const fn get(&self) -> &T {
        // SAFETY: `new` has written a value, and nothing but `drop` takes it.
        unsafe { self.0.assume_init_ref() }
    }
}

impl<T> Drop for Wiped<T> {
    fn drop(&mut self) {
        // SAFETY: the value is there, is dropped once, and what is left of it is bytes that nobody reads.
        unsafe { self.0.assume_init_drop() };
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::ManuallyDrop;
    use std::ptr;

    #[test]
    fn nothing_is_left_of_a_secret() {
        let mut secret = ManuallyDrop::new(Wiped::new([0xA5_u8; 64]));
        assert_eq!(secret.get(), &[0xA5; 64]);
        // SAFETY: dropped once, and read afterwards as bytes that are initialized: zeros.
        let left = unsafe {
            ManuallyDrop::drop(&mut secret);
            ptr::read_volatile(ptr::from_ref(&*secret).cast::<[u8; 64]>())
        };
        assert_eq!(left, [0; 64]);
    }
}
