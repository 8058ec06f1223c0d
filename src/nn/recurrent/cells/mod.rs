//! The family of cells: what a cell is, and the table of them.
//!
//! With `a_t = x_t W^T + b` (made outside) and `r_t = s_{t-1} R^T`, a cell is
//! `(s_t, saved_t) = step(a_t, r_t, aux, s_{t-1})`, for one unit. `s` in the product is state 0, the one that feeds R.
//! A cell whose candidate sees a modulated state, as in the first GRU, has a second product a step:
//! `q = modulate(a_t, r_t, s_{t-1})` and `q R^T`, for its last recurrent gates.
#![forbid(unsafe_code)]

mod conv_lstm;
mod elman;
mod gru;
mod gru_cho;
mod indrnn;
mod ligru;
mod lstm;
mod lstm_1997;
mod lstm_cell_gates;
mod lstm_coupled;
mod lstm_coupled_peephole;
mod lstm_peephole;
mod mgu;
mod slstm;
mod sru;

pub use conv_lstm::ConvLstm;
pub use elman::{ElmanRelu, ElmanTanh};
pub use gru::Gru;
pub use gru_cho::GruCho;
pub use indrnn::IndRnn;
pub use ligru::LiGru;
pub use lstm::Lstm;
pub use lstm_1997::Lstm1997;
pub use lstm_cell_gates::{LstmCellGates, LstmCellGatesLinear};
pub use lstm_coupled::LstmCoupled;
pub use lstm_coupled_peephole::LstmCoupledPeephole;
pub use lstm_peephole::LstmPeephole;
pub use mgu::Mgu;
pub use slstm::Slstm;
pub use sru::Sru;

use super::lane::Lane;

/// What the code around a cell has to know of it.
pub struct Spec {
    /// The name in recipes and model files.
    pub name: &'static str,
    /// Gates, in the order of the rows of W and b.
    pub gates: &'static [&'static str],
    /// How many of them, the first ones, also have a row in R that is multiplied with state 0.
    pub recurrent: usize,
    /// How many after those have one that is multiplied with the modulated state.
    pub modulated: usize,
    /// Whether a gate's recurrent part has the same gradient as its input part, because they are added.
    pub added: bool,
    /// Whether the output may be projected before R sees it (LSTMP, Sak et al. 2014): only if a unit hears of its own
    /// output through R and in no other way.
    pub projects: bool,
    /// Whether W and R slide over the mel axis: a unit is a channel at a bin.
    pub slides: bool,
    /// States; the first feeds R.
    pub states: &'static [&'static str],
    /// Their values before the first frame.
    pub initial: &'static [f32],
    /// The state that is the layer's output.
    pub output: usize,
    /// Initial bias of each gate.
    pub bias: &'static [f32],
    /// Further parameters of each unit.
    pub aux: &'static [Aux],
    /// Values that the step keeps for its derivative.
    pub saved: &'static [&'static str],
}

/// A parameter that a unit has beside its rows of the matrices; drawn uniformly at the start.
pub struct Aux {
    /// The name in equations.
    pub name: &'static str,
    /// The lowest value that is drawn.
    pub low: f32,
    /// The highest.
    pub high: f32,
}

impl Aux {
    /// A parameter that starts at zero.
    const fn zero(name: &'static str) -> Self {
        Self { name, low: 0.0, high: 0.0 }
    }
}

impl Spec {
    /// Most cells: every gate sees the input and state 0, added up; state 0 is the output, all states start at zero, and
    /// units have no further parameters.
    const fn plain(name: &'static str, gates: &'static [&'static str], states: &'static [&'static str]) -> Self {
        Self {
            name,
            gates,
            recurrent: gates.len(),
            modulated: 0,
            added: true,
            projects: false,
            slides: false,
            states,
            initial: &[0.0; MAX],
            output: 0,
            bias: &[0.0; MAX],
            aux: &[],
            saved: &[],
        }
    }

    /// Whether gates hear state 0 through R, and nothing that is made of it in the same step.
    pub const fn hears_state_alone(&self) -> bool {
        self.recurrent > 0 && self.modulated == 0
    }

    /// Gates with a row in R.
    pub const fn rows_of_r(&self) -> usize {
        self.recurrent + self.modulated
    }
}

/// What a step sees.
pub struct Step<'a, L> {
    /// Input part of each gate.
    pub a: &'a [L],
    /// Recurrent part of each gate that has one.
    pub r: &'a [L],
    /// The unit's further parameters.
    pub aux: &'a [L],
    /// States one step ago.
    pub prev: &'a [L],
}

/// What the derivative of a step sees.
pub struct StepGrad<'a, L> {
    /// Gradient of each state after the step.
    pub next: &'a [L],
    /// The unit's further parameters.
    pub aux: &'a [L],
    /// States one step ago.
    pub prev: &'a [L],
    /// What the step kept.
    pub saved: &'a [L],
}

/// What the derivative of a step finds.
pub struct Gradients<'a, L> {
    /// Of each gate's input part.
    pub a: &'a mut [L],
    /// Of each gate's recurrent part, where it is another.
    pub r: &'a mut [L],
    /// Of the unit's further parameters.
    pub aux: &'a mut [L],
    /// Of the states one step ago, but for what reaches state 0 through R.
    pub prev: &'a mut [L],
}

/// A recurrent cell: pointwise, for one unit.
pub trait Cell: Send + Sync + 'static {
    /// Names and counts.
    const SPEC: Spec;

    /// Writes the states after the step, and what [`Cell::step_grad`] will need.
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]);

    /// Writes every gradient.
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>);

    /// The modulated state, from what the unmodulated gates see. Only for cells that have one.
    #[inline(always)]
    fn modulate<L: Lane>(x: &Step<'_, L>) -> L {
        x.prev[0]
    }

    /// Adds what comes from the gradient `q` of the modulated state.
    #[inline(always)]
    fn modulate_grad<L: Lane>(_x: &StepGrad<'_, L>, q: L, d: &mut Gradients<'_, L>) {
        d.prev[0] = d.prev[0] + q;
    }
}

/// The largest number of gates, states, further parameters or saved values of any cell.
pub const MAX: usize = 8;

macro_rules! cells {
    ($($variant:ident => $name:literal),* $(,)?) => {
        /// The cells that recipes can name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum CellKind {
            $(#[doc = concat!("`", $name, "`")] #[serde(rename = $name)] $variant),*
        }

        impl CellKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Names and counts.
            pub fn spec(self) -> &'static Spec {
                match self { $(Self::$variant => const { &<$variant as Cell>::SPEC }),* }
            }

            /// Calls `visitor` with the cell's type.
            pub fn visit<V: Visitor>(self, visitor: V) -> V::Output {
                match self { $(Self::$variant => visitor.visit::<$variant>()),* }
            }
        }
    };
}

/// Code that is generic over the cell.
pub trait Visitor {
    /// What it returns.
    type Output;
    /// Runs with cell `C`.
    fn visit<C: Cell>(self) -> Self::Output;
}

cells! {
    Lstm => "lstm",
    Lstm1997 => "lstm-1997",
    LstmPeephole => "lstm-peephole",
    LstmCellGates => "lstm-cell-gates",
    LstmCellGatesLinear => "lstm-cell-gates-linear",
    LstmCoupled => "lstm-coupled",
    LstmCoupledPeephole => "lstm-coupled-peephole",
    ConvLstm => "conv-lstm",
    Gru => "gru",
    GruCho => "gru-cho",
    LiGru => "ligru",
    Mgu => "mgu",
    ElmanTanh => "elman-tanh",
    ElmanRelu => "elman-relu",
    IndRnn => "indrnn",
    Sru => "sru",
    Slstm => "slstm",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_the_cells() {
        for kind in CellKind::ALL {
            let spec = kind.spec();
            assert_eq!(serde_json::to_string(kind).expect("a name"), format!("{:?}", spec.name));
            assert!(spec.bias.len() >= spec.gates.len() && spec.initial.len() >= spec.states.len(), "{}", spec.name);
            assert!(spec.rows_of_r() <= spec.gates.len() && spec.output < spec.states.len(), "{}", spec.name);
            assert_eq!(spec.initial[0], 0.0, "{}: what R sees begins at zero", spec.name);
            assert!(!spec.projects || spec.output == 0 && spec.rows_of_r() > 0 && spec.modulated == 0, "{}", spec.name);
            assert!(spec.modulated == 0 || spec.added, "{}: the modulated state's gradient is added", spec.name);
            let counts = [spec.gates.len(), spec.states.len(), spec.aux.len(), spec.saved.len()];
            assert!(counts.into_iter().all(|n| n <= MAX), "{}", spec.name);
        }
    }
}
