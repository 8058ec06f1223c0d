//! Inputs that are wrong in every way that comes to mind: each has its exact line on standard error and its exit status,
//! and none takes longer than a moment.
#![forbid(unsafe_code)]

/// Recordings.
mod audio;
/// Manifests and Kaldi folders.
mod corpora;
/// Model files.
mod models;
/// Recipes, and words on the command line.
mod recipes;

use crate::support::Place;

/// What is typed after `formant`, the exit status, and standard error without the `formant: ` before each line but a
/// hint's.
type Case = (&'static str, i32, &'static str);

/// No bad input may take longer, in seconds.
const MOMENT: f64 = 2.0;

/// Runs all cases in `place`, where their files lie, and fails with all that went wrong.
fn check(place: &Place, cases: &[Case]) {
    let mut wrong = Vec::new();
    for &(line, status, says) in cases {
        let words: Vec<&str> = line.split(' ').collect();
        let mut ran = place.run(&words);
        // A machine that is busy with other things is no mistake of ours.
        for _ in 0..2 {
            if ran.seconds > MOMENT {
                ran = place.run(&words);
            }
        }
        let expected: String = says.lines().map(|line| format!("{}{line}\n", prefix(line))).collect();
        if ran.status != Some(status) || ran.err != expected || ran.seconds > MOMENT {
            wrong.push(format!("expected status {status} and\n{expected}{}", ran.report()));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}

fn prefix(line: &str) -> &'static str {
    if line.starts_with("hint: ") { "" } else { "formant: " }
}
