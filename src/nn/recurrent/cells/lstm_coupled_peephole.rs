//! LSTM with coupled input and forget gate (Greff et al. 2017) and peepholes: the gates see the cell, each unit its own.
//!
//! ```text
//! i = σ(a_i + r_i + p_i c)   g = tanh(a_g + r_g)
//! c' = (1 - i) c + i g       o = σ(a_o + r_o + p_o c')   h' = o tanh(c')
//! ```
#![forbid(unsafe_code)]

use super::{Aux, Cell, Gradients, Lane, Spec, Step, StepGrad};

/// See the module.
pub struct LstmCoupledPeephole;

impl Cell for LstmCoupledPeephole {
    const SPEC: Spec = Spec {
        bias: &[-1.0, 0.0, 0.0],
        aux: &[Aux::zero("p_i"), Aux::zero("p_o")],
        saved: &["i", "g", "o"],
        projects: true,
        ..Spec::plain("lstm-coupled-peephole", &["i", "g", "o"], &["h", "c"])
    };

    #[inline(always)]
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]) {
        let i = (x.a[0] + x.r[0] + x.aux[0] * x.prev[1]).sigmoid();
        let g = (x.a[1] + x.r[1]).tanh();
        let c = x.prev[1] + i * (g - x.prev[1]);
        let o = (x.a[2] + x.r[2] + x.aux[1] * c).sigmoid();
        next.copy_from_slice(&[o * c.tanh(), c]);
        saved.copy_from_slice(&[i, g, o]);
    }

    #[inline(always)]
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>) {
        let (i, g, o) = (x.saved[0], x.saved[1], x.saved[2]);
        let c = x.prev[1] + i * (g - x.prev[1]);
        let tanh_c = c.tanh();
        let d_o = x.next[0] * tanh_c * o.d_sigmoid();
        let dc = x.next[1] + x.next[0] * o * tanh_c.d_tanh() + d_o * x.aux[1];
        let d_i = dc * (g - x.prev[1]) * i.d_sigmoid();
        d.a.copy_from_slice(&[d_i, dc * i * g.d_tanh(), d_o]);
        d.aux.copy_from_slice(&[d_i * x.prev[1], d_o * c]);
        d.prev.copy_from_slice(&[dc.splat(0.0), dc - dc * i + d_i * x.aux[0]]);
    }
}
