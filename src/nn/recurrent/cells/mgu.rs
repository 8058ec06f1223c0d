//! Minimal gated unit (Zhou et al. 2016, equation 7): one gate forgets and resets. Two products a step.
//!
//! ```text
//! f = σ(a_f + r_f)   n = tanh(a_n + (f h) R_n^T)
//! h' = (1 - f) h + f n
//! ```
#![forbid(unsafe_code)]

use super::{Cell, Gradients, Lane, Spec, Step, StepGrad};

/// See the module.
pub struct Mgu;

impl Cell for Mgu {
    const SPEC: Spec =
        Spec { recurrent: 1, modulated: 1, saved: &["f", "n"], ..Spec::plain("mgu", &["f", "n"], &["h"]) };

    #[inline(always)]
    fn modulate<L: Lane>(x: &Step<'_, L>) -> L {
        (x.a[0] + x.r[0]).sigmoid() * x.prev[0]
    }

    #[inline(always)]
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]) {
        let (f, n) = ((x.a[0] + x.r[0]).sigmoid(), (x.a[1] + x.r[1]).tanh());
        next.copy_from_slice(&[x.prev[0] + f * (n - x.prev[0])]);
        saved.copy_from_slice(&[f, n]);
    }

    #[inline(always)]
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>) {
        let (f, n) = (x.saved[0], x.saved[1]);
        d.a.copy_from_slice(&[x.next[0] * (n - x.prev[0]) * f.d_sigmoid(), x.next[0] * f * n.d_tanh()]);
        d.prev.copy_from_slice(&[x.next[0] - x.next[0] * f]);
    }

    #[inline(always)]
    fn modulate_grad<L: Lane>(x: &StepGrad<'_, L>, q: L, d: &mut Gradients<'_, L>) {
        let f = x.saved[0];
        d.a[0] = d.a[0] + q * x.prev[0] * f.d_sigmoid();
        d.prev[0] = d.prev[0] + q * f;
    }
}
