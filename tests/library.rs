//! The library: the same jobs for a Rust programmer, and the same answers.
#![forbid(unsafe_code)]

use crate::support::{Place, TINY_RECIPE, data, tiny_model};
use formant::Device;
use formant::audio::{ReadOptions, Waveform};
use formant::corpus::Manifest;
use formant::decode::DecoderConfig;
use formant::evaluate::{Compare, evaluate};
use formant::model::Model;
use formant::recognize::Recognizer;
use formant::score::Protocol;
use formant::train::{Event, Job, Observer, Recipe, train};
use std::path::Path;

#[test]
fn a_transcript_in_three_lines() -> formant::Result<()> {
    let recognizer = Recognizer::default();
    let transcript = recognizer.transcribe(&Waveform::open(data("samples/so0120.wav"))?)?;
    let phones = recognizer.model().phones().decode(&transcript.best().phones);

    let said = Place::new().run(&["transcribe", &data("samples/so0120.wav")]).fine().out;
    assert_eq!(said.trim_end(), phones);
    assert_eq!(transcript.best().segments.len(), transcript.best().phones.len());
    Ok(())
}

#[test]
fn sound_comes_from_anywhere() -> formant::Result<()> {
    let file = data("samples/an4-mjgk-44k-stereo.mp3");
    let from_file = Waveform::open(&file)?;
    let bytes = std::fs::read(&file).map_err(|e| formant::Error::io(&file, e))?;
    assert_eq!(Waveform::read(bytes, "memory", ReadOptions::default())?, from_file);
    let recognizer = Recognizer::default();
    let from_samples = Waveform::new(from_file.samples().to_vec(), from_file.sample_rate())?;
    assert_eq!(recognizer.transcribe(&from_samples)?, recognizer.transcribe(&from_file)?);
    Ok(())
}

#[test]
fn known_phones_are_found_in_the_sound() -> formant::Result<()> {
    let recognizer = Recognizer::new(Model::load(tiny_model())?, &DecoderConfig::Beam { width: 8 })?;
    let utterance = &Manifest::open(Path::new(&data("tiny")), "dev")?.utterances[0];
    let labels = recognizer.model().phones().encode(&utterance.phones)?;
    let segments = recognizer.align(&utterance.load(16000)?, &labels)?.phones;
    assert_eq!(segments.iter().map(|s| s.phone).collect::<Vec<_>>(), labels.as_slice());
    assert!(segments.windows(2).all(|w| w[0].end <= w[1].start) && segments[0].start < segments[0].end);
    assert_eq!(recognizer.transcribe(&utterance.load(16000)?)?.best().phones, labels.as_slice(), "known by heart");
    Ok(())
}

#[test]
fn an_error_rate_in_four_lines() -> formant::Result<()> {
    let recognizer = Recognizer::new(Model::load(tiny_model())?, &DecoderConfig::Greedy)?;
    let manifest = Manifest::open(Path::new(&data("tiny")), "train")?;
    let evaluation = evaluate(&recognizer, &manifest, Compare::Phones, None, &|_| ())?;
    let report = evaluation.report(&Protocol::named("arpabet")?);
    assert_eq!((report.total.per(), report.utterances.len()), (0.0, 8));
    assert!(evaluation.real_time_factor() > 0.0 && evaluation.warnings.is_empty());
    Ok(())
}

/// Stops a run after so many updates.
struct Enough(u64, u64);

impl Observer for Enough {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::Step(step) = event {
            self.1 = step.step;
        }
    }
    fn stop(&self) -> bool {
        self.1 >= self.0
    }
}

#[test]
fn a_training_run_can_be_watched_and_stopped() -> formant::Result<()> {
    let place = Place::new();
    let recipe = Recipe::read(Path::new(TINY_RECIPE))?.with(&["data.dev=train".to_owned()])?;
    let (out, device) = (place.path("run"), Device::Cpu);
    let mut job = Job { data: vec![data("tiny").into()], out, recipe, from: None, resume: false, device };
    let summary = train(&job, &mut Enough(10, 0))?;
    assert!(summary.interrupted && summary.best.is_some());
    let error = train(&job, &mut ()).unwrap_err().to_string();
    assert!(
        error.ends_with("this folder holds a run already: go on with --resume, or choose another folder with --out")
    );
    job.resume = true;
    assert!(!train(&job, &mut ())?.interrupted);
    let (ours, programs) = (std::fs::read(summary.model), std::fs::read(tiny_model()));
    assert!(ours.unwrap() == programs.unwrap(), "the library and the program train the same model");
    Ok(())
}

#[test]
fn a_run_in_stages_goes_on_to_the_same_bits() -> formant::Result<()> {
    let place = Place::new();
    let stages = "stages=[{set=[\"model.weight_noise=0.05\", \"train.criterion=per\", \"train.epochs=4\"]}]".to_owned();
    let changes = ["train.epochs=6".to_owned(), "train.criterion=loss".to_owned(), stages];
    let recipe = Recipe::read(Path::new(TINY_RECIPE))?.with(&changes)?;
    let job = |out: &str, resume: bool| Job {
        data: vec![data("tiny").into()],
        out: place.path(out),
        recipe: recipe.clone(),
        from: None,
        resume,
        device: Device::Cpu,
    };
    let whole = train(&job("whole", false), &mut ())?;
    // Four updates an epoch: the first stage ends after 24.
    for updates in [10, 30] {
        let out = format!("stopped at {updates}");
        assert!(train(&job(&out, false), &mut Enough(updates, 0))?.interrupted);
        let resumed = train(&job(&out, true), &mut ())?;
        assert_eq!(resumed.best, whole.best);
        let bytes = |out: &str| std::fs::read(place.path(out).join("model.safetensors")).ok();
        assert_eq!(bytes(&out), bytes("whole"), "stopped after {updates} updates");
    }
    let log = std::fs::read_to_string(place.path("whole/metrics.jsonl")).map_err(|e| formant::Error::io("log", e))?;
    let epochs = log.lines().filter(|line| line.contains("\"event\":\"epoch\"")).count();
    assert_eq!(epochs, 10);
    Ok(())
}
