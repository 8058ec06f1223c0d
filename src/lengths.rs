//! Where each utterance of a batch lives: the packed, time-major layout that every tensor of the network uses.
//!
//! A batch of B utterances with lengths `l_b` is stored as N = sum of `l_b` rows, `[N, F]`, with no padding at all:
//! first frame 0 of every utterance, then frame 1 of every utterance that has one, and so on, utterances sorted
//! by length, longest first. So the rows of one time step lie side by side, the utterances still running are
//! always the first `active(t)` ones, and a product over all frames is one dense product.
//! (PyTorch calls it a packed sequence; `row(t, b) = offset(t) + b`.)
#![forbid(unsafe_code)]

/// Lengths of a batch's utterances in frames, and the packed layout that follows from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lengths {
    sorted: Vec<usize>,
    order: Vec<usize>,
    offsets: Vec<usize>,
}

impl Lengths {
    /// The layout for utterances with these lengths, in any order. Ties keep their order.
    pub fn new(lengths: &[usize]) -> Self {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(lengths[i]));
        let sorted: Vec<usize> = order.iter().map(|&i| lengths[i]).collect();
        let steps = sorted.first().copied().unwrap_or(0);
        let mut offsets = Vec::with_capacity(steps + 1);
        let (mut offset, mut active) = (0, sorted.len());
        offsets.push(0);
        for t in 0..steps {
            while active > 0 && sorted[active - 1] <= t {
                active -= 1;
            }
            offset += active;
            offsets.push(offset);
        }
        Self { sorted, order, offsets }
    }

    /// Utterances, B.
    pub fn batch(&self) -> usize {
        self.sorted.len()
    }

    /// Time steps of the longest utterance, T.
    pub fn steps(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Rows of the packed layout, N: the sum of all lengths.
    pub fn rows(&self) -> usize {
        self.offsets[self.steps()]
    }

    /// Lengths, longest first.
    pub fn sorted(&self) -> &[usize] {
        &self.sorted
    }

    /// `order()[b]` is the place that sorted utterance b had in the list given to [`Lengths::new`].
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// How many utterances still run at time `t`: they are the first ones.
    pub fn active(&self, t: usize) -> usize {
        self.offsets[t + 1] - self.offsets[t]
    }

    /// The first row of time `t`; `offset(steps())` is the number of rows.
    pub fn offset(&self, t: usize) -> usize {
        self.offsets[t]
    }

    /// The row of frame `t` of sorted utterance `b`.
    pub fn row(&self, t: usize, b: usize) -> usize {
        self.offsets[t] + b
    }

    /// First rows of all times, and behind the last.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// Frame and sorted utterance of every row, in order.
    pub fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.steps()).flat_map(|t| (0..self.active(t)).map(move |b| (t, b)))
    }

    /// The layout after every `factor` neighbouring frames became one, the last group perhaps incomplete.
    /// Sorted utterance b stays sorted utterance b.
    pub fn subsampled(&self, factor: usize) -> Self {
        let sorted: Vec<usize> = self.sorted.iter().map(|l| l.div_ceil(factor)).collect();
        let mut lengths = Self::new(&sorted);
        lengths.order.clone_from(&self.order);
        lengths
    }
}

/// Whether a test is to try its shape `n`: the variable FORMANT_SHAPES, `5,6`, leaves only these, for slow checkers of kernels.
#[cfg(test)]
pub fn wanted_by_checkers(n: usize) -> bool {
    let only = std::env::var("FORMANT_SHAPES").ok();
    only.is_none_or(|only| only.split(',').any(|one| one == n.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_time_major_longest_first() {
        let lengths = Lengths::new(&[2, 4, 0, 2]);
        assert_eq!(lengths.sorted(), [4, 2, 2, 0]);
        assert_eq!(lengths.order(), [1, 0, 3, 2]);
        assert_eq!((lengths.batch(), lengths.steps(), lengths.rows()), (4, 4, 8));
        assert_eq!((0..4).map(|t| lengths.active(t)).collect::<Vec<_>>(), [3, 3, 1, 1]);
        assert_eq!(lengths.row(2, 0), 6);
        assert!(lengths.places().enumerate().all(|(n, (t, b))| n == lengths.row(t, b)));
        assert_eq!((lengths.places().count(), lengths.offsets()), (8, &[0, 3, 6, 7, 8][..]));
    }

    #[test]
    fn an_empty_batch_has_no_rows() {
        assert_eq!(Lengths::new(&[]).rows(), 0);
        assert_eq!(Lengths::new(&[0, 0]).steps(), 0);
    }

    #[test]
    fn subsampling_rounds_up_and_keeps_the_order() {
        let lengths = Lengths::new(&[3, 5, 4]).subsampled(2);
        assert_eq!(lengths.sorted(), [3, 2, 2]);
        assert_eq!(lengths.order(), [1, 2, 0]);
    }
}
