//! Asking the system for large pages.

/// A large page of x86-64, and of aarch64 with pages of 4 KiB.
#[cfg(all(target_os = "linux", not(miri)))]
const LARGE_PAGE_BYTES: usize = 2 << 20;

/// Asks the system to back memory that has not been written yet with large
/// pages, for tables that are read all over: finding the page of an address is a
/// part of the cost of a cache miss. Changes nothing but time and, if the memory
/// is never used, how much of it the process has. Where the system has no such
/// pages or gives none, and for less than such a page, it does nothing.
pub fn prefer_large_pages<T>(memory: &[T]) {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        let begin: *const u8 = memory.as_ptr().cast();
        let skipped = begin.align_offset(LARGE_PAGE_BYTES);
        let Some(rest) = size_of_val(memory).checked_sub(skipped) else {
            return;
        };
        let bytes = rest / LARGE_PAGE_BYTES * LARGE_PAGE_BYTES;
        if bytes > 0 {
            let begin = begin.wrapping_add(skipped).cast_mut().cast();
            let advice = rustix::mm::Advice::LinuxHugepage;
            // SAFETY: whole pages within memory of the caller's; the advice
            // changes neither what they hold nor who may access them. If the
            // system refuses, nothing is lost.
            let _ = unsafe { rustix::mm::madvise(begin, bytes, advice) };
        }
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = memory;
}

#[cfg(test)]
mod tests {
    use super::prefer_large_pages;

    #[test]
    fn memory_stays_what_it_is() {
        for count in [0, 1, 1000, 1 << 21, (5 << 20) + 3] {
            let mut values: Vec<u32> = Vec::with_capacity(count);
            prefer_large_pages(values.spare_capacity_mut());
            values.resize(count, 7);
            assert!(values.iter().all(|&value| value == 7));
            let zeros = vec![0u8; count];
            prefer_large_pages(&zeros);
            assert!(zeros.iter().all(|&value| value == 0));
        }
    }
}
