//! Simple recurrent unit (Lei et al. 2018, equations 1 to 4): gates see the unit's own cell, and the input has a way
//! around. No product a step.
//!
//! ```text
//! f = σ(a_f + v_f c)     c' = f c + (1 - f) a_x
//! r = σ(a_r + v_r c)     h' = r c' + (1 - r) a_s
//! ```
//!
//! `a_s` is the input brought to the layer's width, where the paper has the input itself.
#![forbid(unsafe_code)]

use super::{Aux, Cell, Gradients, Lane, Spec, Step, StepGrad};

/// See the module.
pub struct Sru;

impl Cell for Sru {
    const SPEC: Spec = Spec {
        recurrent: 0,
        aux: &[Aux::zero("v_f"), Aux::zero("v_r")],
        saved: &["f", "r", "a_x", "c'", "a_s"],
        ..Spec::plain("sru", &["f", "r", "x", "s"], &["h", "c"])
    };

    #[inline(always)]
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]) {
        let f = (x.a[0] + x.aux[0] * x.prev[1]).sigmoid();
        let r = (x.a[1] + x.aux[1] * x.prev[1]).sigmoid();
        let (input, skip) = (x.a[2], x.a[3]);
        let c = input + f * (x.prev[1] - input);
        next.copy_from_slice(&[skip + r * (c - skip), c]);
        saved.copy_from_slice(&[f, r, input, c, skip]);
    }

    #[inline(always)]
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>) {
        let (f, r, input, c, skip) = (x.saved[0], x.saved[1], x.saved[2], x.saved[3], x.saved[4]);
        let dc = x.next[1] + x.next[0] * r;
        let d_r = x.next[0] * (c - skip) * r.d_sigmoid();
        let d_f = dc * (x.prev[1] - input) * f.d_sigmoid();
        d.a.copy_from_slice(&[d_f, d_r, dc - dc * f, x.next[0] - x.next[0] * r]);
        d.aux.copy_from_slice(&[d_f * x.prev[1], d_r * x.prev[1]]);
        d.prev.copy_from_slice(&[dc.splat(0.0), dc * f + d_f * x.aux[0] + d_r * x.aux[1]]);
    }
}
