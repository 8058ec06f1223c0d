//! Models estimated from text: interpolated, modified Kneser-Ney smoothing (Chen & Goodman 1998, "An empirical study of
//! smoothing techniques for language modeling", section 4.1.6), as KenLM's lmplz does it (Heafield et al. 2013).
#![forbid(unsafe_code)]

use super::{BEGIN, END, Entries, MOST_WORDS, NGram, UNKNOWN, WordIndex};
use crate::error::{Error, Result};
use std::collections::{BTreeMap, HashMap};

/// What is taken off the counts 1, 2, and 3 and more of an order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Discounts {
    /// By count.
    pub by_count: [f64; 3],
    /// Whether they are the usual values, because the text is too small or too even to say.
    pub fallback: bool,
}

/// Values for when counts cannot say (lmplz's `--discount_fallback`).
const FALLBACK: [f64; 3] = [0.5, 1.0, 1.5];

/// A model, and how it came about.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// The model.
    pub model: NGram,
    /// By order.
    pub discounts: Vec<Discounts>,
}

type Counts = BTreeMap<Box<[WordIndex]>, u64>;

/// The tables' marks come first: their numbers are known.
const UNKNOWN_INDEX: WordIndex = 0;
const BEGIN_INDEX: WordIndex = 1;
const END_INDEX: WordIndex = 2;

impl Estimate {
    /// A model of n-grams up to `order` words from sentences.
    ///
    /// # Errors
    /// If there are no sentences, `order` is not between 1 and 16, or a word is one of the marks `<s>`, `</s>`, `<unk>`.
    pub fn new<S: AsRef<str>>(sentences: &[Vec<S>], order: usize) -> Result<Self> {
        if sentences.is_empty() {
            return Err(Error::invalid("no sentences to make a language model of"));
        }
        if !(1..=MOST_WORDS).contains(&order) {
            return Err(Error::invalid(format!("n-grams of {order} words: between 1 and {MOST_WORDS} can be had")));
        }
        let (words, counts) = count(sentences, order)?;
        let counts = adjusted(counts);
        let discounts: Vec<Discounts> = counts.iter().map(Discounts::new).collect();
        let mut entries: Vec<Entries> = Vec::new();
        for (counts, discounts) in counts.iter().zip(&discounts) {
            let next = interpolated(counts, discounts, &entries, words.len());
            // The weight of backing off from a context stands with the context, one order below.
            if let Some(below) = entries.last_mut() {
                for (context, weight) in next.backoffs {
                    if let Some(entry) = below.get_mut(&context) {
                        entry.1 = weight.ln() as f32;
                    }
                }
            }
            entries.push(next.entries);
        }
        Ok(Self { model: NGram::new(words, entries)?, discounts })
    }
}

/// The vocabulary, and by order how often each n-gram comes.
fn count<S: AsRef<str>>(sentences: &[Vec<S>], order: usize) -> Result<(Vec<Box<str>>, Vec<Counts>)> {
    let mut words: Vec<Box<str>> = [UNKNOWN, BEGIN, END].map(Box::from).to_vec();
    let mut indices: HashMap<Box<str>, WordIndex> = HashMap::new();
    let mut counts = vec![HashMap::<Box<[WordIndex]>, u64>::new(); order];
    for sentence in sentences {
        let mut line = vec![BEGIN_INDEX];
        for word in sentence {
            let word = word.as_ref();
            if [UNKNOWN, BEGIN, END].contains(&word) || word.is_empty() || word.contains(char::is_whitespace) {
                return Err(Error::invalid(format!("{word:?} cannot be a word of a language model")));
            }
            line.push(*indices.entry(word.into()).or_insert_with(|| {
                words.push(word.into());
                words.len() as WordIndex - 1
            }));
        }
        line.push(END_INDEX);
        for (below, counts) in counts.iter_mut().enumerate() {
            for window in line.windows(below + 1) {
                *counts.entry(window.into()).or_default() += 1;
            }
        }
    }
    Ok((words, counts.into_iter().map(|counts| counts.into_iter().collect()).collect()))
}

/// In all orders but the highest, an n-gram counts as often as there are different words before it. Before the begin of a
/// sentence there is none: such n-grams keep their counts, and the mark alone is no word.
fn adjusted(raw: Vec<Counts>) -> Vec<Counts> {
    let mut all = raw.clone();
    for below in 0..raw.len() - 1 {
        for (words, count) in &mut all[below] {
            *count = if words[0] == BEGIN_INDEX { raw[below][words] } else { 0 };
        }
        for words in raw[below + 1].keys() {
            if let Some(count) = all[below].get_mut(&words[1..]) {
                *count += 1;
            }
        }
    }
    all[0].remove(&[BEGIN_INDEX][..]);
    all
}

impl Discounts {
    fn new(counts: &Counts) -> Self {
        // How many n-grams have the counts 1 to 4.
        let mut of = [0.0_f64; 5];
        counts.values().filter(|count| **count <= 4).for_each(|count| of[*count as usize] += 1.0);
        let share = of[1] / (of[1] + 2.0 * of[2]);
        let by_count = [1, 2, 3].map(|n: usize| n as f64 - (n as f64 + 1.0) * share * of[n + 1] / of[n]);
        let fine = by_count.iter().zip([1.0, 2.0, 3.0]).all(|(d, most)| d.is_finite() && (0.0..=most).contains(d));
        if fine && of[1..].iter().all(|n| *n > 0.0) {
            Self { by_count, fallback: false }
        } else {
            Self { by_count: FALLBACK, fallback: true }
        }
    }

    fn of(&self, count: u64) -> f64 {
        match count {
            0 => 0.0,
            count => self.by_count[count.min(3) as usize - 1],
        }
    }
}

/// An order's n-grams, and what the contexts' weights of backing off are.
struct Interpolated {
    entries: Entries,
    backoffs: Vec<(Box<[WordIndex]>, f64)>,
}

/// p(w | context) = (a(context w) - D) / a(context) + backoff(context) p(w | shorter context)
fn interpolated(counts: &Counts, discounts: &Discounts, below: &[Entries], words: usize) -> Interpolated {
    let mut result = Interpolated { entries: Entries::new(), backoffs: Vec::new() };
    // The order of one word is mixed with the uniform distribution over all words but the begin of a sentence.
    let uniform = 1.0 / (words as f64 - 1.0);
    let shorter = |words: &[WordIndex]| below.last().map_or(uniform, |entries| f64::from(entries[&words[1..]].0).exp());
    let all: Vec<(&Box<[WordIndex]>, u64)> = counts.iter().map(|(words, count)| (words, *count)).collect();
    for group in all.chunk_by(|a, b| a.0[..a.0.len() - 1] == b.0[..b.0.len() - 1]) {
        let total: u64 = group.iter().map(|(_, count)| count).sum();
        let taken: f64 = group.iter().map(|(_, count)| discounts.of(*count)).sum();
        let backoff = taken / total as f64;
        for &(words, count) in group {
            let p = (count as f64 - discounts.of(count)) / total as f64 + backoff * shorter(words);
            result.entries.insert(words.clone(), (p.ln() as f32, 0.0));
        }
        let context: Box<[WordIndex]> = group[0].0[..group[0].0.len() - 1].into();
        if context.is_empty() {
            result.entries.insert([UNKNOWN_INDEX].into(), ((backoff * uniform).ln() as f32, 0.0));
            // Nothing is ever asked of the mark; ARPA files have a line for it all the same.
            result.entries.insert([BEGIN_INDEX].into(), (super::NEVER, 0.0));
        } else {
            result.backoffs.push((context, backoff));
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(text: &str) -> Vec<Vec<&str>> {
        text.lines().map(|line| line.split(' ').collect()).collect()
    }

    #[test]
    fn a_bigram_by_hand() -> Result<()> {
        // Continuations: a after <s> and b; b after a; </s> after a and b. Too little for discounts: 0.5 for 1, 1 for 2.
        let model = Estimate::new(&sentences("a b\na\na b a"), 2)?.model;
        let p = |words: &[&str]| {
            let indices = words.iter().map(|word| model.index(word).unwrap_or(99));
            let mut last = (0.0, model.start());
            indices.for_each(|word| last = model.score(last.1, word));
            f64::from(last.0).exp()
        };
        // Of one word: a 2, b 1, </s> 2 of 5; discounts 1, 0.5, 1 give 2.5 / 5 to the uniform 1/4.
        let single = |count: f64, discount: f64| (count - discount) / 5.0 + 0.5 * 0.25;
        // After <s>: a three times, discount 1.5 of 3.
        assert!((p(&["a"]) - (1.5 / 3.0 + 0.5 * single(2.0, 1.0))).abs() < 1e-6);
        // After a: b twice, </s> twice: discount 2 of 4.
        assert!((p(&["a", "b"]) - (1.0 / 4.0 + 0.5 * single(1.0, 0.5))).abs() < 1e-6);
        assert!((p(&["a", "a"]) - 0.5 * single(2.0, 1.0)).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn what_cannot_be_estimated_is_said() {
        assert!(Estimate::new::<&str>(&[], 2).is_err());
        assert!(Estimate::new(&[vec!["a"]], 0).is_err() && Estimate::new(&[vec!["a"]], 17).is_err());
        assert!(Estimate::new(&[vec!["<s>"]], 2).is_err() && Estimate::new(&[vec!["a b"]], 2).is_err());
        let empty: Vec<Vec<&str>> = vec![vec![]];
        assert!(Estimate::new(&empty, 3).is_ok_and(|e| e.model.sentence([]).0.is_finite()));
    }
}
