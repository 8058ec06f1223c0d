//! A batch in the packed layout.
#![forbid(unsafe_code)]

use crate::features::Features;
use crate::lengths::Lengths;
use crate::phones::Labels;

/// Utterances side by side, longest first.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[N, dim]`, packed as `lengths` says.
    pub features: Vec<f32>,
    /// Numbers a frame.
    pub dim: usize,
    /// The layout.
    pub lengths: Lengths,
    /// By sorted utterance.
    pub labels: Vec<Labels>,
    /// By sorted utterance: its number in the data set.
    pub indices: Vec<usize>,
}

impl Batch {
    /// Packs utterances: features, labels, number in the data set.
    pub fn pack(items: Vec<(Features, Labels, usize)>) -> Self {
        let lengths = Lengths::new(&items.iter().map(|(f, ..)| f.frames).collect::<Vec<_>>());
        let dim = items.first().map_or(1, |(f, ..)| f.dim);
        let mut features = vec![0.0; lengths.rows() * dim];
        for (b, &i) in lengths.order().iter().enumerate() {
            for (t, row) in items[i].0.rows().enumerate() {
                let at = lengths.row(t, b) * dim;
                features[at..at + dim].copy_from_slice(row);
            }
        }
        let sorted = |i: &usize| &items[*i];
        let labels = lengths.order().iter().map(|i| sorted(i).1.clone()).collect();
        let indices = lengths.order().iter().map(|i| sorted(i).2).collect();
        Self { features, dim, labels, indices, lengths }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_time_lie_side_by_side() {
        let features = |data: &[f32]| Features { data: data.to_vec(), frames: data.len(), dim: 1 };
        let batch =
            Batch::pack(vec![(features(&[1.0]), Labels::default(), 7), (features(&[2.0, 3.0]), Labels::default(), 8)]);
        assert_eq!(batch.features, [2.0, 1.0, 3.0]);
        assert_eq!(batch.indices, [8, 7]);
    }
}
