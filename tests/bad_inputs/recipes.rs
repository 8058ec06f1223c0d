//! Recipes that cannot be run, and words on the command line that make no sense.
#![forbid(unsafe_code)]

use super::{Case, check};
use crate::support::{Place, data};

const FILES: &[(&str, &[u8])] = &[
    ("key", b"seed = 1\nsped = 2\n"),
    ("text", b"seed = \"one\"\n"),
    ("minus", b"seed = -1\n"),
    ("fraction", b"[features]\nbins = 40.5\n"),
    ("bins", b"[features]\nbins = 0\n"),
    ("version", b"recipe = 2\n"),
    ("rate", b"[train]\nlearning_rate = -1.0\n"),
    ("nan", b"[train]\nlearning_rate = nan\n"),
    ("open", b"[train\n"),
    ("binary", b"\xff\xfe\n"),
    ("rule", b"[train]\noptimizer = { kind = \"magic\" }\n"),
    ("beta", b"[train]\noptimizer = { kind = \"adam\", beta1 = 1.0 }\n"),
    ("layers", b"[model]\nlayers = []\n"),
    ("hidden", b"[model]\nlayers = [{ hidden = 100000 }]\n"),
    ("large", b"[model]\nlayers = [{ hidden = 16384 }, { hidden = 16384 }]\n"),
    ("convolutions", b"[features]\nstack = 2\n[model]\nconvolutions = [{}]\n"),
    ("kernel", b"[model]\nconvolutions = [{ kernel = [3, 0] }]\n"),
    ("phones", b"[data]\nphones = \"x\"\n"),
    ("speeds", b"[augment]\nspeeds = [9.0]\n"),
    ("masks", b"[augment]\nspec = { time_fraction = 5.0 }\n"),
    ("schedule", b"[train]\nschedule = { kind = \"plateau\", factor = 2.0, patience = 1 }\n"),
    ("twice", b"seed = 1\nseed = 2\n"),
    ("split", b"[data]\ntrain = \"x\"\n"),
];

const RECIPES: &[Case] = &[
    (
        "train -d tiny -o run -r key",
        2,
        "error: key: line 2: unknown field `sped`, expected one of `recipe`, `description`, `licence`, `seed`, `data`, \
         `features`, `model`, `augment`, `train`, `stages`",
    ),
    ("train -d tiny -o run -r text", 2, "error: text: line 1: invalid type: string \"one\", expected u64"),
    ("train -d tiny -o run -r minus", 2, "error: minus: line 1: invalid value: integer `-1`, expected u64"),
    (
        "train -d tiny -o run -r fraction",
        2,
        "error: fraction: line 2: invalid type: floating point `40.5`, expected usize",
    ),
    ("train -d tiny -o run -r bins", 2, "error: bins: features: bins must lie between 1 and 512"),
    ("train -d tiny -o run -r version", 2, "error: version: recipe: only version 1 is known"),
    ("train -d tiny -o run -r rate", 2, "error: rate: train: learning_rate must lie between 0 and 10"),
    ("train -d tiny -o run -r nan", 2, "error: nan: train: learning_rate must lie between 0 and 10"),
    ("train -d tiny -o run -r open", 2, "error: open: line 1: unclosed table, expected `]`"),
    ("train -d tiny -o run -r binary", 2, "error: binary: not UTF-8 text"),
    ("train -d tiny -o run -r rule", 2, "error: rule: line 2: unknown variant `magic`, expected `adam` or `sgd`"),
    (
        "train -d tiny -o run -r beta",
        2,
        "error: beta: train: optimizer: beta1 and beta2 must lie between 0 and 1, 1 excluded, epsilon above 0, \
         weight_decay between 0 and 100",
    ),
    ("train -d tiny -o run -r layers", 2, "error: layers: model: there must be between 1 and 64 layers"),
    ("train -d tiny -o run -r hidden", 2, "error: hidden: model: hidden must lie between 1 and 16384"),
    (
        "train -d tiny -o run -r large",
        2,
        "error: large: model: 8596750376 parameters, more than the 1073741824 allowed",
    ),
    (
        "train -d tiny -o run -r convolutions",
        2,
        "error: convolutions: model: convolutions need features.stack = 1, features.deltas = 0 and features.energy = false",
    ),
    (
        "train -d tiny -o run -r kernel",
        2,
        "error: kernel: model: a kernel must lie between 1 and 32, a stride between 1 and 8",
    ),
    ("train -d tiny -o run -r phones", 2, "error: phones: data: phones is \"x\", it must be \"arpabet39\" or \"data\""),
    ("train -d tiny -o run -r speeds", 2, "error: speeds: augment: speeds must lie between 0.5 and 2"),
    ("train -d tiny -o run -r masks", 2, "error: masks: augment: spec.time_fraction must lie between 0 and 1"),
    (
        "train -d tiny -o run -r schedule",
        2,
        "error: schedule: train: schedule.factor must lie between 0 and 1, and patience be at least 1",
    ),
    ("train -d tiny -o run -r twice", 2, "error: twice: line 2: duplicate key"),
    ("train -d tiny -o run -r split", 2, "error: tiny: no split \"x\" in it, only dev, train"),
    ("train -d tiny -o run -r nowhere", 2, "error: nowhere: No such file or directory (os error 2)"),
    ("train -d tiny -o run -r tiny", 2, "error: tiny: Is a directory (os error 21)"),
    ("info bins", 2, "error: bins: features: bins must lie between 1 and 512"),
];

const SETTINGS: &[Case] = &[
    ("train -d tiny -o run --set seed", 2, "error: --set seed: not of the form key=value"),
    ("train -d tiny -o run --set seed=", 2, "error: --set seed=: invalid type: string \"\", expected u64"),
    (
        "train -d tiny -o run --set =1",
        2,
        "error: --set =1: unknown field ``, expected one of `recipe`, `description`, `licence`, `seed`, `data`, \
         `features`, `model`, `augment`, `train`, `stages`",
    ),
    (
        "train -d tiny -o run --set train.epochs=x",
        2,
        "error: --set train.epochs=x: invalid type: string \"x\", expected u64",
    ),
    (
        "train -d tiny -o run --set train.epochs.x=1",
        2,
        "error: --set train.epochs.x=1: \"x\" is inside something that has no parts",
    ),
    (
        "train -d tiny -o run --set model.layers.9.hidden=1",
        2,
        "error: --set model.layers.9.hidden=1: \"9\" is no place in an array of 5",
    ),
    ("train -d tiny -o run --set train.epochs=0", 2, "error: --set: train: epochs must lie between 1 and 100000"),
    (
        "train -d tiny -o run --set a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=1",
        2,
        "error: --set a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=1: a key of more than 16 parts",
    ),
    (
        "train -d tiny -o run --seed -1",
        2,
        "error: invalid value '-1' for '--seed <N>': invalid digit found in string\n\
         hint: 'formant train --help' lists what it takes",
    ),
];

const WORDS: &[Case] = &[
    (
        "transcribe",
        2,
        "error: the following required arguments were not provided: <FILE>...\n\
         hint: 'formant transcribe --help' lists what it takes",
    ),
    (
        "trancribe x",
        2,
        "error: unrecognized subcommand 'trancribe'\nhint: some similar subcommands exist: 'train', 'transcribe'",
    ),
    (
        "transcribe x --modl y",
        2,
        "error: unexpected argument '--modl' found\nhint: a similar argument exists: '--model'",
    ),
    (
        "transcribe x --beam 0",
        2,
        "error: invalid value '0' for '--beam <N>': 0 is not in 1..=10000\n\
         hint: 'formant transcribe --help' lists what it takes",
    ),
    (
        "transcribe x --beam 4 --decoder greedy",
        2,
        "error: the greedy decoder has no beam, words or language model\nhint: leave --decoder greedy out, or the options of the beam",
    ),
    (
        "transcribe x --fold timit",
        2,
        "error: invalid value 'timit' for '--fold <NAME>' [possible values: timit39, lee-hon-48, lee-hon-39, none]\n\
         hint: a similar value exists: 'timit39'",
    ),
    (
        "transcribe x --channel left",
        2,
        "error: invalid value 'left' for '--channel <CHANNEL>': it is mix or a number counted from 0\n\
         hint: 'formant transcribe --help' lists what it takes",
    ),
    (
        "transcribe x --threads 0",
        2,
        "error: invalid value '0' for '--threads <N>': 0 is not in 1..=1024\n\
         hint: 'formant transcribe --help' lists what it takes",
    ),
    (
        "transcribe x --device gpu",
        2,
        "error: invalid value 'gpu' for '--device <DEVICE>': it is auto, cpu, cuda or cuda:N\n\
         hint: 'formant transcribe --help' lists what it takes",
    ),
    ("transcribe - -", 2, "error: standard input (-) is named twice\nhint: a file called - is written ./-"),
    (
        "evaluate -d tiny",
        2,
        "error: the following required arguments were not provided: --split <S>\n\
         hint: 'formant evaluate --help' lists what it takes",
    ),
    (
        "evaluate -d tiny -s dev --fold timit48",
        2,
        "error: invalid value 'timit48' for '--fold <NAME>' [possible values: timit39, lee-hon-48, lee-hon-39, none]\n\
         hint: a similar value exists: 'timit39'",
    ),
    (
        "features x",
        2,
        "error: the following required arguments were not provided: <--out <F.npy>|--plot <F.svg|F.png>>\n\
         hint: 'formant features --help' lists what it takes",
    ),
    ("features x --plot a.gif", 2, "error: a.gif: pictures are written as .svg or .png, and the name says neither"),
    (
        "features tiny/audio/024270313.ogg --out nowhere/a.npy",
        2,
        "error: nowhere/a.npy: No such file or directory (os error 2)",
    ),
    (
        "generate completions tcsh",
        2,
        "error: invalid value 'tcsh' for '<SHELL>' [possible values: bash, elvish, fish, powershell, zsh]\n\
         hint: a similar value exists: 'zsh'",
    ),
];

#[test]
fn recipes_and_words() {
    let place = Place::new();
    FILES.iter().for_each(|(name, text)| place.write(name, text));
    std::os::unix::fs::symlink(data("tiny"), place.path("tiny")).unwrap();
    check(&place, &[RECIPES, SETTINGS, WORDS].concat());
}
