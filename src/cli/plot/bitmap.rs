//! A bitmap that plotters draws on, with text in a font that is part of the program, and PNG files made of it.
#![forbid(unsafe_code)]

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width};
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendTextStyle, DrawingBackend, DrawingErrorKind};
use std::convert::Infallible;

/// A picture of 8-bit red, green and blue, white at first.
pub struct Bitmap {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Bitmap {
    /// A white picture; its size in pixels.
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height, pixels: vec![0xff; 3 * width as usize * height as usize] }
    }

    /// Sets one pixel, as far as it lies inside.
    pub fn set(&mut self, (x, y): (i32, i32), colour: [u8; 3]) {
        if let Some(pixel) = self.pixel(x, y) {
            pixel.copy_from_slice(&colour);
        }
    }

    /// The picture as a PNG file.
    ///
    /// # Errors
    /// If the encoder refuses it, which it does for an empty picture alone.
    pub fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        encode(self.width, self.height, &self.pixels, None)
    }

    fn pixel(&mut self, x: i32, y: i32) -> Option<&mut [u8]> {
        let (x, y) = (u32::try_from(x).ok()?, u32::try_from(y).ok()?);
        let start = 3 * (y as usize * self.width as usize + x as usize);
        if x < self.width { self.pixels.get_mut(start..start + 3) } else { None }
    }

    /// Lets `colour` cover a pixel by its alpha.
    fn blend(&mut self, at: BackendCoord, colour: BackendColor) {
        let (r, g, b) = colour.rgb;
        if let Some(pixel) = self.pixel(at.0, at.1) {
            for (old, new) in pixel.iter_mut().zip([r, g, b]) {
                *old = (f64::from(*old) * (1.0 - colour.alpha) + f64::from(new) * colour.alpha).round() as u8;
            }
        }
    }
}

/// A PNG file of RGB pixels, or of indices if there is a palette.
///
/// # Errors
/// If the numbers do not fit the size.
pub fn encode(
    width: u32,
    height: u32,
    data: &[u8],
    palette: Option<&[[u8; 3]]>,
) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_depth(png::BitDepth::Eight);
    match palette {
        Some(palette) => {
            encoder.set_color(png::ColorType::Indexed);
            encoder.set_palette(palette.concat());
        }
        None => encoder.set_color(png::ColorType::Rgb),
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(data)?;
    writer.finish()?;
    Ok(bytes)
}

/// The font's size for a style, whose size is the height of a line in pixels.
fn raster_height(style: &impl BackendTextStyle) -> RasterHeight {
    if style.size() < 22.0 { RasterHeight::Size20 } else { RasterHeight::Size24 }
}

/// The character's picture; a question mark for those that the font does not have.
fn glyph(character: char, height: RasterHeight) -> Option<RasterizedChar> {
    let raster = |character| get_raster(character, FontWeight::Regular, height);
    raster(character).or_else(|| raster('?'))
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for &mut Bitmap {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, point: BackendCoord, colour: BackendColor) -> Drawn {
        self.blend(point, colour);
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Drawn {
        let (width, height) = self.estimate_text_size(text, style)?;
        let (width, height) = (width as i32, height as i32);
        let left = match style.anchor().h_pos {
            HPos::Left => 0,
            HPos::Center => -width / 2,
            HPos::Right => -width,
        };
        let top = match style.anchor().v_pos {
            VPos::Top => 0,
            VPos::Center => -height / 2,
            VPos::Bottom => -height,
        };
        let (turn, colour) = (style.transform(), style.color());
        let mut pen = left;
        for raster in text.chars().filter_map(|character| glyph(character, raster_height(style))) {
            for (y, row) in (top..).zip(raster.rows()) {
                for (x, cover) in (pen..).zip(row) {
                    let (x, y) = turn.transform(x, y);
                    self.blend((at.0 + x, at.1 + y), colour.mix(f64::from(*cover) / 255.0));
                }
            }
            pen += raster.width() as i32;
        }
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let height = raster_height(style);
        let width = get_raster_width(FontWeight::Regular, height) * text.chars().count();
        Ok((width as u32, height.val() as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plot::{LABEL, TITLE, text};
    use plotters::style::FontTransform;
    use plotters::style::text_anchor::Pos;

    #[test]
    fn the_font_has_the_heights_that_we_use() {
        for height in [LABEL, TITLE] {
            assert_eq!(raster_height(&text(height)).val() as i32, height);
        }
    }

    #[test]
    fn text_lies_where_its_anchor_says() {
        // (style, smallest x, largest x, smallest y, largest y) of anything dark, from an anchor at (100, 100).
        let centre = text(LABEL).pos(Pos::new(HPos::Center, VPos::Center));
        let turned = text(LABEL).pos(Pos::new(HPos::Center, VPos::Top)).transform(FontTransform::Rotate270);
        for (style, x, y) in [(centre, 60..140, 90..110), (turned, 100..120, 60..140)] {
            let mut bitmap = Bitmap::new(200, 200);
            (&mut bitmap).draw_text("Hz \u{1f600}é", &style, (100, 100)).unwrap();
            let dark = (0..200 * 200).filter(|at| bitmap.pixels[3 * at] < 0x80);
            let dark: Vec<(usize, usize)> = dark.map(|at| (at % 200, at / 200)).collect();
            assert!(dark.len() > 30);
            assert!(dark.iter().all(|(px, py)| x.contains(px) && y.contains(py)), "{dark:?}");
        }
    }

    #[test]
    fn nothing_is_drawn_outside() {
        let mut bitmap = Bitmap::new(4, 3);
        for at in [(-1, 0), (0, -1), (4, 0), (0, 3), (i32::MAX, i32::MIN)] {
            bitmap.set(at, [0; 3]);
        }
        assert!(bitmap.pixels.iter().all(|x| *x == 0xff));
        bitmap.set((3, 2), [1, 2, 3]);
        assert_eq!(bitmap.pixels[33..], [1, 2, 3]);
    }

    #[test]
    fn a_png_file_holds_the_pixels() {
        let mut bitmap = Bitmap::new(4, 3);
        bitmap.set((1, 1), [10, 20, 30]);
        let bytes = bitmap.png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, bitmap.pixels);
    }
}
