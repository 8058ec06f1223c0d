//! What the program says: data on standard output, talk on standard error, bars on a terminal only.
#![forbid(unsafe_code)]

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::{self, Display};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

/// An error together with what might help.
#[derive(Debug)]
struct Hinted {
    what: String,
    hint: String,
}

impl Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Hinted {}

/// An error that comes with a hint.
pub fn with_hint(what: impl Display, hint: impl Display) -> anyhow::Error {
    Hinted { what: what.to_string(), hint: hint.to_string() }.into()
}

/// Prints an error and its hint to standard error.
pub fn error(error: &anyhow::Error) {
    talk(&format!("error: {}", sentence(error)));
    if let Some(hinted) = error.downcast_ref::<Hinted>() {
        // Nobody is left to tell if standard error itself is gone.
        let _ = writeln!(io::stderr(), "hint: {}", one_line(&hinted.hint));
    }
}

/// An error and its causes, each told once: the library's errors have their cause in their own sentence.
fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if sentence.is_empty() {
            sentence = cause;
        } else if !sentence.contains(&cause) {
            sentence = format!("{sentence}: {cause}");
        }
    }
    sentence
}

/// Prints a warning to standard error.
pub fn warning(what: impl Display) {
    talk(&format!("warning: {what}"));
}

/// Prints a remark to standard error.
pub fn note(what: impl Display) {
    talk(&what.to_string());
}

fn talk(what: &str) {
    let _ = writeln!(io::stderr(), "formant: {}", one_line(what));
}

/// Prints a line to standard output. A reader that has gone is the error [`is_broken_pipe`] tells.
pub fn line(line: impl Display) -> anyhow::Result<()> {
    data(format!("{line}\n").as_bytes())
}

/// Writes bytes to standard output.
pub fn data(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).context("standard output")
}

/// Prints a value as one line of JSON to standard output.
pub fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string(value)?)
}

/// Whether writing failed because nobody reads any more. Files that cannot be written are the library's errors, and
/// name their file; only standard output's come as they are.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
}

/// A path as part of a line: what would break the line is escaped.
pub fn path(path: &Path) -> String {
    one_line(&path.to_string_lossy())
}

/// Text with control characters escaped, so that it stays one line and cannot steer a terminal.
fn one_line(text: &str) -> String {
    text.trim_end().chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// A number of seconds without the noise of binary fractions.
pub fn seconds(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// Lines of a name and a value, values aligned, without an end of line after the last.
#[derive(Debug, Default)]
pub struct Table(Vec<(String, String)>);

impl Table {
    /// Adds a line.
    pub fn row(&mut self, name: impl Display, value: impl Display) {
        self.0.push((name.to_string(), one_line(&value.to_string())));
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (n, (name, value)) in self.0.iter().enumerate() {
            let end = if n == 0 { "" } else { "\n" };
            write!(f, "{end}{name:width$}  {value}")?;
        }
        Ok(())
    }
}

/// From clap's report of a mistake made with `command`: what is wrong, and what may help.
pub fn usage_lines(report: &str, command: &str) -> (String, String) {
    let mut paragraphs = report.split("\n\n");
    let joined = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let what = joined(paragraphs.next().unwrap_or_default());
    let what = what.strip_prefix("error: ").unwrap_or(&what).to_owned();
    let tip = paragraphs.find_map(|paragraph| paragraph.trim().strip_prefix("tip: ").map(joined));
    (what, tip.unwrap_or_else(|| format!("'{command} --help' lists what it takes")))
}

/// A bar on standard error; nothing at all where that is no terminal.
pub struct Progress {
    bar: ProgressBar,
    unit: &'static str,
}

impl Progress {
    /// A bar that counts up to `total` things called `unit`.
    pub fn counting(total: usize, unit: &'static str) -> Self {
        let template = format!("{{msg}} {{wide_bar}} {{pos}}/{{len}} {unit}, {{elapsed}}, {{eta}} left");
        let bar = Self::bar(Some(total as u64));
        // The template is ours: should it ever be wrong, the default one shows.
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        Self { bar, unit }
    }

    /// Whether it counts up to `total` things called `unit`.
    pub fn counts(&self, total: usize, unit: &str) -> bool {
        self.unit == unit && self.bar.length() == Some(total as u64)
    }

    /// A sign that something is going on, whose end is not known.
    pub fn waiting(what: &str) -> Self {
        let bar = Self::bar(None);
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, unit: "" }
    }

    /// Nothing.
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), unit: "" }
    }

    fn bar(total: Option<u64>) -> ProgressBar {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let shown = io::stderr().is_terminal() && !dumb;
        ProgressBar::with_draw_target(
            total,
            if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        )
    }

    /// Moves the bar to `done`.
    pub fn set(&self, done: usize) {
        self.bar.set_position(done as u64);
    }

    /// What stands before the bar.
    pub fn say(&self, message: String) {
        self.bar.set_message(message);
    }

    /// Prints something while the bar stands aside.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_lines() {
        assert_eq!(one_line("a\nb\u{1b}[2J\tö\n"), "a\\nb\\u{1b}[2J\\tö");
        assert_eq!(path(Path::new("a\tb.wav")), "a\\tb.wav");
    }

    #[test]
    fn seconds_are_free_of_noise() {
        assert_eq!((seconds(0.1 + 0.2), seconds(3.0 * 0.01)), (0.3, 0.03));
    }

    #[test]
    fn mistakes_become_one_line_and_a_hint() {
        let report = "error: the following required arguments were not provided:\n  <FILE>...\n\n\
                      Usage: formant transcribe <FILE>...\n\nFor more information, try '--help'.\n";
        let (what, hint) = usage_lines(report, "formant transcribe");
        assert_eq!(what, "the following required arguments were not provided: <FILE>...");
        assert_eq!(hint, "'formant transcribe --help' lists what it takes");
        let report =
            "error: unexpected argument '--modl' found\n\n  tip: a similar argument exists: '--model'\n\nUsage: x\n";
        assert_eq!(usage_lines(report, "formant").1, "a similar argument exists: '--model'");
    }

    #[test]
    fn causes_are_told_once() {
        let inner = crate::Error::io("x.wav", io::Error::other("gone"));
        assert_eq!(sentence(&anyhow::Error::from(inner).context("reading")), "reading: x.wav: gone");
    }

    #[test]
    fn hints_and_broken_pipes_are_told_apart() {
        let broken = anyhow::Error::from(io::Error::from(ErrorKind::BrokenPipe));
        assert!(is_broken_pipe(&broken.context("standard output")));
        let file = crate::Error::io("x", io::Error::from(ErrorKind::BrokenPipe));
        assert!(!is_broken_pipe(&file.into()) && !is_broken_pipe(&with_hint("a", "b")));
        assert_eq!(with_hint("a", "b").to_string(), "a");
    }
}
