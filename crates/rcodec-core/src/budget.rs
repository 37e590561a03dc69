//! What a decoder may use, and the account it keeps while it works.
//!
//! A number read from a file is a claim. Before memory is taken for it, the
//! claim is charged to the [`Budget`]; the [`Reservation`] gives the bytes
//! back when it is dropped.

use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds for one decode (or encode). The default is finite and generous
/// enough for everyday files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Samples in the whole stream: pixels × channels, frames × channels, or
    /// bytes.
    pub max_samples: u64,
    /// Pixels of a picture. Far fewer than samples: sound and bytes stream
    /// without end, a picture of more than this is a mistake or an attack.
    pub max_pixels: u64,
    /// Bytes allocated at any one time.
    pub max_alloc_bytes: u64,
    /// Bytes of a learned model.
    pub max_model_bytes: u64,
    /// Multiply-adds (or a comparable count of steps) for the whole stream.
    pub max_work: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_samples: 1 << 42,
            max_pixels: 1 << 34,
            max_alloc_bytes: 4 << 30,
            max_model_bytes: 1 << 30,
            max_work: 1 << 56,
        }
    }
}

impl Limits {
    /// No limits but those of the machine; for input one has written oneself.
    pub fn unlimited() -> Self {
        Limits {
            max_samples: u64::MAX,
            max_pixels: u64::MAX,
            max_alloc_bytes: u64::MAX,
            max_model_bytes: u64::MAX,
            max_work: u64::MAX,
        }
    }
}

/// The account of one decode: clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    limits: Limits,
    used_bytes: Arc<AtomicU64>,
}

impl Budget {
    /// A fresh account under `limits`.
    pub fn new(limits: Limits) -> Self {
        Budget {
            limits,
            used_bytes: Arc::new(AtomicU64::new(0)),
        }
    }

    /// The limits of this account.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Bytes reserved now.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Charges `bytes`; fails with [`Error::Limit`] instead of exceeding the
    /// limit.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation> {
        let taken =
            self.used_bytes
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used_bytes| {
                    used_bytes
                        .checked_add(bytes)
                        .filter(|&sum| sum <= self.limits.max_alloc_bytes)
                });
        match taken {
            Ok(_) => Ok(Reservation {
                bytes,
                account: Arc::clone(&self.used_bytes),
            }),
            Err(_) => Err(Error::Limit("memory")),
        }
    }

    /// Charges room for `count` values of type `T`.
    pub fn reserve_for<T>(&self, count: u64) -> Result<Reservation> {
        let bytes = count
            .checked_mul(size_of::<T>() as u64)
            .ok_or(Error::Limit("memory"))?;
        self.reserve(bytes)
    }

    /// A vector of `count` copies of `value`, charged before it is allocated.
    pub fn filled<T: Clone>(&self, value: T, count: u64) -> Result<(Vec<T>, Reservation)> {
        let reservation = self.reserve_for::<T>(count)?;
        let count = usize::try_from(count).map_err(|_| Error::Limit("memory"))?;
        let mut values = Vec::new();
        values
            .try_reserve_exact(count)
            .map_err(|_| Error::Limit("memory"))?;
        values.resize(count, value);
        Ok((values, reservation))
    }

    /// Fails with [`Error::Limit`] if a stream of `samples` is not allowed.
    pub fn check_samples(&self, samples: u64) -> Result<()> {
        if samples > self.limits.max_samples {
            return Err(Error::Limit("samples"));
        }
        Ok(())
    }
}

/// Bytes charged to a [`Budget`], given back on drop.
#[derive(Debug)]
#[must_use = "dropping a reservation gives its bytes back"]
pub struct Reservation {
    bytes: u64,
    account: Arc<AtomicU64>,
}

impl Reservation {
    /// How many bytes are reserved.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.account.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(max_alloc_bytes: u64) -> Budget {
        Budget::new(Limits {
            max_alloc_bytes,
            ..Limits::default()
        })
    }

    #[test]
    fn reservations_are_given_back() {
        let budget = budget(100);
        let first = budget.reserve(60).unwrap();
        assert!(matches!(budget.reserve(60), Err(Error::Limit(_))));
        drop(first);
        assert_eq!(budget.reserve(100).unwrap().bytes(), 100);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn absurd_claims_fail_without_allocating() {
        let budget = budget(1 << 20);
        assert!(budget.reserve_for::<u64>(u64::MAX).is_err());
        assert!(budget.filled(0u16, 1 << 60).is_err());
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn clones_share_one_account() {
        let budget = budget(100);
        let clone = budget.clone();
        let _held = clone.reserve(80).unwrap();
        assert!(budget.reserve(30).is_err());
    }
}
