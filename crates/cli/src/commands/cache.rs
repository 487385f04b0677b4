//! `mobilenet cache`: looking after the modules that were downloaded.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use mobilenet::{Cache as Modules, CacheEntry, EntryState, Handle};
use serde::Serialize;

use crate::args::HubArgs;
use crate::failure::{Failure, Outcome, Status};
use crate::terminal::{self, ERROR, FAINT, GOOD, Paint, WARNING, printable};

const EXAMPLES: &str = "\
Examples:
  mobilenet cache list
  mobilenet cache verify
  mobilenet cache remove https://tfhub.dev/google/imagenet/mobilenet_v1_025_192/classification/1
  mobilenet cache list --json | jq -r '.[].path'";

/// List, verify or remove downloaded modules
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Cache {
    #[command(subcommand)]
    action: Action,

    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the modules in the cache
    #[command(after_help = "Examples:\n  mobilenet cache list\n  mobilenet cache list --json | jq -r '.[].path'")]
    List {
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Read every file and check it; exit status 1 if one is damaged
    #[command(after_help = "Examples:\n  mobilenet cache verify")]
    Verify {
        /// Only these modules
        #[arg(value_name = "HANDLE")]
        handles: Vec<String>,
    },
    /// Remove modules, and what downloads that died left behind
    #[command(after_help = "Examples:\n  mobilenet cache remove --all")]
    Remove {
        /// Remove these modules
        #[arg(value_name = "HANDLE", required_unless_present = "all")]
        handles: Vec<String>,

        /// Remove every module
        #[arg(long, conflicts_with = "handles")]
        all: bool,
    },
}

impl Cache {
    pub(crate) fn run(self) -> Outcome {
        let hub = self.hub.options().hub()?;
        let cache = hub.cache();
        match self.action {
            Action::List { json } => list(&cache, json, &hub.cache_dir().display().to_string()),
            Action::Verify { handles } => verify(&cache, &handles),
            Action::Remove { handles, .. } => remove(&cache, &handles),
        }
    }
}

#[derive(Serialize)]
struct Row<'a> {
    handle: Option<&'a str>,
    path: String,
    bytes: u64,
    sha256: Option<String>,
    state: String,
}

impl<'a> From<&'a CacheEntry> for Row<'a> {
    fn from(entry: &'a CacheEntry) -> Self {
        Row {
            handle: entry.handle.as_deref(),
            path: entry.path.display().to_string(),
            bytes: entry.size,
            sha256: entry.checksum.map(|checksum| checksum.to_string()),
            state: state(&entry.state),
        }
    }
}

fn state(state: &EntryState) -> String {
    match state {
        EntryState::Whole => "whole".into(),
        EntryState::Downloading => "downloading".into(),
        EntryState::Partial => "partial".into(),
        EntryState::Damaged(what) => format!("damaged: {what}"),
        _ => "unknown".into(),
    }
}

fn list(cache: &Modules, json: bool, folder: &str) -> Outcome {
    let entries = cache.list().map_err(mobilenet::Error::from)?;
    let mut out = io::stdout().lock();
    if json {
        let rows: Vec<Row<'_>> = entries.iter().map(Row::from).collect();
        serde_json::to_writer_pretty(&mut out, &rows)?;
        writeln!(out)?;
        return Ok(Status::Good);
    }
    for entry in &entries {
        show(&mut out, entry)?;
    }
    let total = terminal::bytes(entries.iter().map(|entry| entry.size).sum());
    terminal::note(format_args!("{} modules, {total} in {folder}", entries.len()));
    Ok(Status::Good)
}

fn show(out: &mut impl Write, entry: &CacheEntry) -> io::Result<()> {
    let paint = Paint::stdout();
    let style = match entry.state {
        EntryState::Whole => GOOD,
        EntryState::Damaged(_) => ERROR,
        _ => WARNING,
    };
    let name = entry.handle.as_deref().unwrap_or(&entry.key);
    writeln!(
        out,
        "{:>9}  {}  {}",
        terminal::bytes(entry.size),
        printable(name),
        paint.paint(style, printable(&state(&entry.state))),
    )?;
    writeln!(out, "           {}", paint.paint(FAINT, printable(&entry.path.display().to_string())))
}

/// The entries of these handles, or all of them.
fn chosen(cache: &Modules, handles: &[String]) -> Result<Vec<CacheEntry>, Failure> {
    if handles.is_empty() {
        return Ok(cache.list().map_err(mobilenet::Error::from)?);
    }
    handles.iter().map(|handle| find(cache, handle)).collect()
}

fn find(cache: &Modules, handle: &str) -> Result<CacheEntry, Failure> {
    let parsed = Handle::parse(handle).map_err(mobilenet::Error::from)?;
    let found = cache.find(&parsed).map_err(mobilenet::Error::from)?;
    found.ok_or_else(|| {
        Failure::new(format!("{handle} is not in the cache"))
            .hint("`mobilenet cache list` shows what is")
    })
}

fn verify(cache: &Modules, handles: &[String]) -> Outcome {
    let mut failed = 0;
    for entry in chosen(cache, handles)? {
        let verified = cache.verify(&entry).map_err(mobilenet::Error::from)?.unwrap_or(entry);
        failed += usize::from(matches!(verified.state, EntryState::Damaged(_)));
        show(&mut io::stdout().lock(), &verified)?;
    }
    if failed > 0 {
        terminal::hint("a damaged module is fetched again when it is used next");
    }
    Ok(Status::of_failures(failed))
}

fn remove(cache: &Modules, handles: &[String]) -> Outcome {
    let mut freed = 0;
    let mut failed = 0;
    for entry in chosen(cache, handles)? {
        match cache.remove(&entry) {
            Ok(bytes) => freed += bytes,
            Err(error) => {
                failed += 1;
                terminal::error(error);
            }
        }
    }
    freed += cache.remove_leftovers().map_err(mobilenet::Error::from)?;
    terminal::note(format_args!("{} freed", terminal::bytes(freed)));
    Ok(Status::of_failures(failed))
}
