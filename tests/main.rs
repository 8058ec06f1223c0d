//! End-to-end tests, one module a user's job.
#![allow(clippy::unwrap_used)]

/// What all of them need.
mod support;

/// `formant align`: known words and phones to times, in the formats of the programs that people open them with.
mod align;
/// Inputs that are wrong, each with its line and its exit status.
mod bad_inputs;
/// `formant bench`: figures for a script.
mod bench;
/// `formant compare`: is one system better than another?
mod compare;
/// A program with CUDA: where there is no GPU, and where there is one, or a CPU in its place.
#[cfg(feature = "cuda")]
mod cuda;
/// The recordings in `data/`: all there, all decodable, all described.
mod data;
/// The documentation: keys, commands and links.
mod docs;
/// `formant doctor`: is this machine well?
mod doctor;
/// `formant evaluate`: error rates.
mod evaluate;
/// `formant features`: numbers and pictures.
mod features;
/// Damaged inputs without end for every reader of foreign bytes.
mod fuzz;
/// `formant generate`, and help.
mod generate;
/// The front end, the loss and the recurrent layer against numbers made by Kaldi's and PyTorch's code.
mod golden;
/// `formant info`: what a file is.
mod info;
/// Which module may import which, and where `unsafe` may stand.
mod layering;
/// The same jobs without the program.
mod library;
/// `formant prepare`: corpora as they are distributed.
mod prepare;
/// `formant evaluate --report`: a page that needs nothing but itself.
mod report;
/// Broken off and gone on with: SIGKILL, Ctrl-C, full disks.
mod resume;
/// Every instruction set gives the same answer.
mod simd;
/// `transcribe --stream`: what is heard while sound arrives.
mod stream;
/// `formant train`: from recordings to a model.
mod train;
/// `formant transcribe`: recordings in, lines out.
mod transcribe;
/// Words and language models.
mod words;
