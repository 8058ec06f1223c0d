//! The curves of a training run as one SVG: loss, dev phone error rate and learning rate over epochs, one above another.
#![forbid(unsafe_code)]

use super::{GRID, INK, LABEL, TITLE, text, tick};
use plotters::chart::SeriesLabelPosition;
use plotters::coord::Shift;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::element::{Circle, PathElement};
use plotters::prelude::{ChartBuilder, DrawingArea, DrawingBackend, IntoDrawingArea, LineSeries, SVGBackend, WHITE};
use plotters::style::{Color, RGBColor};
use std::ops::Range;

/// Width and height of the picture, pixels.
const SIZE: (u32, u32) = (960, 960);

/// Blue, vermilion and green of Okabe and Ito, which eyes that tell few colours apart still tell apart.
const COLOURS: [RGBColor; 3] = [RGBColor(0, 0x72, 0xb2), RGBColor(0xd5, 0x5e, 0), RGBColor(0, 0x9e, 0x73)];

/// What is known at one moment of training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// Epochs done.
    pub epoch: f64,
    /// Mean loss over the training utterances since the point before.
    pub train_loss: f64,
    /// Mean loss over the dev set, where it was measured.
    pub dev_loss: Option<f64>,
    /// Phone error rate on the dev set, percent.
    pub dev_per: f64,
    /// Learning rate.
    pub learning_rate: f64,
}

/// Draws the points, which are in the order of their epochs. Numbers that are not finite are left out.
pub fn curves_svg(points: &[CurvePoint]) -> String {
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    // Drawing into memory has no reason to fail, and a training run must not end over its picture.
    let _ = draw(&root, points).and_then(|()| root.present());
    drop(root);
    svg
}

/// One line: its name in the legend and its points.
struct Line {
    name: &'static str,
    points: Vec<(f64, f64)>,
}

impl Line {
    fn new(name: &'static str, points: &[CurvePoint], value: impl Fn(&CurvePoint) -> Option<f64>) -> Self {
        let finite =
            |point: &CurvePoint| Some((point.epoch, value(point)?)).filter(|(x, y)| x.is_finite() && y.is_finite());
        Self { name, points: points.iter().filter_map(finite).collect() }
    }
}

/// One of the pictures above another.
struct Panel {
    /// What is drawn, with its unit.
    quantity: &'static str,
    lines: Vec<Line>,
    /// Colour of the first line, as a place in [`COLOURS`].
    colour: usize,
    /// What the horizontal axis is called, if anything.
    below: &'static str,
    /// A point that stands out.
    mark: Option<(f64, f64)>,
}

fn draw<DB: DrawingBackend>(
    root: &DrawingArea<DB, Shift>,
    points: &[CurvePoint],
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    root.fill(&WHITE)?;
    let per = Line::new("dev PER", points, |p| Some(p.dev_per));
    let best = per.points.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
    let title = match best {
        Some((epoch, per)) => format!("best dev PER {per:.2} % after epoch {}", tick(epoch)),
        None => "no dev PER yet".to_owned(),
    };
    let rest = root.margin(10, 10, 10, 10).titled(&title, text(TITLE))?;
    let losses = vec![Line::new("training", points, |p| Some(p.train_loss)), Line::new("dev", points, |p| p.dev_loss)];
    let rate = Line::new("learning rate", points, |p| Some(p.learning_rate));
    let panels = [
        Panel { quantity: "loss", lines: losses, colour: 0, below: "", mark: None },
        Panel { quantity: "dev PER (%)", lines: vec![per], colour: 1, below: "", mark: best },
        Panel { quantity: "learning rate", lines: vec![rate], colour: 2, below: "epoch", mark: None },
    ];
    let epochs = span(points.iter().map(|p| p.epoch), 0.0);
    let (above, last) = rest.split_vertically(660);
    let [first, second] = [0, 1].map(|row| above.split_evenly((2, 1)).swap_remove(row));
    for (panel, area) in panels.iter().zip([first, second, last]) {
        panel.draw(&area, epochs.clone())?;
    }
    Ok(())
}

impl Panel {
    fn draw<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
        epochs: Range<f64>,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        let values = span(self.lines.iter().flat_map(|line| line.points.iter().map(|(_, y)| *y)), 0.05);
        let mut chart = ChartBuilder::on(area)
            .margin_top(10)
            .margin_right(20)
            .x_label_area_size(if self.below.is_empty() { 32 } else { 58 })
            .y_label_area_size(95)
            .build_cartesian_2d(epochs, values)?;
        chart
            .configure_mesh()
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(WHITE)
            .max_light_lines(0)
            .x_labels(12)
            .y_labels(6)
            .label_style(text(LABEL))
            .axis_desc_style(text(LABEL))
            .x_label_formatter(&|x| tick(*x))
            .y_label_formatter(&|y| tick(*y))
            .x_desc(self.below)
            .y_desc(self.quantity)
            .draw()?;
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle().skip(self.colour)) {
            let series = LineSeries::new(line.points.iter().copied(), colour.stroke_width(2));
            let drawn = chart.draw_series(series)?;
            if self.lines.len() > 1 {
                drawn.label(line.name).legend(|(x, y)| PathElement::new([(x, y), (x + 30, y)], colour.stroke_width(2)));
            }
            // A line of a single point would not be seen, and dots of many would hide the line.
            let dots = if line.points.len() <= 60 { &line.points[..] } else { &[] };
            chart.draw_series(dots.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
        }
        let marks = self.mark.iter();
        chart.draw_series(marks.map(|mark| Circle::new(*mark, 8, INK.stroke_width(2))))?;
        if self.lines.len() < 2 {
            return Ok(());
        }
        // Losses fall on the left, and may rise again on the right: the middle of the top stays free.
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperMiddle)
            .legend_area_size(38)
            .margin(12)
            .label_font(text(LABEL))
            .border_style(GRID)
            .background_style(WHITE)
            .draw()
    }
}

/// The range of the finite ones among `values`, with a share of it added at either end; never empty.
fn span(values: impl Iterator<Item = f64>, margin: f64) -> Range<f64> {
    let finite = values.filter(|value| value.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    if low > high {
        return 0.0..1.0;
    }
    // A single value gets a range around it that fits its size.
    let margin = if high > low { margin * (high - low) } else { 0.5 * low.abs().max(f64::MIN_POSITIVE) };
    // No quantity here is ever negative: neither is its axis.
    let below = if low >= 0.0 { (low - margin).max(0.0) } else { low - margin };
    below..high + margin
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(epoch: f64) -> CurvePoint {
        CurvePoint { epoch, train_loss: 9.0 / epoch, dev_loss: None, dev_per: 90.0 - epoch, learning_rate: 1e-3 }
    }

    #[test]
    fn the_best_epoch_is_named() {
        let svg = curves_svg(&[point(1.0), CurvePoint { dev_per: 12.345, ..point(2.0) }, point(3.0)]);
        assert!(
            svg.contains("best dev PER 12.35 % after epoch 2") || svg.contains("best dev PER 12.34 % after epoch 2")
        );
        for word in ["loss", "dev PER (%)", "learning rate", "epoch", "training"] {
            assert!(svg.contains(word), "{word}");
        }
        assert!(svg.ends_with("</svg>\n"));
    }

    #[test]
    fn odd_points_give_a_picture() {
        let broken = CurvePoint { train_loss: f64::NAN, dev_per: f64::INFINITY, ..point(2.0) };
        for points in [vec![], vec![point(1.0)], vec![point(1.0), broken], vec![broken; 3]] {
            let svg = curves_svg(&points);
            assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN") && !svg.contains("inf"));
        }
    }

    #[test]
    fn ranges_are_never_empty() {
        assert_eq!(span([].into_iter(), 0.1), 0.0..1.0);
        assert_eq!(span([2.0].into_iter(), 0.1), 1.0..3.0);
        assert_eq!(span([0.0, 10.0].into_iter(), 0.1), 0.0..11.0);
        let zero = span([0.0].into_iter(), 0.1);
        assert!(zero.start < zero.end);
    }
}
