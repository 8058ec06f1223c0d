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
    let alignment = recognizer.align(&wave, &model.phones().encode(&text)?)?;
    for phone in alignment.phones {
        let (symbol, score) = (model.phones().symbol(phone.phone), phone.pronunciation.score());
        println!("{:7.3} {:7.3}  {symbol:3} {score:3.0}", phone.start, phone.end);
    }
    Ok(())
}
