//! The chart: a bar for each row, drawn as SVG.

use std::fmt::Write;

/// Whose bar it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This project's.
    Ours,
    /// What it is compared with.
    Others,
}

/// A bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What stands before it.
    pub title: String,
    /// How long it is.
    pub value: f64,
    /// What colour it has.
    pub whose: Whose,
}

/// Bars below each other, on one scale that begins at nought.
pub fn draw(title: &str, bars: &[Bar]) -> String {
    let longest = bars.iter().map(|bar| bar.value).fold(1.0, f64::max);
    let height = TOP + ROW * bars.len() + 16;
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" font-family="system-ui, sans-serif" font-size="14">
<title>{title}</title>
<rect width="{WIDTH}" height="{height}" rx="6" fill="#ffffff"/>
<text x="16" y="28" font-size="15" font-weight="600" fill="#1f2328">{title}</text>
"##,
        title = escape(title),
    );
    for (number, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * number;
        let length = (bar.value.max(0.0) / longest * LONGEST).max(1.0);
        let (fill, weight) = match bar.whose {
            Whose::Ours => ("#1a7f5a", 600),
            Whose::Others => ("#9aa4af", 400),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            r##"<text x="{x}" y="{base}" text-anchor="end" font-weight="{weight}" fill="#1f2328">{title}</text>
<rect x="{LEFT}" y="{y}" width="{length:.0}" height="20" rx="2" fill="{fill}"/>
<text x="{after:.0}" y="{base}" font-weight="{weight}" fill="#1f2328">{value}</text>"##,
            x = LEFT - 10,
            base = y + 15,
            title = escape(&bar.title),
            after = LEFT as f64 + length + 8.0,
            value = thousands(bar.value),
        );
    }
    svg + "</svg>\n"
}

fn thousands(value: f64) -> String {
    let value = value.round().max(0.0) as u64;
    match value / 1000 {
        0 => value.to_string(),
        thousands => format!("{thousands},{:03}", value % 1000),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

const WIDTH: usize = 760;
const LEFT: usize = 290;
const LONGEST: f64 = 390.0;
const TOP: usize = 48;
const ROW: usize = 30;
