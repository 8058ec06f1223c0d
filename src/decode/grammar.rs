//! What beam search asks of a language: how a transcript may go on, and how probable that is.
#![forbid(unsafe_code)]

use crate::lexicon::WordId;
use crate::phones::PhoneId;

/// A way to go on by a phone.
#[derive(Clone, Copy, Debug)]
pub struct Extension<S> {
    /// What the language remembers from then on.
    pub state: S,
    /// The word that ends with the phone.
    pub word: Option<WordId>,
    /// What the probability of the transcript is multiplied with.
    pub weight: f64,
}

/// A language. A state is all that it needs to know of a transcript.
pub trait Grammar {
    /// What is remembered of a transcript.
    type State: Copy;

    /// Whether a phone never has more than one way to go on.
    const SINGLE: bool;

    /// At the begin.
    fn start(&mut self) -> Self::State;

    /// Hands over all ways to go on by a phone.
    fn extend(&mut self, state: Self::State, phone: PhoneId, take: impl FnMut(Extension<Self::State>));

    /// No weight is greater.
    fn most(&self) -> f64;

    /// What a transcript that ends here is multiplied with. Zero where it cannot end.
    fn end(&mut self, state: Self::State) -> f64;
}

/// Any phone after any other, all the same.
#[derive(Clone, Copy, Debug)]
pub struct Free;

impl Grammar for Free {
    type State = ();
    const SINGLE: bool = true;

    fn start(&mut self) {}

    fn extend(&mut self, (): (), _phone: PhoneId, mut take: impl FnMut(Extension<()>)) {
        take(Extension { state: (), word: None, weight: 1.0 });
    }

    fn most(&self) -> f64 {
        1.0
    }

    fn end(&mut self, (): ()) -> f64 {
        1.0
    }
}
