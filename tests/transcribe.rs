//! `formant transcribe`: recordings in, lines out.
#![forbid(unsafe_code)]

use crate::support::{Place, data, skipped, symbols, tiny_model, wait, wav};
use formant::audio::Waveform;
use formant::score::Report;
use std::process::Stdio;

const SAMPLES: [&str; 8] = [
    "an4-fbbh.wav",
    "an4-ffmm.wav",
    "an4-mjgk-44k-stereo.mp3",
    "an4-mrab.wav",
    "so0120.wav",
    "so1293.wav",
    "so2448.ogg",
    "so2897-8k.flac",
];

fn sample(name: &str) -> String {
    data(&format!("samples/{name}"))
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(sample(name)).unwrap()
}

/// The phones of one recording.
fn phones(place: &Place, file: &str) -> String {
    place.run(&["transcribe", file]).fine().out.trim_end().to_owned()
}

#[test]
fn one_recording_is_one_line_of_phones() {
    let (place, known) = (Place::new(), symbols());
    let ran = place.run(&["transcribe", &sample("so0120.wav")]).fine();
    let all_known = ran.out.split_whitespace().all(|phone| known.iter().any(|k| k == phone));
    let one_line = ran.out.lines().count() == 1 && ran.out.len() > 10 && !ran.out.contains('\t');
    ran.holds(all_known, "the line holds phones of the model").holds(one_line, "and nothing else");
}

#[test]
fn several_recordings_and_folders_are_named() {
    let place = Place::new();
    let ran = place.run(&["transcribe", &sample("so2448.ogg"), &sample("an4-mrab.wav")]).fine();
    let names: Vec<&str> = ran.out.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(names, [sample("so2448.ogg"), sample("an4-mrab.wav")], "{}", ran.report());

    let ran = place.run(&["transcribe", &data("samples")]).fine();
    let names: Vec<&str> = ran.out.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(names, SAMPLES.map(sample), "a folder is walked in order{}", ran.report());
    let alone: Vec<String> = SAMPLES.iter().map(|name| phones(&place, &sample(name))).collect();
    let together: Vec<&str> = ran.out.lines().filter_map(|line| line.split('\t').nth(1)).collect();
    assert_eq!(together, alone, "company does not matter");

    place.write("box/in/a.wav", read("so0120.wav"));
    place.write("box/notes.txt", "no sound");
    place.write("box/.hidden.wav", read("so0120.wav"));
    let ran = place.run(&["transcribe", "box"]).ends(0);
    assert_eq!(ran.err, "formant: 1 files in folders are no recordings and were left out\n");
    assert_eq!(ran.out, format!("box/in/a.wav\t{}\n", phones(&place, &sample("so0120.wav"))));
}

#[test]
fn standard_input_is_a_file_like_others() {
    let place = Place::new();
    for name in ["so0120.wav", "so2448.ogg", "so2897-8k.flac", "an4-mjgk-44k-stereo.mp3"] {
        let ran = place.finish(place.command(&["transcribe", "-"]), &read(name)).fine();
        assert_eq!(ran.out.trim_end(), phones(&place, &sample(name)), "{}", ran.report());
    }
}

#[test]
fn json_tells_what_text_leaves_out() {
    let place = Place::new();
    let file = sample("an4-mrab.wav");
    let ran = place.run(&["transcribe", "--format", "json", &file]).fine();
    let [line] = ran.json().try_into().unwrap();
    let keys: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = ["file", "model", "decoder", "seconds", "phones", "score", "segments", "warnings"];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!((line["file"].as_str(), line["model"].as_str()), (Some(file.as_str()), Some("default")));
    assert_eq!(line["decoder"]["kind"], "greedy");
    assert_eq!(line["phones"].as_str(), Some(phones(&place, &file).as_str()));
    let seconds = line["seconds"].as_f64().unwrap();
    assert!((seconds - Waveform::open(&file).unwrap().seconds()).abs() < 1e-6);
    let (mut text, mut end) = (Vec::new(), 0.0);
    for segment in line["segments"].as_array().unwrap() {
        assert!(segment["start"].as_f64().unwrap() >= end, "{}", ran.report());
        end = segment["end"].as_f64().unwrap();
        assert!(end <= seconds && segment["start"].as_f64().unwrap() < end);
        assert!(segment["score"].as_f64().unwrap() <= 0.0);
        text.push(segment["phone"].as_str().unwrap());
    }
    assert_eq!(text.join(" "), phones(&place, &file));
    let ran = place.run(&["transcribe", "--beam", "4", "-f", "json", &file]).fine();
    let beam = &ran.json()[0];
    assert_eq!((&beam["decoder"]["kind"], &beam["decoder"]["width"]), (&"beam".into(), &4.into()));
    assert!(beam["score"].as_f64().unwrap() >= line["score"].as_f64().unwrap() - 1e-3, "all paths, not one");
}

#[test]
fn content_decides_and_not_the_name() {
    let place = Place::new();
    let shuffled =
        [("so2897-8k.flac", "a.wav"), ("so0120.wav", "b.mp3"), ("so2448.ogg", "c"), ("an4-fbbh.wav", "d.txt")];
    for (name, other) in shuffled {
        place.write(other, read(name));
        assert_eq!(phones(&place, other), phones(&place, &sample(name)), "{name} called {other}");
    }
}

#[test]
fn the_container_does_not_matter() {
    let place = Place::new();
    for name in ["so0120.wav", "an4-mrab.wav", "so1293.wav"] {
        let (wave, expected) = (Waveform::open(sample(name)).unwrap(), phones(&place, &sample(name)));
        for rate in [16000, 22050, 32000, 44100, 48000] {
            let other = wave.clone().resampled(rate).unwrap();
            place.write("other.wav", wav(other.samples(), rate));
            assert_eq!(phones(&place, "other.wav"), expected, "{name} at {rate} Hz");
        }
        let stereo = hound::WavSpec { channels: 2, sample_rate: 16000, bits_per_sample: 24, ..spec() };
        let mut writer = hound::WavWriter::create(place.path("stereo.wav"), stereo).unwrap();
        for sample in wave.samples() {
            writer.write_sample((sample * 8_388_607.0) as i32).unwrap();
            writer.write_sample(0).unwrap();
        }
        writer.finalize().unwrap();
        let ran = place.run(&["transcribe", "--channel", "0", "stereo.wav"]).fine();
        assert_eq!(ran.out.trim_end(), expected, "{name} as one of two channels of 24 bits");
    }
}

#[test]
fn sphere_is_heard_like_any_other_format() {
    let (place, name) = (Place::new(), "so0120.wav");
    let samples = hound::WavReader::open(sample(name)).unwrap().into_samples::<i16>();
    let sound: Vec<u8> = samples.flat_map(|s| s.unwrap().to_be_bytes()).collect();
    let fields = "sample_rate -i 16000\nchannel_count -i 1\nsample_n_bytes -i 2\nsample_byte_format -s2 10";
    let mut bytes = format!("NIST_1A\n   1024\n{fields}\nsample_count -i {}\nend_head\n", sound.len() / 2).into_bytes();
    bytes.resize(1024, b' ');
    bytes.extend(sound);
    place.write("folder/sa1.WAV", &bytes);
    let expected = phones(&place, &sample(name));
    assert_eq!(phones(&place, "folder/sa1.WAV"), expected);
    assert!(place.run(&["transcribe", "folder"]).fine().out.contains(&expected));
    let piped = place.finish(place.command(&["transcribe", "-"]), &bytes).fine();
    assert_eq!(piped.out.trim_end(), expected);
    let found = &place.run(&["info", "--json", "folder/sa1.WAV"]).fine().json()[0];
    assert_eq!((&found["kind"], &found["format"]), (&"audio".into(), &"SPHERE".into()));
    assert_eq!((&found["sample_rate"], &found["frames"]), (&16000.into(), &51200.into()));
}

fn spec() -> hound::WavSpec {
    hound::WavSpec { channels: 1, sample_rate: 16000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int }
}

#[test]
fn the_exit_status_says_how_it_went() {
    let place = Place::new();
    place.write("bad.wav", "no sound");
    place.write("cut.wav", &read("so0120.wav")[..40_000]);
    let good = sample("so2448.ogg");
    place.run(&["transcribe", &good]).ends(0);
    let ran = place.run(&["transcribe", "bad.wav", &good]).ends(1);
    assert!(ran.out.starts_with(&good) && ran.err.starts_with("formant: error: bad.wav: "), "{}", ran.report());
    let ran = place.run(&["transcribe", "--model", "nothing", &good]).ends(2);
    assert_eq!((ran.out.as_str(), ran.err.lines().count()), ("", 1), "{}", ran.report());
    let ran = place.run(&["transcribe", "cut.wav"]).ends(3);
    let missing = "formant: warning: cut.wav: truncated: the header promises 102400 bytes of sound, 39956 are there\n";
    assert_eq!(ran.err, missing, "{}", ran.report());
    assert!(!ran.out.trim_end().is_empty());
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let place = Place::new();
    let mut command = place.command(&["transcribe", &data("samples"), &data("samples")]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(wait(&mut child), Some(0));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn a_full_standard_output_is_an_error() {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else {
        return skipped("output to a full disk", "there is no /dev/full");
    };
    let place = Place::new();
    let mut command = place.command(&["transcribe", &sample("so2448.ogg")]);
    let mut child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(wait(&mut child), Some(2));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(said, "formant: error: standard output: No space left on device (os error 28)\n");
}

#[test]
fn threads_change_nothing() {
    let place = Place::new();
    let run = |threads| place.run(&["transcribe", "-f", "json", "--threads", threads, &data("samples")]).fine().out;
    assert_eq!(run("1"), run("2"));
}

#[test]
fn a_long_recording_is_heard_to_its_end() {
    let (place, model) = (Place::new(), tiny_model());
    let silence = vec![0.0; 35 * 16000];
    let (mut samples, mut last_at) = (Vec::new(), 0);
    for (n, name) in SAMPLES.iter().chain(&SAMPLES).enumerate() {
        if n == 9 {
            samples.extend_from_slice(&silence);
        }
        last_at = samples.len();
        samples.extend_from_slice(Waveform::open(sample(name)).unwrap().resampled(16000).unwrap().samples());
    }
    assert!(samples.len() > 60 * 16000);
    place.write("long.wav", wav(&samples, 16000));
    for model in [None, Some(model)] {
        let words = |file| match &model {
            None => vec!["transcribe", "-f", "json", file],
            Some(model) => vec!["transcribe", "-f", "json", "--model", model, file],
        };
        let ran = place.run(&words("long.wav")).fine();
        let long = &ran.json()[0];
        assert!((long["seconds"].as_f64().unwrap() - samples.len() as f64 / 16000.0).abs() < 1e-6);
        let begin = last_at as f64 / 16000.0;
        let heard = |from: f64| -> Vec<String> {
            let late = long["segments"].as_array().unwrap().iter().filter(|s| s["end"].as_f64().unwrap() > from);
            late.map(|s| s["phone"].as_str().unwrap().to_owned()).collect()
        };
        // The last recording's label has 26 phones; the tiny network writes few of any that it was not trained on.
        let last = heard(begin);
        assert!(last.len() > 3, "{last:?} is too little{}", ran.report());
    }
}

#[test]
fn silence_can_be_left_out() {
    let place = Place::new();
    let (first, second) = (data("samples/so0120.wav"), data("samples/an4-fbbh.wav"));
    let sound = |path: &str| Waveform::open(path).unwrap().samples().to_vec();
    let begin = sound(&first).len() as f64 / 16000.0;
    let joined = [sound(&first), vec![0.0; 5 * 16000], sound(&second)].concat();
    place.write("joined.wav", wav(&joined, 16000));
    let ran = place.run(&["transcribe", "joined.wav", "--vad", "--format", "json"]).fine();
    let segments = ran.json()[0]["segments"].as_array().unwrap().clone();
    let starts: Vec<f64> = segments.iter().map(|segment| segment["start"].as_f64().unwrap()).collect();
    assert!(starts.windows(2).all(|pair| pair[0] <= pair[1]), "{}", ran.report());
    let silent = |t: f64| (begin + 0.5..begin + 4.5).contains(&t);
    assert!(starts.iter().all(|start| !silent(*start)), "{}", ran.report());
    // Each stretch is heard nearly as it is alone: frames fall elsewhere.
    let alone = |path: &str| place.run(&["transcribe", path, "--vad"]).fine().out.trim_end().to_owned();
    let together = place.run(&["transcribe", "joined.wav", "--vad"]).fine().out;
    let alone = format!("{} {}", alone(&first), alone(&second));
    let (alone, together): (Vec<_>, Vec<_>) = (alone.split(' ').collect(), together.trim_end().split(' ').collect());
    let score = Report::default().add("", &alone, &together);
    assert!(score.reference > 30 && score.errors() <= 5, "{score:?}");
    place.write("silent.wav", wav(&[0.0; 40_000], 16000));
    assert_eq!(place.run(&["transcribe", "silent.wav", "--vad"]).fine().out, "\n");
}
