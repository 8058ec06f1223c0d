//! The worst utterances: reference and hypothesis aligned, what was heard over its spectrogram, and the sound.
#![forbid(unsafe_code)]

use super::rates::percent;
use super::{Heard, Material, media};
use crate::audio::Waveform;
use crate::phones::Folding;
use crate::score::{Edit, Protocol, Silence, align};
use maud::{Markup, html};

/// Shorter references say little about what is hard.
const SHORTEST: usize = 5;
/// So much of an utterance is shown and can be heard, seconds.
const LONGEST: f64 = 20.0;
/// Sound and pictures of all of them together at most, bytes.
const ROOM: usize = 9_000_000;
/// Size of the picture: a second's width, and its parts' heights from top to bottom, pixels.
const SECOND: f64 = 200.0;
const LANE: f64 = 17.0;
const SOUND: f64 = 150.0;
const AXIS: f64 = 22.0;
/// To the left are frequencies.
const LEFT: f64 = 44.0;

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
enum Fate {
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

    fn class(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Substituted => "substituted",
            Self::Deleted => "deleted",
            Self::Inserted => "inserted",
        }
    }

    fn sign(self) -> &'static str {
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
    let (reference, heard) = (protocol.symbols(&recognized.reference), protocol.symbols(&recognized.hypothesis));
    let edits = align(&reference, &heard, protocol.convention);
    let wave = utterance.load(media::RATE)?;
    let cut = wave.seconds() > LONGEST;
    let wave = if cut { wave.cut(0.0, LONGEST) } else { wave };
    let sound = media::sound(&wave)?;
    let fits = sound.len() <= *room;
    *room -= if fits { sound.len() } else { 0 };
    let picture = picture(&fates(protocol, &recognized.hypothesis, &edits), recognized, wave)?;
    *room = room.saturating_sub(picture.0.len());
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
            div.scroll { (picture) }
            @if fits { audio controls="controls" preload="none" src=(sound) aria-label={ "Sound of " (recognized.id) } {} }
            @if cut { p.note { "Only the first " (LONGEST) " seconds are shown" @if fits { " and can be heard" } "." } }
            @if !fits { p.note { "Its sound is left out, to keep the page small." } }
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

/// The spectrogram with what was heard over it.
fn picture(fates: &[Option<Fate>], recognized: &crate::evaluate::Recognized, wave: Waveform) -> anyhow::Result<Markup> {
    let seconds = wave.seconds();
    let Some((image, start, end)) = media::spectrogram(wave)? else { return Ok(html! {}) };
    let x = |time: f64| format!("{:.1}", LEFT + time * SECOND);
    let (width, height) = (LEFT + seconds * SECOND + 8.0, 2.0 * LANE + SOUND + AXIS);
    let (top, bottom) = (2.0 * LANE + 2.0, 2.0 * LANE + SOUND);
    let heard = recognized.hypothesis.split_whitespace().zip(&recognized.times).zip(fates);
    let shown = heard.filter(|((_, (start, _)), _)| *start < seconds).enumerate();
    Ok(html! {
        svg.spectrogram role="img" aria-label={ "Spectrogram of " (recognized.id) " with what was heard" }
            width=(format!("{width:.0}")) height=(format!("{height:.0}")) viewBox=(format!("0 0 {width:.1} {height:.1}")) {
            image href=(image) x=(x(start)) y=(top) width=(format!("{:.1}", (end - start) * SECOND)) height=(bottom - top) preserveAspectRatio="none" {}
            @for hz in [500.0, 1000.0, 2000.0, 4000.0] {
                text.quiet x=(LEFT - 6.0) y=(format!("{:.1}", bottom - media::height(hz) * (bottom - top) + 4.0)) text-anchor="end" { (hz) }
            }
            @for second in 0..=(seconds * 2.0) as usize {
                text.quiet x=(x(second as f64 / 2.0)) y=(height - 6.0) text-anchor="middle" { (second as f64 / 2.0) @if second == 0 { " s" } }
            }
            @for (n, ((symbol, (from, to)), fate)) in shown {
                @let lane = if n % 2 == 0 { LANE } else { 2.0 * LANE };
                @let class = fate.map_or("uncounted", Fate::class);
                line class=(class) x1=(x(*from)) x2=(x(*from)) y1=(lane - 10.0) y2=(bottom) {}
                text class=(class) x=(x(from + 0.012)) y=(lane - 3.0) { (symbol) (fate.map_or("", Fate::sign)) title { (format!("{from:.2} to {to:.2} s")) } }
            }
        }
    })
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
