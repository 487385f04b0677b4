//! Threads. The one place where work is split: a fixed list of tasks, each writing its own
//! chunk of the output, so that no result depends on how many threads there are.
//! Each thread first takes the tasks of its own contiguous share (its part of the image
//! stays in its cache) and then helps the others. Idle workers sleep.

use std::any::Any;
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A pool of threads for the kernels.
///
/// A pool of one thread is free: it holds nothing and runs everything in the caller.
/// If two callers use one pool at a time, the second runs its tasks alone.
///
/// ```
/// use mobilenet_kernels::Pool;
/// let pool = Pool::new(2);
/// let mut squares = [0; 10];
/// pool.for_each_chunk(&mut squares, 1, &|index, chunk| chunk[0] = index * index);
/// assert_eq!(squares[9], 81);
/// ```
pub struct Pool {
    shared: Option<Arc<Shared>>,
    workers: Vec<JoinHandle<()>>,
}

/// What workers and callers share.
struct Shared {
    /// Held by the caller whose job is running.
    caller: Mutex<()>,
    /// `epoch << 32 | OPEN | workers inside`.
    gate: AtomicU64,
    job: UnsafeCell<Option<Job>>,
    /// Next task of each thread's share.
    next: Vec<Counter>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Runs under way: workers may spin between jobs.
    active: AtomicUsize,
    sleepers: AtomicUsize,
    asleep: Mutex<()>,
    wake: Condvar,
    stop: AtomicBool,
}

/// An atomic alone on its cache lines.
#[repr(align(128))]
struct Counter(AtomicUsize);

#[derive(Clone, Copy)]
struct Job {
    tasks: usize,
    body: *const (dyn Fn(usize, usize) + Sync),
}

// SAFETY: `job` is written only by the holder of `caller` while the gate is closed and
// nobody is inside, and read only by threads inside; the gate's atomics order the two.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is only followed while its borrow is held by the caller.
unsafe impl Send for Shared {}

const OPEN: u64 = 1 << 31;
const INSIDE: u64 = OPEN - 1;
/// Turns a worker waits for the next job of a run before it sleeps (some 50 µs).
const SPINS: usize = 4000;

impl Pool {
    /// A pool of `threads` threads, the caller's among them; 0 means one per CPU.
    /// Where threads cannot be started there are fewer.
    pub fn new(threads: usize) -> Self {
        let threads = if threads == 0 { available_threads() } else { threads.min(1024) };
        if threads == 1 || cfg!(target_family = "wasm") {
            return Self::single();
        }
        let shared = Arc::new(Shared::new(threads));
        let spawn = |thread| {
            let shared = Arc::clone(&shared);
            let builder = std::thread::Builder::new().name(format!("kernels-{thread}"));
            builder.spawn(move || shared.work(thread)).ok()
        };
        let workers = (1..threads).map_while(spawn).collect();
        Self { shared: Some(shared), workers }
    }

    /// A pool that runs everything in the caller.
    pub const fn single() -> Self {
        Self { shared: None, workers: Vec::new() }
    }

    /// Threads that work, the caller's among them.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Keeps workers ready between the jobs of one run, until the guard is dropped.
    pub fn activate(&self) -> Active<'_> {
        if let Some(shared) = &self.shared {
            shared.active.fetch_add(1, Ordering::SeqCst);
            shared.wake_sleepers();
        }
        Active { shared: self.shared.as_deref() }
    }

    /// Calls `body(task, thread)` once for each task in `0..tasks`, in any order, at most one
    /// at a time for each `thread` in `0..self.threads()`. A panic of `body` reaches the caller.
    pub fn for_each(&self, tasks: usize, body: &(dyn Fn(usize, usize) + Sync)) {
        if let (Some(shared), true) = (&self.shared, tasks > 1) {
            let free = match shared.caller.try_lock() {
                Ok(guard) => Some(guard),
                Err(std::sync::TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
                Err(std::sync::TryLockError::WouldBlock) => None,
            };
            if let Some(caller) = free {
                return shared.run(tasks, body, caller);
            }
        }
        (0..tasks).for_each(|task| body(task, 0));
    }

    /// Splits `data` into chunks of `chunk` elements (the last may be shorter) and calls
    /// `body(index, chunk)` once for each.
    pub fn for_each_chunk<T: Send>(
        &self,
        data: &mut [T],
        chunk: usize,
        body: &(dyn Fn(usize, &mut [T]) + Sync),
    ) {
        let mut states = NO_STATES;
        let states = &mut states[..self.threads().min(NO_STATES.len())];
        if states.len() < self.threads() {
            let mut states = vec![(); self.threads()];
            return self.for_each_chunk_with(data, chunk, &mut states, &|i, c, ()| body(i, c));
        }
        self.for_each_chunk_with(data, chunk, states, &|index, chunk, ()| body(index, chunk));
    }

    /// As [`for_each_chunk`](Self::for_each_chunk), and lends each thread one of `states`,
    /// such as scratch memory.
    ///
    /// # Panics
    /// If there are fewer states than threads.
    pub fn for_each_chunk_with<T: Send, S: Send>(
        &self,
        data: &mut [T],
        chunk: usize,
        states: &mut [S],
        body: &(dyn Fn(usize, &mut [T], &mut S) + Sync),
    ) {
        assert!(states.len() >= self.threads(), "one state for each thread");
        let chunk = chunk.max(1);
        let (data, states) = (Parts::new(data), Parts::new(states));
        self.for_each(data.len.div_ceil(chunk), &|task, thread| {
            let start = task * chunk;
            let length = chunk.min(data.len - start);
            // SAFETY: each task and each thread number is given to one call at a time.
            let (chunk, state) = unsafe { (data.slice(start, length), states.slice(thread, 1)) };
            body(task, chunk, &mut state[0]);
        });
    }

    /// Splits three slices into chunks and calls `body` with those of one index, as many times as
    /// the third has chunks; where another ends early, with what there is of it.
    #[allow(clippy::type_complexity)]
    pub(crate) fn for_each_triple<A: Send, B: Send, C: Send>(
        &self,
        (first, first_chunk): (&mut [A], usize),
        (second, second_chunk): (&mut [B], usize),
        (third, third_chunk): (&mut [C], usize),
        body: &(dyn Fn(usize, &mut [A], &mut [B], &mut [C]) + Sync),
    ) {
        let (first, second, third) = (Parts::new(first), Parts::new(second), Parts::new(third));
        self.for_each(third.len.div_ceil(third_chunk.max(1)), &|task, _| {
            // SAFETY: each task is given to one call, and chunks of different tasks do not overlap.
            let (first, second, third) = unsafe {
                (
                    first.chunk(task, first_chunk),
                    second.chunk(task, second_chunk),
                    third.chunk(task, third_chunk),
                )
            };
            body(task, first, second, third);
        });
    }

    /// As [`for_each_chunk_with`](Self::for_each_chunk_with), with `each` values of `scratch`
    /// lent to each thread.
    #[allow(clippy::type_complexity)]
    pub(crate) fn for_each_chunk_scratch<T: Send, S: Send>(
        &self,
        data: &mut [T],
        chunk: usize,
        (scratch, each): (&mut [S], usize),
        body: &(dyn Fn(usize, &mut [T], &mut [S]) + Sync),
    ) {
        assert!(scratch.len() >= each * self.threads(), "scratch is too short");
        let chunk = chunk.max(1);
        let (data, scratch) = (Parts::new(data), Parts::new(scratch));
        self.for_each(data.len.div_ceil(chunk), &|task, thread| {
            let start = task * chunk;
            let length = chunk.min(data.len - start);
            // SAFETY: each task and each thread number is given to one call at a time.
            let (chunk, scratch) =
                unsafe { (data.slice(start, length), scratch.slice(thread * each, each)) };
            body(task, chunk, scratch);
        });
    }
}

const NO_STATES: [(); 64] = [(); 64];

fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A mutable slice that several threads take disjoint parts of.
struct Parts<'a, T> {
    data: *mut T,
    len: usize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: parts are handed out disjoint, so sharing `Parts` is sending `T`s.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    fn new(data: &'a mut [T]) -> Self {
        Self { data: data.as_mut_ptr(), len: data.len(), life: PhantomData }
    }

    /// # Safety
    /// Parts alive at the same time must not overlap.
    #[allow(clippy::mut_from_ref)]
    unsafe fn slice(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start <= self.len && len <= self.len - start, "part outside the slice");
        // SAFETY: inside the borrowed slice by the assert; disjoint by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), len) }
    }
}

impl<T> Parts<'_, T> {
    /// Chunk `index` of so many elements, or what there is of it.
    ///
    /// # Safety
    /// As for [`slice`](Self::slice).
    #[allow(clippy::mut_from_ref)]
    unsafe fn chunk(&self, index: usize, chunk: usize) -> &mut [T] {
        let start = index.saturating_mul(chunk).min(self.len);
        // SAFETY: the caller's promise.
        unsafe { self.slice(start, chunk.min(self.len - start)) }
    }
}

/// Keeps a pool's workers ready; see [`Pool::activate`].
pub struct Active<'a> {
    shared: Option<&'a Shared>,
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared {
            shared.active.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Shared {
    fn new(threads: usize) -> Self {
        Self {
            caller: Mutex::new(()),
            gate: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            next: (0..threads).map(|_| Counter(AtomicUsize::new(0))).collect(),
            panic: Mutex::new(None),
            active: AtomicUsize::new(0),
            sleepers: AtomicUsize::new(0),
            asleep: Mutex::new(()),
            wake: Condvar::new(),
            stop: AtomicBool::new(false),
        }
    }

    /// Runs one job with the help of the workers; returns when every task is done.
    fn run(&self, tasks: usize, body: &(dyn Fn(usize, usize) + Sync), caller: MutexGuard<'_, ()>) {
        // SAFETY: only the lifetime is dropped; the gate is closed and empty before `run` returns.
        let body = unsafe {
            std::mem::transmute::<
                *const (dyn Fn(usize, usize) + Sync),
                *const (dyn Fn(usize, usize) + Sync + 'static),
            >(body)
        };
        let job = Job { tasks, body };
        // SAFETY: `caller` is held, the gate is closed and nobody is inside.
        unsafe { *self.job.get() = Some(job) };
        for (thread, next) in self.next.iter().enumerate() {
            next.0.store(share(thread, tasks, self.next.len()), Ordering::Relaxed);
        }
        let epoch = (self.gate.load(Ordering::Relaxed) >> 32).wrapping_add(1);
        self.gate.store(epoch << 32 | OPEN, Ordering::SeqCst);
        self.wake_sleepers();
        self.take_part(job, 0);
        self.gate.fetch_and(!OPEN, Ordering::SeqCst);
        self.wait_until_empty();
        let panic = lock(&self.panic).take();
        drop(caller);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    fn wait_until_empty(&self) {
        let mut turns = 0usize;
        while self.gate.load(Ordering::Acquire) & INSIDE != 0 {
            turns += 1;
            if turns.is_multiple_of(1024) {
                std::thread::yield_now()
            } else {
                std::hint::spin_loop()
            }
        }
    }

    /// Does tasks until none is left: first this thread's share, then the others'.
    fn take_part(&self, job: Job, thread: usize) {
        let threads = self.next.len();
        // SAFETY: the caller inside `run` keeps the body borrowed until the gate is empty.
        let body = unsafe { &*job.body };
        let work = || {
            for turn in 0..threads {
                let owner = (thread + turn) % threads;
                let end = share(owner + 1, job.tasks, threads);
                let next = &self.next[owner].0;
                while next.load(Ordering::Relaxed) < end {
                    let task = next.fetch_add(1, Ordering::Relaxed);
                    if task < end {
                        body(task, thread);
                    }
                }
            }
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            lock(&self.panic).get_or_insert(panic);
        }
    }

    fn wake_sleepers(&self) {
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.asleep));
            self.wake.notify_all();
        }
    }

    /// The life of a worker.
    fn work(&self, thread: usize) {
        let mut seen = 0;
        while let Some(epoch) = self.enter(seen) {
            seen = epoch;
            // SAFETY: this thread is counted inside, so the job stays as it is.
            if let Some(job) = unsafe { *self.job.get() } {
                self.take_part(job, thread);
            }
            self.gate.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for a job later than `seen` and enters its gate; `None` when the pool ends.
    fn enter(&self, seen: u64) -> Option<u64> {
        let mut turns = 0;
        loop {
            let gate = self.gate.load(Ordering::Acquire);
            if gate & OPEN != 0 && gate >> 32 != seen {
                let entered =
                    self.gate.compare_exchange(gate, gate + 1, Ordering::AcqRel, Ordering::Relaxed);
                match entered {
                    Ok(_) => return Some(gate >> 32),
                    Err(_) => continue,
                }
            }
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            turns += 1;
            if turns < SPINS && self.active.load(Ordering::Relaxed) > 0 {
                std::hint::spin_loop();
            } else {
                self.sleep(seen, turns >= SPINS);
                turns = 0;
            }
        }
    }

    /// Sleeps until there is a job later than `seen`, a run begins, or the pool ends.
    fn sleep(&self, seen: u64, tired: bool) {
        let mut guard = lock(&self.asleep);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let before = self.active.load(Ordering::SeqCst);
        loop {
            let gate = self.gate.load(Ordering::SeqCst);
            let work = gate & OPEN != 0 && gate >> 32 != seen;
            let begun = self.active.load(Ordering::SeqCst) > if tired { before } else { 0 };
            if work || begun || self.stop.load(Ordering::SeqCst) {
                break;
            }
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// First task of a thread's share.
fn share(thread: usize, tasks: usize, threads: usize) -> usize {
    thread * tasks / threads
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.stop.store(true, Ordering::SeqCst);
            drop(lock(&shared.asleep));
            shared.wake.notify_all();
        }
        for worker in self.workers.drain(..) {
            // A worker that panicked has already reported it through `run`.
            let _ = worker.join();
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads);
            for tasks in [0, 1, 2, 3, 7, 8, 100, 1000] {
                let mut counts = vec![0u32; tasks];
                pool.for_each_chunk(&mut counts, 1, &|_, count| count[0] += 1);
                assert!(counts.iter().all(|&count| count == 1), "{threads} {tasks}");
            }
        }
    }

    #[test]
    fn many_short_jobs_with_and_without_a_run() {
        let pool = Pool::new(3);
        for round in 0..2000usize {
            let _active = (round % 3 == 0).then(|| pool.activate());
            let mut data = [0usize; 16];
            pool.for_each_chunk(&mut data, 3, &|index, chunk| chunk.fill(index + round));
            assert!(data.iter().enumerate().all(|(i, &value)| value == i / 3 + round));
        }
    }

    #[test]
    fn several_callers_share_a_pool() {
        let pool = Pool::new(2);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..300 {
                        let mut data = [0usize; 64];
                        pool.for_each_chunk(&mut data, 4, &|index, chunk| chunk.fill(index));
                        assert!(data.iter().enumerate().all(|(i, &value)| value == i / 4));
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2);
        let result = catch_unwind(AssertUnwindSafe(|| {
            pool.for_each(8, &|task, _| assert_ne!(task, 5, "task five"));
        }));
        assert!(result.is_err());
        let sum = AtomicUsize::new(0);
        pool.for_each(8, &|task, _| {
            sum.fetch_add(task, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 28);
    }
}
