//! Large pages: fewer page faults while a program starts, fewer misses of the address
//! translation while large weights stream by.

/// Asks for memory in large pages: the C library shall take what it hands to the main thread from one
/// heap that grows by 64 MiB of addresses at a time and is kept, and the system may back that heap by
/// pages of 2 MiB. A program that starts, loads a module and ends spends a large share of its time on
/// faults of small pages else. Meant for the first line of `main`; later calls do nothing.
///
/// Of the addresses only what is written counts as used, but in pages of 2 MiB, and what was freed at
/// the heap's end stays with the program. The heaps of other threads grow by as much and stay as well,
/// in small pages. Nothing happens where the C library is not GNU's, or where the system has no large
/// pages.
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

/// The whole large pages inside of `bytes` bytes from an address: what lies before them, and their
/// bytes.
fn whole_pages(start: usize, bytes: usize) -> (usize, usize) {
    let before = start.wrapping_neg() % LARGE;
    (before, bytes.saturating_sub(before) / LARGE * LARGE)
}

#[cfg(target_os = "linux")]
fn advise(start: *mut u8, bytes: usize) {
    let (before, bytes) = whole_pages(start.addr(), bytes);
    if bytes > 0 {
        // SAFETY: the advice changes how the system backs these pages, never what they hold;
        // an error means that it will not, and nothing else.
        unsafe { libc::madvise(start.wrapping_add(before).cast(), bytes, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(start: *mut u8, bytes: usize) {
    let _ = whole_pages(start.addr(), bytes);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod heap {
    use std::ffi::c_int;
    use std::sync::Once;

    /// Addresses that the heap grows by.
    const HEAP: c_int = 64 << 20;
    /// Larger blocks get a mapping of their own: the most that the library allows, and what it
    /// comes to by itself once a block of that size was freed.
    const BLOCK: c_int = 32 << 20;

    pub(super) fn extend() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // SAFETY: `mallopt` takes the heap's lock, and its parameters change where later blocks come
            // from, nothing about those in use. `sbrk(0)` only tells where the heap ends; if another
            // thread moves the end, the advice is for less. The block between is freed once, unused.
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
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pages_are_advised() {
        assert_eq!(whole_pages(3 * LARGE, 2 * LARGE), (0, 2 * LARGE));
        assert_eq!(whole_pages(3 * LARGE + 4096, 2 * LARGE), (LARGE - 4096, LARGE));
        assert_eq!(whole_pages(3 * LARGE - 64, 2 * LARGE), (64, LARGE));
        assert_eq!(whole_pages(3 * LARGE + 64, 2 * LARGE - 65), (LARGE - 64, 0));
        assert_eq!(whole_pages(64, 0).1, 0);
    }

    #[test]
    fn advised_memory_keeps_what_is_written() {
        let mut floats: Vec<f32> = Vec::with_capacity(3 << 20);
        may_be_large(floats.spare_capacity_mut());
        floats.extend((0..3 << 20).map(|i| i as f32));
        assert!(floats.iter().enumerate().all(|(i, &x)| x == i as f32));
    }
}
