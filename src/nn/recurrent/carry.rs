//! What may happen to a cell's states between one step and the next: they may be clipped (Sak et al. 2014), and a part of
//! the old ones may stay (zoneout, Krueger et al. 2017).
#![forbid(unsafe_code)]

use super::cells::Spec;
use super::lane::Lane;
use crate::lengths::Lengths;
use crate::rng::Rng;

/// Clipping and zoneout of a layer. The default is neither.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Carry {
    /// States other than the output are held within this distance of zero; 0: they are not.
    pub clip: f32,
    /// `[N, D, 2, H]`: the share of the new value that takes the place of the old one, of the output, then of the other
    /// states; empty: all of it.
    pub shares: Vec<f32>,
}

impl Carry {
    /// Zoneout with a rate for the output and one for the other states: each value stays the old one with that
    /// probability, drawn from `rng`, or, without one, by that share.
    pub fn new(
        clip: f32,
        [output, others]: [f32; 2],
        lengths: &Lengths,
        (directions, hidden): (usize, usize),
        rng: Option<&mut Rng>,
    ) -> Self {
        if output == 0.0 && others == 0.0 {
            return Self { clip, shares: Vec::new() };
        }
        let blocks = lengths.rows() * directions;
        let rates = |block: usize| if block.is_multiple_of(2) { output } else { others };
        let shares = match rng {
            Some(rng) => (0..2 * blocks)
                .flat_map(|block| std::iter::repeat_n(rates(block), hidden))
                .map(|rate| if rng.uniform() < rate { 0.0 } else { 1.0 })
                .collect(),
            None => (0..2 * blocks).flat_map(|block| std::iter::repeat_n(1.0 - rates(block), hidden)).collect(),
        };
        Self { clip, shares }
    }

    /// Whether nothing happens.
    pub fn is_nothing(&self) -> bool {
        self.clip == 0.0 && self.shares.is_empty()
    }

    /// Where the shares of state `s` of a row, counted over frames and directions, begin; H is `hidden`.
    pub fn start(spec: &Spec, row: usize, s: usize, hidden: usize) -> usize {
        (2 * row + usize::from(s != spec.output)) * hidden
    }

    /// The state that is carried on, given the new and the old one and the new one's share.
    #[inline(always)]
    pub fn forward<L: Lane>(&self, is_output: bool, new: L, old: L, share: L) -> L {
        let lowest = new.splat(-self.clip);
        // The smaller of x and c is -max(-x, -c).
        let new = if self.clips(is_output) { (-((-new).max(lowest))).max(lowest) } else { new };
        // Exact where the share is 0 or 1: whether a state was clipped is seen by its value.
        if self.shares.is_empty() { new } else { share * new + (share.splat(1.0) - share) * old }
    }

    /// Gradients of the new and the old state, given that of the one that was carried on, and that one itself.
    #[inline(always)]
    pub fn backward<L: Lane>(&self, is_output: bool, d: L, carried: L, share: L) -> [L; 2] {
        let new = share * d;
        let inside = carried.splat(self.clip) - carried.max(-carried);
        [if self.clips(is_output) { new * inside.positive() } else { new }, d - new]
    }

    fn clips(&self, is_output: bool) -> bool {
        self.clip > 0.0 && !is_output
    }
}
