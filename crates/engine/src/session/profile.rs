//! Where the time of a session goes, step by step.

use std::time::Duration;

use super::Session;

impl Session {
    /// Starts (anew) or stops adding up the time of each step. Only runs of one image, or of a
    /// plan with a fixed batch, are measured.
    pub fn set_profiling(&mut self, on: bool) {
        self.profile = on.then(|| vec![Duration::ZERO; self.plan.steps.len()]);
    }

    /// The time spent in each step of the plan since profiling was started.
    pub fn profile(&self) -> Option<&[Duration]> {
        self.profile.as_deref()
    }
}
