//! Large pages: fewer page faults while a program starts, fewer misses of the address
//! translation while large weights stream by.

/// Asks for memory in large pages, once, as the first thing in `main`: the C library shall take
/// what it hands out from one heap that grows by 64 MiB of addresses at a time and is
/// kept, and the system may back that heap by pages of 2 MiB. A program that starts, loads a
/// module and ends spends a large share of its time on faults of small pages else.
///
/// Only memory that is written counts as used, so the heap's size costs nothing, but what was
/// freed at its end stays with the program. Nothing happens where the C library is not GNU's, or
/// where the system has no large pages.
pub fn prefer_large_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    heap::extend();
}

/// Says of memory that will be written next that it may lie on large pages. Less than two of them
/// are left alone.
pub(crate) fn may_be_large<T>(memory: &mut [std::mem::MaybeUninit<T>]) {
    let bytes = size_of_val(memory);
    if bytes >= 2 * LARGE {
        advise(memory.as_mut_ptr().cast(), bytes);
    }
}

/// Bytes of a large page on most CPUs; where they are larger, advice for less has no effect.
const LARGE: usize = 2 << 20;

/// Advises the whole large pages inside of `bytes` bytes from `start`.
#[cfg(target_os = "linux")]
fn advise(start: *mut u8, bytes: usize) {
    let skip = start.addr().wrapping_neg() % LARGE;
    let bytes = bytes.saturating_sub(skip) / LARGE * LARGE;
    if bytes > 0 {
        // SAFETY: the advice changes how the system backs these pages, never what they hold;
        // an error means that it will not, and nothing else.
        unsafe { libc::madvise(start.wrapping_add(skip).cast(), bytes, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(_start: *mut u8, _bytes: usize) {}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod heap {
    use std::ffi::c_int;

    /// Addresses that the heap grows by.
    const HEAP: c_int = 64 << 20;
    /// Larger blocks get a mapping of their own: the most that the library allows, and what it
    /// comes to by itself once a block of that size was freed.
    const BLOCK: c_int = 32 << 20;

    pub(super) fn extend() {
        // SAFETY: these parameters change where later blocks come from, nothing about those in
        // use. `sbrk(0)` only tells where the heap ends. The block between is freed once, unused.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, BLOCK);
            libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * HEAP);
            libc::mallopt(libc::M_TOP_PAD, HEAP);
            let before = libc::sbrk(0);
            // More than the heap has left: it grows. Opaque, or the compiler drops both calls.
            libc::free(std::hint::black_box(libc::malloc(super::LARGE)));
            let after = libc::sbrk(0);
            super::advise(before.cast(), after.addr().saturating_sub(before.addr()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_keeps_working() {
        prefer_large_pages();
        let mut floats: Vec<f32> = Vec::with_capacity(3 << 20);
        may_be_large(floats.spare_capacity_mut());
        floats.extend((0..3 << 20).map(|i| i as f32));
        assert!(floats.iter().enumerate().all(|(i, &x)| x == i as f32));
        may_be_large::<f32>(&mut []);
    }
}
