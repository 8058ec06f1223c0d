//! Man pages and shell completions, made from the same definition that parses the command line.
#![forbid(unsafe_code)]

use super::args::{Cli, Generate, GenerateArgs};
use super::{Outcome, output};
use crate::error::Error;
use crate::files::write_atomic;
use clap::{Command, CommandFactory};
use std::path::Path;

/// Runs `formant generate`.
pub fn run(args: &GenerateArgs) -> anyhow::Result<Outcome> {
    let mut command = Cli::command();
    command.build();
    match &args.what {
        Generate::Man { out: None } => {
            for (_, page) in pages(&command)? {
                output::data(&page)?;
            }
        }
        Generate::Man { out: Some(folder) } => {
            make(folder)?;
            for (name, page) in pages(&command)? {
                write_atomic(&folder.join(name), &page)?;
            }
        }
        Generate::Completions { shell, out } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut command, "formant", &mut script);
            match out {
                None => output::data(&script)?,
                Some(folder) => {
                    make(folder)?;
                    let name = clap_complete::Generator::file_name(shell, "formant");
                    write_atomic(&folder.join(name), &script)?;
                }
            }
        }
    }
    Ok(Outcome::Done)
}

/// File name and text of the page of the program and of each command that help shows.
fn pages(command: &Command) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let shown = command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help");
    std::iter::once(command).chain(shown).map(page).collect()
}

fn page(command: &Command) -> anyhow::Result<(String, Vec<u8>)> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let man = clap_mangen::Man::new(command.clone()).title(name.to_uppercase());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().any(|c| !c.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    // The text after the help is made of paragraphs with headings; clap_mangen would run its lines together.
    let extra = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    page.extend(sections(&extra).into_bytes());
    Ok((format!("{name}.1"), page))
}

/// Paragraphs that begin with a heading (`Examples:`) as sections of a man page, their lines kept as they are.
fn sections(text: &str) -> String {
    let mut page = String::new();
    for paragraph in text.split("\n\n") {
        let (heading, body) = match paragraph.split_once(":\n") {
            Some((heading, body)) => (format!(".SH {}\n", heading.to_uppercase()), body),
            None => (".PP\n".to_owned(), paragraph),
        };
        page.push_str(&heading);
        page.push_str(".nf\n");
        for line in body.lines() {
            // A line that begins with a full stop or an apostrophe would be a command to troff.
            page.push_str("\\&");
            page.push_str(&line.replace('\\', "\\e").replace('-', "\\-"));
            page.push('\n');
        }
        page.push_str(".fi\n");
    }
    page
}

fn make(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shown_command_has_a_page() -> anyhow::Result<()> {
        let mut command = Cli::command();
        command.build();
        let pages = pages(&command)?;
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[..2], ["formant.1", "formant-transcribe.1"]);
        assert!(names.contains(&"formant-evaluate.1") && !names.contains(&"formant-generate.1"));
        let text = String::from_utf8_lossy(&pages[1].1).into_owned();
        assert!(text.contains(".SH EXAMPLES\n.nf\n\\&  formant transcribe talk.wav\n"), "{text}");
        Ok(())
    }

    #[test]
    fn lines_of_a_section_stay_lines() {
        let page = sections("A b:\n  x -y\n.z\\\n\nend");
        assert_eq!(page, ".SH A B\n.nf\n\\&  x \\-y\n\\&.z\\e\n.fi\n.PP\n.nf\n\\&end\n.fi\n");
    }
}
