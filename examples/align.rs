//! Known phones and a recording to the times at which they were spoken.
//!
//! cargo run --release --example align [FILE "PHONES"]

use formant::{Recognizer, Waveform};

fn main() -> formant::Result<()> {
    let mut words = std::env::args().skip(1);
    let (path, text) = match (words.next(), words.next()) {
        (Some(path), Some(text)) => (path, text),
        // "Fans need to have a little faith."
        _ => ("data/samples/so1293.wav".to_owned(), "f ae n z n iy d t uw hh ae v ah l ih t l f ey th".to_owned()),
    };
    let recognizer = Recognizer::default();
    let model = recognizer.model();
    let wave = Waveform::open(&path)?;
    let segments = recognizer.align(&wave, &model.phones().encode(&text)?)?;
    let seconds = |frame: usize| (frame as f64 * model.frame_shift()).min(wave.seconds());
    for segment in segments {
        let (start, end) = (seconds(segment.start), seconds(segment.end));
        println!("{start:7.2} {end:7.2}  {}", model.phones().symbol(segment.phone));
    }
    Ok(())
}
