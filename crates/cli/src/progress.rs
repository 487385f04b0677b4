//! Progress on stderr: a bar when the number of images is known, a counter when not. Silent
//! when stderr is no terminal, when results scroll by on the same terminal, and for short work.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};

use crate::terminal;

/// Work shorter than this shows no bar.
const PATIENCE: Duration = Duration::from_millis(400);

const KNOWN: &str = "{bar:32} {human_pos}/{human_len} images  {rate}/s  {left} left{msg}";
const UNKNOWN: &str = "{spinner} {human_pos} images  {rate}/s{msg}";

/// A progress bar that may not be there.
pub(crate) struct Progress {
    total: Option<u64>,
    wanted: bool,
    started: Instant,
    bar: Option<ProgressBar>,
    done: u64,
    failed: u64,
    about: &'static str,
}

impl Progress {
    /// Progress over `total` images. `shares_terminal`: results are printed to a terminal too.
    pub(crate) fn new(total: Option<usize>, quiet: bool, shares_terminal: bool) -> Progress {
        Progress {
            total: total.map(|n| n as u64),
            wanted: !quiet && !shares_terminal && terminal::stderr_is_terminal(),
            started: Instant::now(),
            bar: None,
            done: 0,
            failed: 0,
            about: "",
        }
    }

    /// Says beside the bar what the work is.
    pub(crate) fn about(self, about: &'static str) -> Progress {
        Progress { about, ..self }
    }

    /// Counts one finished image.
    pub(crate) fn step(&mut self, failed: bool) {
        self.failed += u64::from(failed);
        self.reach(self.done + 1);
        if let Some(bar) = self.bar.as_ref().filter(|_| failed) {
            bar.set_message(format!("  {} failed", self.failed));
        }
    }

    /// Counts images up to `done`.
    pub(crate) fn reach(&mut self, done: u64) {
        self.done = done;
        if self.wanted && self.bar.is_none() && self.started.elapsed() > PATIENCE {
            self.bar = Some(self.make_bar());
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
    }

    /// Prints lines to stderr without tearing the bar.
    pub(crate) fn beside(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Images counted so far.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn make_bar(&self) -> ProgressBar {
        let (bar, template) = match self.total {
            Some(total) => (ProgressBar::new(total), KNOWN),
            None => (ProgressBar::new_spinner(), UNKNOWN),
        };
        // A template that does not parse leaves the plain style.
        if let Ok(style) = ProgressStyle::with_template(template) {
            // The bar comes late and has a past: its own estimates would take that for speed.
            let style = style.with_key("rate", show_rate).with_key("left", show_left);
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.with_message(self.about).with_elapsed(self.started.elapsed())
    }
}

/// Images a second since the beginning.
fn rate(state: &ProgressState) -> f64 {
    state.pos() as f64 / state.elapsed().as_secs_f64().max(1e-3)
}

fn show_rate(state: &ProgressState, out: &mut dyn Write) {
    let rate = rate(state);
    // A bar that cannot be drawn is no bar.
    let _ = if rate < 10.0 { write!(out, "{rate:.1}") } else { write!(out, "{rate:.0}") };
}

fn show_left(state: &ProgressState, out: &mut dyn Write) {
    let rest = state.len().unwrap_or(0).saturating_sub(state.pos());
    let seconds = (rest as f64 / rate(state).max(1e-6)).min(1e9);
    let _ = write!(out, "{:#}", HumanDuration(Duration::from_secs(seconds.ceil() as u64)));
}

/// Downloads on stderr: a bar on a terminal, nothing else otherwise but what went wrong.
pub(crate) struct Download;

impl Download {
    /// A watcher for [`mobilenet::ModuleOptions::progress`]. Costs nothing until a download
    /// begins.
    pub(crate) fn watch() -> impl Fn(&mobilenet::Progress<'_>) + Send + Sync + 'static {
        let bar = Mutex::new(None);
        move |step| {
            let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
            Download::show(&mut bar, step);
        }
    }

    fn show(bar: &mut Option<ProgressBar>, step: &mobilenet::Progress<'_>) {
        use mobilenet::Progress as Step;
        match step {
            Step::Downloading { url, received, total } => {
                let bar = bar.get_or_insert_with(|| download_bar(url, *total));
                bar.set_position(*received);
            }
            Step::Done { .. } | Step::Unpacking { .. } => {
                if let Some(bar) = bar.take() {
                    bar.finish_and_clear();
                }
            }
            Step::Waiting { holder, .. } => {
                terminal::note(format_args!(
                    "waiting for {holder}, which downloads the same module"
                ));
            }
            Step::Repairing { reason, .. } => {
                terminal::warning(format_args!(
                    "the cached module is damaged ({reason}); fetching it again"
                ));
            }
            Step::Retrying { reason, pause, .. } => {
                terminal::warning(format_args!(
                    "{reason}; trying again in {} s",
                    pause.as_secs_f32()
                ));
            }
            _ => {}
        }
    }
}

fn download_bar(url: &str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "Downloading {msg} {bar:24} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left",
        None => "Downloading {msg} {spinner} {bytes}  {bytes_per_sec}",
    };
    // Draws nothing where stderr is no terminal.
    let bar = ProgressBar::new(total.unwrap_or(0));
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸ "));
    }
    let name = url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let name: Vec<&str> = name.rsplit('/').take(3).collect();
    bar.with_message(name.into_iter().rev().collect::<Vec<_>>().join("/"))
}
