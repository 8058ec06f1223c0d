//! Connectionist temporal classification (Graves et al. 2006): the loss and its gradient.
//!
//! The labels `l_1 .. l_L` are spread over a lattice of `2 L + 1` states, blanks before, between and after them; a path
//! starts in one of the first two states, ends in one of the last two, and in each frame stays, moves on by one, or
//! leaps over a blank between two different labels. [`mod@reference`] is the plain definition in f64, [`cpu`] the fast
//! path in f32.
#![forbid(unsafe_code)]

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod op;
pub mod reference;
mod scaled;
mod softmax;

pub use op::loss;

use crate::phones::{Labels, PhoneId};

/// The symbol of each state: blanks at even places, labels at odd ones.
fn states(labels: &Labels) -> Vec<PhoneId> {
    let mut states = vec![PhoneId::BLANK];
    for &label in labels.as_slice() {
        states.extend([label, PhoneId::BLANK]);
    }
    states
}

/// Whether a path may leap from state `s - 2` to state `s`.
fn may_leap(states: &[PhoneId], s: usize) -> bool {
    s >= 2 && states[s] != PhoneId::BLANK && states[s] != states[s - 2]
}

/// The states that a path can be in at frame `t` of `frames` and still have started at the start and reach the end.
fn reachable(states: usize, frames: usize, t: usize) -> std::ops::Range<usize> {
    let left = states.saturating_sub(2 * (frames - t));
    left..states.min(2 * (t + 1))
}
