//! `mobilenet list`: the published family, what each network costs and is worth, and which are here.

use std::io::{self, BufWriter, Write};

use clap::Args;
use mobilenet::{EntryState, family};
use serde::Serialize;

use crate::args::HubArgs;
use crate::failure::{Failure, Outcome, Status};
use crate::terminal::{HEADING, Paint, GOOD};

const EXAMPLES: &str = "\
Examples:
  mobilenet list                          The float classifiers
  mobilenet list --all                    Feature vectors and eight bits too
  mobilenet list --json | jq -r '.[] | select(.cached) | .handle'";

/// List the published modules
///
/// Accuracies are slim's on ImageNet's validation images; parameters and multiply-adds are counted.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct List {
    /// Feature vectors and networks trained for eight bits too
    #[arg(long)]
    all: bool,

    /// Print one JSON array
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Serialize)]
struct Row {
    handle: String,
    depth_multiplier: f64,
    image_size: usize,
    kind: &'static str,
    parameters: u64,
    multiply_adds: u64,
    /// In percent.
    top1: f64,
    top5: Option<f64>,
    cached: bool,
}

impl List {
    pub(crate) fn run(self) -> Outcome {
        let rows = self.rows()?;
        let mut out = BufWriter::new(io::stdout().lock());
        if self.json {
            serde_json::to_writer_pretty(&mut out, &rows)?;
            writeln!(out)?;
        } else {
            show(&mut out, &rows)?;
        }
        out.flush()?;
        Ok(Status::Good)
    }

    fn rows(&self) -> Result<Vec<Row>, Failure> {
        let entries = self.hub.options().hub()?.cache().list().map_err(mobilenet::Error::from)?;
        let cached = |handle: &str| {
            let whole = |entry: &&mobilenet::CacheEntry| entry.state == EntryState::Whole;
            entries.iter().filter(whole).any(|entry| entry.handle.as_deref() == Some(handle))
        };
        let wanted = |module: &family::Published| {
            self.all || !(module.quantized || module.feature_vector)
        };
        let row = |module: family::Published| Row {
            cached: cached(&module.handle),
            depth_multiplier: module.depth_multiplier,
            image_size: module.image_size,
            kind: match (module.quantized, module.feature_vector) {
                (false, false) => "classification",
                (false, true) => "feature_vector",
                (true, false) => "quantops/classification",
                (true, true) => "quantops/feature_vector",
            },
            parameters: module.parameters,
            multiply_adds: module.multiply_adds,
            top1: module.top1,
            top5: module.top5,
            handle: module.handle,
        };
        Ok(family::published().filter(wanted).map(row).collect())
    }
}

fn show(out: &mut dyn Write, rows: &[Row]) -> io::Result<()> {
    let paint = Paint::stdout();
    let head = " alpha  pixels  parameters  multiply-adds  top-1  top-5  cached  handle";
    writeln!(out, "{}", paint.paint(HEADING, head))?;
    for row in rows {
        let millions = |value: u64| format!("{:.2} M", value as f64 / 1e6);
        let top5 = row.top5.map_or_else(|| "-".to_owned(), |top5| format!("{top5:.1}"));
        let cached = paint.paint(GOOD, format_args!("{:<6}", if row.cached { "yes" } else { "" }));
        writeln!(
            out,
            "{:>6}  {:>6}  {:>10}  {:>13}  {:>5.1}  {:>5}  {cached}  {}",
            row.depth_multiplier,
            row.image_size,
            millions(row.parameters),
            millions(row.multiply_adds),
            row.top1,
            top5,
            row.handle
        )?;
    }
    Ok(())
}
