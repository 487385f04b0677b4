//! One self-contained page: title, style, sections.

/// Makes text safe between tags and in attributes; control characters become spaces.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

/// A picture as a `data:` address.
#[must_use]
pub fn data_url(media_type: &str, bytes: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("data:{media_type};base64,{text}")
}

/// A whole page; `sections` are titles (may be empty) and finished HTML.
#[must_use]
pub fn page(title: &str, lead: &str, sections: &[(String, String)]) -> String {
    let title = escape(title);
    let mut body = format!("<h1>{title}</h1><p class=\"lead\">{}</p>", escape(lead));
    for (heading, content) in sections {
        let title = match heading.as_str() {
            "" => String::new(),
            heading => format!("<h2>{}</h2>", escape(heading)),
        };
        body.push_str(&format!("<section>{title}{content}</section>"));
    }
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )
}

/// Large numbers with what they are, side by side.
#[must_use]
pub fn numbers(pairs: &[(String, String)]) -> String {
    let number = |(value, what): &(String, String)| {
        format!("<div><b>{}</b><span>{}</span></div>", escape(value), escape(what))
    };
    format!("<div class=\"numbers\">{}</div>", pairs.iter().map(number).collect::<String>())
}

/// A bar for each row: a name, a share in [0, 1] (NaN is an empty bar) and a few words.
#[must_use]
pub fn bars(rows: &[(String, f64, String)]) -> String {
    let row = |(name, share, words): &(String, f64, String)| {
        let width = if share.is_finite() { 100.0 * share.clamp(0.0, 1.0) } else { 0.0 };
        format!(
            "<tr><td>{}</td><td class=\"track\"><div style=\"width:{width:.1}%\"></div></td>\
             <td>{width:.1}%</td><td>{}</td></tr>",
            escape(name),
            escape(words)
        )
    };
    let rows: String = rows.iter().map(row).collect();
    format!("<div class=\"scroll\"><table class=\"bars\"><tbody>{rows}</tbody></table></div>")
}

/// A table; the first column is text, the others numbers.
#[must_use]
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |tag: &str, values: &mut dyn Iterator<Item = String>| -> String {
        values.map(|value| format!("<{tag}>{}</{tag}>", escape(&value))).collect()
    };
    let mut html = format!(
        "<div class=\"scroll\"><table><thead><tr>{}</tr></thead><tbody>",
        cells("th", &mut head.iter().map(|&name| name.to_owned()))
    );
    for row in rows {
        html.push_str(&format!("<tr>{}</tr>", cells("td", &mut row.iter().cloned())));
    }
    html.push_str("</tbody></table></div>");
    html
}

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2024;--soft:#60646c;--paper:#fcfcfd;--line:#e0e1e6;\
--a:#0d74ce;--b:#ca244d;--c:#218358;--d:#ab6400}\
@media(prefers-color-scheme:dark){:root{--ink:#edeef0;--soft:#b0b4ba;--paper:#111113;--line:#363a3f;\
--a:#70b8ff;--b:#ff9592;--c:#3dd68c;--d:#ffca16}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);\
font:16px/1.5 system-ui,sans-serif}main{max-width:72rem;margin:0 auto;padding:2rem 1rem 4rem}\
h1{font-size:1.7rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}h3{font-size:1rem;margin:1.4rem 0 .4rem}.lead{color:var(--soft);margin:.3rem 0;overflow-wrap:anywhere}\
.numbers{display:flex;flex-wrap:wrap;gap:1.6rem;margin:1.2rem 0}.numbers b{display:block;font-size:1.7rem;line-height:1.2}\
.numbers span{color:var(--soft)}.scroll{overflow-x:auto;max-height:34rem}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
th,td{padding:.25rem .9rem .25rem 0;text-align:right;border-bottom:1px solid var(--line)}th{color:var(--soft);font-weight:500;\
position:sticky;top:0;background:var(--paper)}th:first-child,td:first-child{text-align:left}\
svg{max-width:100%;height:auto}.grid{stroke:var(--line)}.tick,.legend{font-size:11px;fill:var(--soft)}.line{fill:none;stroke-width:1.8}\
.dot{stroke-width:6;stroke-linecap:round}\
.line.s0{stroke:var(--a)}.line.s1{stroke:var(--b)}.line.s2{stroke:var(--c)}.line.s3{stroke:var(--d)}\
.legend{paint-order:stroke;stroke:var(--paper);stroke-width:4px}\
.legend.s0{fill:var(--a)}.legend.s1{fill:var(--b)}.legend.s2{fill:var(--c)}.legend.s3{fill:var(--d)}\
.bar,.right{fill:var(--a)}.bar{fill-opacity:.55}.wrong{fill:var(--b)}.diagonal{stroke:var(--soft);stroke-dasharray:4 4}\
.frame{fill:none;stroke:var(--line)}.wide{overflow-x:auto}.cell{font-size:10px;fill:var(--ink);text-anchor:middle;pointer-events:none}.strong{fill:var(--paper)}\
.bars{width:100%}.bars td{white-space:nowrap}.bars td:first-child{max-width:min(20rem,38vw);overflow:hidden;text-overflow:ellipsis}\
.track{width:55%}.track div{height:.8rem;background:var(--a);border-radius:2px}\
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(19rem,1fr));gap:1.4rem 1rem}figure{margin:0}\
.pair{display:flex;gap:2px;margin-bottom:.3rem}.pair img{width:50%;aspect-ratio:1;object-fit:contain;background:var(--line)}\
figcaption{font-size:.82rem;color:var(--soft);overflow-wrap:anywhere}figcaption b{color:var(--ink)}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_self_contained_and_safe() {
        let rows = [vec!["<b>".to_owned(), "1".to_owned()]];
        let html = page("a & b", "lead", &[("T".into(), table(&["class", "n"], &rows))]);
        assert!(html.contains("a &amp; b") && html.contains("&lt;b&gt;"));
        assert!(!html.contains("http") && !html.contains("<script"));
    }
}
