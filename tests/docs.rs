//! The documentation against the program: what it lists is there, what is there is listed, links lead somewhere.
#![forbid(unsafe_code)]

use formant::nn::recurrent::CellKind;
use formant::train::Recipe;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Rows of all tables of a page whose first cell is code: that code, and the second cell.
fn rows(page: &str) -> BTreeMap<String, String> {
    let row = |line: &str| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let key = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        Some((key.to_owned(), cells.next()?.to_owned()))
    };
    page.lines().filter_map(row).collect()
}

/// Keys with dots and their values; elements of a list of tables are counted as `N`.
fn flatten(value: &Value, key: &str, flat: &mut BTreeMap<String, Value>) {
    let below = |part: &str| if key.is_empty() { part.to_owned() } else { format!("{key}.{part}") };
    match value {
        Value::Table(table) => table.iter().for_each(|(part, value)| flatten(value, &below(part), flat)),
        Value::Array(array) if array.first().is_some_and(Value::is_table) => flatten(&array[0], &below("N"), flat),
        _ => drop(flat.insert(key.to_owned(), value.clone())),
    }
}

/// Keys without a default, in a kind that has them.
const MUST_BE_GIVEN: [&str; 3] = ["train.schedule.factor", "train.schedule.patience", "stages.N.set"];

#[test]
fn every_key_of_a_recipe_is_listed_with_its_default() -> Outcome {
    // Between them, all parts that may be left out and all kinds. The last one's own values come first.
    let variants = [
        "[train]\nschedule = { kind = \"plateau\", factor = 0.5, patience = 3 }\n",
        "[train]\nschedule = { kind = \"cosine\" }\noptimizer = { kind = \"sgd\" }\n",
        "[augment]\nnoise = {}\nspec = {}\n[train]\nexpected_errors = {}\n",
        "[model]\nconvolutions = [{}]\n",
        "[[stages]]\nset = []\n",
        "",
    ];
    let mut keys = BTreeMap::new();
    for text in variants {
        let recipe = Recipe::parse(text, Path::new("variant"))?;
        flatten(&Value::Table(toml::from_str::<Table>(&recipe.to_toml())?), "", &mut keys);
    }
    let page = std::fs::read_to_string(root().join("docs/recipes.md"))?;
    let (about_keys, _) = page.split_once("## What a run writes").ok_or("the keys end before what a run writes")?;
    let page = rows(about_keys);
    assert_eq!(page.keys().collect::<Vec<_>>(), keys.keys().collect::<Vec<_>>());
    for (key, value) in keys {
        let listed = page[&key].trim_matches('`');
        if MUST_BE_GIVEN.contains(&key.as_str()) {
            assert_eq!(listed, "none", "{key}");
            continue;
        }
        let listed: Table = toml::from_str(&format!("x = {listed}")).map_err(|e| format!("{key}: {e}"))?;
        assert_eq!(listed["x"], value, "{key}");
    }
    Ok(())
}

/// Every page in the repository that is written by hand.
fn pages() -> std::io::Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    for folder in
        ["", "docs", "data", "recipes", "recipes/adapt", "recipes/plain", "recipes/standard", "recipes/default"]
    {
        for entry in std::fs::read_dir(root().join(folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "md") {
                pages.push(path);
            }
        }
    }
    Ok(pages)
}

#[test]
fn every_cell_has_a_row_with_its_gates_and_states() -> Outcome {
    let page = std::fs::read_to_string(root().join("docs/recurrent.md"))?;
    for kind in CellKind::ALL {
        let spec = kind.spec();
        let aux = spec.aux.iter().map(|aux| aux.name).collect::<Vec<_>>().join(" ");
        let row = format!("| `{}` | {} | {} | {aux} ", spec.name, spec.gates.join(" "), spec.states.join(" "));
        assert!(page.contains(row.trim_end()), "{row}");
    }
    assert!(page.contains("| `mlstm` |"));
    Ok(())
}

#[test]
fn links_lead_to_files() -> Outcome {
    let mut links = 0;
    for page in pages()? {
        let text = std::fs::read_to_string(&page)?;
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") {
                links += 1;
                let target = page.parent().ok_or("a page lies in a folder")?.join(file);
                assert!(target.exists(), "{}: {link} leads nowhere", page.display());
            }
        }
    }
    assert!(links > 20);
    Ok(())
}

#[cfg(feature = "cli")]
#[test]
fn every_command_has_a_row() -> Outcome {
    use clap::CommandFactory;
    let page = rows(&std::fs::read_to_string(root().join("docs/cli.md"))?);
    for command in formant::cli::args::Cli::command().get_subcommands() {
        assert!(page.contains_key(&format!("formant {}", command.get_name())), "{}", command.get_name());
    }
    Ok(())
}

#[test]
fn the_check_runs_the_command_of_the_readme() -> Outcome {
    let (readme, check) = ("cargo test --release", std::fs::read_to_string(root().join(".ci/run"))?);
    assert!(std::fs::read_to_string(root().join("README.md"))?.contains(&format!("```sh\n{readme}\n```")));
    assert!(check.contains(&format!("step {readme}\n")));
    Ok(())
}
