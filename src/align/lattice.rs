//! The states that a path through a text can be in, and how one follows another: CTC's topology, with the pronunciations
//! of each word beside each other.
#![forbid(unsafe_code)]

use crate::phones::PhoneId;

/// What a state writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emission {
    /// A phone or the blank.
    Symbol(PhoneId),
    /// The most probable phone of the frame.
    AnyPhone,
}

/// What any phone costs more than the one that is spoken (natural logarithm): where a known word fits, it is to be taken.
const ANY_PHONE_COST: f32 = 1.0;

impl Emission {
    /// The phone of a segment; the blank for any phone.
    pub fn phone(self) -> PhoneId {
        match self {
            Self::Symbol(phone) => phone,
            Self::AnyPhone => PhoneId::BLANK,
        }
    }

    /// Its log probability in a frame.
    pub fn log_prob(self, row: &[f32]) -> f32 {
        match self {
            Self::Symbol(phone) => row[phone.index()],
            Self::AnyPhone => row[1..].iter().copied().fold(f32::NEG_INFINITY, f32::max) - ANY_PHONE_COST,
        }
    }
}

/// States in the order of the text. A path begins in one of the `starts`, ends in one of the `ends`, and in each frame goes
/// from a state to one that has it among its origins.
pub struct Lattice {
    emissions: Vec<Emission>,
    /// By state, its word; none for the blanks between words.
    words: Vec<Option<usize>>,
    /// By state, its first origin; one past the last at the end.
    first_origins: Vec<u32>,
    origins: Vec<u32>,
    starts: Vec<u32>,
    ends: Vec<u32>,
    needed: usize,
    labels: usize,
}

impl Lattice {
    /// The lattice of words with their pronunciations. A word without one may be said with any phones.
    pub fn new(words: &[&[Vec<PhoneId>]]) -> Self {
        let mut lattice = Self {
            emissions: Vec::new(),
            words: Vec::new(),
            first_origins: vec![0],
            origins: Vec::new(),
            starts: vec![0],
            ends: Vec::new(),
            needed: 0,
            labels: 0,
        };
        let blank = Emission::Symbol(PhoneId::BLANK);
        // Last states of the word before, and the blank after it.
        let mut before: Vec<u32> = Vec::new();
        let mut pause = lattice.push(blank, None, &[]);
        for (n, pronunciations) in words.iter().enumerate() {
            let mut last = Vec::new();
            for phones in pronunciations.iter().filter(|phones| !phones.is_empty()) {
                last.push(lattice.pronunciation(n, phones, pause, &before));
            }
            if last.is_empty() {
                let entries = [&[pause], &before[..]].concat();
                let any = lattice.push(Emission::AnyPhone, Some(n), &entries);
                if before.is_empty() {
                    lattice.starts.push(any);
                }
                // Pauses and repeated phones inside the word; back from them to any phone.
                let inside = lattice.push(blank, Some(n), &[any]);
                lattice.add_origin_to_last_but_one(inside);
                last.push(any);
            }
            pause = lattice.push(blank, None, &last);
            before = last;
        }
        lattice.ends = [&before[..], &[pause]].concat();
        (lattice.needed, lattice.labels) = fewest(words);
        lattice
    }

    /// Adds the states of one pronunciation; gives its last phone's.
    fn pronunciation(&mut self, word: usize, phones: &[PhoneId], pause: u32, before: &[u32]) -> u32 {
        let mut last = u32::MAX;
        for (n, &phone) in phones.iter().enumerate() {
            let symbol = Emission::Symbol(phone);
            if n == 0 {
                // From the phone before only if it is another: between equal ones there must be a blank.
                let leaps = before.iter().copied().filter(|&state| self.emissions[state as usize] != symbol);
                let origins: Vec<u32> = std::iter::once(pause).chain(leaps).collect();
                last = self.push(symbol, Some(word), &origins);
                if before.is_empty() {
                    self.starts.push(last);
                }
            } else {
                let blank = self.push(Emission::Symbol(PhoneId::BLANK), None, &[last]);
                let origins = if phone == phones[n - 1] { vec![blank] } else { vec![blank, last] };
                last = self.push(symbol, Some(word), &origins);
            }
        }
        last
    }

    /// Adds a state, which may last.
    fn push(&mut self, emission: Emission, word: Option<usize>, origins: &[u32]) -> u32 {
        let own = self.emissions.len() as u32;
        self.emissions.push(emission);
        self.words.push(word);
        self.origins.push(own);
        self.origins.extend(origins);
        self.first_origins.push(self.origins.len() as u32);
        own
    }

    /// Adds an origin to the state before the last one.
    fn add_origin_to_last_but_one(&mut self, origin: u32) {
        let place = self.first_origins.len() - 2;
        self.origins.insert(self.first_origins[place] as usize, origin);
        self.first_origins[place..].iter_mut().for_each(|first| *first += 1);
    }

    /// States.
    pub fn len(&self) -> usize {
        self.emissions.len()
    }

    /// What a state writes.
    pub fn emission(&self, state: u32) -> Emission {
        self.emissions[state as usize]
    }

    /// The word whose phone a state writes; none for the blanks.
    pub fn word(&self, state: u32) -> Option<usize> {
        match self.emissions[state as usize] {
            Emission::Symbol(PhoneId::BLANK) => None,
            _ => self.words[state as usize],
        }
    }

    /// States from which a state is reached in one frame, itself among them.
    pub fn origins(&self, state: usize) -> &[u32] {
        &self.origins[self.first_origins[state] as usize..self.first_origins[state + 1] as usize]
    }

    /// States in which a path may begin.
    pub fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// States in which a path may end.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// How far before a state its farthest origin lies, at most.
    pub fn longest_leap(&self) -> usize {
        let leap =
            |state: usize| self.origins(state).iter().map(move |&origin| state.saturating_sub(origin as usize)).max();
        (0..self.len()).filter_map(leap).max().unwrap_or(0)
    }

    /// Frames that the shortest pronunciations need at least.
    pub fn frames_needed(&self) -> usize {
        self.needed
    }

    /// Phones of the shortest pronunciations.
    pub fn fewest_labels(&self) -> usize {
        self.labels
    }
}

/// Frames and phones that the shortest pronunciations need. Of equal phones where words meet, a blank between them is
/// counted only where no pronunciation does without it.
fn fewest(words: &[&[Vec<PhoneId>]]) -> (usize, usize) {
    // By last phone, the fewest frames (and their phones) so far; none for an unknown word.
    let mut so_far: Vec<(Option<PhoneId>, usize, usize)> = vec![(None, 0, 0)];
    for pronunciations in words {
        let unknown = [Vec::new()];
        let pronunciations = if pronunciations.is_empty() { &unknown[..] } else { pronunciations };
        let mut next: Vec<(Option<PhoneId>, usize, usize)> = Vec::new();
        for phones in pronunciations {
            let own = phones.len().max(1) + phones.windows(2).filter(|pair| pair[0] == pair[1]).count();
            for &(last, frames, labels) in &so_far {
                let meets = usize::from(last.is_some() && last == phones.first().copied());
                let (end, frames) = (phones.last().copied(), frames + own + meets);
                match next.iter_mut().find(|(last, ..)| *last == end) {
                    Some(known) if known.1 <= frames => {}
                    Some(known) => *known = (end, frames, labels + phones.len().max(1)),
                    None => next.push((end, frames, labels + phones.len().max(1))),
                }
            }
        }
        so_far = next;
    }
    so_far.iter().map(|&(_, frames, labels)| (frames, labels)).min().unwrap_or((0, 0))
}
