//! `mobilenet explain`: where in a photo the module saw a class, as a heat map over the photo.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use mobilenet::explain::{Explainer, Explanation};
use mobilenet::{Choice, Classifier, Image, encode_jpeg, encode_png};
use serde::Serialize;

use crate::args::{ModelArgs, PixelArgs};
use crate::failure::{Failure, Outcome, Status, chain};
use crate::output::WholeFile;
use crate::terminal::{Paint, STRONG, printable};

const EXAMPLES: &str = "\
Examples:
  mobilenet explain photo.jpg
  mobilenet explain photo.jpg --out overlay.png --class 'tabby, tabby cat'
  mobilenet explain photo.jpg --layer Conv2d_11_pointwise --opacity 0.8
  mobilenet explain photo.jpg --json | jq -r .label";

/// Show where in a photo a class was seen
///
/// Writes the photo with a heat map over it (Grad-CAM): red is what speaks most for the class.
/// Prints the class that is explained.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Explain {
    /// The photo
    #[arg(value_name = "PHOTO")]
    photo: PathBuf,

    /// The class to explain: a name, one of its synonyms, or an index [default: the likeliest]
    #[arg(long, value_name = "LABEL")]
    class: Option<String>,

    /// The layer to look at [default: the last one with rows and columns]
    ///
    /// An end point such as Conv2d_13_pointwise (`mobilenet inspect --all` lists them), or any
    /// tensor of the graph. Earlier layers are finer and know less.
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,

    /// Write here, as .png or .jpg by the ending; - is PNG on stdout
    /// [default: PHOTO's name with .explained.png]
    #[arg(short, long, value_name = "FILE", help_heading = "Output", verbatim_doc_comment)]
    out: Option<PathBuf>,

    /// How much the hottest place hides of the photo, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.6, value_parser = share, help_heading = "Output")]
    opacity: f32,

    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    json: bool,

    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    pixels: PixelArgs,
}

fn share(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a number from 0 to 1".into()),
    }
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Object<'a> {
    path: &'a str,
    out: &'a str,
    index: usize,
    label: &'a str,
    probability: f32,
    logit: f32,
    layer: &'a str,
}

impl Explain {
    pub(crate) fn run(self) -> Outcome {
        let classifier = self.model.classifier(&self.pixels)?;
        let class = self.class.as_deref().map(|name| class(&classifier, name)).transpose()?;
        let explainer = Explainer::new(&classifier, self.layer.as_deref());
        let mut explainer = explainer.map_err(|error| {
            let unknown = error.kind() == mobilenet::ErrorKind::NotFound && self.layer.is_some();
            let failure = Failure::new(if unknown { error.to_string() } else { chain(&error) });
            if unknown { failure.hint("`mobilenet inspect --all` lists end points") } else { failure }
        })?;
        let image = self.read(&classifier)?;
        let explanation = explainer.explain(&image, class)?;
        let out = self.out.clone().unwrap_or_else(|| self.beside());
        write(&explanation.overlay(&image, self.opacity)?, &out)?;
        self.tell(&explanation, explainer.layer(), &out)?;
        Ok(Status::Good)
    }

    fn read(&self, classifier: &Classifier) -> Result<Image, Failure> {
        let shown = self.photo.display();
        let file = fs::read(&self.photo).map_err(|e| Failure::io(&shown, &e))?;
        let image = classifier.preprocessing().decode(&file);
        image.map_err(|e| Failure::new(format!("{shown}: {}", chain(&e))))
    }

    /// `photo.explained.png` in the current folder.
    fn beside(&self) -> PathBuf {
        let stem = self.photo.file_stem().unwrap_or_default();
        let mut name = stem.to_os_string();
        name.push(".explained.png");
        name.into()
    }

    fn tell(&self, explanation: &Explanation, layer: &str, out: &Path) -> Result<(), Failure> {
        let to_stdout = out.as_os_str() == "-";
        let Explanation { class: index, label, probability, logit, .. } = explanation;
        let (path, shown) = (&self.photo.to_string_lossy(), &out.to_string_lossy());
        let mut text = Vec::new();
        if self.json {
            let (index, probability, logit) = (*index, *probability, *logit);
            let object = Object { path, out: shown, index, label, probability, logit, layer };
            serde_json::to_writer(&mut text, &object)?;
            writeln!(text)?;
        } else {
            let name = Paint::stdout().paint(STRONG, printable(label));
            writeln!(text, "{:6.2}%  {name}", f64::from(*probability) * 100.0)?;
            writeln!(text, "         {} ({layer})", printable(shown))?;
        }
        // The picture has stdout to itself.
        if to_stdout { io::stderr().write_all(&text)? } else { io::stdout().write_all(&text)? }
        Ok(())
    }
}

fn class(classifier: &Classifier, name: &str) -> Result<usize, Failure> {
    let labels = classifier.labels();
    let choice = Choice::top(1).allow(labels, &[name])?;
    let first = choice.pick(labels, &vec![0.0; labels.len()]);
    let first = first.first().map(|prediction| prediction.index);
    first.ok_or_else(|| Failure::new(format!("no label is called {name:?}")))
}

fn write(image: &Image, out: &Path) -> Result<(), Failure> {
    let ending = out.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let picture = match ending.as_str() {
        "png" => encode_png(image),
        "jpg" | "jpeg" => encode_jpeg(image, 92),
        _ if out.as_os_str() == "-" => encode_png(image),
        _ => {
            let message = format!("which format is {}?", out.display());
            return Err(Failure::new(message).hint("end the name in .png or .jpg"));
        }
    };
    let picture = picture.map_err(|e| Failure::new(chain(&e)))?;
    if out.as_os_str() == "-" {
        return Ok(io::stdout().write_all(&picture)?);
    }
    WholeFile::create(out)?.write(&picture)
}
