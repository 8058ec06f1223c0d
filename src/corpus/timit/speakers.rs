//! Who speaks in TIMIT, and to which set everyone belongs.
#![forbid(unsafe_code)]

use crate::error::Result;
use crate::table::text_lines;
use std::collections::HashMap;
use std::path::Path;

/// The core test set: two men and a woman of each dialect region (TIMIT's documentation, testset.doc).
pub const CORE_TEST: [&str; 24] = [
    "mdab0", "mwbt0", "felc0", "mtas1", "mwew0", "fpas0", "mjmp0", "mlnt0", "fpkt0", "mlll0", "mtls0", "fjlm0",
    "mbpm0", "mklt0", "fnlp0", "mcmj0", "mjdh0", "fmgd0", "mgrt0", "mnjm0", "fdhc0", "mjln0", "mpam0", "fmld0",
];

/// The development set of Halberstadt (1998), 50 of the other test speakers, as Kaldi's recipe lists them.
pub const DEV: [&str; 50] = [
    "faks0", "fdac1", "fjem0", "mgwt0", "mjar0", "mmdb1", "mmdm2", "mpdf0", "fcmh0", "fkms0", "mbdg0", "mbwm0",
    "mcsh0", "fadg0", "fdms0", "fedw0", "mgjf0", "mglb0", "mrtk0", "mtaa0", "mtdt0", "mthc0", "mwjg0", "fnmr0",
    "frew0", "fsem0", "mbns0", "mmjr0", "mdls0", "mdlf0", "mdvc0", "mers0", "fmah0", "fdrw0", "mrcs0", "mrjm4",
    "fcal1", "mmwh0", "fjsj0", "majc0", "mjsw0", "mreb0", "fgjd0", "fjmg0", "mroa0", "mteb0", "mjfc0", "mrjr0",
    "fmml0", "mrws1",
];

/// The part of the corpus that a speaker belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usage {
    Train,
    /// TIMIT has no such folder; corpora in its layout may.
    Dev,
    Test,
}

impl Usage {
    /// That of a folder called so.
    pub fn of_folder(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "train" => Some(Self::Train),
            "dev" => Some(Self::Dev),
            "test" => Some(Self::Test),
            _ => None,
        }
    }
}

/// What SPKRINFO.TXT says of a speaker.
#[derive(Clone, Debug, PartialEq)]
pub struct Speaker {
    /// Where they belong.
    pub usage: Usage,
    /// Years at the time of the recording, if both dates are known.
    pub age: Option<u32>,
}

/// Reads SPKRINFO.TXT: `ID Sex DR Use RecDate BirthDate ..`, lines with `;` are comments. Speakers are called as their
/// folders are: sex and ID in lower case. Lines of another form are passed over: ages and the like are a gift, not needed.
///
/// # Errors
/// If it is not text.
pub fn speakers(bytes: &[u8], path: &Path) -> Result<HashMap<String, Speaker>> {
    // The corpus is older than UTF-8, but this file is plain ASCII in all copies.
    let mut speakers = HashMap::new();
    for line in text_lines(bytes, path) {
        let (_, line) = line?;
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [id, sex, _, usage, more @ ..] = &fields[..] else { continue };
        let usage = match usage.to_ascii_uppercase().as_str() {
            "TRN" => Usage::Train,
            "TST" => Usage::Test,
            _ => continue,
        };
        let age = match more {
            [recorded, born, ..] => years(born, recorded),
            _ => None,
        };
        speakers.insert(format!("{sex}{id}").to_ascii_lowercase(), Speaker { usage, age });
    }
    Ok(speakers)
}

/// Whole years between two days of the twentieth century, written `month/day/year`.
fn years(from: &str, to: &str) -> Option<u32> {
    let day = |text: &str| -> Option<[u32; 3]> {
        let mut parts = text.split('/').map(|part| part.parse::<u32>().ok());
        let [month, day, year] = [parts.next()??, parts.next()??, parts.next()??];
        Some([year, month, day])
    };
    let (from, to) = (day(from)?, day(to)?);
    let before_birthday = u32::from(to[1..] < from[1..]);
    to[0].checked_sub(from[0])?.checked_sub(before_birthday)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_speaker_is_in_two_sets() {
        assert_eq!(CORE_TEST.iter().chain(&DEV).collect::<HashSet<_>>().len(), 74);
        assert_eq!(CORE_TEST.iter().filter(|speaker| speaker.starts_with('f')).count(), 8);
    }

    #[test]
    fn the_table_of_speakers_is_read() -> Result<()> {
        let text = ";-- comment\nABC0   M  6  TRN  03/03/87  06/17/60  6'02\"  WHT  BS\nxyz1 f 2 tst 01/02/87 ??/??/?? 5'4\" ??? ??\nshort\n";
        let found = speakers(text.as_bytes(), Path::new("x"))?;
        assert_eq!(found["mabc0"], Speaker { usage: Usage::Train, age: Some(26) });
        assert_eq!((&found["fxyz1"], found.len()), (&Speaker { usage: Usage::Test, age: None }, 2));
        Ok(())
    }
}
