//! A decoder of one's own: best path, but the blank has to win by a margin, so that fewer phones get lost.
//!
//! cargo run --release --example own_decoder [FILE [MARGIN]]

use formant::decode::{Decoder, Hypothesis, LogProbs, Segment};
use formant::phones::PhoneId;
use formant::{Recognizer, Waveform};

/// Writes the best phone of every frame in which the blank is not at least `margin` nats better.
struct Eager {
    margin: f32,
}

impl Decoder for Eager {
    fn decode(&self, log_probs: &LogProbs) -> Vec<Hypothesis> {
        let (mut segments, mut score, mut last) = (Vec::<Segment>::new(), 0.0, PhoneId::BLANK);
        for (frame, row) in log_probs.rows().enumerate() {
            // Class 0 is the blank, the others are phones.
            let best = (1..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0);
            let class = if row[0] >= row[best] + self.margin { 0 } else { best };
            let phone = PhoneId(class as u16);
            score += row[class];
            match segments.last_mut() {
                _ if phone == PhoneId::BLANK => {}
                // The same phone without a blank in between goes on.
                Some(segment) if phone == last => segment.end = frame + 1,
                _ => segments.push(Segment { phone, start: frame, end: frame + 1, score: row[class] }),
            }
            last = phone;
        }
        vec![Hypothesis { phones: segments.iter().map(|s| s.phone).collect(), score, segments, words: Vec::new() }]
    }
}

fn main() -> formant::Result<()> {
    let mut words = std::env::args().skip(1);
    let path = words.next().unwrap_or_else(|| "data/samples/so0120.wav".to_owned());
    let margin = words.next().and_then(|word| word.parse().ok()).unwrap_or(1.0);
    let wave = Waveform::open(path)?;
    let greedy = Recognizer::default();
    let usual = greedy.transcribe(&wave)?;
    let eager = greedy.with_decoder(Eager { margin });
    let more = eager.transcribe(&wave)?;
    let phones = eager.model().phones();
    println!("greedy             {}", phones.decode(&usual.best().phones));
    println!("blank behind by {margin}  {}", phones.decode(&more.best().phones));
    Ok(())
}
