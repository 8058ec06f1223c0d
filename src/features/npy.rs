//! Features as a NumPy file (format 1.0), which every numeric language reads.
#![forbid(unsafe_code)]

use super::Features;
use std::io::{Error, ErrorKind, Result, Write};

/// Writes `features` as a matrix `[frames, dim]` of little-endian f32 in row-major order: `numpy.load` reads it.
///
/// # Errors
/// What `out` says, and [`ErrorKind::InvalidInput`] if the numbers are not `frames` times `dim` many.
pub fn write_npy(mut out: impl Write, features: &Features) -> Result<()> {
    let Features { data, frames, dim } = features;
    if frames.checked_mul(*dim) != Some(data.len()) {
        return Err(Error::new(ErrorKind::InvalidInput, format!("{} numbers are not {frames} x {dim}", data.len())));
    }
    out.write_all(&header(*frames, *dim))?;
    let mut bytes = Vec::with_capacity(4 * data.len().min(CHUNK));
    for chunk in data.chunks(CHUNK) {
        bytes.clear();
        bytes.extend(chunk.iter().flat_map(|x| x.to_le_bytes()));
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// Numbers turned into bytes at a time.
const CHUNK: usize = 1 << 14;

/// Magic, version, length of the dictionary, the dictionary; filled up so that the numbers start at a multiple of 64
/// bytes, as the format asks for the sake of memory maps.
fn header(rows: usize, columns: usize) -> Vec<u8> {
    const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let unpadded = MAGIC.len() + 2 + text.len() + 1;
    text.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    text.push('\n');
    // Two 20-digit numbers are the longest that the shape can hold, so the length always fits into 16 bits.
    let length = (text.len() as u16).to_le_bytes();
    [MAGIC, &length, text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_numpy() -> Result<()> {
        // numpy.save(.., numpy.array([[1, 2], [3, 4], [5, -0.5]], "<f4"))
        let mut expected =
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }".to_vec();
        expected.resize(127, b' ');
        expected.push(b'\n');
        for number in [1.0_f32, 2.0, 3.0, 4.0, 5.0, -0.5] {
            expected.extend(number.to_le_bytes());
        }
        let mut bytes = Vec::new();
        write_npy(&mut bytes, &Features { data: vec![1.0, 2.0, 3.0, 4.0, 5.0, -0.5], frames: 3, dim: 2 })?;
        assert_eq!(bytes, expected);
        Ok(())
    }

    #[test]
    fn headers_of_any_shape_are_aligned() {
        for (rows, columns) in [(0, 40), (1, 1), (123_456, 120), (usize::MAX, usize::MAX)] {
            let header = header(rows, columns);
            assert_eq!(header.len() % 64, 0);
            assert_eq!(usize::from(u16::from_le_bytes([header[8], header[9]])) + 10, header.len());
            assert_eq!(header.last(), Some(&b'\n'));
        }
    }

    #[test]
    fn a_shape_that_does_not_fit_is_refused() {
        let features = Features { data: vec![0.0; 5], frames: 2, dim: 3 };
        let error = write_npy(Vec::new(), &features).unwrap_err();
        assert_eq!(error.to_string(), "5 numbers are not 2 x 3");
    }

    #[test]
    fn long_matrices_are_written_whole() -> Result<()> {
        let data: Vec<f32> = (0..CHUNK + 7).map(|i| i as f32).collect();
        let mut bytes = Vec::new();
        write_npy(&mut bytes, &Features { frames: data.len(), dim: 1, data: data.clone() })?;
        let read: Vec<f32> =
            bytes[128..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        assert_eq!(read, data);
        Ok(())
    }
}
