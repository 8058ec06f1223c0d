//! Times the beam search on what the built-in model hears, and writes it down for other programs' searches:
//! `scripts/peers/beam.py` calls this.
//!
//!     cargo run --release --example beam_time -- OUT.npy WIDTH FRAMES RECORDING...
//!
//! OUT.npy gets log probabilities, [frames, classes], of as many frames of the recordings, one after the other. Prints a JSON
//! object: the median of 21 runs in seconds, the best hypothesis and its score.

use formant::Recognizer;
use formant::audio::Waveform;
use formant::decode::{Beam, Decoder, LogProbs};
use formant::features::{Features, write_npy};
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [out, width, frames, recordings @ ..] = args.as_slice() else {
        return Err("usage: beam_time OUT.npy WIDTH FRAMES RECORDING...".into());
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
        return Err(format!("only {} frames", rows.len() / classes.max(1)).into());
    }
    rows.truncate(frames * classes);
    write_npy(std::fs::File::create(out)?, &Features { data: rows.clone(), frames, dim: classes })?;

    let (log_probs, beam) = (LogProbs::from_logits(rows, classes)?, Beam { width });
    let mut seconds = Vec::new();
    for _ in 0..21 {
        let start = Instant::now();
        // One hypothesis, as the other programs give.
        std::hint::black_box(beam.decode_best(&log_probs, 1));
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let hypotheses = beam.decode(&log_probs);
    let Some(best) = hypotheses.first() else { return Err("no hypothesis".into()) };
    let phones: Vec<u16> = best.phones.iter().map(|p| p.0).collect();
    println!("{{\"seconds\": {}, \"score\": {}, \"phones\": {phones:?}}}", seconds[10], best.score);
    Ok(())
}
