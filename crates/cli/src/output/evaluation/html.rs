//! A page of HTML: one file with everything inside, for a browser without a network.

use mobilenet::metrics::{ClassReport, Reliability};
use mobilenet::report::chart;
use mobilenet::report::html::{self, bars, numbers, table};

use super::{About, Matrix, curves, pictures, short};

/// Pairs of classes in the table of confusions.
const PAIRS: usize = 30;

/// Unreadable photos that are listed.
const FAILURES: usize = 200;

/// The page.
pub(crate) fn page(about: &About<'_>) -> String {
    let module = about.classifier.module().handle();
    let lead = format!("{module} on {}", about.data.display());
    let sections = [
        ("", summary(about)),
        ("Training", curves::charts(about.log)),
        ("Accuracy by class", by_class(about)),
        ("Confusion", confusion(about)),
        ("Calibration", calibration(about)),
        ("Most confident mistakes", pictures::mistakes(about)),
        ("Accuracy by resize method", by_resize(about)),
        ("Photos that could not be read", failures(about)),
    ];
    let sections: Vec<(String, String)> = sections
        .into_iter()
        .filter(|(_, content)| !content.is_empty())
        .map(|(heading, content)| (heading.to_owned(), content))
        .collect();
    html::page("Evaluation", &lead, &sections)
}

fn percent(share: f64) -> String {
    if share.is_nan() { "–".into() } else { format!("{:.1}%", share * 100.0) }
}

fn summary(about: &About<'_>) -> String {
    let evaluated = about.evaluated;
    let error = evaluated.evaluation.reliability().expected_error();
    let figures = numbers(&[
        (percent(evaluated.top_1()), "top-1 accuracy".into()),
        (percent(evaluated.top_5()), "top-5 accuracy".into()),
        (about.count().to_string(), "photos".into()),
        (about.images.classes.len().to_string(), "classes".into()),
        (percent(error), "calibration error".into()),
    ]);
    let split = about.images.split.as_deref();
    let split = split.map(|split| format!("Photos of {split}. ")).unwrap_or_default();
    let chosen = about.classifier.preprocessing().to_string();
    format!(
        "{figures}<p class=\"lead\">{}Input: {}.</p>",
        html::escape(&split),
        html::escape(&chosen)
    )
}

fn by_class(about: &About<'_>) -> String {
    let worst = about.worst();
    if worst.len() < 2 {
        return String::new();
    }
    let row = |class: &ClassReport| {
        let label = about.evaluated.label(class.index).to_owned();
        let detail = format!("{} of {}", right(about, class), class.support);
        (label, class.recall, detail)
    };
    let note = "<p class=\"lead\">The share of each class's photos that was recognised, least \
                first.</p>";
    format!("{note}{}", bars(&worst.iter().map(row).collect::<Vec<_>>()))
}

fn right(about: &About<'_>, class: &ClassReport) -> u32 {
    about.evaluated.evaluation.confusion().get(class.index, class.index)
}

/// Rows: the classes with photos. Columns: the same, and the others together if they were seen.
fn confusion(about: &About<'_>) -> String {
    let Some(Matrix { names, others, counts }) = about.matrix() else { return String::new() };
    let mut columns = names.clone();
    columns.extend(others.then(|| "another class".to_owned()));
    let note = "<p class=\"lead\">Rows: what a photo is. Columns: what it was taken for. The \
                stronger the colour, the larger the share of the row; point at a cell for its \
                numbers.</p>";
    let chart = chart::confusion(&names, &columns, &counts.concat());
    format!("{note}<div class=\"wide\">{chart}</div>{}", pairs(about))
}

fn pairs(about: &About<'_>) -> String {
    let mut pairs = about.evaluated.evaluation.confusion().mistakes(PAIRS);
    pairs.retain(|&(.., count)| count > 1);
    if pairs.is_empty() {
        return String::new();
    }
    let name = |class: usize| short(about.evaluated.label(class)).to_owned();
    let row = |(label, predicted, count): (usize, usize, u32)| {
        vec![name(label), name(predicted), count.to_string()]
    };
    let rows: Vec<_> = pairs.into_iter().map(row).collect();
    format!("<h3>Commonest mistakes</h3>{}", table(&["is", "taken for", "photos"], &rows))
}

fn calibration(about: &About<'_>) -> String {
    let before = about.evaluated.evaluation.reliability();
    let fitted = about.evaluated.temperature.as_ref();
    let after = fitted.map(|fitted| points(&fitted.reliability)).unwrap_or_default();
    let chart = chart::reliability(&points(before), &after);
    let error = percent(before.expected_error());
    let fitted = fitted.map_or_else(String::new, |fitted| {
        format!(
            " Divided by a temperature of {:.3}, which fits these {} photos best, logits would be \
             off by {} (the line).",
            fitted.value,
            fitted.fitted_on,
            percent(fitted.reliability.expected_error()),
        )
    });
    format!(
        "<p class=\"lead\">How often the network is right when it is so sure: on the diagonal if \
         it knows itself. On average it is off by {error}.{fitted}</p>{chart}"
    )
}

fn points(reliability: &Reliability) -> Vec<chart::Reliability> {
    let point = |bin: &mobilenet::metrics::Bin| chart::Reliability {
        confidence: bin.confidence(),
        accuracy: bin.accuracy(),
        count: usize::try_from(bin.count).unwrap_or(usize::MAX),
    };
    reliability.bins().iter().map(point).collect()
}

fn by_resize(about: &About<'_>) -> String {
    if about.evaluated.by_resize.is_empty() {
        return String::new();
    }
    let row = |by: &mobilenet::evaluation::ByResize| {
        vec![by.resize.to_string(), percent(by.top_1), percent(by.top_5)]
    };
    let rows: Vec<_> = about.evaluated.by_resize.iter().map(row).collect();
    table(&["method", "top-1", "top-5"], &rows)
}

fn failures(about: &About<'_>) -> String {
    let failures = &about.evaluated.failures;
    if failures.is_empty() {
        return String::new();
    }
    let row = |unread: &mobilenet::evaluation::Unread| {
        vec![unread.source.to_string(), unread.message.clone()]
    };
    let rows: Vec<_> = failures.iter().take(FAILURES).map(row).collect();
    let more = failures.len().saturating_sub(FAILURES);
    let more = if more > 0 { format!("<p>and {more} more</p>") } else { String::new() };
    format!("{}{more}", table(&["photo", "why"], &rows))
}
