//! Ctrl-C during long work: the first one asks the work to stop, so that what is finished is
//! written and nothing half-made stays behind; the second one kills the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Knows whether Ctrl-C was pressed. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt {
    pressed: Arc<AtomicBool>,
}

impl Interrupt {
    /// Starts watching. Without this call Ctrl-C ends the process at once, as usual.
    pub(crate) fn watch() -> Interrupt {
        let interrupt = Interrupt::default();
        interrupt.install();
        interrupt
    }

    /// True once Ctrl-C was pressed.
    pub(crate) fn pressed(&self) -> bool {
        self.pressed.load(Ordering::Relaxed)
    }

    /// `items` until Ctrl-C is pressed.
    pub(crate) fn until<I: Iterator>(&self, items: I) -> Until<I> {
        Until { items, interrupt: self.clone() }
    }

    #[cfg(unix)]
    fn install(&self) {
        use signal_hook::consts::{SIGINT, SIGTERM};
        for signal in [SIGINT, SIGTERM] {
            // In this order: the second signal finds the flag set and takes its usual effect.
            // If a handler cannot be installed, the first one does: no worse than no handler.
            let again = Arc::clone(&self.pressed);
            let _ = signal_hook::flag::register_conditional_default(signal, again);
            let _ = signal_hook::flag::register(signal, Arc::clone(&self.pressed));
        }
    }

    #[cfg(not(unix))]
    fn install(&self) {}
}

/// An iterator that ends when Ctrl-C is pressed.
pub(crate) struct Until<I> {
    items: I,
    interrupt: Interrupt,
}

impl<I: Iterator> Iterator for Until<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        if self.interrupt.pressed() { None } else { self.items.next() }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.items.size_hint().1)
    }
}
