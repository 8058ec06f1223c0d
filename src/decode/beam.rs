//! Prefix beam search: sums over all paths of a prefix instead of following one path (Graves 2012; Hannun et al. 2014).
#![forbid(unsafe_code)]

use super::{Decoder, Hypothesis, LogProbs, Segment, widen};
use crate::phones::PhoneId;
use std::collections::HashMap;

/// Prefix beam search.
#[derive(Clone, Copy, Debug)]
pub struct Beam {
    /// Prefixes kept in every frame; the same number of transcripts comes out.
    pub width: usize,
}

/// Labels whose log probability lies this far below the frame's best are not tried.
const FLOOR: f32 = 16.0;

/// A prefix: its last phone and the prefix before it. The root, 0, is the empty prefix.
struct Node {
    phone: PhoneId,
    parent: usize,
    /// The frame in which the phone was most probable while it was the end of the prefix.
    frame: usize,
    peak: f32,
}

/// Log probabilities of a prefix at a frame: of the paths that end in a blank, and of those that do not.
#[derive(Clone, Copy)]
struct Score {
    blank: f32,
    phone: f32,
}

const NOTHING: Score = Score { blank: f32::NEG_INFINITY, phone: f32::NEG_INFINITY };

fn log_add(a: f32, b: f32) -> f32 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if low == f32::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

impl Score {
    fn total(self) -> f32 {
        log_add(self.blank, self.phone)
    }
}

/// All prefixes met so far, and how to get from one to the next.
struct Trie {
    nodes: Vec<Node>,
    children: HashMap<(usize, PhoneId), usize>,
}

impl Trie {
    fn child(&mut self, parent: usize, phone: PhoneId) -> usize {
        *self.children.entry((parent, phone)).or_insert_with(|| {
            self.nodes.push(Node { phone, parent, frame: 0, peak: f32::NEG_INFINITY });
            self.nodes.len() - 1
        })
    }

    fn segments(&self, mut node: usize, frames: usize) -> Vec<Segment> {
        let mut segments = Vec::new();
        while node != 0 {
            let Node { phone, frame, peak, parent } = self.nodes[node];
            segments.push(Segment { phone, start: frame, end: frame + 1, score: peak });
            node = parent;
        }
        segments.reverse();
        // Peaks of neighbours may fall together; segments must not go back in time.
        for n in 1..segments.len() {
            let after = segments[n - 1].end.min(frames);
            segments[n].start = segments[n].start.max(after);
            segments[n].end = segments[n].end.max(segments[n].start);
        }
        widen(&mut segments, frames);
        segments
    }
}

impl Decoder for Beam {
    fn decode(&self, log_probs: &LogProbs) -> Vec<Hypothesis> {
        let root = Node { phone: PhoneId::BLANK, parent: 0, frame: 0, peak: 0.0 };
        let mut trie = Trie { nodes: vec![root], children: HashMap::new() };
        let mut beam = vec![(0, Score { blank: 0.0, phone: f32::NEG_INFINITY })];
        let mut place: HashMap<usize, usize> = HashMap::new();
        let mut next: Vec<(usize, Score)> = Vec::new();
        for (t, row) in log_probs.rows().enumerate() {
            place.clear();
            next.clear();
            let floor = row.iter().copied().fold(f32::NEG_INFINITY, f32::max) - FLOOR;
            let at = |node: usize, next: &mut Vec<(usize, Score)>, place: &mut HashMap<usize, usize>| {
                *place.entry(node).or_insert_with(|| {
                    next.push((node, NOTHING));
                    next.len() - 1
                })
            };
            for &(node, score) in &beam {
                let last = trie.nodes[node].phone;
                let n = at(node, &mut next, &mut place);
                next[n].1.blank = log_add(next[n].1.blank, score.total() + row[0]);
                if node != 0 {
                    next[n].1.phone = log_add(next[n].1.phone, score.phone + row[last.index()]);
                    note_peak(&mut trie.nodes[node], t, row[last.index()]);
                }
                for (class, &emit) in row.iter().enumerate().skip(1).filter(|(_, p)| **p > floor) {
                    let phone = PhoneId(class as u16);
                    // After the same phone only a path through a blank makes a new one.
                    let from = if phone == last { score.blank } else { score.total() };
                    if from == f32::NEG_INFINITY {
                        continue;
                    }
                    let child = trie.child(node, phone);
                    note_peak(&mut trie.nodes[child], t, emit);
                    let n = at(child, &mut next, &mut place);
                    next[n].1.phone = log_add(next[n].1.phone, from + emit);
                }
            }
            next.sort_by(|a, b| b.1.total().total_cmp(&a.1.total()).then(a.0.cmp(&b.0)));
            next.truncate(self.width);
            std::mem::swap(&mut beam, &mut next);
        }
        let finish = |(node, score): &(usize, Score)| {
            let segments = trie.segments(*node, log_probs.frames());
            Hypothesis { phones: segments.iter().map(|s| s.phone).collect(), score: score.total(), segments }
        };
        beam.iter().map(finish).collect()
    }
}

fn note_peak(node: &mut Node, frame: usize, value: f32) {
    if value > node.peak {
        (node.frame, node.peak) = (frame, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::collections::BTreeMap;

    /// The probability of every label sequence, from every path.
    fn exhaustive(log_probs: &LogProbs) -> BTreeMap<Vec<PhoneId>, f64> {
        let (frames, classes) = (log_probs.frames(), log_probs.classes());
        let mut all = BTreeMap::new();
        for code in 0..classes.pow(frames as u32) {
            let path: Vec<usize> = (0..frames).map(|t| code / classes.pow(t as u32) % classes).collect();
            let p: f64 = path.iter().enumerate().map(|(t, c)| f64::from(log_probs.row(t)[*c])).sum();
            let mut labels = path;
            labels.dedup();
            labels.retain(|c| *c != 0);
            *all.entry(labels.into_iter().map(|c| PhoneId(c as u16)).collect()).or_insert(0.0) += p.exp();
        }
        all
    }

    #[test]
    fn a_wide_beam_is_exhaustive() -> crate::Result<()> {
        for seed in 0..20 {
            let mut rng = Rng::stream(seed, "beam", 0);
            let logits = (0..6 * 3).map(|_| 2.0 * rng.normal()).collect();
            let log_probs = LogProbs::from_logits(logits, 3)?;
            let truth = exhaustive(&log_probs);
            let found = Beam { width: 10_000 }.decode(&log_probs);
            let best = truth.iter().max_by(|a, b| a.1.total_cmp(b.1)).map(|(labels, _)| labels);
            assert_eq!(Some(&found[0].phones), best);
            for hypothesis in &found {
                assert!((f64::from(hypothesis.score) - truth[&hypothesis.phones].ln()).abs() < 1e-4);
            }
        }
        Ok(())
    }

    #[test]
    fn segments_are_in_order() -> crate::Result<()> {
        let mut rng = Rng::stream(9, "beam", 1);
        let log_probs = LogProbs::from_logits((0..40 * 5).map(|_| 3.0 * rng.normal()).collect(), 5)?;
        for hypothesis in (Beam { width: 8 }).decode(&log_probs) {
            assert_eq!(hypothesis.phones.len(), hypothesis.segments.len());
            assert!(hypothesis.segments.windows(2).all(|w| w[0].end <= w[1].start && w[0].start <= w[0].end));
            assert!(hypothesis.segments.last().is_none_or(|s| s.end <= 40));
        }
        Ok(())
    }
}
