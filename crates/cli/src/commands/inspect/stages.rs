//! The stages between a module's files and what runs: files, graph, plan.

use std::io::{self, Write};

use mobilenet::{Module, Request, StepInfo};
use serde::Serialize;

use super::Show;
use crate::failure::Failure;
use crate::terminal::{FAINT, HEADING, NAME, Paint, printable, bytes, thousands};

/// The files of a module.
#[derive(Serialize)]
pub(super) struct Files {
    path: Option<String>,
    sha256: String,
    files: Vec<File>,
}

#[derive(Serialize)]
struct File {
    path: String,
    bytes: u64,
}

impl Files {
    pub(super) fn of(module: &Module) -> Result<Files, Failure> {
        let folder = module.files();
        let file = |file: mobilenet::ModuleFile| File { path: file.path, bytes: file.size };
        Ok(Files {
            path: folder.path().map(|path| path.display().to_string()),
            sha256: folder.checksum().map_err(mobilenet::Error::from)?.to_string(),
            files: folder.files().into_iter().map(file).collect(),
        })
    }
}

impl Show for Files {
    fn show(&self, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
        for File { path, bytes: size } in &self.files {
            writeln!(out, "{:>10}  {}", bytes(*size), printable(path))?;
        }
        let total = bytes(self.files.iter().map(|file| file.bytes).sum());
        writeln!(out, "{}", paint.paint(FAINT, format_args!("{total:>10}  sha256 {}", self.sha256)))
    }
}

/// The nodes of a graph, inputs before what uses them.
#[derive(Serialize)]
pub(super) struct Nodes {
    tags: Vec<String>,
    nodes: Vec<Node>,
}

#[derive(Serialize)]
struct Node {
    name: String,
    op: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

impl Nodes {
    pub(super) fn of(module: &Module) -> Result<Nodes, Failure> {
        let graph = module.graph()?;
        let node = |(_, node): (_, &mobilenet::Node)| Node {
            name: node.name.clone(),
            op: node.op_name.to_string(),
            inputs: node.inputs.iter().map(|tensor| graph.tensor_name(*tensor)).collect(),
            outputs: node.outputs.iter().map(ToString::to_string).collect(),
        };
        Ok(Nodes { tags: module.tags().to_vec(), nodes: graph.nodes().map(node).collect() })
    }
}

impl Show for Nodes {
    fn show(&self, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
        for node in &self.nodes {
            let op = paint.paint(NAME, format_args!("{:<26}", printable(&node.op)));
            let outputs = paint.paint(FAINT, node.outputs.join(", "));
            writeln!(out, "{op} {}  {outputs}", printable(&node.name))?;
        }
        Ok(())
    }
}

/// The steps of a plan.
#[derive(Serialize)]
pub(super) struct Steps {
    signature: String,
    output: String,
    isa: String,
    arena_bytes: usize,
    multiply_adds: u64,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    kernel: String,
    nodes: Vec<String>,
    inputs: Vec<Vec<usize>>,
    outputs: Vec<Vec<usize>>,
    multiply_adds: u64,
    scratch_bytes: usize,
}

impl From<StepInfo> for Step {
    fn from(step: StepInfo) -> Self {
        let StepInfo { kernel, nodes, inputs, outputs, multiply_adds, scratch_bytes, .. } = step;
        Step { kernel, nodes, inputs, outputs, multiply_adds, scratch_bytes }
    }
}

impl Steps {
    pub(super) fn of(module: &Module, signature: &str, output: &str) -> Result<Steps, Failure> {
        let request = Request::new(signature).outputs([output]);
        let summary = module.runner(&request)?.plan().summary();
        Ok(Steps {
            signature: signature.to_owned(),
            output: output.to_owned(),
            isa: summary.isa,
            arena_bytes: summary.arena_bytes,
            multiply_adds: summary.multiply_adds,
            steps: summary.steps.into_iter().map(Step::from).collect(),
        })
    }
}

impl Show for Steps {
    fn show(&self, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
        let width = self.steps.iter().map(|step| step.kernel.len()).max().unwrap_or(0);
        let heading =
            format!("{:<width$} {:>12} {:<16} {:<16} nodes", "kernel", "mul-adds", "in", "out");
        writeln!(out, "{}", paint.paint(HEADING, heading))?;
        for step in &self.steps {
            writeln!(
                out,
                "{:<width$} {:>12} {:<16} {:<16} {}",
                step.kernel,
                thousands(step.multiply_adds),
                sides(step.inputs.first()),
                sides(step.outputs.first()),
                printable(step.nodes.last().map_or("", String::as_str)),
            )?;
        }
        let (steps, work) = (self.steps.len(), thousands(self.multiply_adds));
        let arena = bytes(self.arena_bytes as u64);
        let total = format!("{steps} steps, {work} multiply-adds, {arena} of memory");
        writeln!(out, "{}", paint.paint(FAINT, total))
    }
}

/// `1x96x96x8`.
fn sides(shape: Option<&Vec<usize>>) -> String {
    let sides = shape.into_iter().flatten().map(usize::to_string);
    sides.collect::<Vec<_>>().join("x")
}
