//! Charts as inline SVG: lines, a reliability diagram, a confusion matrix. No script, no font of
//! its own; colours come from the page's CSS variables, so both themes are legible.

use std::fmt::Write as _;

use super::html::escape;

/// Width and height of a line chart, in SVG units.
const SIZE: (f64, f64) = (560.0, 260.0);

/// Room for the axis labels: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (60.0, 12.0, 12.0, 34.0);

/// A named line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// x and y, x ascending.
    pub points: Vec<(f64, f64)>,
}

/// Lines over one x axis, with a legend; points that are no numbers are left out, and one alone is
/// a dot.
#[must_use]
pub fn lines(x_label: &str, y_label: &str, series: &[Series]) -> String {
    let all = || series.iter().flat_map(|line| &line.points).filter(|p| finite(p));
    let (x_low, x_high) = bounds(all().map(|point| point.0));
    let (y_low, y_high) = bounds(all().map(|point| point.1));
    let frame = Frame { x: (x_low, x_high), y: (y_low, y_high) };
    let mut svg = frame.open(x_label, y_label);
    for (index, line) in series.iter().enumerate() {
        let mut points: Vec<String> = line
            .points
            .iter()
            .filter(|point| finite(point))
            .map(|&(x, y)| format!("{:.1},{:.1}", frame.px(x), frame.py(y)))
            .collect();
        let mut dot = "";
        if points.len() == 1 {
            dot = " dot";
            points.extend_from_within(..);
        }
        let _ = write!(
            svg,
            "<polyline class=\"line s{}{dot}\" points=\"{}\"/>",
            index % 4,
            points.join(" ")
        );
    }
    // Over all lines, whose style keeps them off the letters.
    for (index, line) in series.iter().enumerate() {
        let y = MARGIN.1 + 14.0 + 16.0 * index as f64;
        let _ = write!(
            svg,
            "<text class=\"legend s{}\" x=\"{:.0}\" y=\"{y:.0}\" text-anchor=\"end\">{}</text>",
            index % 4,
            SIZE.0 - MARGIN.2 - 6.0,
            escape(&line.name)
        );
    }
    svg.push_str("</svg>");
    svg
}

/// One bar of a reliability diagram.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reliability {
    /// Mean probability of the top class.
    pub confidence: f64,
    /// Share of answers that were right.
    pub accuracy: f64,
    /// Answers in the bin.
    pub count: usize,
}

/// Accuracy against confidence as bars, and as a line with what was `after` a correction (may be
/// empty); the diagonal is perfect calibration.
#[must_use]
pub fn reliability(bins: &[Reliability], after: &[Reliability]) -> String {
    let frame = Frame { x: (0.0, 1.0), y: (0.0, 1.0) };
    let mut svg = frame.open("confidence", "accuracy");
    let width = (SIZE.0 - MARGIN.0 - MARGIN.2) / bins.len().max(1) as f64;
    for (index, bin) in bins.iter().enumerate().filter(|(_, bin)| bin.count > 0) {
        let x = MARGIN.0 + width * index as f64;
        let y = frame.py(bin.accuracy);
        let _ = write!(
            svg,
            "<rect class=\"bar\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
             <title>{} answers, confidence {:.1}%, right {:.1}%</title></rect>",
            x + 1.0,
            width - 2.0,
            frame.py(0.0) - y,
            bin.count,
            100.0 * bin.confidence,
            100.0 * bin.accuracy
        );
    }
    let _ = write!(
        svg,
        "<line class=\"diagonal\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
        frame.px(0.0),
        frame.py(0.0),
        frame.px(1.0),
        frame.py(1.0)
    );
    let place = |bin: &Reliability| {
        format!("{:.1},{:.1}", frame.px(bin.confidence), frame.py(bin.accuracy))
    };
    let line: Vec<String> = after.iter().filter(|bin| bin.count > 0).map(place).collect();
    if !line.is_empty() {
        let _ = write!(svg, "<polyline class=\"line s1\" points=\"{}\"/>", line.join(" "));
    }
    svg.push_str("</svg>");
    svg
}

/// Room for the names of classes.
const NAMES: f64 = 132.0;

/// Smallest distance of two names.
const NAME_STEP: f64 = 11.0;

/// Rows are what an image is, columns what it was taken for; darker is more, by share of the row.
///
/// `counts`: `[rows, columns]`. The columns start with the rows' classes in the same order;
/// further ones are mistakes in every row. Where classes are too many for all their names, every
/// second, third, … has its name; all have it in the cell's title.
#[must_use]
pub fn confusion(rows: &[String], columns: &[String], counts: &[usize]) -> String {
    let wide = columns.len().max(1);
    let cell = (960.0 / wide as f64).clamp(1.5, 34.0);
    let (width, height) = (NAMES + cell * wide as f64, NAMES + cell * rows.len() as f64);
    let mut svg = format!(
        "<svg class=\"confusion\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" role=\"img\">\
         <title>confusion matrix</title>\
         <rect class=\"frame\" x=\"{NAMES}\" y=\"{NAMES}\" width=\"{:.1}\" height=\"{:.1}\"/>",
        width - NAMES,
        height - NAMES
    );
    for (row, (name, values)) in rows.iter().zip(counts.chunks(wide)).enumerate() {
        let total: usize = values.iter().sum();
        let cells = values.iter().zip(columns).enumerate().filter(|(_, (count, _))| **count > 0);
        for (column, (&count, taken)) in cells {
            let share = count as f64 / total as f64;
            let kind = if row == column { "right" } else { "wrong" };
            let (x, y) = (NAMES + cell * column as f64, NAMES + cell * row as f64);
            let (name, taken) = (escape(name), escape(taken));
            let title = if row == column {
                format!("{name}: {count} of {total} recognised")
            } else {
                format!("{name} taken for {taken}: {count} of {total}")
            };
            let _ = write!(
                svg,
                "<rect class=\"{kind}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{cell:.1}\" height=\"{cell:.1}\" \
                 fill-opacity=\"{:.2}\"><title>{title}</title></rect>",
                0.12 + 0.88 * share.sqrt(),
            );
            if cell >= 22.0 {
                let ink = if share > 0.3 { "cell strong" } else { "cell" };
                let (x, y) = (x + cell / 2.0, y + cell / 2.0 + 4.0);
                let _ =
                    write!(svg, "<text class=\"{ink}\" x=\"{x:.1}\" y=\"{y:.1}\">{count}</text>");
            }
        }
    }
    names(&mut svg, rows, cell, |name, at| {
        format!(
            "<text class=\"tick\" x=\"{:.0}\" y=\"{at:.1}\" text-anchor=\"end\">{name}</text>",
            NAMES - 5.0
        )
    });
    names(&mut svg, columns, cell, |name, at| {
        let y = NAMES - 5.0;
        format!(
            "<text class=\"tick\" transform=\"translate({at:.1} {y:.0}) rotate(-90)\">{name}</text>"
        )
    });
    svg.push_str("</svg>");
    svg
}

/// Every class's name, or every n-th where they would touch.
fn names(svg: &mut String, classes: &[String], cell: f64, text: impl Fn(&str, f64) -> String) {
    let every = (NAME_STEP / cell).ceil().max(1.0) as usize;
    for (index, class) in classes.iter().enumerate().step_by(every) {
        let short = match class.char_indices().nth(18) {
            Some((end, _)) => format!("{}…", &class[..end]),
            None => class.clone(),
        };
        svg.push_str(&text(&escape(&short), NAMES + cell * (index as f64 + 0.5) + 4.0));
    }
}

/// Where data lies on the picture.
struct Frame {
    x: (f64, f64),
    y: (f64, f64),
}

impl Frame {
    fn px(&self, x: f64) -> f64 {
        MARGIN.0 + (x - self.x.0) / (self.x.1 - self.x.0) * (SIZE.0 - MARGIN.0 - MARGIN.2)
    }

    fn py(&self, y: f64) -> f64 {
        SIZE.1 - MARGIN.3 - (y - self.y.0) / (self.y.1 - self.y.0) * (SIZE.1 - MARGIN.1 - MARGIN.3)
    }

    /// The SVG with grid and axis labels, still open.
    fn open(&self, x_label: &str, y_label: &str) -> String {
        let (width, height) = SIZE;
        let mut svg = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" role=\"img\">\
             <title>{} by {}</title>",
            escape(y_label),
            escape(x_label)
        );
        for y in ticks(self.y) {
            let py = self.py(y);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{:.1}\" y1=\"{py:.1}\" x2=\"{:.1}\" y2=\"{py:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                MARGIN.0,
                width - MARGIN.2,
                MARGIN.0 - 6.0,
                py + 4.0,
                tick(y)
            );
        }
        for x in ticks(self.x) {
            let _ = write!(
                svg,
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                self.px(x),
                height - MARGIN.3 + 16.0,
                tick(x)
            );
        }
        let _ = write!(
            svg,
            "<text class=\"tick\" x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>\
             <text class=\"tick\" transform=\"translate(12 {:.0}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            (MARGIN.0 + width - MARGIN.2) / 2.0,
            height - 2.0,
            escape(x_label),
            height / 2.0,
            escape(y_label)
        );
        svg
    }
}

fn finite(point: &(f64, f64)) -> bool {
    point.0.is_finite() && point.1.is_finite()
}

/// Lowest and highest, never equal.
fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        (0.0, 1.0)
    } else if low == high {
        (low - 0.5, high + 0.5)
    } else {
        (low, high)
    }
}

/// Round numbers between low and high, about five.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let rough = (high - low) / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let factors = [1.0, 2.0, 2.5, 5.0, 10.0];
    let factor = factors.into_iter().find(|factor| factor * power >= rough * 0.999);
    let step = factor.unwrap_or(10.0) * power;
    let first = (low / step - 1e-6).ceil();
    let all = (0..12).map(|place| (first + f64::from(place)) * step);
    all.take_while(|&tick| tick <= high + step * 1e-6).collect()
}

/// Three significant digits, no more decimals than needed.
fn tick(value: f64) -> String {
    let size = value.abs();
    let decimals = if size >= 100.0 || value == 0.0 {
        0
    } else if size >= 10.0 {
        1
    } else if size >= 0.1 {
        2
    } else {
        4
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chart_survives_no_data_and_no_numbers() {
        assert!(lines("x", "y", &[]).ends_with("</svg>"));
        let nan = Series { name: "loss".into(), points: vec![(0.0, f64::NAN), (1.0, 2.0)] };
        assert!(!lines("x", "y", &[nan]).contains("NaN"));
        assert!(reliability(&[], &[]).ends_with("</svg>"));
        assert!(confusion(&[], &[], &[]).ends_with("</svg>"));
    }

    #[test]
    fn names_cannot_break_out() {
        let class = "<script>alert(1)</script>".to_owned();
        let classes = [class.clone(), class];
        let svg = confusion(&classes, &classes, &[1, 2, 3, 4]);
        assert!(!svg.contains("<script"), "{svg}");
    }

    #[test]
    fn two_hundred_classes_have_some_names_and_all_titles() {
        let classes: Vec<String> = (0..200).map(|n| format!("class {n}")).collect();
        let counts: Vec<usize> =
            (0..200 * 200).map(|at| usize::from(at / 200 == at % 200)).collect();
        let svg = confusion(&classes, &classes, &counts);
        assert_eq!(svg.matches("recognised").count(), 200);
        let names = svg.matches("class=\"tick\"").count();
        assert!((100..200).contains(&names), "{names}");
    }

    #[test]
    fn ticks_are_round() {
        let text = |low, high| ticks((low, high)).into_iter().map(tick).collect::<Vec<_>>();
        assert_eq!(text(0.0, 1.0), ["0", "0.25", "0.5", "0.75", "1"]);
        assert_eq!(text(5.23, 5.59), ["5.3", "5.4", "5.5"]);
        assert_eq!(text(0.0011, 20.0), ["5", "10", "15", "20"]);
        assert_eq!(text(-0.5, 0.5), ["-0.5", "-0.25", "0", "0.25", "0.5"]);
    }

    #[test]
    fn ticks_are_short() {
        let ticks = [0.0, 0.25, 1234.5, 12.34, 0.0125].map(tick);
        assert_eq!(ticks, ["0", "0.25", "1234", "12.3", "0.0125"]);
    }
}
