//! The module card: who it is, what it takes and gives, what it costs.

use std::io::{self, Write};

use mobilenet::{Module, Port, Request, Signature};
use serde::Serialize;

use super::Show;
use crate::failure::Failure;
use crate::terminal::{FAINT, HEADING, NAME, Paint, STRONG, printable, bytes, thousands};

/// End points that are shown without `--all`.
const FEW: usize = 3;

#[derive(Serialize)]
pub(super) struct Card {
    handle: String,
    path: Option<String>,
    files: usize,
    bytes: u64,
    sha256: String,
    format: &'static str,
    /// What the file does not say and was assumed.
    notes: Vec<String>,
    /// What classification answers: logits or probabilities. Null where there is none.
    scores: Option<String>,
    tag_sets: Vec<Vec<String>>,
    image_size: Option<ImageSize>,
    preprocessing: Option<String>,
    labels: Option<usize>,
    variables: usize,
    values: u64,
    /// Values that training learns; the others are moving averages.
    parameters: u64,
    nodes: usize,
    cost: Cost,
    signatures: Vec<Described>,
    #[serde(skip)]
    all: bool,
    /// Whether files were read that are not counted: an ONNX file's external weights.
    #[serde(skip)]
    uses_others: bool,
}

#[derive(Serialize)]
struct ImageSize {
    height: usize,
    width: usize,
}

/// Of one image, on this machine.
#[derive(Serialize)]
struct Cost {
    signature: String,
    multiply_adds: u64,
    steps: usize,
    arena_bytes: usize,
    isa: String,
}

#[derive(Serialize)]
struct Described {
    name: String,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

#[derive(Serialize)]
struct Tensor {
    key: String,
    tensor: String,
    dtype: String,
    /// Null dimensions are any; a null shape is of any rank.
    shape: Option<Vec<Option<usize>>>,
    #[serde(skip)]
    text: String,
}

impl From<&Port> for Tensor {
    fn from(port: &Port) -> Self {
        Tensor {
            key: port.key.clone(),
            tensor: port.tensor.clone(),
            dtype: port.dtype.to_string(),
            shape: port.shape.clone(),
            text: port.to_string(),
        }
    }
}

impl From<&Signature> for Described {
    fn from(signature: &Signature) -> Self {
        Described {
            name: signature.name.clone(),
            inputs: signature.inputs.iter().map(Tensor::from).collect(),
            outputs: signature.outputs.iter().map(Tensor::from).collect(),
        }
    }
}

impl Card {
    pub(super) fn of(module: &Module, signature: Option<&str>, all: bool) -> Result<Card, Failure> {
        let files = module.files();
        let checksum = files.checksum().map_err(mobilenet::Error::from)?;
        let size = module.expected_image_size().ok();
        let variables = module.variables();
        let values = |shape: &Vec<usize>| shape.iter().map(|&side| side as u64).product::<u64>();
        let learned = |name: &String| !["moving_mean", "moving_variance"].iter().any(|end| name.ends_with(end));
        Ok(Card {
            handle: module.handle().to_owned(),
            path: files.path().map(|path| path.display().to_string()),
            files: files.files().len(),
            bytes: files.size(),
            sha256: checksum.to_string(),
            format: module.format(),
            notes: module.notes().to_vec(),
            scores: module.classifies().then(|| module.scores().to_string()),
            tag_sets: module.tag_sets().to_vec(),
            image_size: size.map(|(height, width)| ImageSize { height, width }),
            preprocessing: module.preprocessing().ok().map(|p| p.to_string()),
            labels: module.own_labels()?.map(|labels| labels.len()),
            variables: variables.len(),
            values: variables.iter().map(|(_, shape)| values(shape)).sum(),
            parameters: (variables.iter().filter(|(name, _)| learned(name)))
                .map(|(_, shape)| values(shape))
                .sum(),
            nodes: module.graph()?.len(),
            cost: Cost::of(module, signature)?,
            signatures: module.signatures().iter().map(Described::from).collect(),
            all,
            uses_others: files.uses_others(),
        })
    }
}

impl Cost {
    fn of(module: &Module, signature: Option<&str>) -> Result<Cost, Failure> {
        let signature = match signature {
            Some(name) => name,
            None => module.first_signature()?,
        };
        let summary = module.runner(&Request::new(signature))?.plan().summary();
        Ok(Cost {
            signature: signature.to_owned(),
            multiply_adds: summary.multiply_adds,
            steps: summary.steps.len(),
            arena_bytes: summary.arena_bytes,
            isa: summary.isa,
        })
    }
}

impl Show for Card {
    fn show(&self, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
        for (name, value) in self.rows() {
            let name = paint.paint(HEADING, format_args!("{name:<13}"));
            writeln!(out, "{name} {}", printable(&value))?;
        }
        for signature in &self.signatures {
            writeln!(out, "\n{}", paint.paint(STRONG, printable(&signature.name)))?;
            signature.show(out, paint, self.all)?;
        }
        Ok(())
    }
}

impl Card {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let without = if self.uses_others { ", without what it names beside it" } else { "" };
        let tags = |tags: &Vec<String>| format!("{{{}}}", tags.join(", "));
        let mut rows = vec![
            ("Module", self.handle.clone()),
            ("Format", self.format.to_owned()),
            ("Files", format!("{}, {}{without}", self.files, bytes(self.bytes))),
            ("SHA-256", format!("{}{without}", self.sha256)),
            ("Tag sets", self.tag_sets.iter().map(tags).collect::<Vec<_>>().join("  ")),
        ];
        if let Some(path) = &self.path {
            rows.insert(1, ("Folder", path.clone()));
        }
        if let Some(ImageSize { height, width }) = &self.image_size {
            rows.push(("Images", format!("{width}x{height} pixels, RGB, values in [0, 1]")));
        }
        if let Some(preprocessing) = &self.preprocessing {
            rows.push(("From photos", preprocessing.clone()));
        }
        rows.extend(self.scores.iter().map(|scores| ("Answers", scores.clone())));
        rows.extend(self.notes.iter().map(|note| ("Assumed", note.clone())));
        if let Some(labels) = self.labels {
            rows.push(("Labels", format!("{labels} names")));
        }
        let Cost { signature, multiply_adds, steps, arena_bytes, isa } = &self.cost;
        let [values, parameters] = [self.values, self.parameters].map(thousands);
        let variables = self.variables;
        let arena = bytes(*arena_bytes as u64);
        rows.extend([
            ("Variables", format!("{variables}, {values} values, {parameters} of them learned")),
            ("Graph", format!("{} nodes", thousands(self.nodes as u64))),
            ("Cost", format!("{} multiply-adds an image ({signature})", thousands(*multiply_adds))),
            ("Plan", format!("{steps} steps, {arena} of memory, {isa}")),
        ]);
        rows
    }
}

impl Described {
    fn show(&self, out: &mut dyn Write, paint: Paint, all: bool) -> io::Result<()> {
        let named = |port: &&Tensor| port.key == "default";
        let (first, rest): (Vec<_>, Vec<_>) = self.outputs.iter().partition(named);
        let shown = if all || rest.len() <= FEW + 1 { rest.len() } else { FEW };
        let lines = self.inputs.iter().map(|port| ("takes", port));
        let lines = lines.chain(first.iter().chain(rest.iter().take(shown)).map(|p| ("gives", *p)));
        for (verb, port) in lines {
            let key = paint.paint(NAME, format_args!("{:<34}", printable(&port.key)));
            writeln!(out, "  {verb}  {key} {}", port.text)?;
        }
        match rest.len() - shown {
            0 => Ok(()),
            more => {
                let text = format!("… and {more} more end points; --all lists them");
                writeln!(out, "         {}", paint.paint(FAINT, text))
            }
        }
    }
}
