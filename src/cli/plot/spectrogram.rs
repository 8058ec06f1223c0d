//! Log-mel features as a picture: seconds to the right, the filters upwards, energy as colour.
#![forbid(unsafe_code)]

use super::bitmap::{Bitmap, encode};
use super::colormap::palette;
use super::{INK, LABEL, TITLE, text, tick};
use crate::features::{Features, FrontEnd, hz_to_mel};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plotters::chart::LabelAreaPosition;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::{ChartBuilder, DrawingArea, DrawingBackend, IntoDrawingArea, SVGBackend, WHITE};
use std::fmt::Write;
use std::ops::Range;

/// Width and height of the picture, pixels.
const SIZE: (u32, u32) = (1280, 640);

/// Natural logarithm of 10^8: 80 dB below the loudest everything is black. More would show the noise of the file's last
/// bit and leave few colours to the speech.
const DEPTH: f32 = 18.42;

/// What is drawn.
pub struct Spectrogram<'a> {
    /// Frames before stacking, `[frames, front.frame_dim()]`. Energy and derivatives in them are not drawn.
    pub features: &'a Features,
    /// What made them.
    pub front: &'a FrontEnd,
    /// Stands above the picture: the recording's name.
    pub title: &'a str,
    /// What the colours mean, with its unit.
    pub quantity: &'a str,
}

/// Where on the picture colours go: left to right, top to bottom, in pixels.
type Place = (Range<i32>, Range<i32>);

impl Spectrogram<'_> {
    /// As SVG: vector text and axes around an embedded picture. A file of any length makes an SVG of about the same
    /// size.
    ///
    /// # Errors
    /// If the embedded picture cannot be encoded.
    pub fn svg(&self) -> anyhow::Result<String> {
        let mut svg = String::new();
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let heat = Heat::new(self.features, self.front);
        let (map, bar) = self.draw(&root, heat.range.clone())?;
        root.present()?;
        drop(root);
        let end = svg.rfind("</svg>").unwrap_or(svg.len());
        svg.truncate(end);
        embed(&mut svg, &map, &cells(&map, &heat.levels, heat.columns))?;
        embed(&mut svg, &bar, &cells(&bar, &SCALE, 1))?;
        svg.push_str("</svg>\n");
        Ok(svg)
    }

    /// As a PNG file.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn png(&self) -> anyhow::Result<Vec<u8>> {
        let heat = Heat::new(self.features, self.front);
        let mut bitmap = Bitmap::new(SIZE.0, SIZE.1);
        let (map, bar) = self.draw(&(&mut bitmap).into_drawing_area(), heat.range.clone())?;
        paint(&mut bitmap, &map, &cells(&map, &heat.levels, heat.columns));
        paint(&mut bitmap, &bar, &cells(&bar, &SCALE, 1));
        Ok(bitmap.png()?)
    }

    /// The colours alone as a PNG file: a pixel a frame and a filter, without axes and text.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn bare(&self) -> anyhow::Result<Vec<u8>> {
        let heat = Heat::new(self.features, self.front);
        let (width, height) = (u32::try_from(heat.columns)?, u32::try_from(self.front.bins)?);
        Ok(encode(width, height, &heat.levels, Some(&palette()))?)
    }

    /// From when to when the columns of frames stand, in seconds.
    pub fn covers(&self) -> (f64, f64) {
        let columns = self.seconds().1;
        (columns.start, columns.end)
    }

    /// Draws all but the colours; says where those of the spectrogram and those of its scale go.
    fn draw<DB: DrawingBackend>(
        &self,
        root: &DrawingArea<DB, Shift>,
        range: Range<f32>,
    ) -> Result<(Place, Place), DrawingAreaErrorKind<DB::ErrorType>> {
        root.fill(&WHITE)?;
        let rest = root.margin(8, 8, 10, 10).titled(&title(self.title), text(TITLE))?;
        let (left, right) = rest.split_horizontally(SIZE.0 - 140);
        let (seconds, columns) = self.seconds();
        let mut chart = ChartBuilder::on(&left)
            .margin_top(8)
            .x_label_area_size(58)
            .y_label_area_size(90)
            .build_cartesian_2d(seconds, MelAxis::new(self.front))?;
        chart
            .configure_mesh()
            .disable_mesh()
            .axis_style(INK)
            .x_labels(12)
            .label_style(text(LABEL))
            .axis_desc_style(text(LABEL))
            .x_label_formatter(&|seconds| tick(*seconds))
            .x_desc("time (s)")
            .y_desc("centre of the mel filter (Hz)")
            .draw()?;
        let [start, end] = [columns.start, columns.end].map(|x| chart.backend_coord(&(x, 1000.0)).0);
        let map = (start..end, chart.plotting_area().get_pixel_range().1);
        let mut scale = ChartBuilder::on(&right)
            .margin_top(8)
            .margin_left(20)
            .set_label_area_size(LabelAreaPosition::Bottom, 58)
            .right_y_label_area_size(76)
            .build_cartesian_2d(0.0..1.0, f64::from(range.start)..f64::from(range.end))?;
        scale
            .configure_mesh()
            .disable_mesh()
            .disable_x_axis()
            .x_labels(0)
            .axis_style(INK)
            .y_labels(8)
            .label_style(text(LABEL))
            .axis_desc_style(text(LABEL))
            .set_tick_mark_size(LabelAreaPosition::Right, 5)
            .y_label_formatter(&|value| tick(*value))
            .y_desc(self.quantity)
            .draw()?;
        Ok((map, scale.plotting_area().get_pixel_range()))
    }

    /// What the axis of time covers, from the start of the first frame to the end of the last, and what the columns
    /// cover: one is as wide as the frame shift and stands around the middle of its frame.
    fn seconds(&self) -> (Range<f64>, Range<f64>) {
        let (length, shift) = (f64::from(self.front.frame_length_ms), f64::from(self.front.frame_shift_ms));
        let (start, columns) = ((length - shift) / 2000.0, shift / 1000.0 * self.features.frames.max(1) as f64);
        (0.0..columns + 2.0 * start, start..start + columns)
    }
}

/// The colour scale's own picture: the highest level on top.
const SCALE: [u8; 256] = {
    let mut scale = [0; 256];
    let mut row = 0;
    while row < 256 {
        scale[row] = (255 - row) as u8;
        row += 1;
    }
    scale
};

/// The recording's name in one line: as much as fits beside the margins, without what XML forbids.
fn title(name: &str) -> String {
    const FITS: usize = 100;
    let clean: Vec<char> = name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    match clean.len().checked_sub(FITS) {
        None | Some(0) => clean.iter().collect(),
        // The end of a name tells more than its start.
        Some(_) => "...".chars().chain(clean[clean.len() - FITS + 3..].iter().copied()).collect(),
    }
}

/// Energies as levels of the palette, row-major, the highest filter on top.
struct Heat {
    levels: Vec<u8>,
    columns: usize,
    /// What the lowest and the highest level stand for.
    range: Range<f32>,
}

impl Heat {
    /// Takes the means of neighbouring frames where there are more than pixels.
    fn new(features: &Features, front: &FrontEnd) -> Self {
        let (bins, first) = (front.bins, usize::from(front.energy));
        let columns = features.frames.clamp(1, SIZE.0 as usize);
        let mut sums = vec![0.0_f32; bins * columns];
        let mut counts = vec![0.0_f32; columns];
        for (t, row) in features.rows().enumerate() {
            let column = t * columns / features.frames;
            counts[column] += 1.0;
            for (bin, value) in row.iter().skip(first).take(bins).enumerate() {
                sums[(bins - 1 - bin) * columns + column] += value;
            }
        }
        for row in sums.chunks_exact_mut(columns) {
            row.iter_mut().zip(&counts).for_each(|(sum, count)| *sum /= count);
        }
        let range = visible(&sums);
        let level = |value: &f32| ((value - range.start) / (range.end - range.start) * 255.0).round() as u8;
        Self { levels: sums.iter().map(level).collect(), columns, range }
    }
}

/// The values that the colours cover: all but the lowest hundredth, at most [`DEPTH`] deep.
fn visible(values: &[f32]) -> Range<f32> {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|x| x.is_finite()).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let (Some(high), Some(low)) = (sorted.last(), sorted.get(sorted.len() / 100)) else { return 0.0..1.0 };
    let low = low.max(high - DEPTH);
    // Silence has one value: any width will do.
    if high - low > 1e-3 { low..*high } else { low - 1.0..high + 1.0 }
}

/// The levels of a place's pixels, row-major: each shows the cell of `levels` `[rows, columns]` it lies in.
fn cells((x, y): &Place, levels: &[u8], columns: usize) -> Vec<u8> {
    let (width, height, rows) = (x.len(), y.len(), levels.len() / columns);
    let row = |v: usize| (0..width).map(move |u| levels[v * rows / height * columns + u * columns / width]);
    (0..height).flat_map(row).collect()
}

/// Fills a place of the bitmap.
fn paint(bitmap: &mut Bitmap, (x, y): &Place, pixels: &[u8]) {
    let palette = palette();
    for (py, row) in y.clone().zip(pixels.chunks(x.len().max(1))) {
        for (px, level) in x.clone().zip(row) {
            bitmap.set((px, py), palette[usize::from(*level)]);
        }
    }
}

/// Puts a picture into an SVG. It has the pixels of its place and not just a few large ones, because some programs blur
/// what they enlarge.
fn embed(svg: &mut String, (x, y): &Place, pixels: &[u8]) -> anyhow::Result<()> {
    let (left, top, width, height) = (x.start, y.start, x.len(), y.len());
    let png = encode(u32::try_from(width)?, u32::try_from(height)?, pixels, Some(&palette()))?;
    writeln!(
        svg,
        r#"<image x="{left}" y="{top}" width="{width}" height="{height}" preserveAspectRatio="none" style="image-rendering:pixelated" href="data:image/png;base64,{}"/>"#,
        STANDARD.encode(png),
    )?;
    Ok(())
}

/// An axis in Hz on which mel filters lie equally far apart, from half a step below the lowest centre to half a step
/// above the highest, so that a filter's centre stands at the middle of its row.
struct MelAxis {
    low: f64,
    high: f64,
}

/// Frequencies worth naming, Hz, the most familiar first.
const ROUND_HZ: [f64; 24] = [
    1000.0, 2000.0, 4000.0, 500.0, 8000.0, 250.0, 16_000.0, 100.0, 3000.0, 6000.0, 1500.0, 5000.0, 750.0, 12_000.0,
    24_000.0, 2500.0, 7000.0, 10_000.0, 32_000.0, 48_000.0, 20_000.0, 64_000.0, 96_000.0, 0.0,
];

impl MelAxis {
    fn new(front: &FrontEnd) -> Self {
        let (low, high) = front.mel_range();
        let step = (high - low) / (front.bins + 1) as f64;
        Self { low: low + step / 2.0, high: high - step / 2.0 }
    }
}

impl Ranged for MelAxis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, hz: &f64, (bottom, top): (i32, i32)) -> i32 {
        let part = (hz_to_mel(*hz) - self.low) / (self.high - self.low);
        bottom + (part * f64::from(top - bottom)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        // Closer than this, labels would touch.
        let apart = (self.high - self.low) / 18.0;
        let mut points: Vec<f64> = Vec::new();
        for hz in ROUND_HZ.into_iter().filter(|hz| (self.low..=self.high).contains(&hz_to_mel(*hz))) {
            if points.iter().all(|other| (hz_to_mel(hz) - hz_to_mel(*other)).abs() >= apart) {
                points.push(hz);
            }
        }
        points.sort_by(f64::total_cmp);
        points
    }

    fn range(&self) -> Range<f64> {
        // In Hz: the inverse of `hz_to_mel` at the ends.
        let hz = |mel: f64| 700.0 * (mel / 1127.0).exp_m1();
        hz(self.low)..hz(self.high)
    }
}

impl ValueFormatter<f64> for MelAxis {
    fn format(hz: &f64) -> String {
        tick(*hz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(frames: usize, front: &FrontEnd) -> Features {
        let dim = front.frame_dim();
        Features { data: (0..frames * dim).map(|i| (i % dim) as f32).collect(), frames, dim }
    }

    fn svg(features: &Features, front: &FrontEnd, title: &str) -> String {
        Spectrogram { features, front, title, quantity: "log energy" }.svg().unwrap()
    }

    #[test]
    fn the_lowest_filter_lies_at_the_bottom_and_long_files_are_averaged() {
        let front = FrontEnd { bins: 4, energy: true, deltas: 1, ..FrontEnd::default() };
        let heat = Heat::new(&ramp(3, &front), &front);
        assert_eq!((heat.columns, heat.range), (3, 1.0..4.0));
        assert_eq!(heat.levels, [255, 255, 255, 170, 170, 170, 85, 85, 85, 0, 0, 0]);
        let heat = Heat::new(&ramp(3001, &front), &front);
        assert_eq!((heat.columns, heat.range), (1280, 1.0..4.0));
    }

    #[test]
    fn every_pixel_shows_its_cell() {
        assert_eq!(cells(&(5..9, 0..3), &[1, 2, 3, 4, 5, 6], 2), [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]);
        assert!(cells(&(0..0, 0..0), &[1], 1).is_empty());
    }

    #[test]
    fn colours_are_spent_on_what_can_be_seen() {
        assert_eq!(visible(&[-16.0, 20.0, 5.0, f32::NAN]), 20.0 - DEPTH..20.0);
        assert_eq!(visible(&[3.0; 5]), 2.0..4.0);
        assert_eq!(visible(&[f32::NAN]), 0.0..1.0);
    }

    #[test]
    fn centres_of_filters_stand_in_the_middle_of_their_rows() {
        let front = FrontEnd { bins: 10, ..FrontEnd::default() };
        let (axis, (low, high)) = (MelAxis::new(&front), front.mel_range());
        for bin in 0..10 {
            let hz = 700.0 * ((low + (high - low) * f64::from(bin + 1) / 11.0) / 1127.0).exp_m1();
            assert_eq!(axis.map(&hz, (1000, 0)), 950 - 100 * bin);
        }
        let points = axis.key_points(10);
        assert!(points.len() > 5 && points.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn pictures_of_any_length_stay_small() {
        let front = FrontEnd::default();
        let noise = |i: usize| (i.wrapping_mul(2_654_435_761) >> 7) as u8 as f32;
        let frames = 60_000;
        let features = Features { data: (0..frames * 40).map(noise).collect(), frames, dim: 40 };
        let svg = svg(&features, &front, "long.wav");
        assert!(svg.len() < 500_000, "{}", svg.len());
        assert!(svg.ends_with("</svg>\n") && svg.matches("<image").count() == 2);
    }

    #[test]
    fn odd_input_gives_a_picture() {
        let front = FrontEnd { bins: 1, ..FrontEnd::default() };
        for data in [vec![], vec![f32::NAN], vec![1.0]] {
            let features = Features { frames: data.len(), data, dim: 1 };
            let svg = svg(&features, &front, "<&>\u{1}");
            assert!(svg.contains("&lt;&amp;&gt;\u{fffd}"));
            let picture = Spectrogram { features: &features, front: &front, title: "", quantity: "" };
            assert!(picture.png().unwrap().starts_with(b"\x89PNG"));
        }
    }

    #[test]
    fn long_names_are_cut_at_their_start() {
        let name = format!("{}.wav", "x".repeat(300));
        assert_eq!(title(&name).len(), 100);
        assert!(title(&name).starts_with("...x") && title(&name).ends_with("x.wav"));
        assert_eq!(title(&"y".repeat(100)), "y".repeat(100));
    }
}
