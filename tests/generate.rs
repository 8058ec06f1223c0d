//! `formant generate`: man pages and shell completions; and the help they are made from.
#![forbid(unsafe_code)]

use crate::support::Place;

const COMMANDS: [&str; 7] = ["transcribe", "train", "evaluate", "features", "info", "doctor", "bench"];

#[test]
fn there_is_a_man_page_for_everything() {
    let place = Place::new();
    place.run(&["generate", "man", "--out", "man"]).fine();
    let page = |name: &str| std::fs::read_to_string(place.path("man").join(name)).unwrap();
    for command in COMMANDS {
        let page = page(&format!("formant-{command}.1"));
        assert!(
            [".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH EXAMPLES"].iter().all(|part| page.contains(part)),
            "{command}"
        );
        assert!(page_of_all().contains(&format!("formant {command}")), "{command}");
    }
    assert!(page("formant.1").contains(".SH EXIT STATUS"));
}

fn page_of_all() -> String {
    Place::new().run(&["generate", "man"]).fine().out.replace("\\-", "-")
}

#[test]
fn every_shell_gets_its_completions() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(&["generate", "completions", shell]).fine().out;
        assert!(COMMANDS.iter().all(|command| script.contains(command)), "{shell}");
    }
    place.run(&["generate", "completions", "fish", "--out", "made/here"]).fine();
    assert!(place.path("made/here/formant.fish").is_file());
}

#[test]
fn help_explains_each_command() {
    let place = Place::new();
    let all = place.run(&["--help"]).fine().out;
    for command in COMMANDS {
        assert!(all.contains(&format!("\n  {command} ")), "{command}");
        let help = place.run(&[command, "--help"]).fine().out;
        assert!(help.contains("Usage: formant ") && help.contains(&format!("formant {command}")), "{help}");
        assert!(help.contains("\nExamples:\n"), "{help}");
    }
    assert_eq!(place.run(&["--version"]).fine().out, format!("formant {}\n", env!("CARGO_PKG_VERSION")));
}
