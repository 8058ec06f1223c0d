//! Prefix beam search: sums over all paths of a prefix instead of following one path (Graves 2012; Hannun et al. 2014).
//!
//! A [`Grammar`] says which phones may follow and weighs them; with [`Free`] every phone may follow, and scores are the
//! network's alone.
#![forbid(unsafe_code)]

use super::grammar::{Extension, Free, Grammar};
use super::{Decoder, HeardWord, Hypothesis, LogProbs, Segment, widen};
use crate::lexicon::WordId;
use crate::phones::PhoneId;

/// Prefix beam search.
#[derive(Clone, Copy, Debug)]
pub struct Beam {
    /// Prefixes kept in every frame; the same number of transcripts comes out.
    pub width: usize,
}

impl Decoder for Beam {
    fn decode(&self, log_probs: &LogProbs) -> Vec<Hypothesis> {
        self.decode_best(log_probs, self.width)
    }

    fn decode_best(&self, log_probs: &LogProbs, most: usize) -> Vec<Hypothesis> {
        search(log_probs, self.width, most, &mut Free)
    }
}

/// The transcripts left at the end of a beam of `width` prefixes, best first, at most so many; never none.
pub fn search<G: Grammar>(log_probs: &LogProbs, width: usize, most: usize, grammar: &mut G) -> Vec<Hypothesis> {
    let mut search = Search::new(width, log_probs.classes(), grammar);
    for (t, row) in log_probs.rows().enumerate() {
        search.step(t, row);
    }
    search.finish(log_probs.frames(), most)
}

/// Labels whose log probability lies this far below the frame's best are not tried.
const FLOOR: f32 = 16.0;

/// No node, no place in the beam.
const NONE: u32 = u32::MAX;

/// A prefix: its last phone and the prefix before it. The root, 0, is the empty prefix.
struct Node<S> {
    phone: PhoneId,
    /// The word that ends with the phone.
    word: Option<WordId>,
    parent: u32,
    /// Prefixes that are longer by one phone, as a list.
    first_child: u32,
    next_sibling: u32,
    /// Where it is in the beam of this frame.
    place: u32,
    /// The frame in which the phone was most probable while it was the end of the prefix.
    frame: u32,
    peak: f32,
    /// What the grammar remembers of it, and what its paths are multiplied with when they reach it.
    state: S,
    weight: f64,
}

/// All prefixes that were ever in the beam. A prefix that comes back is the same node again, or those that go on from it
/// would not know it.
struct Trie<S> {
    nodes: Vec<Node<S>>,
}

impl<S: Copy> Trie<S> {
    fn new(start: S) -> Self {
        let mut trie = Self { nodes: Vec::with_capacity(4096) };
        trie.push(PhoneId::BLANK, NONE, Extension { state: start, word: None, weight: 1.0 });
        trie
    }

    fn push(&mut self, phone: PhoneId, parent: u32, extension: Extension<S>) -> u32 {
        let own = self.nodes.len() as u32;
        let next_sibling = match self.nodes.get_mut(parent as usize) {
            Some(parent) => std::mem::replace(&mut parent.first_child, own),
            None => NONE,
        };
        let (peak, Extension { state, word, weight }) = (f32::NEG_INFINITY, extension);
        let first_child = NONE;
        self.nodes.push(Node {
            phone,
            word,
            parent,
            first_child,
            next_sibling,
            place: NONE,
            frame: 0,
            peak,
            state,
            weight,
        });
        own
    }

    /// The prefix that is longer by a phone, and a word if the phone ends one.
    fn find(&self, parent: u32, phone: PhoneId, word: Option<WordId>) -> Option<u32> {
        let mut child = self.nodes[parent as usize].first_child;
        while child != NONE {
            let node = &self.nodes[child as usize];
            if node.phone == phone && node.word == word {
                return Some(child);
            }
            child = node.next_sibling;
        }
        None
    }

    fn note_peak(&mut self, node: u32, frame: usize, value: f32) {
        let node = &mut self.nodes[node as usize];
        if value > node.peak {
            (node.frame, node.peak) = (frame as u32, value);
        }
    }

    /// The phones of a prefix, each at its peak, and its words.
    fn read(&self, mut node: u32, frames: usize) -> (Vec<Segment>, Vec<HeardWord>) {
        let (mut segments, mut words) = (Vec::new(), Vec::new());
        while node != 0 {
            let Node { phone, word, frame, peak, parent, .. } = self.nodes[node as usize];
            segments.push(Segment { phone, start: frame as usize, end: frame as usize + 1, score: peak });
            words.extend(word.map(|word| (word, segments.len())));
            node = parent;
        }
        let count = segments.len();
        segments.reverse();
        words.reverse();
        let mut start = 0;
        let span = |(word, from_end): (WordId, usize)| {
            let phones = start..count + 1 - from_end;
            start = phones.end;
            HeardWord { word, phones }
        };
        let words = words.into_iter().map(span).collect();
        apart(&mut segments, frames);
        widen(&mut segments, frames);
        (segments, words)
    }
}

/// Peaks of neighbours may fall together; segments must not, and each has a frame. There are as many frames as phones.
fn apart(segments: &mut [Segment], frames: usize) {
    let mut first = 0;
    for segment in segments.iter_mut() {
        segment.start = segment.start.max(first);
        first = segment.start + 1;
    }
    let mut last = frames;
    for segment in segments.iter_mut().rev() {
        segment.start = segment.start.min(last.saturating_sub(1));
        segment.end = segment.start + 1;
        last = segment.start;
    }
}

/// A prefix in the beam: the probabilities, in units that the beam has in common, of its paths that end in a blank and of
/// those that do not.
#[derive(Clone, Copy)]
struct Entry {
    node: u32,
    /// Its last phone.
    last: PhoneId,
    blank: f64,
    phone: f64,
}

impl Entry {
    fn total(&self) -> f64 {
        self.blank + self.phone
    }

    /// What of it can be made longer by a phone: after the same phone only a path through a blank.
    fn reach(&self, phone: PhoneId) -> f64 {
        if self.last == phone { self.blank } else { self.total() }
    }
}

/// A prefix that may be in the next beam: entry `from`, or, with a phone other than the blank, what it becomes by that one,
/// in the grammar's `way` to go on by it.
#[derive(Clone, Copy)]
struct Candidate {
    score: f64,
    from: u32,
    phone: PhoneId,
    way: u16,
}

impl Candidate {
    /// Best first; of equal ones, those of the earlier entry, of the lower phone, and of the earlier way.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        let place = |c: &Self| (c.from, c.phone.0, c.way);
        other.score.total_cmp(&self.score).then_with(|| place(self).cmp(&place(other)))
    }
}

/// The search, frame by frame. Nothing is allocated but for new prefixes.
///
/// Probabilities are numbers, not logarithms: they are scaled anew in every frame, by a factor whose logarithm is kept. In
/// f64 a prefix that is 10^300 times less probable than the best is nothing; no beam has room for it.
struct Search<'g, G: Grammar> {
    width: usize,
    grammar: &'g mut G,
    trie: Trie<G::State>,
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
    /// By entry and phone, the frame for which it is known that a prefix longer by that phone is in the beam itself.
    taken: Vec<u32>,
    next: Vec<Entry>,
}

impl<'g, G: Grammar> Search<'g, G> {
    fn new(width: usize, classes: usize, grammar: &'g mut G) -> Self {
        Self {
            width,
            trie: Trie::new(grammar.start()),
            grammar,
            beam: vec![Entry { node: 0, last: PhoneId::BLANK, blank: 1.0, phone: 0.0 }],
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
        for (place, entry) in self.beam.iter().enumerate() {
            self.trie.nodes[entry.node as usize].place = place as u32;
        }
        self.stay(t, row);
        // Where they fill the beam, what is worse than the last of them need not be looked at.
        let mut bound = 0.0;
        if self.candidates.len() == self.width {
            bound = self.candidates.iter().fold(f64::INFINITY, |low, c| low.min(c.score));
        }
        self.sort_labels(row, best, bound);
        self.lengthen(t, classes, bound);
        let scale = self.choose(t, row);
        self.unit += f64::from(best) - scale.ln();
        std::mem::swap(&mut self.beam, &mut self.next);
    }

    /// Labels that can bring some prefix above `bound`.
    fn sort_labels(&mut self, row: &[f32], best: f32, bound: f64) {
        let highest = self.beam.iter().map(Entry::total).fold(0.0, f64::max) * self.grammar.most();
        let Self { labels, probabilities, .. } = self;
        labels.clear();
        let tried = (1..row.len()).filter(|&c| row[c] > best - FLOOR && highest * probabilities[c] >= bound);
        labels.extend(tried.map(|c| (PhoneId(c as u16), probabilities[c])));
        labels.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.0.cmp(&b.0.0)));
    }

    /// Prefixes that stay as they are: by a blank, by their last phone once more, or by that phone after the prefix before.
    fn stay(&mut self, t: usize, row: &[f32]) {
        let (blank, classes) = (self.probabilities[0], row.len());
        self.stays.clear();
        self.candidates.clear();
        self.taken.resize(self.width.max(1) * classes, NONE);
        for (place, entry) in self.beam.iter().enumerate() {
            let mut stay = Entry { blank: entry.total() * blank, phone: 0.0, ..*entry };
            if entry.node != 0 {
                let Node { parent, weight, .. } = self.trie.nodes[entry.node as usize];
                let phone = entry.last;
                let mut before = entry.phone;
                let parent_place = self.trie.nodes[parent as usize].place;
                if let Some(parent) = self.beam.get(parent_place as usize) {
                    before += parent.reach(phone) * weight;
                    self.taken[parent_place as usize * classes + phone.index()] = t as u32;
                }
                stay.phone = before * self.probabilities[phone.index()];
                self.trie.note_peak(entry.node, t, row[phone.index()]);
            }
            self.stays.push(stay);
            let (from, phone) = (place as u32, PhoneId::BLANK);
            self.candidates.push(Candidate { score: stay.total(), from, phone, way: 0 });
        }
    }

    /// Prefixes that get longer. Those below `bound` are left out.
    fn lengthen(&mut self, t: usize, classes: usize, bound: f64) {
        let most = self.grammar.most();
        for (place, entry) in self.beam.iter().enumerate() {
            let (total, state) = (entry.total(), self.trie.nodes[entry.node as usize].state);
            for &(phone, p) in &self.labels {
                if total * p * most < bound || total * p == 0.0 {
                    break;
                }
                let score = entry.reach(phone) * p;
                let taken = self.taken[place * classes + phone.index()] == t as u32;
                if score * most < bound || score == 0.0 || (G::SINGLE && taken) {
                    continue;
                }
                let (trie, candidates, mut way) = (&self.trie, &mut self.candidates, 0);
                self.grammar.extend(state, phone, |extension| {
                    let score = score * extension.weight;
                    let is_there = || {
                        let child = trie.find(entry.node, phone, extension.word);
                        child.is_some_and(|child| trie.nodes[child as usize].place != NONE)
                    };
                    if score >= bound && score > 0.0 && !(taken && is_there()) {
                        candidates.push(Candidate { score, from: place as u32, phone, way });
                    }
                    way += 1;
                });
            }
        }
    }

    /// Makes the next beam of the best candidates; gives the factor that their probabilities are scaled by.
    fn choose(&mut self, t: usize, row: &[f32]) -> f64 {
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
                Entry { blank: stay.blank * scale, phone: stay.phone * scale, ..stay }
            } else {
                let node = longer(&mut self.trie, self.grammar, stay.node, candidate);
                self.trie.note_peak(node, t, row[candidate.phone.index()]);
                Entry { node, last: candidate.phone, blank: 0.0, phone: candidate.score * scale }
            });
        }
        scale
    }

    fn finish(self, frames: usize, most: usize) -> Vec<Hypothesis> {
        let mut ends: Vec<(f64, u32)> = Vec::with_capacity(self.beam.len());
        for entry in &self.beam {
            let state = self.trie.nodes[entry.node as usize].state;
            ends.push((entry.total() * self.grammar.end(state), entry.node));
        }
        ends.retain(|(total, _)| *total > 0.0);
        if ends.is_empty() {
            // Every transcript is in the middle of a word: the best one ends before it.
            let best = self.beam.iter().max_by(|a, b| a.total().total_cmp(&b.total()).then(b.node.cmp(&a.node)));
            ends.extend(best.map(|entry| (entry.total(), self.last_end(entry.node))));
        }
        ends.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let finish = |&(total, node): &(f64, u32)| {
            let (segments, words) = self.trie.read(node, frames);
            let score = (total.ln() + self.unit) as f32;
            Hypothesis { phones: segments.iter().map(|s| s.phone).collect(), score, segments, words }
        };
        ends.iter().take(most.max(1)).map(finish).collect()
    }

    /// The prefix up to the last word of a prefix.
    fn last_end(&self, mut node: u32) -> u32 {
        while node != 0 && self.trie.nodes[node as usize].word.is_none() {
            node = self.trie.nodes[node as usize].parent;
        }
        node
    }
}

/// The node that a candidate makes of a prefix.
fn longer<G: Grammar>(trie: &mut Trie<G::State>, grammar: &mut G, from: u32, candidate: &Candidate) -> u32 {
    let (mut way, mut chosen) = (0, None);
    let state = trie.nodes[from as usize].state;
    grammar.extend(state, candidate.phone, |extension| {
        if way == candidate.way {
            chosen = Some(extension);
        }
        way += 1;
    });
    match chosen {
        Some(extension) => trie
            .find(from, candidate.phone, extension.word)
            .unwrap_or_else(|| trie.push(candidate.phone, from, extension)),
        // A grammar says the same when it is asked again.
        None => from,
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
    fn the_best_are_the_first_of_all() -> crate::Result<()> {
        let mut rng = Rng::stream(3, "beam", 3);
        let log_probs = LogProbs::from_logits((0..30 * 6).map(|_| 2.0 * rng.normal()).collect(), 6)?;
        let beam = Beam { width: 20 };
        let all = beam.decode(&log_probs);
        assert_eq!(all.len(), 20);
        for most in [0, 1, 7, 50] {
            assert_eq!(beam.decode_best(&log_probs, most), all[..most.clamp(1, 20)]);
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
