//! Options that several commands share, as typed.
#![forbid(unsafe_code)]

use super::output;
use crate::audio::Channel;
use crate::decode::DecoderConfig;
use crate::model::Precision;
use crate::phones::Names;
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

/// How phones are read off the network's output.
#[derive(Args, Clone, Debug, Default)]
pub struct DecoderArgs {
    /// How phones are read off the network's output [default: greedy, or beam with --beam]
    #[arg(long, value_name = "DECODER")]
    pub decoder: Option<DecoderKind>,
    /// Prefixes that beam search keeps in every frame, 1 to 10000 [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub beam: Option<u16>,
}

/// Names of the decoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DecoderKind {
    /// The best symbol of every frame: fastest
    Greedy,
    /// Prefix beam search: the most probable phones over all their paths
    Beam,
}

impl DecoderArgs {
    const WIDTH: u16 = 16;

    /// The decoder asked for.
    ///
    /// # Errors
    /// If `--beam` is given to a decoder that has none: no option is ignored.
    pub fn config(&self) -> anyhow::Result<DecoderConfig> {
        let width = usize::from(self.beam.unwrap_or(Self::WIDTH));
        match (self.decoder, self.beam) {
            (Some(DecoderKind::Greedy), Some(_)) => {
                Err(output::with_hint("the greedy decoder has no beam", "leave --decoder greedy or --beam out"))
            }
            (Some(DecoderKind::Greedy), None) | (None, None) => Ok(DecoderConfig::Greedy),
            (Some(DecoderKind::Beam), _) | (None, Some(_)) => Ok(DecoderConfig::Beam { width }),
        }
    }
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

    #[test]
    fn no_decoder_option_is_ignored() {
        let config = |decoder, beam| DecoderArgs { decoder, beam }.config();
        let beam = |width| DecoderConfig::Beam { width };
        assert!(config(None, None).is_ok_and(|c| c == DecoderConfig::Greedy));
        assert!(config(None, Some(4)).is_ok_and(|c| c == beam(4)));
        assert!(config(Some(DecoderKind::Beam), None).is_ok_and(|c| c == beam(16)));
        assert!(config(Some(DecoderKind::Greedy), Some(4)).is_err());
    }
}
