//! Idle workers sleep. (One test, alone in its process: it reads what the process took of the CPU.)
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mobilenet_engine::Pool;

/// Hundredths of a second of CPU that all threads of this process have taken.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name before may hold anything; after its parenthesis, `utime` and `stime` are 11 fields on.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum()
}

#[test]
fn workers_take_no_time_between_runs() {
    let pool = Pool::new(3);
    let count = AtomicUsize::new(0);
    for round in 1..=2 {
        {
            // As a session does around the steps of a run: workers may spin until it ends.
            let _active = pool.activate();
            pool.for_each(64, &|_, _| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(count.load(Ordering::Relaxed), 64 * round);
        std::thread::sleep(Duration::from_millis(20));
        let before = ticks();
        std::thread::sleep(Duration::from_millis(200));
        // A worker that spins takes 20 of them.
        let taken = ticks() - before;
        assert!(taken <= 3, "idle for 200 ms, the workers took {taken}0 ms");
    }
}
