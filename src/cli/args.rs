//! What was typed: every command and option with its help, and the small checks that need nothing but the words
//! themselves. Files, models and devices are looked at by the commands.
#![forbid(unsafe_code)]

use super::annotate::FileFormat;
use super::decoding::DecoderArgs;
use super::examples;
use super::options::{DeviceArgs, ModelArgs, NamesChoice, StreamArgs, ThreadArgs, channel};
use crate::audio::Channel;
use crate::phones::Folding;
use crate::score::Protocol;
use clap::builder::PossibleValuesParser;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Write down the phones of recorded speech
///
/// formant turns recordings into phones, trains models for it from recordings with labels, and measures how good they
/// are. A model for English is built in, so the first transcript needs nothing but a recording.
///
/// Standard output carries data only; progress, warnings and errors go to standard error.
#[derive(Debug, Parser)]
#[command(name = "formant", version, propagate_version = true, max_term_width = 100)]
#[command(after_long_help = examples::FORMANT, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the phones of recordings
    ///
    /// One line a recording, on standard output, in the order of the files. With several files, or when a folder is
    /// walked, the line begins with the file's path and a tab. A file that cannot be read is reported on standard
    /// error and the others go on.
    #[command(after_long_help = examples::TRANSCRIBE)]
    Transcribe(TranscribeArgs),
    /// Say when the words and phones of a known text are spoken, and how well
    ///
    /// Forced alignment: of each word's pronunciations in the dictionary, the one that fits is taken. Scores tell, from 0
    /// to 100, how surely each phone was said. For a corpus, give --data, --split and --out: a file an utterance, and
    /// on standard output a line each.
    #[command(after_long_help = examples::ALIGN)]
    Align(AlignArgs),
    /// Make a language model of transcripts, or tell how well one foresees them
    ///
    /// N-grams of phones or words with modified Kneser-Ney smoothing, as an ARPA file, which other programs read, too. Its
    /// perplexity is printed. 'formant transcribe --lm' decodes with it.
    #[command(after_long_help = examples::LM)]
    Lm(LmArgs),
    /// Make manifests of a corpus as it is distributed, and tell what is wrong with it
    ///
    /// TIMIT, LibriSpeech, Common Voice, LJ Speech, or Kaldi data folders. Writes SPLIT.manifest.tsv for each split into
    /// --out, and problems.tsv if something is missing, damaged or odd. Nothing in the corpus is changed or copied.
    #[command(after_long_help = examples::PREPARE)]
    Prepare(PrepareArgs),
    /// Write a corpus in TIMIT's layout, with the times of its phones and words
    ///
    /// Each utterance is aligned as 'formant align' does it, or keeps the times that its manifest has. Recordings become
    /// SPHERE files of 16 bits. FILES-SPLIT.tsv says where each utterance went.
    #[command(after_long_help = examples::EXPORT)]
    Export(ExportArgs),
    /// Train a model on labelled recordings
    ///
    /// Writes into --out: the best model, its recipe, a checkpoint, the log (metrics.jsonl, and tensorboard/), and the
    /// curves as a picture. Ctrl-C saves and stops; --resume goes on from there, or from wherever a run was broken
    /// off, to the very same model.
    #[command(after_long_help = examples::TRAIN)]
    Train(TrainArgs),
    /// Measure the phone error rate on labelled recordings
    ///
    /// Recognises every utterance of a split and compares it with its labels. Both sides are folded onto the same set
    /// of phones first. An utterance that cannot be read ends the run: a rate over part of a set is not that set's
    /// rate.
    #[command(after_long_help = examples::EVALUATE)]
    Evaluate(EvaluateArgs),
    /// Tell whether one system is really better than another
    ///
    /// Reads two files that 'formant evaluate --results' wrote for the same split. The paired bootstrap and the
    /// matched-pairs test say how probable so large a difference would be if both were equally good.
    #[command(after_long_help = examples::COMPARE)]
    Compare(CompareArgs),
    /// Write the log-mel features of a recording, as numbers or as a picture
    #[command(after_long_help = examples::FEATURES)]
    Features(FeaturesArgs),
    /// Say what a file is: a model, a recipe, a table of utterances or a recording
    ///
    /// The file is recognised by its content. Without a file, the built-in model is described.
    #[command(after_long_help = examples::INFO)]
    Info(InfoArgs),
    /// Check this machine: devices, instruction sets, threads, the built-in model
    ///
    /// Ends with status 1 if something does not work as it should.
    #[command(after_long_help = examples::DOCTOR)]
    Doctor(DoctorArgs),
    /// Measure how fast training, recognition, the CTC loss and the front end are here
    ///
    /// Every figure is the median of several runs after a warm-up, one line each. The machine is described on standard
    /// error.
    #[command(after_long_help = examples::BENCH)]
    Bench(BenchArgs),
    /// Write man pages or shell completions
    ///
    /// For packagers, and for shells that read completions from a file.
    #[command(hide = true, after_long_help = examples::GENERATE)]
    Generate(GenerateArgs),
}

/// Shape of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Phones separated by spaces, a line a file
    Text,
    /// One JSON object a line and file, with times and scores
    Json,
    /// CTM as sclite reads it: a line a phone
    Ctm,
    /// Praat's TextGrid
    Textgrid,
    /// ELAN's .eaf
    Eaf,
    /// SubRip subtitles
    Srt,
    /// WebVTT subtitles
    Vtt,
}

impl Format {
    /// The format of annotations that it is; nothing for the two that are this command's own.
    pub fn file(self) -> Option<FileFormat> {
        match self {
            Self::Text | Self::Json => None,
            Self::Ctm => Some(FileFormat::Ctm),
            Self::Textgrid => Some(FileFormat::Textgrid),
            Self::Eaf => Some(FileFormat::Eaf),
            Self::Srt => Some(FileFormat::Srt),
            Self::Vtt => Some(FileFormat::Vtt),
        }
    }
}

/// `formant transcribe`.
#[derive(Args, Debug)]
pub struct TranscribeArgs {
    /// Recordings, folders to walk, or - for standard input
    ///
    /// WAV, FLAC, Ogg Vorbis, MP3, AIFF, CAF, MP4/AAC, NIST SPHERE and more, at any sample rate, recognised by content
    /// and never by name. In a folder, recordings are taken in sorted order, hidden files and linked folders left out;
    /// other files there are counted on standard error. A file named here that is no recording is an error.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Model and device.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Decoder.
    #[command(flatten)]
    pub decoder: DecoderArgs,
    /// Shape of the output
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    /// Folder for a file a recording [default: all on standard output]
    ///
    /// Made if it is missing. Files are named like the recordings, folders inside a folder kept.
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Names of the phones
    #[arg(long, value_name = "NAMES", default_value = "own")]
    pub phones: NamesChoice,
    /// Channel of the recording: mix, or a number counted from 0
    #[arg(long, value_name = "CHANNEL", default_value = "mix", value_parser = channel)]
    pub channel: Channel,
    /// Hear only stretches with sound, each for itself; silence is found by its energy
    #[arg(long, conflicts_with_all = ["stream", "nbest"])]
    pub vad: bool,
    /// Whether, and how, sound is heard as it arrives.
    #[command(flatten)]
    pub stream: StreamArgs,
    /// Sound without a header: samples of 16 bits, low byte first, one channel, at so many Hz; needs --stream
    #[arg(long, value_name = "HZ", requires = "stream", value_parser = clap::value_parser!(u32).range(1000..=768_000))]
    pub raw: Option<u32>,
    /// Transcripts of each recording in --format json, best first [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub nbest: Option<u16>,
    /// Fold the phones onto a smaller set
    #[arg(long, value_name = "NAME", default_value = "none", value_parser = PossibleValuesParser::new(Folding::NAMES))]
    pub fold: String,
    /// Threads.
    #[command(flatten)]
    pub threads: ThreadArgs,
}

/// `formant align`.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("what").args(["audio", "data"]).required(true)))]
pub struct AlignArgs {
    /// Recording, or - for standard input
    #[arg(value_name = "AUDIO")]
    pub audio: Option<PathBuf>,
    /// What is said in it: words, or phones with --phones
    #[arg(value_name = "TEXT", conflicts_with_all = ["data", "text_file"])]
    pub text: Option<String>,
    /// Read the text from a file
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub text_file: Option<PathBuf>,
    /// Folder with manifests, or a Kaldi data folder: align a whole split
    #[arg(short, long, value_name = "DIR", requires_all = ["split", "out"])]
    pub data: Option<PathBuf>,
    /// Split to align: DIR/S.manifest.tsv, or the Kaldi folder DIR/S
    #[arg(short, long, value_name = "S", requires = "data")]
    pub split: Option<String>,
    /// The text is phones, not words; of a corpus, its labels
    #[arg(long, conflicts_with = "lexicon")]
    pub phones: bool,
    /// Dictionary whose words go before those of the built-in one
    ///
    /// A line a pronunciation, as in CMUdict: the word, then its phones. May be packed with gzip.
    #[arg(long, value_name = "FILE")]
    pub lexicon: Option<PathBuf>,
    /// Shape of the output [default: by the name of --out, or textgrid]
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<FileFormat>,
    /// File to write [default: standard output]; with --data, folder for a file an utterance
    #[arg(short, long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Names of the phones in the output
    #[arg(long, value_name = "NAMES", default_value = "own")]
    pub names: NamesChoice,
    /// Model and device.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Channel of the recording: mix, or a number counted from 0
    #[arg(long, value_name = "CHANNEL", default_value = "mix", value_parser = channel, conflicts_with = "data")]
    pub channel: Channel,
    /// Threads.
    #[command(flatten)]
    pub threads: ThreadArgs,
}

/// What a language model is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Unit {
    /// The phones of the labels
    Phones,
    /// The words of the texts, in lower case, without punctuation
    Words,
}

/// `formant lm`.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("source").args(["data", "text"]).required(true).multiple(true)))]
pub struct LmArgs {
    /// Folder with manifests, or with Kaldi data folders; may be given several times
    #[arg(short, long, value_name = "DIR")]
    pub data: Vec<PathBuf>,
    /// Split to learn from, or to measure on with --lm; may be given several times [default: train]
    #[arg(short, long, value_name = "S", requires = "data")]
    pub split: Vec<String>,
    /// Text file to learn from, a sentence a line, perhaps packed with gzip; may be given several times
    #[arg(long, value_name = "FILE")]
    pub text: Vec<PathBuf>,
    /// Split to measure on, of those folders that have it; may be given several times
    #[arg(long, value_name = "S", requires = "data", conflicts_with = "lm")]
    pub test: Vec<String>,
    /// Phones or words
    #[arg(long, value_name = "UNIT", default_value = "phones")]
    pub unit: Unit,
    /// Words, or phones, in the longest n-grams, 1 to 16
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub order: u8,
    /// ARPA file to write; packed if its name ends in .gz
    #[arg(short, long, value_name = "FILE", required_unless_present = "lm")]
    pub out: Option<PathBuf>,
    /// Measure this ARPA file instead of making one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "order"])]
    pub lm: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A corpus that `formant prepare` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CorpusKind {
    /// TIMIT, or a corpus in its layout
    Timit,
    /// LibriSpeech
    Librispeech,
    /// Mozilla Common Voice, the folder of one language
    Commonvoice,
    /// LJ Speech
    Ljspeech,
    /// Kaldi data folders whose text is words
    Kaldi,
}

/// Which phones the labels of TIMIT are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Phones {
    /// As the corpus has them
    #[value(name = "61")]
    Sixty,
    /// Folded as they usually are for training
    #[value(name = "48")]
    FortyEight,
    /// Folded as they are for scoring
    #[value(name = "39")]
    ThirtyNine,
}

/// `formant prepare`.
#[derive(Args, Debug)]
pub struct PrepareArgs {
    /// Which corpus it is
    #[arg(value_name = "CORPUS")]
    pub corpus: CorpusKind,
    /// Its folder
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Folder for the manifests; made if it is missing
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
    /// Labels of TIMIT
    ///
    /// 61 are what papers train on, folded when scored; q is dropped from 48 and 39 (Lee & Hon 1989).
    #[arg(long, value_name = "N", default_value = "61")]
    pub phones: Phones,
    /// Dictionary in CMUdict's form, for words that the built-in one lacks, or says otherwise
    #[arg(long, value_name = "FILE")]
    pub lexicon: Option<PathBuf>,
    /// Do not decode the recordings: faster, but lengths stay unknown and damage unseen
    ///
    /// Those of TIMIT are always decoded.
    #[arg(long)]
    pub no_check: bool,
    /// Of each word's pronunciations take the one that is said, by forced alignment; leave out what is hardly said
    ///
    /// Not for TIMIT, whose labels are what was heard. Takes some hundredths of the recordings' length.
    #[arg(long)]
    pub align: bool,
    /// What aligns.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Threads.
    #[command(flatten)]
    pub threads: ThreadArgs,
}

/// A layout that `formant export` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// TIMIT's: TRAIN/DR1/SPEAKER/SX1 with .WAV, .PHN, .WRD and .TXT
    Timit,
}

/// `formant export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Layout to write
    #[arg(value_name = "LAYOUT")]
    pub layout: Layout,
    /// Folder with manifests, or a Kaldi data folder
    #[arg(short, long, value_name = "DIR")]
    pub data: PathBuf,
    /// Split to export; train and dev go to TRAIN and DEV, others to TEST
    #[arg(short, long, value_name = "S")]
    pub split: String,
    /// Folder for the corpus; made if it is missing
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
    /// Align the phones of the labels, not the words of the texts
    #[arg(long, conflicts_with = "lexicon")]
    pub phones: bool,
    /// Dictionary whose words go before those of the built-in one
    #[arg(long, value_name = "FILE")]
    pub lexicon: Option<PathBuf>,
    /// Align even if the manifest has labels with times (phones61 and ends61)
    #[arg(long)]
    pub realign: bool,
    /// Model and device.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Threads.
    #[command(flatten)]
    pub threads: ThreadArgs,
}

/// `formant train`.
#[derive(Args, Debug)]
pub struct TrainArgs {
    /// Folder with manifests, or with Kaldi data folders; may be given several times
    ///
    /// Each must have the recipe's train split (`train`), at least one its dev split (`dev`), which chooses the best
    /// epoch.
    #[arg(short, long, required = true, value_name = "DIR")]
    pub data: Vec<PathBuf>,
    /// Folder for everything that the run writes; made if it is missing
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
    /// Recipe [default: recipes/standard of formant's sources, or recipes/adapt with --from; both are built in]
    #[arg(short, long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
    /// Begin with the weights of a model, `default` being the built-in one
    ///
    /// A file written by `formant train`, or the folder that it wrote. Features and network are the model's; without
    /// --recipe the rest is that of recipes/adapt. The output layer begins anew if the phones are others.
    #[arg(long, value_name = "MODEL")]
    pub from: Option<PathBuf>,
    /// Change a value of the recipe; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Go on with the run in --out
    #[arg(long)]
    pub resume: bool,
    /// Seed of everything that is drawn [default: the recipe's]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Threads.
    #[command(flatten)]
    pub threads: ThreadArgs,
}

/// What rates are listed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// One rate a speaker
    Speaker,
}

/// `formant evaluate`.
#[derive(Args, Debug)]
pub struct EvaluateArgs {
    /// Folder with manifests, or a Kaldi data folder
    #[arg(short, long, value_name = "DIR")]
    pub data: PathBuf,
    /// Split to measure: DIR/S.manifest.tsv, or the Kaldi folder DIR/S
    #[arg(short, long, value_name = "S")]
    pub split: String,
    /// Model and device.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Decoder.
    #[command(flatten)]
    pub decoder: DecoderArgs,
    /// Hear only stretches with sound, each for itself; silence is found by its energy
    #[arg(long, conflicts_with = "stream")]
    pub vad: bool,
    /// Whether, and how, recordings are heard as if they arrived just then.
    #[command(flatten)]
    pub stream: StreamArgs,
    /// Protocol of the rate that stands first; those of all others follow
    ///
    /// arpabet: folded to the classical 39 phones as far as ARPAbet has them, silences not scored. graves, kaldi,
    /// speechbrain, no-silence: TIMIT's labels folded to Lee & Hon's 39 with silences scored, the same counted as sclite
    /// counts, silences in a row merged, silences left out. docs/evaluation.md says which papers did what.
    #[arg(long, value_name = "NAME", default_value = "arpabet", value_parser = PossibleValuesParser::new(Protocol::NAMES))]
    pub protocol: String,
    /// Instead of a protocol: fold both sides onto this set, and count every edit as one
    #[arg(long, value_name = "NAME", conflicts_with = "protocol", value_parser = PossibleValuesParser::new(Folding::NAMES))]
    pub fold: Option<String>,
    /// Column of the manifest that holds the labels
    #[arg(long, value_name = "NAME", default_value = "phones")]
    pub column: String,
    /// Measure the first N utterances only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// List rates by this, too
    #[arg(long, value_name = "WHAT")]
    pub by: Option<By>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// File for what was heard in each utterance, JSON lines: 'formant compare' reads it
    #[arg(long, value_name = "FILE")]
    pub results: Option<PathBuf>,
    /// Folder for ref.trn, hyp.trn and hyp.ctm, which NIST's sclite reads; made if it is missing
    #[arg(long, value_name = "DIR")]
    pub sclite: Option<PathBuf>,
    /// Page with everything about the rate, one HTML file: tables, confusion matrix, worst utterances with sound
    ///
    /// Rates by protocol, speaker, sex, dialect, age and whatever else the corpus has columns for, by duration and rate of
    /// speech, each with its interval; the confusion matrix; the worst utterances, aligned, with spectrogram and sound; the
    /// training curves if --model is a run's. Nothing is loaded from elsewhere, and no script runs.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Utterances with most errors that the page shows
    #[arg(long, value_name = "N", default_value_t = 10, requires = "report")]
    pub worst: usize,
    /// Write the rate into the model's file, where 'formant info' shows it; needs --model
    #[arg(long, value_name = "SET", requires = "model")]
    pub record: Option<String>,
    /// Threads.
    #[command(flatten)]
    pub threads: ThreadArgs,
}

/// `formant compare`.
#[derive(Args, Debug)]
pub struct CompareArgs {
    /// Results of one system
    #[arg(value_name = "A")]
    pub first: PathBuf,
    /// Results of the other
    #[arg(value_name = "B")]
    pub second: PathBuf,
    /// Protocol of the rates, if they are of phones
    #[arg(long, value_name = "NAME", default_value = "arpabet", value_parser = PossibleValuesParser::new(Protocol::NAMES))]
    pub protocol: String,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `formant features`.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("result").args(["out", "plot"]).required(true).multiple(true)))]
pub struct FeaturesArgs {
    /// Recording, or - for standard input
    ///
    /// WAV, FLAC, Ogg Vorbis, MP3, AIFF, CAF, MP4/AAC, NIST SPHERE and more, at any sample rate, recognised by content
    /// and never by name.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// NumPy file to write, or - for standard output
    ///
    /// A matrix of f32, a row a frame: `numpy.load` reads it.
    #[arg(short, long, value_name = "F.npy")]
    pub out: Option<PathBuf>,
    /// Picture of the spectrogram to write: a name that ends in .svg or .png
    #[arg(short, long, value_name = "F.svg|F.png")]
    pub plot: Option<PathBuf>,
    /// Make the features that this model gets: its front end, normalised and stacked
    ///
    /// Without it, features are plain log-mel energies (natural logarithm, samples scaled to 16 bits as in Kaldi), a
    /// frame of 25 ms every 10 ms at 16 kHz.
    #[arg(short, long, value_name = "MODEL")]
    pub model: Option<PathBuf>,
    /// Mel filters, 1 to 512 [default: 40]
    #[arg(long, value_name = "N", conflicts_with = "model", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub bins: Option<u16>,
    /// Orders of time derivatives that follow the energies, 0 to 2 [default: 0]
    #[arg(long, value_name = "N", conflicts_with = "model", value_parser = clap::value_parser!(u8).range(0..=2))]
    pub deltas: Option<u8>,
    /// Channel of the recording: mix, or a number counted from 0
    #[arg(long, value_name = "CHANNEL", default_value = "mix", value_parser = channel)]
    pub channel: Channel,
}

/// `formant info`.
#[derive(Args, Debug)]
pub struct InfoArgs {
    /// Model, recipe, manifest, recording, or a folder of them [default: the built-in model]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `formant doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Threads.
    #[command(flatten)]
    pub threads: ThreadArgs,
}

/// A part of `formant bench`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchPart {
    /// A product of large matrices: what the machine can do at most
    Product,
    /// A training step of a batch of 16 utterances of 300 frames
    Train,
    /// The same with lengths from 100 to 300 frames
    TrainUnequal,
    /// The same with one utterance of 300 frames
    TrainOne,
    /// Recognition of 1000 frames
    Infer,
    /// The front end
    Fbank,
    /// The CTC loss and its gradient
    Ctc,
    /// How training time grows with length and batch
    Scaling,
}

/// `formant bench`.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// What to measure; without any, everything but `scaling`
    #[arg(value_name = "PART")]
    pub parts: Vec<BenchPart>,
    /// Print one JSON object a figure and line
    #[arg(long)]
    pub json: bool,
    /// Fewer runs: less exact, done in seconds
    #[arg(long)]
    pub quick: bool,
    /// What computes the network and the loss.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Threads.
    #[command(flatten)]
    pub threads: ThreadArgs,
}

/// `formant generate`.
#[derive(Args, Debug)]
pub struct GenerateArgs {
    /// What to write.
    #[command(subcommand)]
    pub what: Generate,
}

/// What `formant generate` writes.
#[derive(Debug, Subcommand)]
pub enum Generate {
    /// Write man pages: to standard output all in one, or a file each with --out
    Man {
        /// Folder for the pages; made if it is missing
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Write the completions of a shell
    Completions {
        /// Shell that reads them
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
        /// Folder for the file, which gets the name that the shell expects [default: standard output]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Command, String> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command).map_err(|e| e.to_string())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for line in ["transcribe", "transcribe a --beam 0", "transcribe a -j 0", "transcribe a --fold x", "x"] {
            assert!(parse(&format!("formant {line}")).is_err(), "{line}");
        }
        assert!(parse("formant transcribe a b - --format json --channel 0 --device cpu").is_ok());
    }
}
