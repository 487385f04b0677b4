//! Many inputs on all cores, results in input order, memory bounded.
//!
//! [`ordered`] knows nothing of images: a source of items, a worker for each thread, and a sink
//! on the caller's thread. Reading, decoding, resizing and inference of one photo happen in one
//! worker, so the threads share nothing but the module's packed weights.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Results that may wait for an earlier, slower one; for each thread.
const AHEAD: usize = 4;

/// Runs `worker()`s on up to `threads` threads over `items` and hands each result to `sink`, in
/// the order of the items. Stops early when `sink` breaks.
///
/// Items are taken from the iterator one at a time, as late as possible, and never more than a
/// few for each thread are under way: an endless iterator is fine, and so is one that blocks.
/// With one thread, or one item, everything happens on the caller's thread.
///
/// ```
/// use std::ops::ControlFlow;
///
/// let mut squares = Vec::new();
/// mobilenet::pipeline::ordered(1..=5, 2, || |n: u64| n * n, |square| {
///     squares.push(square);
///     ControlFlow::Continue(())
/// });
/// assert_eq!(squares, [1, 4, 9, 16, 25]);
/// ```
pub fn ordered<T, R, W>(
    items: impl Iterator<Item = T> + Send,
    threads: usize,
    worker: impl Fn() -> W + Sync,
    mut sink: impl FnMut(R) -> ControlFlow<()>,
) where
    R: Send,
    W: FnMut(T) -> R,
{
    let threads = threads.min(items.size_hint().1.unwrap_or(usize::MAX));
    if threads <= 1 {
        // The loop stops where the sink breaks; there is nothing else to tell.
        let _ = items.map(worker()).try_for_each(sink);
        return;
    }
    let line = Line::new(items, threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| line.work(worker()));
        }
        while let Some(result) = line.next_result() {
            if sink(result).is_break() {
                line.stop();
                break;
            }
        }
    });
}

/// What the threads share.
struct Line<I, R> {
    source: Mutex<Source<I>>,
    board: Mutex<Board<R>>,
    /// The next result in order is there, or no more will come.
    ready: Condvar,
    /// A result was taken: there is room for one more.
    room: Condvar,
    /// How far ahead of the next result in order an item may be worked on.
    window: usize,
}

struct Source<I> {
    items: I,
    taken: usize,
}

struct Board<R> {
    /// Results that wait, by distance from `given`.
    waiting: VecDeque<Option<R>>,
    given: usize,
    workers: usize,
    stopped: bool,
}

impl<T, I: Iterator<Item = T>, R> Line<I, R> {
    fn new(items: I, threads: usize) -> Self {
        let window = threads * AHEAD;
        Line {
            source: Mutex::new(Source { items, taken: 0 }),
            board: Mutex::new(Board {
                waiting: VecDeque::with_capacity(window),
                given: 0,
                workers: threads,
                stopped: false,
            }),
            ready: Condvar::new(),
            room: Condvar::new(),
            window,
        }
    }

    fn work(&self, mut work: impl FnMut(T) -> R) {
        let _leaves = Leaves(self);
        while let Some((number, item)) = self.take() {
            if !self.wait_for_room(number) {
                return;
            }
            let result = work(item);
            self.post(number, result);
        }
    }

    fn take(&self) -> Option<(usize, T)> {
        let mut source = lock(&self.source);
        let item = source.items.next()?;
        source.taken += 1;
        Some((source.taken - 1, item))
    }

    /// False once the sink has had enough.
    fn wait_for_room(&self, number: usize) -> bool {
        let mut board = lock(&self.board);
        while !board.stopped && number >= board.given + self.window {
            board = self.room.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
        !board.stopped
    }

    fn post(&self, number: usize, result: R) {
        let mut board = lock(&self.board);
        let place = number - board.given;
        if board.waiting.len() <= place {
            board.waiting.resize_with(place + 1, || None);
        }
        if let Some(slot) = board.waiting.get_mut(place) {
            *slot = Some(result);
        }
        if place == 0 {
            self.ready.notify_one();
        }
    }

    /// The next result in order; `None` after the last, or after a worker panicked.
    fn next_result(&self) -> Option<R> {
        let mut board = lock(&self.board);
        loop {
            if let Some(Some(_)) = board.waiting.front() {
                board.given += 1;
                self.room.notify_all();
                return board.waiting.pop_front().flatten();
            }
            if board.workers == 0 {
                return None;
            }
            board = self.ready.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn stop(&self) {
        lock(&self.board).stopped = true;
        self.room.notify_all();
    }
}

/// Tells the line that a worker is gone, also when it panicked: the sink must not wait for it,
/// and neither must workers that are ahead of it.
struct Leaves<'a, I: Iterator, R>(&'a Line<I, R>);

impl<I: Iterator, R> Drop for Leaves<'_, I, R> {
    fn drop(&mut self) {
        lock(&self.0.board).workers -= 1;
        if std::thread::panicking() {
            self.0.stop();
        }
        self.0.ready.notify_one();
    }
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn order_holds_when_early_items_are_slow() {
        let slow_first = || {
            |n: u64| {
                std::thread::sleep(Duration::from_millis(if n.is_multiple_of(8) { 8 } else { 0 }));
                n
            }
        };
        let mut seen = Vec::new();
        ordered(0..100, 4, slow_first, |n| {
            seen.push(n);
            ControlFlow::Continue(())
        });
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn an_endless_source_is_read_only_a_little_ahead() {
        let taken = AtomicUsize::new(0);
        let items = (0usize..).inspect(|_| {
            taken.fetch_add(1, Ordering::Relaxed);
        });
        let mut last = 0;
        ordered(
            items,
            3,
            || |n| n,
            |n| {
                last = n;
                let ahead = taken.load(Ordering::Relaxed) - n;
                assert!(ahead <= 3 * AHEAD + 3 + 1, "{ahead} ahead");
                if n == 1000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        assert_eq!(last, 1000);
    }

    #[test]
    fn one_item_stays_on_this_thread() {
        let here = std::thread::current().id();
        let mut seen = None;
        ordered(
            std::iter::once(()),
            8,
            || |()| std::thread::current().id(),
            |id| {
                seen = Some(id);
                ControlFlow::Continue(())
            },
        );
        assert_eq!(seen, Some(here));
    }

    #[test]
    fn a_panic_reaches_the_caller_and_does_not_hang() {
        let panics = || |n: usize| if n == 5 { panic!("item 5") } else { n };
        let run = || ordered(0..1000, 3, panics, |_| ControlFlow::Continue(()));
        assert!(std::panic::catch_unwind(run).is_err());
    }
}
