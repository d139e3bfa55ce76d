//! Which calls and streams live: for refusing orders to what does not.
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::error::{ErrorKind, MediaError, Result};

/// The living handles of one kind.
#[derive(Debug, Default)]
pub struct Registry(Mutex<HashSet<u64>>);

impl Registry {
    /// Adds a handle, unless `limit` of them live.
    pub fn add(&self, handle: u64, limit: usize) -> Result<()> {
        self.with(|living| {
            if living.len() >= limit {
                let detail = format!("{limit} of them live already");
                return Err(MediaError::new(ErrorKind::Limit, detail));
            }
            living.insert(handle);
            Ok(())
        })
    }

    /// Takes a handle out.
    pub fn remove(&self, handle: u64) {
        self.with(|living| living.remove(&handle));
    }

    /// Refuses with `unknown_handle` what does not live.
    pub fn check(&self, handle: u64) -> Result<()> {
        if self.with(|living| living.contains(&handle)) {
            return Ok(());
        }
        let detail = format!("{handle} names nothing that lives");
        Err(MediaError::new(ErrorKind::UnknownHandle, detail))
    }

    /// How many live.
    pub fn count(&self) -> usize {
        self.with(|living| living.len())
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashSet<u64>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_living_are_known_and_only_so_many_may_live() {
        let registry = Registry::default();
        registry.add(1, 1).unwrap();
        assert_eq!(registry.add(2, 1).unwrap_err().kind(), ErrorKind::Limit);
        registry.check(1).unwrap();
        registry.remove(1);
        let error = registry.check(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownHandle);
        assert_eq!(registry.count(), 0);
    }
}
