//! Convolutional LSTM with peepholes (Shi et al. 2015, equation 3): a unit is a channel at a place of the mel axis, and W
//! and R are convolutions along it. The step is the [peephole LSTM](super::lstm_peephole)'s.
#![forbid(unsafe_code)]

use super::{Cell, Gradients, Lane, LstmPeephole, Spec, Step, StepGrad};

/// See the module.
pub struct ConvLstm;

impl Cell for ConvLstm {
    const SPEC: Spec = Spec { name: "conv-lstm", slides: true, projects: false, ..LstmPeephole::SPEC };

    #[inline(always)]
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]) {
        LstmPeephole::step(x, next, saved);
    }

    #[inline(always)]
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>) {
        LstmPeephole::step_grad(x, d);
    }
}
