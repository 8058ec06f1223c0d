//! The cheapest way to turn a reference into a hypothesis (Levenshtein 1966).
#![forbid(unsafe_code)]

/// One step of an alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<T> {
    /// The same on both sides.
    Match(T),
    /// Reference, hypothesis.
    Substitution(T, T),
    /// In the reference only.
    Deletion(T),
    /// In the hypothesis only.
    Insertion(T),
}

/// What edits cost, and which of several cheapest alignments is taken: tools differ, and so do their counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Convention {
    /// Every edit costs one. Of several alignments the one that jiwer (rapidfuzz) takes.
    #[default]
    Levenshtein,
    /// NIST's sclite: a substitution costs 4, a deletion or insertion 3. So what is nearest need not have the fewest errors.
    Sclite,
}

impl Convention {
    /// Of a substitution, and of a deletion or an insertion.
    fn costs(self) -> (u32, u32) {
        match self {
            Self::Levenshtein => (1, 1),
            Self::Sclite => (4, 3),
        }
    }
}

/// A cheapest alignment.
pub fn align<T: Copy + PartialEq>(reference: &[T], hypothesis: &[T], convention: Convention) -> Vec<Edit<T>> {
    if convention == Convention::Sclite {
        return Costs::new(reference, hypothesis, convention).sclite();
    }
    let same = |(r, h): &(&T, &T)| r == h;
    let head = reference.iter().zip(hypothesis).take_while(same).count();
    let (r, h) = (&reference[head..], &hypothesis[head..]);
    let tail = r.iter().rev().zip(h.iter().rev()).take_while(same).count();
    let middle = Costs::new(&r[..r.len() - tail], &h[..h.len() - tail], convention).levenshtein();
    let matches = |side: &[T]| side.iter().copied().map(Edit::Match).collect::<Vec<_>>();
    [matches(&reference[..head]), middle, matches(&r[r.len() - tail..])].concat()
}

/// What it costs to turn each beginning of the reference into each beginning of the hypothesis.
struct Costs<'a, T> {
    reference: &'a [T],
    hypothesis: &'a [T],
    /// A row for each beginning of the reference.
    costs: Vec<u32>,
    /// Of a substitution, and of a deletion or an insertion.
    edits: (u32, u32),
}

impl<'a, T: Copy + PartialEq> Costs<'a, T> {
    fn new(reference: &'a [T], hypothesis: &'a [T], convention: Convention) -> Self {
        let (width, edits) = (hypothesis.len() + 1, convention.costs());
        let mut table = Self { reference, hypothesis, costs: vec![0; (reference.len() + 1) * width], edits };
        for i in 0..=reference.len() {
            for j in 0..width {
                table.costs[i * width + j] = match (i, j) {
                    (0, _) => j as u32 * edits.1,
                    (_, 0) => i as u32 * edits.1,
                    _ => table.diagonal(i, j).min(table.at(i - 1, j) + edits.1).min(table.at(i, j - 1) + edits.1),
                };
            }
        }
        table
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.costs[i * (self.hypothesis.len() + 1) + j]
    }

    /// The cost of coming to `(i, j)` by a match or a substitution.
    fn diagonal(&self, i: usize, j: usize) -> u32 {
        let differ = self.reference[i - 1] != self.hypothesis[j - 1];
        self.at(i - 1, j - 1) + if differ { self.edits.0 } else { 0 }
    }

    fn pair(&self, i: usize, j: usize) -> Edit<T> {
        let (r, h) = (self.reference[i - 1], self.hypothesis[j - 1]);
        if r == h { Edit::Match(r) } else { Edit::Substitution(r, h) }
    }

    /// Walks from the end to the beginning; `step` chooses where both sides have something left.
    fn walk(&self, step: impl Fn(usize, usize) -> Edit<T>) -> Vec<Edit<T>> {
        let (mut i, mut j) = (self.reference.len(), self.hypothesis.len());
        let mut edits = Vec::with_capacity(i.max(j));
        while i > 0 || j > 0 {
            let edit = match (i, j) {
                (0, _) => Edit::Insertion(self.hypothesis[j - 1]),
                (_, 0) => Edit::Deletion(self.reference[i - 1]),
                _ => step(i, j),
            };
            i -= usize::from(!matches!(edit, Edit::Insertion(_)));
            j -= usize::from(!matches!(edit, Edit::Deletion(_)));
            edits.push(edit);
        }
        edits.reverse();
        edits
    }

    /// Read from the end: a match or a substitution, else an insertion, else a deletion.
    fn sclite(&self) -> Vec<Edit<T>> {
        self.walk(|i, j| match self.at(i, j) {
            here if here == self.diagonal(i, j) => self.pair(i, j),
            here if here == self.at(i, j - 1) + self.edits.1 => Edit::Insertion(self.hypothesis[j - 1]),
            _ => Edit::Deletion(self.reference[i - 1]),
        })
    }

    /// Read from the end: a deletion, else an insertion if it is cheaper before it than before a pair, else the pair.
    fn levenshtein(&self) -> Vec<Edit<T>> {
        self.walk(|i, j| {
            if self.at(i, j) == self.at(i - 1, j) + 1 {
                Edit::Deletion(self.reference[i - 1])
            } else if j > 1 && self.at(i, j - 1) < self.at(i - 1, j - 1) {
                Edit::Insertion(self.hypothesis[j - 1])
            } else {
                self.pair(i, j)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOTH: [Convention; 2] = [Convention::Levenshtein, Convention::Sclite];

    #[test]
    fn names_the_edits() {
        for convention in BOTH {
            let edits = align(&['k', 'a', 't'], &['a', 't', 's'], convention);
            assert_eq!(edits, [Edit::Deletion('k'), Edit::Match('a'), Edit::Match('t'), Edit::Insertion('s')]);
            assert_eq!(align(&['a'], &['b'], convention), [Edit::Substitution('a', 'b')]);
            assert!(align::<u8>(&[], &[], convention).is_empty());
        }
    }

    #[test]
    fn sclite_would_rather_delete_and_insert() {
        // Three substitutions cost 12, a deletion and an insertion 6.
        let edits = align(&["a", "b", "c"], &["b", "c", "d"], Convention::Sclite);
        assert_eq!(edits.iter().filter(|edit| matches!(edit, Edit::Match(_))).count(), 2);
    }

    proptest! {
        #[test]
        fn both_sides_can_be_read_off(r in prop::collection::vec(0u8..4, 0..12), h in prop::collection::vec(0u8..4, 0..12)) {
            let mut costs = Vec::new();
            for convention in BOTH {
                let edits = align(&r, &h, convention);
                let side = |which: usize| edits.iter().filter_map(|e| match *e {
                    Edit::Match(x) => Some(x),
                    Edit::Substitution(x, y) => Some(if which == 0 { x } else { y }),
                    Edit::Deletion(x) => (which == 0).then_some(x),
                    Edit::Insertion(x) => (which == 1).then_some(x),
                }).collect::<Vec<_>>();
                prop_assert_eq!(side(0), r.clone());
                prop_assert_eq!(side(1), h.clone());
                prop_assert!(edits.iter().all(|e| !matches!(e, Edit::Substitution(x, y) if x == y)));
                costs.push(edits.iter().filter(|e| !matches!(e, Edit::Match(_))).count());
            }
            prop_assert!(costs[0] >= r.len().abs_diff(h.len()) && costs[0] <= r.len().max(h.len()));
            prop_assert!(costs[0] <= costs[1], "no convention has fewer errors than Levenshtein's");
        }
    }
}
