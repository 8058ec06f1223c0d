//! What follows the options in `formant COMMAND --help` and in the man pages: examples, exit status, environment.
#![forbid(unsafe_code)]

/// `formant --help`.
pub const FORMANT: &str = "\
Examples:
  formant transcribe talk.wav
      Print the phones of a recording.
  formant transcribe --format json recordings/ > phones.jsonl
      The same for a folder, with times and scores.
  formant align talk.wav 'What is said in it.' --out talk.TextGrid
      When each word and phone is spoken, for Praat.
  formant train --data corpus --out run
      Train a model of one's own.
  formant evaluate --data corpus --split test
      Measure the built-in model on labelled recordings.
  formant info model.safetensors
      Say what a model is made of and how good it was.

Exit status:
  0    done
  1    done, but some inputs failed, or a check did not pass
  2    wrong usage, or input that cannot be used
  3    done, but suspect: a recording had less sound than its header promises, or does not say
       the text that it should be aligned with
  130  interrupted

Environment:
  FORMANT_SIMD       instruction set to use instead of the fastest: avx512, avx2, neon, portable
  FORMANT_CUDA_PATH  folders in which CUDA's libraries are looked for first
  FORMANT_RECURRENT  stepwise: on a GPU, launch recurrent layers step by step
  NO_COLOR           if set, help is printed without colours

'formant COMMAND --help' describes a command at length, 'formant COMMAND -h' in short.";

/// `formant train --help`.
pub const TRAIN: &str = "\
Examples:
  formant train --data corpus --out run
      Train with the built-in recipe on corpus/train.manifest.tsv.
  formant train --data corpus --out run --recipe recipes/plain/recipe.toml --set train.epochs=30
      With a recipe of one's own, one value changed.
  formant train --data corpus --out run --from default
      Begin with the weights of the model inside formant.
  formant train --data corpus --out run --resume
      Go on with a run that was broken off.
  tensorboard --logdir run/tensorboard
      Watch it.";

/// `formant transcribe --help`.
pub const TRANSCRIBE: &str = "\
Examples:
  formant transcribe talk.wav
      One recording: the line holds its phones and nothing else.
  formant transcribe *.flac | cut -f 2
      Several: each line is a path, a tab, and the phones.
  ffmpeg -i film.mkv -f wav - | formant transcribe -
      Standard input.
  formant transcribe --beam 32 --fold timit39 talk.mp3
      Beam search, and phones folded onto TIMIT's classical set.
  formant transcribe -f json talk.wav | jq '.segments[] | [.phone, .start, .end]'
      When each phone was heard.
  formant transcribe --lm default talk.wav
      Beam search with the language model of phones inside: fewer errors.
  formant transcribe --words --hotword Ulaanbaatar=6 --lexicon names.dict talk.wav
      Words of a dictionary, one of them likely.
  arecord -q -f S16_LE -r 16000 | formant transcribe - --stream -f json
      A microphone, as it is spoken into: partial lines, and a final one at each pause.
  formant transcribe -f textgrid --phones ipa --out grids recordings/
      A TextGrid for Praat beside each other in a folder, in the phonetic alphabet.

JSON keys:
  file, model, decoder, seconds (of sound), phones (separated by spaces), score (log probability),
  words (with --words: word, start, end), segments (phone; start and end in seconds; score: mean log
  probability), hypotheses (with --nbest: score, phones, words), warnings.
  With --stream: type (partial: it may change; final: the utterance is over), start, end (of what is
  said), heard (how much sound has come), recognized (how much of it is in the line), phones, words,
  segments (of a final line). All in seconds.

Exit status:
  0 all files done, 1 some files failed, 2 nothing was tried (wrong usage, a model that cannot be
  used), 3 all done but a recording had less sound than its header promises (a warning names it).";

/// `formant align --help`.
pub const ALIGN: &str = "\
Examples:
  formant align talk.wav 'She had your dark suit.' --out talk.TextGrid
      Words and phones for Praat.
  formant align talk.wav 'She had your dark suit.' --format json | jq '.phones[] | select(.score < 30)'
      Which phones were hardly said.
  formant align talk.wav 'sh iy hh ae d' --phones --format phn
      Phones instead of words, as TIMIT writes them.
  formant align --data corpus --split dev --out aligned
      A TextGrid for each utterance of a corpus, and a line each on standard output.

JSON keys:
  file, model, seconds (of sound), doubt (by how much for each phone the best path of any phones is
  more probable, natural logarithm), suspect, words (word, start, end, score, known, phones: the first
  of its phones and one past the last), phones (phone, start, end, written: where CTC wrote it, score:
  0 to 100, heard: what was said instead, empty if nothing was, inserted: what was said before it),
  warnings.

A word that is in no dictionary is aligned with whatever phones are said there; its phone is spn.

Exit status:
  0 done, 1 some utterances failed, 2 wrong usage or input that cannot be used, 3 done, but suspect:
  the text is hardly what was said, or a recording had less sound than its header promises.";

/// `formant lm --help`.
pub const LM: &str = "\
Examples:
  formant lm --data corpus --out phones.arpa --test dev
      4-grams of the phones of corpus/train.manifest.tsv, and how well they foresee those of dev.
  formant lm --data corpus --unit words --order 3 --text more.txt --out words.arpa.gz
      Trigrams of words, from a corpus and from a text.
  formant lm --lm phones.arpa --data corpus --split test
      The perplexity of a model that is there.

JSON keys:
  order, ngrams (a number an order), discounts (for counts of 1, 2, and 3 and more, an order each),
  perplexities (of, sentences, words, unknown, perplexity).";

/// `formant prepare --help`.
pub const PREPARE: &str = "\
Examples:
  formant prepare timit /corpora/TIMIT --out timit
      train, dev (50 speakers), test (the core test set) and test-complete, without the sa sentences.
  formant prepare librispeech LibriSpeech --out libri --lexicon more.dict
      A split a subset; phones are the first pronunciation of each word.
  formant prepare commonvoice cv/en --out voices --align
      The pronunciation of each word that is said, and only texts that are.
  formant train --data timit --out run --set data.phones=data
      What comes next: data.phones=data takes the phones from the labels.

JSON keys:
  splits (split, utterances, speakers, hours, phones, by_dialect, by_gender), problems, left_out,
  notes.

Exit status:
  0 done, 1 or 2 nothing can be used, 3 done, but something is wrong: problems.tsv says what.";

/// `formant export --help`.
pub const EXPORT: &str = "\
Examples:
  formant export timit --data corpus --split train --out as-timit
      The words of the texts, aligned by the built-in model.
  formant export timit --data corpus --split test --out as-timit --phones
      The phones of the labels.
  formant prepare timit as-timit --out manifests
      And back.

Exit status:
  0 done, 1 some utterances were left out, 3 done, but suspect: the text is hardly what was said.";

/// `formant compare --help`.
pub const COMPARE: &str = "\
Examples:
  formant evaluate -d corpus -s test --results a.jsonl
  formant evaluate -d corpus -s test -m run --results b.jsonl
  formant compare a.jsonl b.jsonl
      Whether the model in run is better than the built-in one.

JSON keys:
  first, second (file, rate in percent, errors), unit, protocol, utterances, speakers,
  difference (points, second less first), relative_percent, interval (95 %), drawn (speakers,
  or utterances below five speakers), bootstrap_p, matched_pairs_p, second_better (share of
  draws), verdict.";

/// `formant evaluate --help`.
pub const EVALUATE: &str = "\
Examples:
  formant evaluate --data corpus --split test
      The built-in model on corpus/test.manifest.tsv.
  formant evaluate -d corpus -s test --model run/model.safetensors --by speaker
      Another model, with a rate for each speaker.
  formant evaluate -d corpus -s dev --beam 16 --json | jq .per
      One number, for a script.
  formant evaluate -d timit -s test -m run --protocol graves --results run.jsonl
      The rate that papers on TIMIT give, and a file for 'formant compare'.
  formant evaluate -d corpus -s test -m run --report report.html
      A page for the browser: rates of all groups, confusion matrix, worst utterances with sound.

JSON keys:
  per (percent; with --words wer), substitutions, deletions, insertions, utterances, reference_phones,
  real_time_factor, protocol, model, interval (95 %, percent, drawing speakers; null below five),
  interval_by_utterance, protocols (name, per, ..., interval, about), confusions (reference, hypothesis, count; null stands for nothing), by_speaker (with --by speaker).

The real-time factor is the time that one processor spends on recognition, from samples to phones,
by the duration of the sound. The interval is drawn anew over speakers a thousand times.";

/// `formant features --help`.
pub const FEATURES: &str = "\
Examples:
  formant features talk.wav --out talk.npy
      Log-mel energies as a NumPy matrix, a row a frame.
  formant features talk.wav --plot talk.png
      A spectrogram.
  formant features talk.wav --model model.safetensors --out - | python3 -c \
      'import io, sys, numpy; print(numpy.load(io.BytesIO(sys.stdin.buffer.read())).shape)'
      What a model sees.";

/// `formant info --help`.
pub const INFO: &str = "\
Examples:
  formant info
      The built-in model: layers, front end, phones, data, measured error rates.
  formant info recipe.toml
      A recipe with all defaults filled in.
  formant info corpus/train.manifest.tsv
      Utterances, hours, speakers and phones of a manifest.
  formant info talk.wav
      Format, length and oddities of a recording.";

/// `formant doctor --help`.
pub const DOCTOR: &str = "\
Examples:
  formant doctor
      What formant finds here, a line each.
  formant doctor --json
      The same to paste into a report.";

/// `formant bench --help`.
pub const BENCH: &str = "\
Examples:
  formant bench
      A table.
  formant bench train infer --threads 1
      Some parts alone.
  formant bench --json > figures.jsonl
      A line a figure: {\"figure\": \"ctc_loss_fwd_bwd\", \"T\": 300, ..., \"value\": ..}

Figures:
  product_gflop_per_s       a product of matrices of 1536 x 1536 in f32: the most to be had here
  train_frames_per_s        forward, CTC loss, backward, clipping and update of 3 bidirectional
                            layers of 250 LSTM units over 123 numbers a frame, 62 classes
  infer_frames_per_s        forward alone, one utterance of 1000 frames, with weights of 32 and of
                            8 bits
  ctc_loss_fwd_bwd          seconds of the CTC loss and its gradient: T frames, B utterances,
                            C classes, L labels each
  fbank_x_realtime          seconds of sound whose log-mel features one second makes
  train_time_exponent_in_T  1 if a step's time grows as the frames of an utterance do; in_B: as
                            the number of utterances does";

/// `formant generate --help`.
pub const GENERATE: &str = "\
Examples:
  formant generate man --out /usr/local/share/man/man1
  formant generate completions bash --out ~/.local/share/bash-completion/completions
  formant generate completions fish > ~/.config/fish/completions/formant.fish";
