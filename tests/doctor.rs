//! `formant doctor`: is this machine well?
#![forbid(unsafe_code)]

use crate::support::Place;
use formant::nn::simd::Path as SimdPath;

#[test]
fn all_is_fine_here() {
    let place = Place::new();
    let ran = place.run(&["doctor", "--threads", "2"]).fine();
    let last = ran.out.ends_with(" all fine\n");
    ran.holds(last, "all fine");
    let ran = place.run(&["doctor", "--json", "--threads", "2"]).fine();
    let found = &ran.json()[0];
    assert_eq!((&found["threads"], &found["version"]), (&2.into(), &env!("CARGO_PKG_VERSION").into()));
    assert_eq!(found["simd"]["used"], found["simd"]["available"][0], "the fastest is used");
    assert!(found["problems"].as_array().is_some_and(Vec::is_empty) && found["model"]["parameters"].as_u64() > Some(0));
    let unused = found["gpu_unused"].as_str().is_some_and(|why| !why.is_empty());
    assert!(unused == (found["device"] == "cpu"), "it says why no GPU is used, if none is");
}

#[test]
fn every_instruction_set_can_be_chosen() {
    let place = Place::new();
    for path in SimdPath::available() {
        let mut command = place.command(&["doctor", "--json"]);
        command.env("FORMANT_SIMD", path.name());
        assert_eq!(place.finish(command, b"").fine().json()[0]["simd"]["used"], path.name());
    }
}

#[test]
fn a_wish_that_is_not_heeded_is_a_problem() {
    let place = Place::new();
    let mut command = place.command(&["doctor"]);
    command.env("FORMANT_SIMD", "mmx");
    let ran = place.finish(command, b"").ends(1);
    let says = ran.err.starts_with("formant: warning: FORMANT_SIMD=mmx is not heeded: this machine has ");
    ran.holds(says, "it says what is wrong");
}
