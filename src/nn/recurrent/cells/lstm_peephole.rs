//! LSTM with peepholes (Gers & Schmidhuber 2000; Graves 2013, equations 7 to 11): the gates see the cell, each unit its
//! own.
//!
//! ```text
//! i = σ(a_i + r_i + p_i c)   f = σ(a_f + r_f + p_f c)   g = tanh(a_g + r_g)
//! c' = f c + i g             o = σ(a_o + r_o + p_o c')  h' = o tanh(c')
//! ```
#![forbid(unsafe_code)]

use super::{Aux, Cell, Gradients, Lane, Spec, Step, StepGrad};

/// See the module.
pub struct LstmPeephole;

impl Cell for LstmPeephole {
    const SPEC: Spec = Spec {
        bias: &[0.0, 1.0, 0.0, 0.0],
        aux: &[Aux::zero("p_i"), Aux::zero("p_f"), Aux::zero("p_o")],
        saved: &["i", "f", "g", "o"],
        projects: true,
        ..Spec::plain("lstm-peephole", &["i", "f", "g", "o"], &["h", "c"])
    };

    #[inline(always)]
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]) {
        let i = (x.a[0] + x.r[0] + x.aux[0] * x.prev[1]).sigmoid();
        let f = (x.a[1] + x.r[1] + x.aux[1] * x.prev[1]).sigmoid();
        let g = (x.a[2] + x.r[2]).tanh();
        let c = f * x.prev[1] + i * g;
        let o = (x.a[3] + x.r[3] + x.aux[2] * c).sigmoid();
        next.copy_from_slice(&[o * c.tanh(), c]);
        saved.copy_from_slice(&[i, f, g, o]);
    }

    #[inline(always)]
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>) {
        let (i, f, g, o) = (x.saved[0], x.saved[1], x.saved[2], x.saved[3]);
        let c = f * x.prev[1] + i * g;
        let tanh_c = c.tanh();
        let d_o = x.next[0] * tanh_c * o.d_sigmoid();
        let dc = x.next[1] + x.next[0] * o * tanh_c.d_tanh() + d_o * x.aux[2];
        let (d_i, d_f) = (dc * g * i.d_sigmoid(), dc * x.prev[1] * f.d_sigmoid());
        d.a.copy_from_slice(&[d_i, d_f, dc * i * g.d_tanh(), d_o]);
        d.aux.copy_from_slice(&[d_i * x.prev[1], d_f * x.prev[1], d_o * c]);
        d.prev.copy_from_slice(&[dc.splat(0.0), dc * f + d_i * x.aux[0] + d_f * x.aux[1]]);
    }
}
