//! Pictures: a spectrogram, and the curves of a training run. They are drawn with plotters, as SVG or into a bitmap of
//! our own with a font that is part of the program, so that no system library and no installed font is needed.
#![forbid(unsafe_code)]

mod bitmap;
mod colormap;
mod curves;
mod spectrogram;

pub use curves::{CurvePoint, curves_svg};
pub use spectrogram::Spectrogram;

use plotters::style::{IntoFont, RGBColor, TextStyle};

/// Text and axes.
const INK: RGBColor = RGBColor(0x26, 0x26, 0x26);

/// Lines of the grid.
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

/// Height of a line of text at ticks and axes, pixels. The bitmap's font has this height.
const LABEL: i32 = 20;

/// Height of the title's line, pixels. The bitmap's font has this height, too.
const TITLE: i32 = 24;

/// Text of a height, in pixels.
fn text(height: i32) -> TextStyle<'static> {
    ("sans-serif", height).into_font().color(&INK)
}

/// A number beside a tick: without the tail of digits that only binary fractions have.
fn tick(value: f64) -> String {
    let size = value.abs();
    if size < 1e-12 {
        "0".to_owned()
    } else if size < 1e-3 {
        // Rounded once as text, the number is the nearest to it and prints without a tail.
        let short = format!("{value:.2e}");
        short.parse().map_or(short, |value: f64| format!("{value:e}"))
    } else {
        ((value * 1e6).round() / 1e6).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_short() {
        let values = [0.1 + 0.2, -0.0, 1e-17, 1500.0, -2.5, 3e-7, 0.1 * 0.0015];
        assert_eq!(values.map(tick), ["0.3", "0", "0", "1500", "-2.5", "3e-7", "1.5e-4"]);
    }
}
