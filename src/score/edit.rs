//! The cheapest way to turn a reference into a hypothesis (Levenshtein 1966), every edit costing one.
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

/// A cheapest alignment. Of several, the one that, read from the end, prefers a match or a substitution, then a
/// deletion, then an insertion.
pub fn align<T: Copy + PartialEq>(reference: &[T], hypothesis: &[T]) -> Vec<Edit<T>> {
    let width = hypothesis.len() + 1;
    let mut cost = vec![0_u32; (reference.len() + 1) * width];
    for i in 0..=reference.len() {
        for j in 0..width {
            cost[i * width + j] = match (i, j) {
                (0, _) => j as u32,
                (_, 0) => i as u32,
                _ => {
                    let diagonal = cost[(i - 1) * width + j - 1] + u32::from(reference[i - 1] != hypothesis[j - 1]);
                    diagonal.min(cost[(i - 1) * width + j] + 1).min(cost[i * width + j - 1] + 1)
                }
            };
        }
    }
    let (mut i, mut j) = (reference.len(), hypothesis.len());
    let mut edits = Vec::with_capacity(i.max(j));
    while i > 0 || j > 0 {
        let here = cost[i * width + j];
        if i > 0 && j > 0 {
            let (r, h) = (reference[i - 1], hypothesis[j - 1]);
            if here == cost[(i - 1) * width + j - 1] + u32::from(r != h) {
                edits.push(if r == h { Edit::Match(r) } else { Edit::Substitution(r, h) });
                (i, j) = (i - 1, j - 1);
                continue;
            }
        }
        if i > 0 && here == cost[(i - 1) * width + j] + 1 {
            edits.push(Edit::Deletion(reference[i - 1]));
            i -= 1;
        } else {
            edits.push(Edit::Insertion(hypothesis[j - 1]));
            j -= 1;
        }
    }
    edits.reverse();
    edits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_the_edits() {
        let edits = align(&['k', 'a', 't'], &['a', 't', 's']);
        assert_eq!(edits, [Edit::Deletion('k'), Edit::Match('a'), Edit::Match('t'), Edit::Insertion('s')]);
        assert_eq!(align(&['a'], &['b']), [Edit::Substitution('a', 'b')]);
        assert!(align::<u8>(&[], &[]).is_empty());
    }

    proptest! {
        #[test]
        fn both_sides_can_be_read_off(r in prop::collection::vec(0u8..4, 0..12), h in prop::collection::vec(0u8..4, 0..12)) {
            let edits = align(&r, &h);
            let side = |which: usize| edits.iter().filter_map(|e| match *e {
                Edit::Match(x) => Some(x),
                Edit::Substitution(x, y) => Some(if which == 0 { x } else { y }),
                Edit::Deletion(x) => (which == 0).then_some(x),
                Edit::Insertion(x) => (which == 1).then_some(x),
            }).collect::<Vec<_>>();
            prop_assert_eq!(side(0), r.clone());
            prop_assert_eq!(side(1), h.clone());
            let cost = edits.iter().filter(|e| !matches!(e, Edit::Match(_))).count();
            prop_assert!(cost >= r.len().abs_diff(h.len()) && cost <= r.len().max(h.len()));
        }
    }
}
