//! An SVG document: shapes and texts with classes. Every text is escaped.

use std::fmt::Write as _;

use crate::answer::text::escape;

/// The width of a letter of the font, and the height of a row, in pixels.
pub(super) const LETTER: f64 = 6.65;
pub(super) const ROW: f64 = 17.0;

/// The style sheet of a picture, with a dark scheme for viewers that prefer it.
const STYLE: &str = "text{font:11px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#1b2229;white-space:pre}\
.ground{fill:#fff}.soft{fill:#56606a}.bad{fill:#a8330a;font-weight:600}.odd{fill:#7a5200}\
.box{fill:#eef2f5}.box2{fill:#e3e9ee}.grid{stroke:#d3d8dd}.life{fill:#a9cbea;stroke:#4f8fc4}\
.living{fill:#8bd0b4;stroke:#2c8563}.zombie{fill:url(#hatch);stroke:#9c6a00}.killed{fill:#c2410c}.exec{fill:#1b2229}\
.signal{stroke:#c2410c;fill:none}.orphan{stroke:#7b3fa0;fill:none;stroke-dasharray:4 3}.tip{fill:#c2410c}.otip{fill:#7b3fa0}\
@media(prefers-color-scheme:dark){text{fill:#e1e6ea}.ground{fill:#1b2127}.soft{fill:#9ba7b2}.bad{fill:#ff9b73}.odd{fill:#e9b44c}\
.box{fill:#222931}.box2{fill:#29323b}.grid{stroke:#333c45}.life{fill:#2b5378}.living{fill:#1f5a46}.exec{fill:#e1e6ea}\
.signal{stroke:#f0743e}.tip,.killed{fill:#f0743e}.orphan{stroke:#c79be6}.otip{fill:#c79be6}}";

/// A document that grows.
#[derive(Debug, Default)]
pub(super) struct Svg(String);

impl Svg {
    /// A rectangle.
    pub(super) fn rect(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        self.add(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>\n"
        ));
    }

    /// A rectangle with a text that a viewer shows on demand.
    pub(super) fn titled_rect(
        &mut self,
        class: &str,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        title: &str,
    ) {
        self.add(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"><title>{}</title></rect>\n",
            xml(title)
        ));
    }

    /// A line, or another path.
    pub(super) fn path(&mut self, class: &str, path: std::fmt::Arguments<'_>) {
        self.add(format_args!("<path class=\"{class}\" d=\"{path}\"/>\n"));
    }

    /// A text that begins at a point of the base line. It may come from a process.
    pub(super) fn text(&mut self, class: &str, (x, y): (f64, f64), text: &str) {
        self.add(format_args!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>\n", xml(text)));
    }

    fn add(&mut self, part: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.0.write_fmt(part);
    }

    /// Returns the document. `title` is what a screen reader says.
    pub(super) fn finish(self, title: &str, width: f64, height: f64) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
             <defs><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
             <path d=\"M0 0V6\" stroke=\"#d99516\" stroke-width=\"6\"/></pattern></defs>\n\
             <rect class=\"ground\" width=\"{width:.0}\" height=\"{height:.0}\"/>\n{}</svg>\n",
            xml(title),
            self.0
        )
    }
}

/// Escapes control characters as `\xNN`, and characters with a meaning in XML.
fn xml(text: &str) -> String {
    let text = escape(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_text() {
        let mut svg = Svg::default();
        svg.text("soft", (1.0, 2.0), "<script>\"&\u{1b}");
        let text = svg.finish("</title>", 10.0, 10.0);
        assert!(text.contains(">&lt;script&gt;&quot;&amp;\\x1b</text>"), "{text}");
        assert!(text.contains("<title>&lt;/title&gt;</title>"), "{text}");
    }
}
