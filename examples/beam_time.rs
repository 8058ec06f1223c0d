//! Times the beam search on what the built-in model hears, and writes it down for other programs' searches:
//! `scripts/peers/beam.py` calls this.
//!
//!     cargo run --release --example beam_time -- OUT.npy WIDTH FRAMES RECORDING...
//!
//! OUT.npy gets log probabilities, [frames, classes], of as many frames of the recordings, one after the other. Prints a JSON
//! object: the median of 21 runs in seconds, the best hypothesis and its score.

use anyhow::{Context, bail};
use formant::Recognizer;
use formant::audio::Waveform;
use formant::decode::{Beam, Decoder, LogProbs};
use std::io::Write;
use std::time::Instant;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [out, width, frames, recordings @ ..] = args.as_slice() else {
        bail!("usage: beam_time OUT.npy WIDTH FRAMES RECORDING...")
    };
    let (width, frames): (usize, usize) = (width.parse()?, frames.parse()?);
    let recognizer = Recognizer::default();
    let (mut rows, mut classes) = (Vec::new(), 0);
    for recording in recordings {
        let heard = recognizer.log_probs(&Waveform::open(recording)?)?;
        classes = heard.classes();
        rows.extend(heard.rows().flatten().copied());
    }
    if rows.len() < frames * classes {
        bail!("only {} frames", rows.len() / classes.max(1));
    }
    rows.truncate(frames * classes);
    let log_probs = LogProbs::from_logits(rows, classes)?;

    let mut file = std::fs::File::create(out).with_context(|| out.clone())?;
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({frames}, {classes}), }}");
    let padded = format!("{header:<117}\n");
    file.write_all(b"\x93NUMPY\x01\x00")?;
    file.write_all(&(padded.len() as u16).to_le_bytes())?;
    file.write_all(padded.as_bytes())?;
    let bytes: Vec<u8> = log_probs.rows().flatten().flat_map(|p| p.to_le_bytes()).collect();
    file.write_all(&bytes)?;

    let beam = Beam { width };
    let mut seconds = Vec::new();
    for _ in 0..21 {
        let start = Instant::now();
        std::hint::black_box(beam.decode(&log_probs));
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let hypotheses = beam.decode(&log_probs);
    let best = hypotheses.first().context("no hypothesis")?;
    let phones: Vec<u16> = best.phones.iter().map(|p| p.0).collect();
    println!("{{\"seconds\": {}, \"score\": {}, \"phones\": {phones:?}}}", seconds[10], best.score);
    Ok(())
}
