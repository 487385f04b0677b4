//! What happens before the first step and after the last: all photos are gone through once, which
//! is told and can be stopped.

use std::ops::ControlFlow;

use mobilenet_train::dataset::Sample;
use mobilenet_train::run::Event;

/// Who hears of a run and may stop it.
pub(super) type Watch<'a> = dyn FnMut(&Event<'_>) -> ControlFlow<()> + 'a;

/// Photos from one telling to the next.
const ROUND: u64 = 64;

/// Counts photos and tells of them.
pub(super) struct Tally {
    what: &'static str,
    done: u64,
    total: u64,
    flow: ControlFlow<()>,
}

impl Tally {
    /// Of `total` photos, gone through for `what`: a name that [`Event::Preparing`] lists. Where there
    /// are any, it is told at once.
    pub(super) fn new(what: &'static str, total: usize, watch: &mut Watch<'_>) -> Self {
        let (done, total) = (0, total as u64);
        let flow = match total {
            0 => ControlFlow::Continue(()),
            _ => watch(&Event::Preparing { what, done, total }),
        };
        Self { what, done, total, flow }
    }

    /// Counts one; breaks where `watch` does.
    pub(super) fn count(&mut self, watch: &mut Watch<'_>) -> ControlFlow<()> {
        self.done += 1;
        let Self { what, done, total, .. } = *self;
        if self.is_round() && self.flow.is_continue() {
            self.flow = watch(&Event::Preparing { what, done, total });
        }
        self.flow
    }

    /// Whether the photo just counted was told of.
    pub(super) fn is_round(&self) -> bool {
        self.done.is_multiple_of(ROUND) || self.done == self.total
    }

    /// Breaks if somebody stopped it.
    pub(super) fn flow(&self) -> ControlFlow<()> {
        self.flow
    }
}

/// Tells `watch` how far the test of a module on `samples` is.
pub(super) fn testing(
    samples: &[Sample],
    watch: &mut Watch<'_>,
) -> impl FnMut(u64) -> ControlFlow<()> {
    let total = samples.len() as u64;
    move |done| watch(&Event::Testing { done, total })
}

/// Tells of a photo that cannot be used.
pub(super) fn skipped(sample: &Sample, reason: &str, watch: &mut Watch<'_>) {
    let source = sample.source.to_string();
    let _ = watch(&Event::Skipped { source: &source, reason });
}
