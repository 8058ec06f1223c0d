//! GRU that resets after the recurrent product (Cho et al. 2014 as cuDNN and PyTorch compute it), in their gate order.
//! One product a step.
//!
//! ```text
//! r = σ(a_r + r_r)   z = σ(a_z + r_z)   n = tanh(a_n + r (r_n + b_rn))
//! h' = (1 - z) n + z h
//! ```
#![forbid(unsafe_code)]

use super::{Aux, Cell, Gradients, Lane, Spec, Step, StepGrad};

/// See the module.
pub struct Gru;

impl Cell for Gru {
    const SPEC: Spec = Spec {
        added: false,
        aux: &[Aux::zero("b_rn")],
        saved: &["r", "z", "n", "r_n + b_rn"],
        ..Spec::plain("gru", &["r", "z", "n"], &["h"])
    };

    #[inline(always)]
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]) {
        let (r, z) = ((x.a[0] + x.r[0]).sigmoid(), (x.a[1] + x.r[1]).sigmoid());
        let recurrent = x.r[2] + x.aux[0];
        let n = (x.a[2] + r * recurrent).tanh();
        next.copy_from_slice(&[n + z * (x.prev[0] - n)]);
        saved.copy_from_slice(&[r, z, n, recurrent]);
    }

    #[inline(always)]
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>) {
        let (r, z, n, recurrent) = (x.saved[0], x.saved[1], x.saved[2], x.saved[3]);
        let d_z = x.next[0] * (x.prev[0] - n) * z.d_sigmoid();
        let d_n = (x.next[0] - x.next[0] * z) * n.d_tanh();
        let d_r = d_n * recurrent * r.d_sigmoid();
        d.a.copy_from_slice(&[d_r, d_z, d_n]);
        d.r.copy_from_slice(&[d_r, d_z, d_n * r]);
        d.aux.copy_from_slice(&[d_n * r]);
        d.prev.copy_from_slice(&[x.next[0] * z]);
    }
}
