//! sLSTM (Beck et al. 2024, xLSTM, equations 8 to 17): exponential input gate, a normaliser, and a stabiliser that keeps
//! the exponentials small. The paper's forget gate may be σ or exp; here it is σ. `heads` makes R block-diagonal.
//!
//! ```text
//! z = tanh(a_z + r_z)   o = σ(a_o + r_o)   i~ = a_i + r_i   f~ = log σ(a_f + r_f)
//! m' = max(f~ + m, i~)  i = exp(i~ - m')   f = exp(f~ + m - m')
//! c' = f c + i z        n' = f n + i       h' = o c' / n'
//! ```
//!
//! c and n are both scaled by exp(-m), so h does not depend on m and m has no gradient. It starts far below every
//! number, so that the first input gate is 1.
#![forbid(unsafe_code)]

use super::{Cell, Gradients, Lane, Spec, Step, StepGrad};

/// See the module.
pub struct Slstm;

/// Lower than any log gate, and finite, so that no difference is infinity minus infinity.
const LOWEST: f32 = -1e30;

impl Cell for Slstm {
    const SPEC: Spec = Spec {
        initial: &[0.0, 0.0, 0.0, LOWEST],
        bias: &[0.0, 1.0, 0.0, 0.0],
        saved: &["i", "f", "σ(-f~)", "z", "o", "c'", "1 / n'"],
        projects: true,
        ..Spec::plain("slstm", &["i", "f", "z", "o"], &["h", "c", "n", "m"])
    };

    #[inline(always)]
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]) {
        let (log_i, f) = (x.a[0] + x.r[0], x.a[1] + x.r[1]);
        let (z, o) = ((x.a[2] + x.r[2]).tanh(), (x.a[3] + x.r[3]).sigmoid());
        let kept = f.log_sigmoid() + x.prev[3];
        let m = kept.max(log_i);
        let (input, forget) = ((log_i - m).exp_of_negative(), (kept - m).exp_of_negative());
        let c = forget * x.prev[1] + input * z;
        let n = forget * x.prev[2] + input;
        let inverse = n.splat(1.0) / n;
        next.copy_from_slice(&[o * c * inverse, c, n, m]);
        saved.copy_from_slice(&[input, forget, (-f).sigmoid(), z, o, c, inverse]);
    }

    #[inline(always)]
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>) {
        let (input, forget, closed, z, o) = (x.saved[0], x.saved[1], x.saved[2], x.saved[3], x.saved[4]);
        let (c, inverse) = (x.saved[5], x.saved[6]);
        let dc = x.next[1] + x.next[0] * o * inverse;
        let dn = x.next[2] - x.next[0] * o * c * inverse * inverse;
        let d_i = (dc * z + dn) * input;
        let d_f = (dc * x.prev[1] + dn * x.prev[2]) * forget * closed;
        d.a.copy_from_slice(&[d_i, d_f, dc * input * z.d_tanh(), x.next[0] * c * inverse * o.d_sigmoid()]);
        let zero = dc.splat(0.0);
        d.prev.copy_from_slice(&[zero, dc * forget, dn * forget, zero]);
    }
}
