//! `mobilenet inspect`: what a module is, as a card, or one stage on its way from files to plan.
//! Each stage collects a value that serialises; text is another way to write the same value.

mod card;
mod stages;

use std::io::{self, BufWriter, Write};

use clap::{Args, ValueEnum};
use mobilenet::Module;
use serde::Serialize;

use crate::args::ModelArgs;
use crate::failure::{Failure, Outcome, Status};
use crate::terminal::Paint;

const EXAMPLES: &str = "\
Examples:
  mobilenet inspect                                   The default module's card
  mobilenet inspect model/1.tar.gz --all              With every end point
  mobilenet inspect --json | jq .signatures
  mobilenet inspect --stage graph --tags train        The training graph's nodes
  mobilenet inspect --stage plan --signature image_feature_vector --isa avx2";

/// Show what is inside a module
///
/// Without --stage: its card, with signatures, shapes, sizes and costs.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Inspect {
    /// The module: a URL, a folder, a .tar.gz, or a model file [default: that of --module]
    // No conflict with `module`: its environment variable may name the usual one.
    #[arg(value_name = "HANDLE")]
    handle: Option<String>,

    /// Show one stage in full
    #[arg(long, value_name = "STAGE")]
    stage: Option<Stage>,

    /// The signature that is planned and counted [default: image_classification]
    #[arg(long, value_name = "NAME")]
    signature: Option<String>,

    /// The output that is planned [default: default]
    #[arg(long, value_name = "NAME")]
    output: Option<String>,

    /// List every end point
    #[arg(long)]
    all: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    model: ModelArgs,
}

/// A stage on the way from files to answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// The module's files and their sizes
    Files,
    /// The nodes of the graph, with their ops and shapes
    Graph,
    /// The steps that run on this machine, with their kernels
    Plan,
}

/// What can be shown.
trait Show: Serialize {
    /// Writes it for people.
    fn show(&self, out: &mut dyn Write, paint: Paint) -> io::Result<()>;
}

impl Inspect {
    pub(crate) fn run(self) -> Outcome {
        let module = match &self.handle {
            Some(handle) => self.model.open_handle(handle)?,
            None => self.model.open()?,
        };
        match self.stage {
            None => self.print(&card::Card::of(&module, self.signature.as_deref(), self.all)?),
            Some(Stage::Files) => self.print(&stages::Files::of(&module)?),
            Some(Stage::Graph) => self.print(&stages::Nodes::of(&module)?),
            Some(Stage::Plan) => self.print(&self.plan(&module)?),
        }
    }

    fn plan(&self, module: &Module) -> Result<stages::Steps, Failure> {
        let signature = match &self.signature {
            Some(name) => name,
            None => module.first_signature()?,
        };
        stages::Steps::of(module, signature, self.output.as_deref().unwrap_or("default"))
    }

    fn print(&self, value: &impl Show) -> Outcome {
        let mut out = BufWriter::new(io::stdout().lock());
        if self.json {
            serde_json::to_writer_pretty(&mut out, value)?;
            writeln!(out)?;
        } else {
            value.show(&mut out, Paint::stdout())?;
        }
        out.flush()?;
        Ok(Status::Good)
    }
}
