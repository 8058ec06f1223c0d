//! `formant bench`: figures for a script.
#![forbid(unsafe_code)]

use crate::support::Place;

#[test]
fn figures_have_the_promised_keys() {
    let ran = Place::new().run(&["bench", "--quick", "--json", "--threads", "2"]).ends(0);
    let figures = ran.json();
    let names: Vec<&str> = figures.iter().map(|f| f["figure"].as_str().unwrap()).collect();
    for name in ["train_frames_per_s", "infer_frames_per_s", "ctc_loss_fwd_bwd", "fbank_x_realtime"] {
        assert!(names.contains(&name), "{name}{}", ran.report());
    }
    for figure in &figures {
        assert!(figure["value"].as_f64().is_some_and(|v| v.is_finite() && v > 0.0), "{figure}");
        assert!(figure["seconds"].as_f64().is_some_and(|v| v > 0.0) && figure["unit"].is_string(), "{figure}");
        assert_eq!(figure["threads"], 2);
    }
    let losses: Vec<_> = figures.iter().filter(|f| f["figure"] == "ctc_loss_fwd_bwd").collect();
    assert!(losses.len() >= 3);
    for loss in losses {
        assert!(["T", "B", "C", "L"].iter().all(|key| loss[*key].as_u64().is_some_and(|n| n > 0)), "{loss}");
        assert_eq!(loss["value"], loss["seconds"]);
    }
    let machine = ran.err.starts_with("formant: version ") && ran.err.contains("2 threads");
    ran.holds(machine, "standard error describes the machine");
}

#[test]
fn a_part_can_be_asked_for() {
    let ran = Place::new().run(&["bench", "infer", "--quick", "--json"]).ends(0);
    let bits: Vec<_> = ran.json().iter().map(|f| (f["figure"].clone(), f["weight_bits"].as_u64())).collect();
    let name = serde_json::Value::from("infer_frames_per_s");
    assert_eq!(bits, [(name.clone(), Some(32)), (name, Some(8))]);
    Place::new().run(&["bench", "everything"]).ends(2);
}
