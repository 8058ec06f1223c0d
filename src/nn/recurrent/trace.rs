//! The cells as CUDA C++: each is run once on lanes that write down what is done to them. So a formula stands in one
//! file, and the CPU and the GPU cannot drift apart.
//!
//! `kernels/cells.cuh` is what comes out; the test below compares it, and `scripts/gen-kernels` writes it anew.
#![forbid(unsafe_code)]

use super::cells::{Cell, CellKind, Gradients, Spec, Step, StepGrad, Visitor};
use super::lane::Lane;
use std::cell::RefCell;
use std::fmt::Write;
use std::ops::{Add, Div, Mul, Neg, Sub};

thread_local! {
    /// The names of all values so far, and the statements that made them.
    static TAPE: RefCell<(Vec<String>, String)> = const { RefCell::new((Vec::new(), String::new())) };
}

/// A value: its place on the tape.
#[derive(Clone, Copy)]
struct Trace(usize);

impl Trace {
    /// A value that has a name already.
    fn named(name: String) -> Self {
        TAPE.with_borrow_mut(|(names, _)| {
            names.push(name);
            Self(names.len() - 1)
        })
    }

    fn name(self) -> String {
        TAPE.with_borrow(|(names, _)| names[self.0].clone())
    }

    /// A value that a statement makes.
    fn made(expression: &str) -> Self {
        TAPE.with_borrow_mut(|(names, statements)| {
            let name = format!("v{}", names.len());
            let _ = writeln!(statements, "        const float {name} = {expression};");
            names.push(name);
            Self(names.len() - 1)
        })
    }

    fn call(self, function: &str) -> Self {
        Self::made(&format!("{function}({})", self.name()))
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, $sign:literal) => {
        impl $trait for Trace {
            type Output = Self;
            fn $method(self, other: Self) -> Self {
                Self::made(&format!(concat!("{} ", $sign, " {}"), self.name(), other.name()))
            }
        }
    };
}

operator!(Add, add, "+");
operator!(Sub, sub, "-");
operator!(Mul, mul, "*");
operator!(Div, div, "/");

impl Neg for Trace {
    type Output = Self;
    fn neg(self) -> Self {
        Self::made(&format!("-{}", self.name()))
    }
}

impl Lane for Trace {
    fn splat(self, value: f32) -> Self {
        Self::named(format!("{value:?}f"))
    }

    fn sigmoid(self) -> Self {
        self.call("sigmoid")
    }

    fn tanh(self) -> Self {
        self.call("tanh_")
    }

    fn exp_of_negative(self) -> Self {
        self.call("exp_")
    }

    fn log_sigmoid(self) -> Self {
        self.call("log_sigmoid")
    }

    fn max(self, other: Self) -> Self {
        Self::made(&format!("fmaxf({}, {})", self.name(), other.name()))
    }

    fn positive(self) -> Self {
        self.call("positive")
    }
}

/// Values `name[0]`, `name[1]`, ...
fn array(name: &str, count: usize) -> Vec<Trace> {
    (0..count).map(|n| Trace::named(format!("{name}[{n}]"))).collect()
}

/// A function: `body` says which names it writes, and what.
fn function(head: &str, body: impl FnOnce() -> Vec<(String, Trace)>) -> String {
    TAPE.with_borrow_mut(|tape| *tape = (Vec::new(), String::new()));
    let results = body();
    let mut text = format!("    static __device__ void {head} {{\n");
    text += &TAPE.with_borrow(|(_, statements)| statements.clone());
    for (name, value) in results {
        let _ = writeln!(text, "        {name} = {};", value.name());
    }
    text + "    }\n"
}

fn results(name: &str, values: &[Trace]) -> Vec<(String, Trace)> {
    values.iter().enumerate().map(|(n, value)| (format!("{name}[{n}]"), *value)).collect()
}

struct AsStruct;

impl Visitor for AsStruct {
    type Output = String;
    fn visit<C: Cell>(self) -> String {
        let spec = &C::SPEC;
        let Spec { gates, states, saved, aux, recurrent, modulated, .. } = spec;
        let counts = [
            ("gates", gates.len()),
            ("recurrent", *recurrent),
            ("modulated", *modulated),
            ("states", states.len()),
            ("saved", saved.len()),
            ("aux", aux.len()),
            ("output", spec.output),
        ];
        let mut text = String::from("    static constexpr int");
        for (n, (name, count)) in counts.iter().enumerate() {
            let _ = write!(text, "{} {name} = {count}", if n == 0 { "" } else { "," });
        }
        let _ = writeln!(text, ";\n    static constexpr bool added = {};", spec.added);
        let initial: Vec<String> = (0..states.len()).map(|s| format!("{:?}f", spec.initial[s])).collect();
        let (last, others) = initial.split_last().expect("a cell has a state");
        let mut choice = String::new();
        others.iter().enumerate().for_each(|(s, value)| {
            let _ = write!(choice, "state == {s} ? {value} : ");
        });
        let _ = writeln!(text, "    static __device__ float initial(int state) {{ return {choice}{last}; }}");
        let inputs = || [array("a", gates.len()), array("r", spec.rows_of_r()), array("aux", aux.len())];
        let arguments = "const float* a, const float* r, const float* aux, const float* prev";
        text += &function(&format!("step({arguments}, float* next, float* saved)"), || {
            let ([a, r, aux], prev) = (inputs(), array("prev", states.len()));
            let zero = Trace::named("0.0f".to_owned());
            let (mut next, mut kept) = (vec![zero; states.len()], vec![zero; saved.len()]);
            C::step(&Step { a: &a, r: &r, aux: &aux, prev: &prev }, &mut next, &mut kept);
            [results("next", &next), results("saved", &kept)].concat()
        });
        let arguments_back = "const float* next, const float* aux, const float* prev, const float* saved";
        let names = ["d_a", "d_r", "d_aux", "d_prev"];
        let outputs = "float* d_a, float* d_r, float* d_aux, float* d_prev";
        let lengths = [gates.len(), if spec.added { 0 } else { spec.rows_of_r() }, aux.len(), states.len()];
        let seen = || [array("next", states.len()), array("aux", aux.len()), array("prev", states.len())];
        text += &function(&format!("step_grad({arguments_back}, {outputs})"), || {
            let ([next, aux, prev], saved) = (seen(), array("saved", saved.len()));
            let zero = Trace::named("0.0f".to_owned());
            let [mut a, mut r, mut d_aux, mut d_prev] = lengths.map(|count| vec![zero; count]);
            let x = StepGrad { next: &next, aux: &aux, prev: &prev, saved: &saved };
            C::step_grad(&x, &mut Gradients { a: &mut a, r: &mut r, aux: &mut d_aux, prev: &mut d_prev });
            names.iter().zip([a, r, d_aux, d_prev]).flat_map(|(name, values)| results(name, &values)).collect()
        });
        if *modulated > 0 {
            text += &function(&format!("modulate({arguments}, float* modulated)"), || {
                let ([a, r, aux], prev) = (inputs(), array("prev", states.len()));
                let x = Step { a: &a, r: &r[..*recurrent], aux: &aux, prev: &prev };
                vec![("*modulated".to_owned(), C::modulate(&x))]
            });
            text += &function(&format!("modulate_grad({arguments_back}, float d_modulated, {outputs})"), || {
                let ([next, aux, prev], saved) = (seen(), array("saved", saved.len()));
                let q = Trace::named("d_modulated".to_owned());
                let [mut a, mut r, mut d_aux, mut d_prev]: [Vec<Trace>; 4] =
                    std::array::from_fn(|n| array(names[n], lengths[n]));
                let x = StepGrad { next: &next, aux: &aux, prev: &prev, saved: &saved };
                let mut d = Gradients { a: &mut a, r: &mut r, aux: &mut d_aux, prev: &mut d_prev };
                C::modulate_grad(&x, q, &mut d);
                names.iter().zip([a, r, d_aux, d_prev]).flat_map(|(name, values)| results(name, &values)).collect()
            });
        }
        text
    }
}

/// The whole header.
fn header() -> String {
    let mut text = String::from(
        "// GENERATED from src/nn/recurrent/cells by scripts/gen-kernels: do not edit.\n//\n\
         // A cell: its counts, its step and its derivative, for one unit, as src/nn/recurrent/cells/mod.rs explains.\n\
         #pragma once\n#include \"math.cuh\"\n",
    );
    for kind in CellKind::ALL {
        let _ = write!(text, "\n// {}\nstruct {kind:?} {{\n{}}};\n", kind.spec().name, kind.visit(AsStruct));
    }
    let mut list = |comment: &str, name: &str, which: &dyn Fn(&Spec) -> bool| {
        let _ = write!(text, "\n// X(name) for every cell{comment}.\n#define {name}(X)");
        for kind in CellKind::ALL.iter().filter(|kind| which(kind.spec())) {
            let _ = write!(text, " X({kind:?})");
        }
        text += "\n";
    };
    list("", "FOR_EACH_CELL", &|_| true);
    list(" of cluster.cu", "FOR_EACH_CELL_OF_CLUSTERS", &Spec::hears_state_alone);
    text
}

#[test]
fn kernels_have_the_cells_formulas() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/cells.cuh");
    let text = header();
    if std::env::var_os("FORMANT_WRITE_KERNELS").is_some() {
        std::fs::write(path, &text).expect("kernels/cells.cuh can be written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == text, "kernels/cells.cuh is stale: run scripts/gen-kernels");
}
