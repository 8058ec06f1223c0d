//! The worst utterances: reference and hypothesis aligned, what was heard over its spectrogram, and the sound.
#![forbid(unsafe_code)]

use super::rates::percent;
use super::{Heard, Material, media, spectrogram};
use crate::phones::Folding;
use crate::score::{Edit, Protocol, Silence, align};
use maud::{Markup, html};

/// Shorter references say little about what is hard.
const SHORTEST: usize = 5;
/// So much of an utterance is shown and can be heard, seconds.
const LONGEST: f64 = 20.0;
/// Sound and pictures of all of them together at most, bytes.
const ROOM: usize = 9_000_000;
/// The whole section.
///
/// # Errors
/// If a recording cannot be read any more.
pub fn section(material: &Material<'_>, heard: &[Heard<'_>]) -> anyhow::Result<Markup> {
    let worst = worst(heard, material.worst);
    let mut room = ROOM;
    let mut articles = Vec::new();
    for (rank, one) in worst.iter().enumerate() {
        articles.push(article(material, rank + 1, one, &mut room)?);
    }
    Ok(html! {
        @if articles.is_empty() { p { "No utterance has an error." } } @else {
            p { "Those with the most errors by " (material.symbol()) " of the reference, among utterances that have at least "
                (SHORTEST) ". Above: the reference. Below: what was heard." }
            ul.key {
                li { span.swatch.substituted { "≠" } "substituted" }
                li { span.swatch.deleted { "−" } "deleted: in the reference only" }
                li { span.swatch.inserted { "+" } "inserted: heard only" }
            }
        }
        @for article in articles { (article) }
    })
}

/// The worst ones that are long enough, or, if none is, of all.
fn worst<'h, 'a>(heard: &'h [Heard<'a>], count: usize) -> Vec<&'h Heard<'a>> {
    let wrong =
        |shortest: usize| heard.iter().filter(move |one| one.score.errors() > 0 && one.score.reference >= shortest);
    let mut worst: Vec<_> = wrong(SHORTEST).collect();
    if worst.is_empty() {
        worst = wrong(0).collect();
    }
    let key = |one: &Heard<'_>| (one.score.per(), one.score.errors());
    worst.sort_by(|a, b| key(b).0.total_cmp(&key(a).0).then(key(b).1.cmp(&key(a).1)));
    worst.truncate(count);
    worst
}

/// What became of a symbol: a class of the style sheet, and a sign for those who do not see its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Matched,
    Substituted,
    Deleted,
    Inserted,
}

impl Fate {
    fn of<T>(edit: &Edit<T>) -> Self {
        match edit {
            Edit::Match(_) => Self::Matched,
            Edit::Substitution(..) => Self::Substituted,
            Edit::Deletion(_) => Self::Deleted,
            Edit::Insertion(_) => Self::Inserted,
        }
    }

    /// As the style sheet names it.
    pub fn class(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Substituted => "substituted",
            Self::Deleted => "deleted",
            Self::Inserted => "inserted",
        }
    }

    /// As it is marked.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Matched => "",
            Self::Substituted => "≠",
            Self::Deleted => "−",
            Self::Inserted => "+",
        }
    }
}

fn article(material: &Material<'_>, rank: usize, one: &Heard<'_>, room: &mut usize) -> anyhow::Result<Markup> {
    let Heard { score, recognized, utterance } = *one;
    let protocol = material.protocol;
    let [reference, hypothesis] = [&recognized.reference, &recognized.hypothesis].map(|text| protocol.symbols(text));
    let edits = align(&reference, &hypothesis, protocol.convention);
    let wave = utterance.load(media::RATE)?;
    let cut = wave.seconds() > LONGEST;
    let wave = if cut { wave.cut(0.0, LONGEST) } else { wave };
    let sound = media::sound(&wave)?;
    let picture = spectrogram::with_labels(&fates(protocol, &recognized.hypothesis, &edits), recognized, wave)?;
    let mut fits = |size: usize| {
        let left = room.checked_sub(size);
        *room = left.unwrap_or(*room);
        left.is_some()
    };
    let (drawn, played) = (fits(picture.0.len()), fits(sound.len()));
    Ok(html! {
        article {
            h3 { span.rank { (rank) } (recognized.id) }
            p.quiet {
                strong { (percent(score.per())) } ", " (score.substitutions) " substituted, " (score.deletions) " deleted, "
                (score.insertions) " inserted of " (score.reference) "; " (format!("{:.2} s", recognized.seconds))
                @if !recognized.speaker.is_empty() { "; speaker " (recognized.speaker) }
            }
            @if !utterance.text.is_empty() { p.said { (utterance.text) } }
            (pairs(&edits))
            @if drawn { div.scroll { (picture) } }
            @if played { audio controls="controls" preload="none" src=(sound) aria-label={ "Sound of " (recognized.id) } {} }
            @if cut { p.note { "Only the first " (LONGEST) " seconds are shown and can be heard." } }
            @if !played { p.note { "Its sound is left out, to keep the page small." } }
        }
    })
}

/// Reference above, what was heard below, pair by pair.
fn pairs(edits: &[Edit<&str>]) -> Markup {
    html! {
        div.pairs {
            @for edit in edits {
                @let (reference, heard) = match *edit {
                    Edit::Match(x) => (x, x),
                    Edit::Substitution(r, h) => (r, h),
                    Edit::Deletion(r) => (r, ""),
                    Edit::Insertion(h) => ("", h),
                };
                @let fate = Fate::of(edit);
                span class={ "pair " (fate.class()) } {
                    span { (reference) }
                    span.sign { (fate.sign()) }
                    span { (heard) }
                }
            }
        }
    }
}

/// What became of each symbol that was heard. Those that the protocol does not count are nothing.
fn fates(protocol: &Protocol, hypothesis: &str, edits: &[Edit<&str>]) -> Vec<Option<Fate>> {
    let mut fates = edits.iter().map(Fate::of).filter(|fate| *fate != Fate::Deleted);
    let mut silent = false;
    let counts = hypothesis.split_whitespace().map(|symbol| {
        let folded = protocol.folding.fold(symbol)?;
        let (silence, before) = (folded == Folding::SILENCE, silent);
        silent = silence;
        match protocol.silence {
            Silence::Dropped if silence => None,
            Silence::Merged if silence && before => None,
            _ => fates.next(),
        }
    });
    counts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Utterance;
    use crate::evaluate::Recognized;
    use crate::score::Score;

    #[test]
    fn long_ones_come_first_by_their_rate() {
        let (recognized, utterance) = (Recognized::default(), Utterance::default());
        let heard = |(substitutions, reference): (usize, usize)| {
            let score = Score { substitutions, reference, ..Score::default() };
            Heard { score, recognized: &recognized, utterance: &utterance }
        };
        let of = |scores: &[(usize, usize)], count| {
            let heard: Vec<_> = scores.iter().copied().map(heard).collect();
            worst(&heard, count).iter().map(|one| one.score.reference).collect::<Vec<_>>()
        };
        assert_eq!(of(&[(1, 1), (0, 9), (2, 8), (5, 5), (6, 6), (4, 10)], 3), [6, 5, 10]);
        assert_eq!(of(&[(1, 2), (1, 1), (0, 3)], 3), [1, 2]);
    }

    #[test]
    fn what_was_heard_is_marked_where_it_is_counted() -> crate::Result<()> {
        let (reference, hypothesis) = ("h# ae t h#", "h# pau eh q t s");
        for (name, expected) in [
            ("graves", "m i s . m s"),
            ("speechbrain", "m . s . m s"),
            ("no-silence", ". . s . m i"),
            ("arpabet", ". . s . m i"),
        ] {
            let protocol = Protocol::named(name)?;
            let (r, h) = (protocol.symbols(reference), protocol.symbols(hypothesis));
            let found = fates(&protocol, hypothesis, &align(&r, &h, protocol.convention));
            let letters: Vec<&str> = found.iter().map(|fate| fate.map_or(".", |fate| &fate.class()[..1])).collect();
            assert_eq!(letters.join(" "), expected, "{name}");
        }
        Ok(())
    }

    #[test]
    fn errors_have_signs() {
        let html = pairs(&[Edit::Match("k"), Edit::Substitution("a<", "b"), Edit::Deletion("t"), Edit::Insertion("s")]);
        let html = html.into_string();
        for part in ["pair matched", "≠", "−", "+", "a&lt;"] {
            assert!(html.contains(part), "{part}");
        }
    }
}
