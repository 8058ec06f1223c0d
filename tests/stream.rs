//! `transcribe --stream`: what is heard while sound arrives through a pipe.
#![forbid(unsafe_code)]

use crate::support::{Place, data};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(data(name)).expect("a recording")
}

#[test]
fn lines_come_before_the_sound_ends() {
    let place = Place::new();
    let mut command = place.command(&["transcribe", "-", "--stream", "-f", "json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let (mut stdin, stdout) = (child.stdin.take().expect("stdin"), child.stdout.take().expect("stdout"));
    let sound = bytes("samples/an4-fbbh.wav");
    // Two of three seconds, and the pipe stays open.
    stdin.write_all(&sound[..44 + 64_000]).expect("it listens");
    stdin.flush().expect("it listens");
    let mut lines = BufReader::new(stdout).lines();
    let start = Instant::now();
    let first: serde_json::Value =
        serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON before the end");
    assert!(start.elapsed() < Duration::from_secs(60));
    assert_eq!(first["type"], "partial");
    assert!(first["heard"].as_f64() < Some(2.01) && first["phones"].as_str().is_some_and(|p| p.starts_with('f')));
    stdin.write_all(&sound[44 + 64_000..]).expect("it listens");
    drop(stdin);
    let rest: Vec<serde_json::Value> =
        lines.map(|line| serde_json::from_str(&line.expect("text")).expect("JSON")).collect();
    assert!(child.wait().expect("an end").success());
    let last = rest.last().expect("a last line");
    assert_eq!(last["type"], "final");
    let segments = last["segments"].as_array().cloned().unwrap_or_default();
    assert!(segments.len() > 10 && segments.windows(2).all(|w| w[0]["end"].as_f64() <= w[1]["start"].as_f64()));
    assert!(segments.last().is_some_and(|s| s["end"].as_f64() <= Some(3.04)));
}

#[test]
fn samples_without_a_header_are_heard_the_same() {
    let place = Place::new();
    let sound = bytes("samples/an4-fbbh.wav");
    let words = ["transcribe", "-", "--stream"];
    let with = place.finish(place.command(&words), &sound).fine();
    let raw = place.finish(place.command(&[&words[..], &["--raw", "16000"]].concat()), &sound[44..]).fine();
    assert_eq!(raw.out, with.out);
    assert!(with.out.lines().count() >= 1 && with.out.contains("s ih k s"), "{}", with.report());
}

#[test]
fn pauses_end_utterances_and_long_streams_are_cut() {
    let place = Place::new();
    let speech = &bytes("samples/an4-fbbh.wav")[44..];
    let mut sound = [speech, &[0; 64_000], speech].concat();
    let words = ["transcribe", "-", "--stream", "--raw", "16000", "-f", "json"];
    let finals = |sound: &[u8]| {
        let lines = place.finish(place.command(&words), sound).fine().json();
        lines.into_iter().filter(|line| line["type"] == "final").collect::<Vec<_>>()
    };
    let two = finals(&sound);
    assert_eq!(two.len(), 2, "{two:?}");
    assert!(two[1]["start"].as_f64() > Some(5.0));
    // Without a pause: no utterance gets longer than 15 seconds.
    let dense = &speech[16_000..speech.len() - 16_000];
    sound = dense.repeat(16);
    let cut = finals(&sound);
    assert!(cut.len() >= 2, "{cut:?}");
    let length =
        |line: &serde_json::Value| line["end"].as_f64().unwrap_or(99.0) - line["start"].as_f64().unwrap_or(0.0);
    assert!(cut.iter().all(|line| length(line) < 15.5), "{cut:?}");
}

#[test]
fn what_cannot_be_streamed_is_one_line() {
    let place = Place::new();
    let file = data("samples/an4-mjgk-44k-stereo.mp3");
    for (words, expected) in [
        (vec!["transcribe", &file, "--stream"], "can be heard as they arrive"),
        (vec!["transcribe", &file, &file, "--stream"], "one stream can be heard at a time"),
        (vec!["transcribe", &file, "--stream", "-f", "srt"], "a stream is told as text or JSON"),
        (vec!["transcribe", &file, "--raw", "16000"], "--stream"),
        (vec!["transcribe", &file, "--stream", "--chunk", "x"], "--chunk"),
        (vec!["transcribe", "missing.wav", "--stream"], "missing.wav: "),
    ] {
        let ran = place.run(&words).ends(2);
        assert!(ran.err.contains(expected) && ran.out.is_empty(), "{expected}{}", ran.report());
    }
}
