//! Plots as SVG text: scales, axes, and labels that do not lie on each other.

use std::fmt::Write as _;

/// Size of every plot, and the margins for labels.
pub(super) const WIDTH: f64 = 912.0;
pub(super) const HEIGHT: f64 = 340.0;
pub(super) const LEFT: f64 = 52.0;
pub(super) const RIGHT: f64 = 150.0;
pub(super) const TOP: f64 = 12.0;
pub(super) const BOTTOM: f64 = 34.0;
/// Height of a line of labels.
pub(super) const LABEL: f64 = 16.0;

/// Text that is safe in HTML and SVG.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// From values to places on the paper.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) from: f64,
    pub(super) until: f64,
    pub(super) log: bool,
}

impl Scale {
    pub(super) fn across(low: f64, high: f64, log: bool) -> Self {
        Self { low, high: high.max(low + 1e-9), from: LEFT, until: WIDTH - RIGHT, log }
    }

    pub(super) fn up(low: f64, high: f64, log: bool) -> Self {
        Self { low, high: high.max(low + 1e-9), from: HEIGHT - BOTTOM, until: TOP, log }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(self.low).ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + (self.until - self.from) * share.clamp(0.0, 1.0)
    }
}

/// The colour of the n-th line; ours is the first.
pub(super) fn colour(nth: usize) -> String {
    format!("var(--c{})", nth % 8)
}

/// A plot in the making.
#[derive(Debug)]
pub(super) struct Plot {
    text: String,
    /// Labels at the right edge: where they want to be, colour, text.
    labels: Vec<(f64, String, String)>,
}

impl Plot {
    pub(super) fn new(says: &str) -> Self {
        let text =
            format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">", escape(says));
        Self { text, labels: Vec::new() }
    }

    pub(super) fn x_ticks(&mut self, scale: &Scale, ticks: &[(f64, String)]) {
        for (value, name) in ticks {
            let x = scale.at(*value);
            let _ = write!(
                self.text,
                "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                HEIGHT - BOTTOM,
                HEIGHT - BOTTOM + 20.0,
                escape(name)
            );
        }
    }

    pub(super) fn y_ticks(&mut self, scale: &Scale, ticks: &[(f64, String)]) {
        for (value, name) in ticks {
            let y = scale.at(*value);
            let _ = write!(
                self.text,
                "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                escape(name)
            );
        }
    }

    pub(super) fn line(&mut self, points: &[(f64, f64)], colour: &str, strong: bool) {
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let width = if strong { 3.0 } else { 1.5 };
        let _ = write!(
            self.text,
            "<polyline points=\"{}\" fill=\"none\" style=\"stroke:{colour}\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\"/>",
            path.join(" ")
        );
    }

    pub(super) fn area(&mut self, upper: &[(f64, f64)], lower: &[(f64, f64)], colour: &str) {
        let points = upper.iter().chain(lower.iter().rev());
        let path: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = write!(self.text, "<polygon points=\"{}\" style=\"fill:{colour}\"/>", path.join(" "));
    }

    pub(super) fn bar(&mut self, x: f64, y: f64, width: f64, height: f64, colour: &str) {
        let _ = write!(
            self.text,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" style=\"fill:{colour}\"/>",
            width.max(0.5),
            height.max(0.0)
        );
    }

    pub(super) fn dot(&mut self, x: f64, y: f64, colour: &str, filled: bool) {
        let fill = if filled { colour } else { "var(--ground)" };
        let _ = write!(
            self.text,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" style=\"fill:{fill};stroke:{colour}\" stroke-width=\"1.5\"/>"
        );
    }

    pub(super) fn text(&mut self, x: f64, y: f64, anchor: &str, text: &str) {
        let _ = write!(
            self.text,
            "<text class=\"name\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
            escape(text)
        );
    }

    /// A name beside the end of its line.
    pub(super) fn label(&mut self, y: f64, colour: String, text: &str) {
        self.labels.push((y, colour, text.to_owned()));
    }

    /// Closes the plot; labels are moved apart so that none lies on another.
    pub(super) fn finish(mut self) -> String {
        let mut labels = std::mem::take(&mut self.labels);
        labels.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut lowest = f64::NEG_INFINITY;
        for label in &mut labels {
            label.0 = label.0.max(lowest + LABEL);
            lowest = label.0;
        }
        let over = (lowest - (HEIGHT - BOTTOM + 4.0)).max(0.0);
        let mut highest = f64::INFINITY;
        for label in labels.iter_mut().rev() {
            label.0 =
                if over > 0.0 { label.0.min(highest - LABEL).min(HEIGHT - BOTTOM + 4.0) } else { label.0 };
            highest = label.0;
        }
        for (y, colour, text) in labels {
            let _ = write!(
                self.text,
                "<text x=\"{:.1}\" y=\"{:.1}\" style=\"fill:{colour}\">{}</text>",
                WIDTH - RIGHT + 10.0,
                y + 4.0,
                escape(&text)
            );
        }
        self.text.push_str("</svg>");
        self.text
    }
}
