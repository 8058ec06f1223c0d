//! Prefix beam search: sums over all paths of a prefix instead of following one path (Graves 2012; Hannun et al. 2014).
#![forbid(unsafe_code)]

use super::{Decoder, Hypothesis, LogProbs, Segment, widen};
use crate::phones::PhoneId;

/// Prefix beam search.
#[derive(Clone, Copy, Debug)]
pub struct Beam {
    /// Prefixes kept in every frame; the same number of transcripts comes out.
    pub width: usize,
}

/// Labels whose log probability lies this far below the frame's best are not tried.
const FLOOR: f32 = 16.0;

/// No node, no place in the beam.
const NONE: u32 = u32::MAX;

/// A prefix: its last phone and the prefix before it. The root, 0, is the empty prefix.
struct Node {
    phone: PhoneId,
    parent: u32,
    /// Prefixes that are longer by one phone, as a list.
    first_child: u32,
    next_sibling: u32,
    /// Where it is in the beam of this frame.
    place: u32,
    /// The frame in which the phone was most probable while it was the end of the prefix.
    frame: u32,
    peak: f32,
}

/// All prefixes that were ever in the beam. A prefix that comes back is the same node again, or those that go on from it
/// would not know it.
struct Trie {
    nodes: Vec<Node>,
}

impl Trie {
    fn new() -> Self {
        let mut trie = Self { nodes: Vec::with_capacity(4096) };
        trie.push(PhoneId::BLANK, NONE);
        trie
    }

    fn push(&mut self, phone: PhoneId, parent: u32) -> u32 {
        let own = self.nodes.len() as u32;
        let next_sibling = match self.nodes.get_mut(parent as usize) {
            Some(parent) => std::mem::replace(&mut parent.first_child, own),
            None => NONE,
        };
        let peak = f32::NEG_INFINITY;
        self.nodes.push(Node { phone, parent, first_child: NONE, next_sibling, place: NONE, frame: 0, peak });
        own
    }

    fn child(&mut self, parent: u32, phone: PhoneId) -> u32 {
        let mut child = self.nodes[parent as usize].first_child;
        while child != NONE && self.nodes[child as usize].phone != phone {
            child = self.nodes[child as usize].next_sibling;
        }
        if child == NONE { self.push(phone, parent) } else { child }
    }

    fn note_peak(&mut self, node: u32, frame: usize, value: f32) {
        let node = &mut self.nodes[node as usize];
        if value > node.peak {
            (node.frame, node.peak) = (frame as u32, value);
        }
    }

    fn segments(&self, mut node: u32, frames: usize) -> Vec<Segment> {
        let mut segments = Vec::new();
        while node != 0 {
            let Node { phone, frame, peak, parent, .. } = self.nodes[node as usize];
            segments.push(Segment { phone, start: frame as usize, end: frame as usize + 1, score: peak });
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

/// A prefix in the beam: the probabilities, in units that the beam has in common, of its paths that end in a blank and of
/// those that do not.
#[derive(Clone, Copy)]
struct Entry {
    node: u32,
    blank: f64,
    phone: f64,
}

impl Entry {
    fn total(&self) -> f64 {
        self.blank + self.phone
    }
}

/// A prefix that may be in the next beam: entry `from`, or, with a phone other than the blank, what it becomes by that one.
#[derive(Clone, Copy)]
struct Candidate {
    score: f64,
    from: u32,
    phone: PhoneId,
}

impl Candidate {
    /// Best first; of equal ones, those of the earlier entry, and of the lower phone.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        other.score.total_cmp(&self.score).then(self.from.cmp(&other.from)).then(self.phone.0.cmp(&other.phone.0))
    }
}

/// The search, frame by frame. Nothing is allocated but for new prefixes.
///
/// Probabilities are numbers, not logarithms: they are scaled anew in every frame, by a factor whose logarithm is kept. In
/// f64 a prefix that is 10^300 times less probable than the best is nothing; no beam has room for it.
struct Search {
    width: usize,
    trie: Trie,
    /// In no order.
    beam: Vec<Entry>,
    /// Logarithm of the beam's unit.
    unit: f64,
    /// By entry: its own score in the next frame.
    stays: Vec<Entry>,
    candidates: Vec<Candidate>,
    /// Of the frame's classes, relative to the most probable one.
    probabilities: Vec<f64>,
    /// Labels of the frame that are tried, most probable first.
    labels: Vec<(PhoneId, f64)>,
    /// By entry and phone, the frame for which it is known that this longer prefix is in the beam itself.
    taken: Vec<u32>,
    next: Vec<Entry>,
}

impl Search {
    fn new(width: usize, classes: usize) -> Self {
        Self {
            width,
            trie: Trie::new(),
            beam: vec![Entry { node: 0, blank: 1.0, phone: 0.0 }],
            unit: 0.0,
            stays: Vec::new(),
            candidates: Vec::new(),
            probabilities: Vec::with_capacity(classes),
            labels: Vec::with_capacity(classes),
            taken: Vec::new(),
            next: Vec::new(),
        }
    }

    fn step(&mut self, t: usize, row: &[f32]) {
        let classes = row.len();
        let best = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        self.probabilities.clear();
        self.probabilities.extend(row.iter().map(|p| f64::from((p - best).exp())));
        self.labels.clear();
        let tried = (1..classes).filter(|&c| row[c] > best - FLOOR);
        self.labels.extend(tried.map(|c| (PhoneId(c as u16), self.probabilities[c])));
        self.labels.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.0.cmp(&b.0.0)));
        for (place, entry) in self.beam.iter().enumerate() {
            self.trie.nodes[entry.node as usize].place = place as u32;
        }

        // Prefixes that stay as they are: by a blank, by their last phone once more, or by that phone after the prefix before.
        let blank = self.probabilities[0];
        self.stays.clear();
        self.candidates.clear();
        self.taken.resize(self.width.max(1) * classes, NONE);
        for (place, entry) in self.beam.iter().enumerate() {
            let mut stay = Entry { node: entry.node, blank: entry.total() * blank, phone: 0.0 };
            if entry.node != 0 {
                let Node { phone, parent, .. } = self.trie.nodes[entry.node as usize];
                let mut before = entry.phone;
                let parent_place = self.trie.nodes[parent as usize].place;
                if let Some(parent) = self.beam.get(parent_place as usize) {
                    before += self.reach(parent, phone);
                    self.taken[parent_place as usize * classes + phone.index()] = t as u32;
                }
                stay.phone = before * self.probabilities[phone.index()];
                self.trie.note_peak(entry.node, t, row[phone.index()]);
            }
            self.stays.push(stay);
            self.candidates.push(Candidate { score: stay.total(), from: place as u32, phone: PhoneId::BLANK });
        }
        // Where they fill the beam, what is worse than the last of them need not be looked at.
        let mut bound = 0.0;
        if self.candidates.len() == self.width {
            bound = self.candidates.iter().fold(f64::INFINITY, |low, c| low.min(c.score));
        }
        // Prefixes that get longer.
        for (place, entry) in self.beam.iter().enumerate() {
            let total = entry.total();
            for &(phone, p) in &self.labels {
                if total * p < bound || total * p == 0.0 {
                    break;
                }
                let score = self.reach(entry, phone) * p;
                if score >= bound && score > 0.0 && self.taken[place * classes + phone.index()] != t as u32 {
                    self.candidates.push(Candidate { score, from: place as u32, phone });
                }
            }
        }

        // The best of all.
        let kept = self.candidates.len().min(self.width);
        if kept < self.candidates.len() {
            self.candidates.select_nth_unstable_by(kept, Candidate::order);
        }
        self.candidates.truncate(kept);
        for entry in &self.beam {
            self.trie.nodes[entry.node as usize].place = NONE;
        }
        let high = self.candidates.iter().fold(f64::MIN_POSITIVE, |high, c| high.max(c.score));
        let scale = high.recip();
        self.next.clear();
        for candidate in &self.candidates {
            let stay = self.stays[candidate.from as usize];
            self.next.push(if candidate.phone == PhoneId::BLANK {
                Entry { node: stay.node, blank: stay.blank * scale, phone: stay.phone * scale }
            } else {
                let node = self.trie.child(stay.node, candidate.phone);
                self.trie.note_peak(node, t, row[candidate.phone.index()]);
                Entry { node, blank: 0.0, phone: candidate.score * scale }
            });
        }
        self.unit += f64::from(best) - scale.ln();
        std::mem::swap(&mut self.beam, &mut self.next);
    }

    /// What of a prefix can be made longer by a phone: after the same phone only a path through a blank.
    fn reach(&self, entry: &Entry, phone: PhoneId) -> f64 {
        if self.trie.nodes[entry.node as usize].phone == phone { entry.blank } else { entry.total() }
    }

    fn finish(mut self, frames: usize) -> Vec<Hypothesis> {
        self.beam.sort_unstable_by(|a, b| b.total().total_cmp(&a.total()).then(a.node.cmp(&b.node)));
        let finish = |entry: &Entry| {
            let segments = self.trie.segments(entry.node, frames);
            let score = (entry.total().ln() + self.unit) as f32;
            Hypothesis { phones: segments.iter().map(|s| s.phone).collect(), score, segments }
        };
        self.beam.iter().map(finish).collect()
    }
}

impl Decoder for Beam {
    fn decode(&self, log_probs: &LogProbs) -> Vec<Hypothesis> {
        let mut search = Search::new(self.width, log_probs.classes());
        for (t, row) in log_probs.rows().enumerate() {
            search.step(t, row);
        }
        search.finish(log_probs.frames())
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

    /// A prefix that left the beam and comes back is the same one: none is there twice, and no score is more than the truth.
    #[test]
    fn a_narrow_beam_has_no_prefix_twice() -> crate::Result<()> {
        for seed in 0..200 {
            let mut rng = Rng::stream(seed, "beam", 2);
            let log_probs = LogProbs::from_logits((0..8 * 3).map(|_| rng.normal()).collect(), 3)?;
            let truth = exhaustive(&log_probs);
            for width in [1, 2, 3, 5] {
                let found = Beam { width }.decode(&log_probs);
                assert!(!found.is_empty() && found.len() <= width);
                assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
                for (n, hypothesis) in found.iter().enumerate() {
                    assert!(found[..n].iter().all(|other| other.phones != hypothesis.phones), "seed {seed}");
                    assert!(f64::from(hypothesis.score) <= truth[&hypothesis.phones].ln() + 1e-5, "seed {seed}");
                }
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
