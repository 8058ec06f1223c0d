//! Manifests and Kaldi folders that cannot be used.
#![forbid(unsafe_code)]

use super::{Case, check};
use crate::support::{Place, data};

/// Folders of corpora, and the manifest that both of their splits, `t` and `train`, have.
const MANIFESTS: &[(&str, &[u8])] = &[
    ("good", b"path\tphones\na.ogg\tb ah t\n"),
    ("nothing", b""),
    ("header-only", b"path\tphones\n"),
    ("no-header", b"a.ogg\tb ah t\n"),
    ("no-phones", b"path\ttext\na.ogg\tbut\n"),
    ("column-twice", b"path\tphones\tpath\na.ogg\tb\ta.ogg\n"),
    ("few-columns", b"path\tphones\tspeaker\na.ogg\tb\n"),
    ("many-columns", b"path\tphones\na.ogg\tb\tanna\n"),
    ("not-utf-8", b"path\tphones\na.ogg\t\xff\n"),
    ("utf-16", b"\xff\xfep\0a\0t\0h\0\n\0"),
    ("no-path", b"path\tphones\n\tb\n"),
    ("bad-seconds", b"path\tphones\tseconds\na.ogg\tb\t1.5\na.ogg\tb\tlong\n"),
    ("minus-seconds", b"path\tphones\tseconds\na.ogg\tb\t-1\n"),
    ("nan-seconds", b"path\tphones\tseconds\na.ogg\tb\tnan\n"),
    ("end-first", b"path\tphones\tstart\tend\na.ogg\tb\t2\t1\n"),
    ("no-end", b"path\tphones\tstart\tend\na.ogg\tb\t2\t\n"),
    ("beyond", b"path\tphones\tstart\tend\na.ogg\tb\t1.5\t2.5\n"),
    ("no-audio", b"path\tphones\nb.ogg\tb\n"),
    ("zero-byte", b"path\tphones\na\0.ogg\tb\n"),
    ("folder", b"path\tphones\n.\tb\n"),
    ("other-phone", b"path\tphones\na.ogg\tb xx\n"),
    ("spaces", b"path phones\na.ogg b\n"),
];

/// Kaldi folders: `wav.scp`, `text`, `segments`.
const KALDI: &[(&str, &str, &str, &str)] = &[
    ("pipe", "u1 sph2pipe -f wav a.sph |\n", "u1 b\n", ""),
    ("no-file", "u1\n", "u1 b\n", ""),
    ("missing-key", "u1 a.ogg\n", "u1 b\nu2 b\n", ""),
    ("missing-recording", "r1 a.ogg\n", "u1 b\n", "u1 r2 0 1\n"),
    ("missing-segment", "r1 a.ogg\n", "u2 b\n", "u1 r1 0 1\n"),
    ("bad-segment", "r1 a.ogg\n", "u1 b\n", "u1 r1 1 0\n"),
    ("short-segment", "r1 a.ogg\n", "u1 b\n", "u1 r1 1\n"),
    ("key-twice", "u1 a.ogg\nu1 b.ogg\n", "u1 b\n", ""),
    ("label-twice", "u1 a.ogg\n", "u1 b\nu1 ah\n", ""),
    ("no-utterance", "", "", ""),
];

fn files(place: &Place) {
    let sound = std::fs::read(data("tiny/audio/024270313.ogg")).unwrap();
    for (folder, manifest) in MANIFESTS {
        place.write(&format!("{folder}/a.ogg"), &sound);
        for split in ["t", "train"] {
            place.write(&format!("{folder}/{split}.manifest.tsv"), manifest);
        }
        place.write(&format!("{folder}/dev.manifest.tsv"), MANIFESTS[0].1);
    }
    for (folder, wavs, text, segments) in KALDI {
        place.write(&format!("{folder}/t/a.ogg"), &sound);
        place.write(&format!("{folder}/t/wav.scp"), wavs);
        place.write(&format!("{folder}/t/text"), text);
        if !segments.is_empty() {
            place.write(&format!("{folder}/t/segments"), segments);
        }
    }
    place.write("too-many/a.ogg", &sound);
    place.write("too-many/train.manifest.tsv", format!("path\tphones\na.ogg\t{}\n", "b ".repeat(100)));
    place.write("too-many/dev.manifest.tsv", MANIFESTS[0].1);
    place.write("no-text/t/wav.scp", "u1 a.ogg\n");
    place.write("a-file", "");
    std::fs::create_dir(place.path("empty-folder")).unwrap();
}

const CASES: &[Case] = &[
    ("evaluate -d nothing -s t", 2, "error: nothing/t.manifest.tsv:1: an empty file"),
    ("evaluate -d header-only -s t", 2, "error: header-only/t.manifest.tsv: there are no utterances to evaluate"),
    (
        "evaluate -d no-header -s t",
        2,
        "error: no-header/t.manifest.tsv:1: no column \"path\" in the header; columns are tab separated",
    ),
    (
        "evaluate -d spaces -s t",
        2,
        "error: spaces/t.manifest.tsv:1: no column \"path\" in the header; columns are tab separated",
    ),
    (
        "evaluate -d no-phones -s t",
        2,
        "error: no-phones/t.manifest.tsv:1: no column \"phones\" in the header; columns are tab separated",
    ),
    (
        "evaluate -d column-twice -s t",
        2,
        "error: column-twice/t.manifest.tsv:1: column \"path\" comes twice in the header",
    ),
    ("evaluate -d few-columns -s t", 2, "error: few-columns/t.manifest.tsv:2: 2 columns instead of 3"),
    ("evaluate -d many-columns -s t", 2, "error: many-columns/t.manifest.tsv:2: 3 columns instead of 2"),
    ("evaluate -d not-utf-8 -s t", 2, "error: not-utf-8/t.manifest.tsv:2: not UTF-8 text"),
    ("evaluate -d utf-16 -s t", 2, "error: utf-16/t.manifest.tsv:1: not UTF-8 text"),
    ("evaluate -d no-path -s t", 2, "error: no-path/t.manifest.tsv:2: column path: empty"),
    (
        "evaluate -d bad-seconds -s t",
        2,
        "error: bad-seconds/t.manifest.tsv:3: column seconds: \"long\" is no number of seconds",
    ),
    (
        "evaluate -d minus-seconds -s t",
        2,
        "error: minus-seconds/t.manifest.tsv:2: column seconds: \"-1\" is no number of seconds",
    ),
    (
        "evaluate -d nan-seconds -s t",
        2,
        "error: nan-seconds/t.manifest.tsv:2: column seconds: \"nan\" is no number of seconds",
    ),
    (
        "evaluate -d end-first -s t",
        2,
        "error: end-first/t.manifest.tsv:2: columns start and end: the end must lie after the start",
    ),
    (
        "evaluate -d no-end -s t",
        2,
        "error: no-end/t.manifest.tsv:2: columns start and end: the end must lie after the start",
    ),
    ("evaluate -d beyond -s t", 2, "error: beyond/a.ogg: 1.5 to 2.5 s is asked for, but it is only 1.92 s long"),
    ("evaluate -d no-audio -s t", 2, "error: no-audio/b.ogg: No such file or directory (os error 2)"),
    ("evaluate -d zero-byte -s t", 2, "error: zero-byte/a\\u{0}.ogg: file name contained an unexpected NUL byte"),
    ("evaluate -d folder -s t", 2, "error: folder/.: a folder, not a recording"),
    ("evaluate -d good -s x", 2, "error: good: no split \"x\" in it, only dev, t, train"),
    (
        "evaluate -d good -s t --column word",
        2,
        "error: good/t.manifest.tsv:1: no column \"word\" in the header: it has path, phones",
    ),
    (
        "evaluate -d empty-folder -s t",
        2,
        "error: empty-folder: no split \"t\" in it, no manifest (SPLIT.manifest.tsv) or Kaldi folder at all",
    ),
    ("evaluate -d nowhere -s t", 2, "error: nowhere: No such file or directory (os error 2)"),
    ("evaluate -d a-file -s t", 2, "error: a-file: Not a directory (os error 20)"),
    (
        "evaluate -d pipe -s t",
        2,
        "error: pipe/t/wav.scp:1: u1: formant reads files and runs no commands; write the audio file's path",
    ),
    (
        "evaluate -d no-file -s t",
        2,
        "error: no-file/t/wav.scp:1: u1: formant reads files and runs no commands; write the audio file's path",
    ),
    ("evaluate -d missing-key -s t", 2, "error: missing-key/t/text:2: u2 is not in wav.scp"),
    ("evaluate -d missing-recording -s t", 2, "error: missing-recording/t/text:1: r2 is not in wav.scp"),
    ("evaluate -d missing-segment -s t", 2, "error: missing-segment/t/text:1: u2 is not in segments"),
    ("evaluate -d bad-segment -s t", 2, "error: bad-segment/t/segments:1: not `utterance recording start end`"),
    ("evaluate -d short-segment -s t", 2, "error: short-segment/t/segments:1: not `utterance recording start end`"),
    ("evaluate -d key-twice -s t", 2, "error: key-twice/t/wav.scp:2: u1 comes twice"),
    ("evaluate -d label-twice -s t", 2, "error: label-twice/t/text:2: u1 comes twice"),
    ("evaluate -d no-utterance -s t", 2, "error: no-utterance/t: there are no utterances to evaluate"),
    ("evaluate -d no-text -s t", 2, "error: no-text/t/text: No such file or directory (os error 2)"),
    ("train -d header-only -o run1", 2, "error: header-only/train.manifest.tsv: no utterance in split \"train\""),
    (
        "train -d no-audio -o run2",
        2,
        "error: no utterance to work with, 1 left out: no-audio/b.ogg: No such file or directory (os error 2)",
    ),
    (
        "train -d too-many -o run3",
        2,
        "error: no utterance to work with, 1 left out: a.ogg: 100 labels need 199 frames, but there are only 64",
    ),
    (
        "train -d other-phone -o run4",
        2,
        "error: a.ogg: unknown phone \"xx\": it is not one of the 39 phones of \"arpabet39\"",
    ),
    (
        "train -d empty-folder -o run5",
        2,
        "error: empty-folder: no split \"train\" in it, no manifest (SPLIT.manifest.tsv) or Kaldi folder at all",
    ),
    ("train -d good -o a-file", 2, "error: a-file: a file, where a folder for the run is asked for"),
    ("train -d good -o /proc/run", 2, "error: /proc/run: No such file or directory (os error 2)"),
    (
        "info no-header/t.manifest.tsv",
        2,
        "error: no-header/t.manifest.tsv: neither a model, a recipe or a manifest, nor a recording\nhint: a manifest is a table with tabs whose first line names a column path; a recipe is TOML",
    ),
    ("info few-columns", 2, "error: few-columns/t.manifest.tsv:2: 2 columns instead of 3"),
];

#[test]
fn manifests_and_kaldi_folders() {
    let place = Place::new();
    files(&place);
    check(&place, CASES);
}
