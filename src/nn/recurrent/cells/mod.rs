//! The family of cells: what a cell is, and the table of them.
//!
//! With `a_t = x_t W^T + b` (made outside) and `r_t = h_{t-1} R^T`, a cell is
//! `(s_t, saved_t) = step(a_t, r_t, s_{t-1})`. State 0 is `h`, the one that is the output and feeds `R`.
#![forbid(unsafe_code)]

mod lstm;

pub use lstm::Lstm;

use super::lane::Lane;

/// What the code around a cell has to know of it.
pub struct Spec {
    /// The name in recipes and model files.
    pub name: &'static str,
    /// Gates, in the order of the rows of W, R and b.
    pub gates: &'static [&'static str],
    /// States; the first is `h`.
    pub states: &'static [&'static str],
    /// Initial bias of each gate.
    pub bias: &'static [f32],
    /// Values that the step keeps for its derivative.
    pub saved: &'static [&'static str],
}

/// What a step sees.
pub struct Step<'a, L> {
    /// Input part of each gate.
    pub a: &'a [L],
    /// Recurrent part of each gate.
    pub r: &'a [L],
    /// States one step ago.
    pub prev: &'a [L],
}

/// What the derivative of a step sees.
pub struct StepGrad<'a, L> {
    /// Gradient of each state after the step.
    pub next: &'a [L],
    /// States one step ago.
    pub prev: &'a [L],
    /// What the step kept.
    pub saved: &'a [L],
}

/// A recurrent cell: pointwise, for one unit.
pub trait Cell: Send + Sync + 'static {
    /// Names and counts.
    const SPEC: Spec;

    /// Writes the states after the step, and what [`Cell::step_grad`] will need.
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]);

    /// Writes the gradient of each gate (its input part and its recurrent part alike) and of the states one step ago,
    /// but for what reaches `h` through R.
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, gates: &mut [L], prev: &mut [L]);
}

/// The largest number of gates, states or saved values of any cell.
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
            pub fn spec(self) -> Spec {
                match self { $(Self::$variant => <$variant as Cell>::SPEC),* }
            }

            /// Calls `visitor` with the cell's type and its number of gates.
            pub fn visit<V: Visitor>(self, visitor: V) -> V::Output {
                match self {
                    $(Self::$variant => visitor.visit::<$variant, { <$variant as Cell>::SPEC.gates.len() }>()),*
                }
            }
        }
    };
}

/// Code that is generic over the cell and its number of gates.
pub trait Visitor {
    /// What it returns.
    type Output;
    /// Runs with cell `C`, which has `G` gates.
    fn visit<C: Cell, const G: usize>(self) -> Self::Output;
}

cells! {
    Lstm => "lstm",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_the_cells() {
        for kind in CellKind::ALL {
            let spec = kind.spec();
            assert_eq!(serde_json::to_string(kind).expect("a name"), format!("{:?}", spec.name));
            assert_eq!(spec.gates.len(), spec.bias.len());
            assert_eq!(spec.states[0], "h");
            assert!(spec.gates.len().max(spec.states.len()).max(spec.saved.len()) <= MAX);
        }
    }
}
