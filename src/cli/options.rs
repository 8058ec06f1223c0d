//! Options that several commands share, as typed.
#![forbid(unsafe_code)]

use crate::audio::Channel;
use crate::model::Precision;
use crate::phones::Names;
use crate::recognize::StreamOptions;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;

/// Which model, on which device.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// Model file [default: the built-in model]
    ///
    /// A file written by `formant train`, or the folder that it wrote.
    #[arg(short, long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// Where to compute, and how exactly.
#[derive(Args, Clone, Copy, Debug)]
pub struct DeviceArgs {
    /// Where to compute: auto, cpu, cuda or cuda:N
    ///
    /// `auto` takes a GPU if this program and this machine can use one, and the CPU otherwise; `formant doctor` says
    /// which and why. A device that is named and cannot be used is an error.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
    /// Precision of the products with weights
    ///
    /// On a GPU, tf32 and bf16 are faster than f32; on the CPU, int8 is, for what is not training. They make a few mistakes
    /// more or less: docs/performance.md and docs/cuda.md say how many.
    #[arg(long, value_name = "PRECISION", default_value = "f32")]
    pub precision: PrecisionChoice,
}

/// A precision, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionChoice {
    /// 32-bit floating point
    F32,
    /// Large products of numbers rounded to 11 bits, added up in 32; on a GPU
    Tf32,
    /// Large products of numbers rounded to 8 bits, added up in 32; on a GPU
    Bf16,
    /// Weights and inputs rounded to 8-bit integers; on the CPU
    Int8,
}

impl From<PrecisionChoice> for Precision {
    fn from(choice: PrecisionChoice) -> Self {
        match choice {
            PrecisionChoice::F32 | PrecisionChoice::Tf32 | PrecisionChoice::Bf16 => Self::F32,
            PrecisionChoice::Int8 => Self::Int8,
        }
    }
}

/// A device, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The best there is.
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU by number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", number)) => {
                number.parse().map(Self::Cuda).map_err(|_| format!("{number:?} is no device number"))
            }
            _ => Err("it is auto, cpu, cuda or cuda:N".to_owned()),
        }
    }
}

/// How phones are written, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NamesChoice {
    /// As the model writes them: of the built-in one, ARPAbet in lower case
    Own,
    /// ARPAbet in capitals
    Arpabet,
    /// International Phonetic Alphabet
    Ipa,
}

impl From<NamesChoice> for Names {
    fn from(choice: NamesChoice) -> Self {
        match choice {
            NamesChoice::Own => Self::Own,
            NamesChoice::Arpabet => Self::Arpabet,
            NamesChoice::Ipa => Self::Ipa,
        }
    }
}

/// Listening while sound arrives.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct StreamArgs {
    /// Listen to sound as it arrives, in chunks, instead of all at once
    #[arg(long)]
    pub stream: bool,
    /// Seconds of sound that are recognised at a time [default: 0.24]
    #[arg(long, value_name = "S", requires = "stream", value_parser = seconds)]
    pub chunk: Option<f64>,
    /// Seconds of sound that the network waits for after them [default: 0.3]
    ///
    /// Chunk and lookahead together are how far the transcript is behind the sound.
    #[arg(long, value_name = "S", requires = "stream", value_parser = seconds)]
    pub lookahead: Option<f64>,
}

impl StreamArgs {
    /// What was asked for.
    pub fn options(&self) -> StreamOptions {
        let usual = StreamOptions::default();
        StreamOptions {
            chunk: self.chunk.unwrap_or(usual.chunk),
            lookahead: self.lookahead.unwrap_or(usual.lookahead),
            ..usual
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let between = |seconds: &f64| (0.0..=60.0).contains(seconds);
    text.parse().ok().filter(between).ok_or_else(|| "it is a number of seconds up to 60".to_owned())
}

/// How many threads compute.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct ThreadArgs {
    /// Threads that compute, 1 to 1024 [default: one a processor]
    ///
    /// The number never changes the result.
    #[arg(short = 'j', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// A channel, as typed.
pub fn channel(text: &str) -> Result<Channel, String> {
    match text {
        "mix" => Ok(Channel::Mix),
        _ => text.parse().map(Channel::Only).map_err(|_| "it is mix or a number counted from 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_channels_are_checked_as_typed() {
        assert_eq!("cuda:3".parse(), Ok(DeviceChoice::Cuda(3)));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for wrong in ["cuda:x", "gpu", "cpu:0", "", "cuda:"] {
            assert!(wrong.parse::<DeviceChoice>().is_err(), "{wrong}");
        }
        assert_eq!(channel("1"), Ok(Channel::Only(1)));
        assert!(channel("left").is_err() && channel("-1").is_err());
    }
}
