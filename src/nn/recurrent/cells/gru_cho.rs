//! GRU that resets before the recurrent product, as first published (Cho et al. 2014, equations 5 to 8). Two products a
//! step, the second with the reset state.
//!
//! ```text
//! r = σ(a_r + r_r)   z = σ(a_z + r_z)   n = tanh(a_n + (r h) R_n^T)
//! h' = (1 - z) n + z h
//! ```
#![forbid(unsafe_code)]

use super::{Cell, Gradients, Lane, Spec, Step, StepGrad};

/// See the module.
pub struct GruCho;

impl Cell for GruCho {
    const SPEC: Spec = Spec {
        recurrent: 2,
        modulated: 1,
        saved: &["r", "z", "n"],
        ..Spec::plain("gru-cho", &["r", "z", "n"], &["h"])
    };

    #[inline(always)]
    fn modulate<L: Lane>(x: &Step<'_, L>) -> L {
        (x.a[0] + x.r[0]).sigmoid() * x.prev[0]
    }

    #[inline(always)]
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]) {
        let (r, z) = ((x.a[0] + x.r[0]).sigmoid(), (x.a[1] + x.r[1]).sigmoid());
        let n = (x.a[2] + x.r[2]).tanh();
        next.copy_from_slice(&[n + z * (x.prev[0] - n)]);
        saved.copy_from_slice(&[r, z, n]);
    }

    #[inline(always)]
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>) {
        let (z, n) = (x.saved[1], x.saved[2]);
        let d_z = x.next[0] * (x.prev[0] - n) * z.d_sigmoid();
        let d_n = (x.next[0] - x.next[0] * z) * n.d_tanh();
        d.a.copy_from_slice(&[d_z.splat(0.0), d_z, d_n]);
        d.prev.copy_from_slice(&[x.next[0] * z]);
    }

    #[inline(always)]
    fn modulate_grad<L: Lane>(x: &StepGrad<'_, L>, q: L, d: &mut Gradients<'_, L>) {
        let r = x.saved[0];
        d.a[0] = d.a[0] + q * x.prev[0] * r.d_sigmoid();
        d.prev[0] = d.prev[0] + q * r;
    }
}
