//! A recording to phones, with the model that is built in.
//!
//! cargo run --release --example transcribe [FILE]

use formant::{Recognizer, Waveform};

fn main() -> formant::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "data/samples/an4-fbbh.wav".to_owned());
    let wave = Waveform::open(&path)?;
    for warning in wave.warnings() {
        eprintln!("{path}: {warning}");
    }
    let recognizer = Recognizer::default();
    let transcript = recognizer.transcribe(&wave)?;
    let (best, phones) = (transcript.best(), recognizer.model().phones());
    println!("{}", phones.decode(&best.phones));
    for segment in &best.segments {
        let (start, end) = transcript.times(segment);
        println!("{start:7.2} {end:7.2}  {:3} {:7.2}", phones.symbol(segment.phone), segment.score);
    }
    Ok(())
}
