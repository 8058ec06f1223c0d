//! `formant prepare`: from a corpus as it is distributed to manifests.
#![forbid(unsafe_code)]

use crate::support::{Place, data};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Splits of the whole of TIMIT.
const SPLITS: [(&str, usize); 4] = [("train", 3696), ("dev", 400), ("test", 192), ("test-complete", 1344)];

/// The 630 speakers: folder of their part, dialect, name. Those of dev and core test have their real names.
fn speakers() -> Vec<(&'static str, String, String)> {
    let listed = "mdab0 mwbt0 felc0 mtas1 mwew0 fpas0 mjmp0 mlnt0 fpkt0 mlll0 mtls0 fjlm0 mbpm0 mklt0 fnlp0 mcmj0 mjdh0 \
        fmgd0 mgrt0 mnjm0 fdhc0 mjln0 mpam0 fmld0 faks0 fdac1 fjem0 mgwt0 mjar0 mmdb1 mmdm2 mpdf0 fcmh0 fkms0 mbdg0 mbwm0 \
        mcsh0 fadg0 fdms0 fedw0 mgjf0 mglb0 mrtk0 mtaa0 mtdt0 mthc0 mwjg0 fnmr0 frew0 fsem0 mbns0 mmjr0 mdls0 mdlf0 mdvc0 \
        mers0 fmah0 fdrw0 mrcs0 mrjm4 fcal1 mmwh0 fjsj0 majc0 mjsw0 mreb0 fgjd0 fjmg0 mroa0 mteb0 mjfc0 mrjr0 fmml0 mrws1";
    let others = |count: usize, letter: char| (0..count).map(move |n| format!("m{letter}{n:02x}9"));
    let test = listed.split_whitespace().map(str::to_owned).chain(others(94, 'y')).map(|name| ("test", name));
    let train = (0..462).map(|n| ("train", format!("f{n:03x}9")));
    test.chain(train).enumerate().map(|(n, (part, name))| (part, format!("dr{}", n % 8 + 1), name)).collect()
}

/// The ten sentences of a speaker: two that all read, three and five of their own.
fn sentences() -> impl Iterator<Item = String> {
    let names = ["sa1", "sa2", "si1", "si2", "si3", "sx1", "sx2", "sx3", "sx4", "sx5"];
    names.into_iter().map(str::to_owned)
}

/// How a copy of the corpus is laid out.
#[derive(Clone, Copy)]
enum Layout {
    Consortium,
    LowerCase,
    Kaggle,
    Nltk,
}

impl Layout {
    fn write(self, root: &Path, wav: &Path, phn: &Path) {
        let link = |from: &Path, folder: &Path, name: &str| fs::hard_link(from, folder.join(name)).unwrap();
        let mut table = ";ID Sex DR Use RecDate BirthDate\n".to_owned();
        for (part, dialect, speaker) in speakers() {
            let capitals = || format!("{part}/{dialect}/{speaker}").to_uppercase();
            let folder = root.join(match self {
                Self::Consortium => format!("TIMIT/{}", capitals()),
                Self::LowerCase => format!("timit/{part}/{dialect}/{speaker}"),
                Self::Kaggle => format!("data/{}", capitals()),
                Self::Nltk => format!("{dialect}-{speaker}"),
            });
            fs::create_dir_all(&folder).unwrap();
            let usage = if part == "train" { "TRN" } else { "TST" };
            let (sex, id) = speaker.split_at(1);
            table += &format!("{}  {}  1  {usage}  01/02/87  03/04/60\n", id.to_uppercase(), sex.to_uppercase());
            for sentence in sentences() {
                let upper = sentence.to_uppercase();
                let (sound, label) = match self {
                    Self::Consortium => (format!("{upper}.WAV"), format!("{upper}.PHN")),
                    Self::Kaggle => (format!("{upper}.WAV.wav"), format!("{upper}.PHN")),
                    _ => (format!("{sentence}.wav"), format!("{sentence}.phn")),
                };
                link(wav, &folder, &sound);
                link(phn, &folder, &label);
            }
        }
        if matches!(self, Self::Nltk) {
            fs::write(root.join("spkrinfo.txt"), table).unwrap();
        }
    }
}

/// Speakers and sentences of a split, sorted as the manifest has them.
fn utterances(manifest: &Path) -> Vec<String> {
    let text = fs::read_to_string(manifest).unwrap();
    let of = |line: &str| {
        let mut fields = line.split('\t');
        let path = PathBuf::from(fields.next().unwrap());
        let name = path.file_name().unwrap().to_string_lossy().to_lowercase();
        format!("{} {}", fields.next().unwrap(), name.split('.').next().unwrap())
    };
    text.lines().skip(1).map(of).collect()
}

#[test]
fn timit_has_the_splits_of_the_papers_whoever_unpacked_it() {
    // The corpus lies elsewhere: what failures tell of a place has all its files.
    let (place, corpus) = (Place::new(), Place::new());
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let (wav, phn) = (corpus.path("one.wav"), corpus.path("one.phn"));
    let mut writer = hound::WavWriter::create(&wav, spec).unwrap();
    (0..40).for_each(|n| writer.write_sample(n as i16).unwrap());
    writer.finalize().unwrap();
    fs::write(&phn, "0 10 h#\n10 30 ix\n30 40 h#\n").unwrap();
    let mut all = BTreeMap::new();
    for layout in [Layout::Consortium, Layout::LowerCase, Layout::Kaggle, Layout::Nltk] {
        // Folders above the corpus that are called like its parts must not count.
        layout.write(&corpus.path("train/test"), &wav, &phn);
        let root = corpus.path("train").to_string_lossy().into_owned();
        let ran = place.run(&["prepare", "timit", &root, "--out", "out", "--json"]).ends(0);
        let found = &ran.json()[0];
        assert_eq!(found["problems"], 0, "{}", ran.report());
        // All counts are TIMIT's but that of the phones, which three a file cannot be.
        assert!(ran.err.contains("dev has 1200 phones folded to 39 where papers have 15057"), "{}", ran.report());
        assert_eq!(ran.err.lines().count(), 2, "{}", ran.report());
        for (n, (name, count)) in SPLITS.into_iter().enumerate() {
            let split = &found["splits"][n];
            assert_eq!((&split["split"], &split["utterances"]), (&name.into(), &count.into()), "{}", ran.report());
            let listed = utterances(&place.path("out").join(format!("{name}.manifest.tsv")));
            assert_eq!(listed.len(), count);
            assert_eq!(all.entry(name).or_insert_with(|| listed.clone()), &listed);
        }
        fs::remove_dir_all(corpus.path("train")).unwrap();
    }
}

/// A small corpus in TIMIT's layout, of recordings in the repository.
fn small(place: &Place) {
    for (part, speaker, sentence, from) in [
        ("TRAIN", "FAAA0", "SX1", "so0120.wav"),
        ("TRAIN", "FAAA0", "SA1", "so0120.wav"),
        ("TEST", "MBBB0", "SI1", "so1293.wav"),
        ("TEST", "MCCC0", "SI2", "an4-mrab.wav"),
    ] {
        let folder = place.path(&format!("corpus/{part}/DR3/{speaker}"));
        fs::create_dir_all(&folder).unwrap();
        fs::copy(data(&format!("samples/{from}")), folder.join(format!("{sentence}.WAV"))).unwrap();
        fs::write(folder.join(format!("{sentence}.PHN")), "0 1000 h#\n1000 2000 q\n2000 3000 ax-h\n").unwrap();
        fs::write(folder.join(format!("{sentence}.TXT")), "0 3000 Say it.\n").unwrap();
    }
}

#[test]
fn manifests_are_what_the_other_commands_read() {
    let place = Place::new();
    small(&place);
    let ran = place.run(&["prepare", "timit", "corpus", "--out", "corpus", "--phones", "48"]).ends(0);
    assert!(ran.err.contains("another corpus in TIMIT's layout") && ran.out.contains("  dr3"), "{}", ran.report());
    let text = fs::read_to_string(place.path("corpus/train.manifest.tsv")).unwrap();
    let header = "path\tspeaker\tseconds\ttext\tphones\tdialect\tgender\tage\tkind\tphones61\tends61\n";
    let row = "TRAIN/DR3/FAAA0/SX1.WAV\tfaaa0\t3.200\tSay it.\tsil ax\tdr3\tf\t\tsx\th# q ax-h\t1000 2000 3000\n";
    assert_eq!(text, format!("{header}{row}"));
    assert!(!place.path("corpus/problems.tsv").exists());
    let ran = place.run(&["evaluate", "-d", "corpus", "-s", "test", "--column", "phones61", "--json"]).fine();
    assert_eq!(ran.json()[0]["utterances"], 1, "every second speaker makes the dev set");
}

#[test]
fn what_is_wrong_is_named_and_left_out() {
    let place = Place::new();
    small(&place);
    place.write("corpus/TRAIN/DR3/FAAA0/SX2.PHN", "0 1000 h#\n1500 1400 x\n");
    place.write("corpus/TRAIN/DR3/FAAA0/SX2.WAV", "not a recording");
    place.write("corpus/TRAIN/DR3/FAAA0/SX3.PHN", "0 1000 h#\n");
    place.write("corpus/TRAIN/DR3/FAAA0/SX1.PHN", "0 1000 h#\n900 2000 zz\n2100 90000 h#\n");
    let ran = place.run(&["prepare", "timit", "corpus", "--out", "out"]).ends(3);
    let text = fs::read_to_string(place.path("out/problems.tsv")).unwrap();
    let short = |line: &str| line.split('\t').map(|f| f.rsplit('/').next().unwrap()).collect::<Vec<_>>().join("|");
    let lines: Vec<String> = text.lines().skip(1).map(short).collect();
    let expected = [
        "kept|SX1.PHN|a gap between zz and h# at 2000",
        "kept|SX1.PHN|h# and zz overlap at 900",
        "kept|SX1.PHN|it ends at sample 90000, but its recording has 51200",
        "kept|SX1.WAV|its label \"zz\" is none of TIMIT's 61, here for the first time",
        "left out|SX2.PHN|2: not `first-sample end-sample label`",
        "left out|SX3.PHN|no recording lies beside it",
    ];
    assert_eq!(lines, expected, "{}", ran.report());
}

#[test]
fn a_folder_without_a_corpus_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    let ran = place.run(&["prepare", "timit", "empty", "--out", "out"]).ends(2);
    assert!(ran.err.contains("no .PHN files anywhere in it"), "{}", ran.report());
    for kind in ["librispeech", "commonvoice", "ljspeech", "kaldi"] {
        place.run(&["prepare", kind, "empty", "--out", "out"]).ends(2);
    }
    place.run(&["prepare", "timit", "nowhere", "--out", "out"]).ends(2);
}

#[test]
fn words_of_other_corpora_become_phones() {
    let place = Place::new();
    fs::create_dir_all(place.path("lj/wavs")).unwrap();
    fs::copy(data("samples/so0120.wav"), place.path("lj/wavs/a.wav")).unwrap();
    fs::copy(data("samples/so1293.wav"), place.path("lj/wavs/b.wav")).unwrap();
    place.write("lj/metadata.csv", "a|5|five\nb|xqzt|xqzt\n");
    let ran = place.run(&["prepare", "ljspeech", "lj", "--out", "out"]).ends(3);
    assert!(ran.err.contains("1 words are not in the dictionary (--lexicon adds some): xqzt (1)"), "{}", ran.report());
    place.write("more.dict", "xqzt  Z EY T\n");
    place.run(&["prepare", "ljspeech", "lj", "--out", "out", "--lexicon", "more.dict"]).ends(0);
    let text = fs::read_to_string(place.path("out/train.manifest.tsv")).unwrap();
    let labels: Vec<&str> = text.lines().skip(1).map(|line| line.split('\t').nth(4).unwrap()).collect();
    assert_eq!(labels, ["f ay v", "z ey t"]);
}

#[test]
fn a_corpus_in_timits_layout_and_back() {
    let (place, folder) = (Place::new(), data(""));
    let ran = place.run(&["export", "timit", "-d", &folder, "-s", "samples", "--out", "out", "--phones"]).ends(0);
    assert!(ran.err.ends_with("8 utterances: 8 written, 0 of them suspect, 0 left out\n"), "{}", ran.report());
    let ran = place.run(&["prepare", "timit", "out", "--out", "manifests"]).ends(0);
    assert!(!place.path("manifests/problems.tsv").exists(), "{}", ran.report());
    let rows = |text: String, path: usize, phones: usize| -> Vec<(String, String)> {
        let fields = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
        text.lines().skip(1).map(|line| (fields(line)[path].clone(), fields(line)[phones].clone())).collect()
    };
    let exported = rows(fs::read_to_string(place.path("manifests/test-complete.manifest.tsv")).unwrap(), 0, 4);
    let files = rows(fs::read_to_string(place.path("out/FILES-samples.tsv")).unwrap(), 0, 1);
    let labels = rows(fs::read_to_string(data("samples.manifest.tsv")).unwrap(), 0, 4);
    for (path, phones) in exported {
        let file = files.iter().find(|(file, _)| path.ends_with(file)).unwrap();
        let (_, label) = labels.iter().find(|(id, _)| *id == file.1).unwrap();
        let spoken: Vec<&str> = phones.split(' ').filter(|phone| !["h#", "pau"].contains(phone)).collect();
        assert_eq!(&spoken.join(" "), label, "{path}");
    }
    // What has times keeps them.
    place.run(&["export", "timit", "-d", "manifests", "-s", "dev", "--out", "again"]).ends(0);
    let phn = |folder: &str| {
        let listed = rows(fs::read_to_string(place.path("again/FILES-dev.tsv")).unwrap(), 0, 1);
        let path = if folder == "again" {
            place.path("again").join(&listed[0].0)
        } else {
            place.path("manifests").join(&listed[0].1)
        };
        fs::read_to_string(path.with_extension("PHN")).unwrap()
    };
    assert_eq!(phn("again"), phn("out"));
}

#[test]
fn the_pronunciation_that_is_said_is_chosen() {
    let place = Place::new();
    fs::create_dir_all(place.path("lj/wavs")).unwrap();
    // "Read", "the" and "a" have several pronunciations; the second text is not what is said.
    let manifest = fs::read_to_string(data("samples.manifest.tsv")).unwrap();
    let field = |name: &str, n: usize| {
        let line = manifest.lines().find(|line| line.starts_with(name)).unwrap();
        line.split('\t').nth(n).unwrap().to_owned()
    };
    let mut table = String::new();
    for name in ["samples/so0120.wav", "samples/so1293.wav"] {
        let id = name.trim_start_matches("samples/").trim_end_matches(".wav");
        fs::copy(data(name), place.path(&format!("lj/wavs/{id}.wav"))).unwrap();
        let text = if id == "so0120" { field(name, 3) } else { "seven hundred thousand elephants".to_owned() };
        table += &format!("{id}|{text}|{text}\n");
    }
    place.write("lj/metadata.csv", table);
    let ran = place.run(&["prepare", "ljspeech", "lj", "--out", "out", "--align"]).ends(3);
    assert!(ran.err.contains("so1293.wav: its text is hardly what is said (left out)"), "{}", ran.report());
    let text = fs::read_to_string(place.path("out/train.manifest.tsv")).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 1, "{}", ran.report());
    assert!(rows[0][4].split(' ').count() > 5, "{}", ran.report());
}
