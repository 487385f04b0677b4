//! The photos of a report: what was mistaken, small, with where the network looked.

use mobilenet::evaluation::Mistake;
use mobilenet::explain::Explainer;
use mobilenet::report::html::{data_url, escape};
use mobilenet::{Classifier, Image, encode_jpeg, thumbnail};

use super::{About, short};

/// Pixels of the longer side.
const SIDE: usize = 208;

/// JPEG quality.
const QUALITY: u8 = 80;

/// How much the hottest place hides.
const OPACITY: f32 = 0.55;

/// The most confident mistakes as figures; empty if there are none.
pub(super) fn mistakes(about: &About<'_>) -> String {
    // A network without the gradients that are needed gives a report without heat maps.
    let mut explainer = Explainer::new(about.classifier, None).ok();
    let figure = |mistake: &Mistake| figure(about, mistake, explainer.as_mut());
    let figures: String = about.evaluated.mistakes.iter().map(figure).collect();
    if figures.is_empty() { figures } else { format!("<div class=\"pictures\">{figures}</div>") }
}

fn figure(about: &About<'_>, mistake: &Mistake, explainer: Option<&mut Explainer>) -> String {
    let name = |class: usize| escape(short(about.evaluated.label(class)));
    let percent = |share: f32| format!("{:.1}%", f64::from(share) * 100.0);
    let pictures = pictures(about, mistake, explainer).unwrap_or_default();
    let path = mistake.source.to_string();
    let file = path.rsplit('/').next().unwrap_or(&path);
    format!(
        "<figure>{pictures}<figcaption>taken for <b>{}</b> {}<br>is <b>{}</b> {}<br>\
         <span title=\"{}\">{}</span></figcaption></figure>",
        name(mistake.predicted),
        percent(mistake.confidence),
        name(mistake.label),
        percent(mistake.probability),
        escape(&path),
        escape(file),
    )
}

/// The photo, and the photo with what spoke for the mistake; `None` if it cannot be read again.
fn pictures(
    about: &About<'_>,
    mistake: &Mistake,
    explainer: Option<&mut Explainer>,
) -> Option<String> {
    let image = read(about.classifier, mistake)?;
    let mut pictures = tag(&image, "photo")?;
    if let Some(explainer) = explainer {
        let class = about.evaluated.classes.get(mistake.predicted).copied();
        let explained = explainer.explain(&image, class).ok()?;
        pictures += &tag(&explained.overlay(&image, OPACITY).ok()?, "what spoke for the mistake")?;
    }
    Some(format!("<div class=\"pair\">{pictures}</div>"))
}

fn read(classifier: &Classifier, mistake: &Mistake) -> Option<Image> {
    let file = mistake.source.read().ok()?;
    classifier.preprocessing().decode(&file).ok()
}

fn tag(image: &Image, alt: &str) -> Option<String> {
    let small = thumbnail(image, SIDE).ok()?;
    let address = data_url("image/jpeg", &encode_jpeg(&small, QUALITY).ok()?);
    Some(format!("<img alt=\"{alt}\" loading=\"lazy\" src=\"{address}\">"))
}
