//! TensorBoard event files: the curves of a training run in the form that TensorBoard reads while it is written.
//!
//! A file is a row of records (TensorFlow's TFRecord): length, checksum of the length, a protocol buffer, its checksum.
//! Only the messages and fields that scalars need are here; their numbers are those of TensorFlow's `event.proto` and
//! `summary.proto`.
#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use prost::Message;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What the first record must say.
const VERSION: &str = "brain.Event:2";

/// `tensorflow.Event`.
#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

/// `tensorflow.Summary`.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

/// `tensorflow.Summary.Value`.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    // One of several in the original: without `optional` a zero would not be written, and the point would be missing.
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// Appends scalars to one event file. What is written reaches the file with [`EventWriter::flush`] or at the end.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    out: BufWriter<File>,
}

impl EventWriter {
    /// A new file in `folder`, which is made if it is missing. A run that goes on writes a further file; TensorBoard
    /// puts all files of a folder together.
    ///
    /// # Errors
    /// [`Error::Io`] naming the folder or the file.
    pub fn create(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("events.out.tfevents.{:010}.{}", now.as_secs(), host_name());
        let (path, file) = create_new(folder, &name)?;
        let mut writer = Self { path, out: BufWriter::new(file) };
        writer.record(&Event {
            wall_time: now.as_secs_f64(),
            file_version: Some(VERSION.to_owned()),
            ..Event::default()
        })?;
        writer.flush()?;
        Ok(writer)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds the point `step` to the curves named by `values` (`"loss/train"` stands in the group `loss`);
    /// `wall_seconds` is the time since 1970, in seconds.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn scalars(&mut self, step: u64, wall_seconds: f64, values: &[(&str, f32)]) -> Result<()> {
        let value = |(tag, value): &(&str, f32)| Value { tag: (*tag).to_owned(), simple_value: Some(*value) };
        self.record(&Event {
            wall_time: wall_seconds,
            step: i64::try_from(step).unwrap_or(i64::MAX),
            file_version: None,
            summary: Some(Summary { value: values.iter().map(value).collect() }),
        })
    }

    /// Hands everything written so far to the operating system, so that a TensorBoard that watches sees it.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(|e| Error::io(&self.path, e))
    }

    fn record(&mut self, event: &Event) -> Result<()> {
        let record = as_record(&event.encode_to_vec());
        self.out.write_all(&record).map_err(|e| Error::io(&self.path, e))
    }
}

/// A file that was not there before: `name`, or `name.1` and so on where a run is taken up within the same second.
fn create_new(folder: &Path, name: &str) -> Result<(PathBuf, File)> {
    let mut path = folder.join(name);
    for count in 1..1000 {
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => path = folder.join(format!("{name}.{count}")),
            Err(error) => return Err(Error::io(path, error)),
        }
    }
    Err(Error::io(path, io::Error::from(ErrorKind::AlreadyExists)))
}

/// This machine's name, which tells runs on a shared disk apart; `formant` where it cannot be had without a system call.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::env::var("COMPUTERNAME"));
    let clean = |name: String| -> String {
        name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect()
    };
    name.map(clean).ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "formant".to_owned())
}

/// A record: length, its checksum, the bytes, theirs; little endian.
fn as_record(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(payload.len() + 16);
    record.extend_from_slice(&length);
    record.extend_from_slice(&masked_crc(&length).to_le_bytes());
    record.extend_from_slice(payload);
    record.extend_from_slice(&masked_crc(payload).to_le_bytes());
    record
}

/// CRC-32C, turned and shifted as TensorFlow does, so that the checksum of bytes which hold checksums stays meaningful.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits a file into its messages and checks all checksums.
    fn parse(mut bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            assert_eq!(bytes[8..12], masked_crc(&bytes[..8]).to_le_bytes());
            let payload = &bytes[12..12 + length];
            assert_eq!(bytes[12 + length..16 + length], masked_crc(payload).to_le_bytes());
            events.push(Event::decode(payload).unwrap());
            bytes = &bytes[16 + length..];
        }
        events
    }

    #[test]
    fn the_first_record_is_byte_for_byte_what_tensorflow_writes() {
        let event = Event { wall_time: 1.5, file_version: Some(VERSION.to_owned()), ..Event::default() };
        let mut payload = vec![9, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x1a, 13];
        payload.extend_from_slice(b"brain.Event:2");
        let record = as_record(&event.encode_to_vec());
        assert_eq!(record[12..36], payload);
        // The check value of CRC-32C (RFC 3720 gives it for 32 zero bytes), masked by hand.
        assert_eq!(masked_crc(&[0; 32]), 0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8));
        assert_eq!(record[..12], [24, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22]);
    }

    #[test]
    fn what_is_written_can_be_read_back() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("run").join("events");
        let mut writer = EventWriter::create(&inner)?;
        writer.scalars(0, 10.25, &[("loss/train", 0.0), ("loss/dev", f32::NAN)])?;
        writer.scalars(u64::MAX, 11.0, &[("per", -3.5)])?;
        writer.scalars(3, 12.0, &[])?;
        writer.flush()?;
        let events = parse(&fs::read(writer.path()).unwrap());
        assert_eq!(events.len(), 4);
        assert_eq!(events[0].file_version.as_deref(), Some(VERSION));
        let values = &events[1].summary.as_ref().unwrap().value;
        assert_eq!((events[1].wall_time, events[1].step), (10.25, 0));
        assert_eq!((values[0].tag.as_str(), values[0].simple_value), ("loss/train", Some(0.0)));
        assert!(values[1].simple_value.unwrap().is_nan());
        assert_eq!(events[2].step, i64::MAX);
        assert_eq!(events[2].summary.as_ref().unwrap().value[0].simple_value, Some(-3.5));
        Ok(())
    }

    #[test]
    fn two_writers_never_share_a_file() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (EventWriter::create(folder.path())?, EventWriter::create(folder.path())?);
        assert_ne!(first.path(), second.path());
        for writer in [first, second] {
            assert!(writer.path().file_name().unwrap().to_str().unwrap().starts_with("events.out.tfevents."));
        }
        Ok(())
    }

    #[test]
    fn a_folder_that_is_a_file_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = EventWriter::create(file.path()).unwrap_err().to_string();
        assert!(error.starts_with(&file.path().display().to_string()), "{error}");
    }
}
