//! The recipe: everything that decides what a training run does, as TOML.
#![forbid(unsafe_code)]

use super::schedule::Schedule;
use crate::corpus::{Augment, BatchLimits};
use crate::error::{Error, Result};
use crate::features::FrontEnd;
use crate::model::{Model, ModelConfig, Storage};
use crate::nn::optim::Optimizer;
use crate::phones::PhoneSet;
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::{Table, Value};

/// Which utterances, and what their labels are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// The split that is trained on.
    pub train: String,
    /// The split that chooses the best epoch.
    pub dev: String,
    /// `arpabet39`, or `data`: the symbols that the training split's labels have.
    pub phones: String,
    /// Sound that is kept in memory, in MiB; what does not fit is decoded anew each time.
    pub cache_mib: usize,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { train: "train".into(), dev: "dev".into(), phones: "arpabet39".into(), cache_mib: 2048 }
    }
}

/// Training on expected errors beside the CTC loss; for a network that has learnt with the CTC loss alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExpectedErrors {
    /// Transcripts of an utterance that are weighed against each other.
    pub hypotheses: usize,
    /// Share of the loss that stays CTC's; a nat of it counts like an expected error.
    pub ctc_share: f32,
}

impl Default for ExpectedErrors {
    fn default() -> Self {
        Self { hypotheses: 8, ctc_share: 0.05 }
    }
}

/// What on the dev split tells which epoch is the best one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// The phone error rate.
    #[default]
    Per,
    /// The CTC loss.
    Loss,
}

/// A further stage of a run: it begins with the weights of the best epoch so far, and with values of the recipe changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// As `key=value`, like `formant train --set`; what earlier stages changed stays changed.
    pub set: Vec<String>,
}

/// How long, how fast, and what is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Times that every utterance is seen, in a stage.
    pub epochs: u64,
    /// `per` or `loss`: what makes an epoch the best one, by which the model is chosen, and patience runs out.
    pub criterion: Criterion,
    /// Weights begin with uniform numbers up to so much on either side of 0; 0: as each layer's kind has it.
    pub initial_range: f32,
    /// The learning rate at its highest.
    pub learning_rate: f32,
    /// Updates over which the learning rate rises from nothing.
    pub warmup_steps: u64,
    /// Gradients are scaled down to this Euclidean norm; 0: never.
    pub clip_norm: f32,
    /// Share of the loss that the layers before the last have, where some guess.
    pub guess_weight: f32,
    /// Also learn from the errors of the likeliest transcripts.
    pub expected_errors: Option<ExpectedErrors>,
    /// Share of the running average of the weights that stays at each update; 0: no average is kept. With one, it is
    /// the averaged weights that are measured and saved.
    pub average_decay: f32,
    /// End the stage after so many epochs without a better one; 0: never.
    pub patience: u64,
    /// Updates from one checkpoint to the next; one is written after every epoch anyway.
    pub checkpoint_steps: u64,
    /// How the model's weights are stored.
    pub storage: Storage,
    /// Size of a batch.
    pub batch: BatchLimits,
    /// The rule.
    pub optimizer: Optimizer,
    /// How the learning rate falls.
    pub schedule: Schedule,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 20,
            criterion: Criterion::Per,
            initial_range: 0.0,
            learning_rate: 1e-3,
            warmup_steps: 0,
            clip_norm: 5.0,
            guess_weight: 0.3,
            expected_errors: None,
            average_decay: 0.0,
            patience: 0,
            checkpoint_steps: 200,
            storage: Storage::F32,
            batch: BatchLimits::default(),
            optimizer: Optimizer::default(),
            schedule: Schedule::default(),
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Version of this format: 1.
    pub recipe: u32,
    /// What it is for, in a sentence; goes into the model's card.
    pub description: String,
    /// Terms under which the model may be used; goes into its card.
    pub licence: String,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// Which utterances.
    pub data: DataConfig,
    /// The front end.
    pub features: FrontEnd,
    /// The network.
    pub model: ModelConfig,
    /// What is changed in utterances while training.
    pub augment: Augment,
    /// The training itself.
    pub train: TrainConfig,
    /// What follows when that has ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            recipe: 1,
            description: String::new(),
            licence: String::new(),
            seed: 1,
            data: DataConfig::default(),
            features: FrontEnd::default(),
            model: ModelConfig::default(),
            augment: Augment::default(),
            train: TrainConfig::default(),
            stages: Vec::new(),
        }
    }
}

/// Recipes that extend one another in a row.
const MOST_EXTENDED: usize = 8;

/// No recipe has more stages.
const MOST_STAGES: usize = 16;

/// Parts of a key that is set; no value lies deeper.
const MOST_PARTS: usize = 16;

impl Recipe {
    /// The recipe to begin with: what `formant train` does when it is given none.
    pub fn standard() -> Self {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/standard/recipe.toml"));
        Self::parse(text, Path::new("<standard recipe>")).unwrap_or_else(|e| unreachable!("it is tested: {e}"))
    }

    /// The recipe to train `model` further with: what `formant train --from` does when it is given none.
    pub fn adapt(model: &Model) -> Self {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/adapt/recipe.toml"));
        let recipe = Self::parse(text, Path::new("<adapt recipe>"));
        let mut recipe = recipe.unwrap_or_else(|e| unreachable!("it is tested: {e}"));
        recipe.features = model.front.clone();
        recipe.model = model.config().clone();
        recipe.train.storage = model.storage;
        recipe
    }

    /// Reads a recipe file and checks every value in it. With `extends = "FILE"`, named from the recipe's own folder, it is
    /// that recipe with the values of this one put over it: tables key by key, lists as a whole.
    pub fn read(path: &Path) -> Result<Self> {
        let text = text_of(path)?;
        let Some(base) = extends(&text) else { return Self::parse(&text, path) };
        let table = over(&base, &text, path, MOST_EXTENDED)?;
        let recipe: Self = Value::Table(table)
            .try_into()
            .map_err(|e: toml::de::Error| Error::recipe(path, e.message().replace('\n', " ")))?;
        recipe.validate().map_err(|e| Error::recipe(path, e.to_string()))?;
        Ok(recipe)
    }

    /// Reads a recipe from text; `path` names it in messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let recipe: Self = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            let message = e.message().replace('\n', " ");
            Error::recipe(path, format!("line {line}: {message}"))
        })?;
        recipe.validate().map_err(|e| Error::recipe(path, e.to_string()))?;
        Ok(recipe)
    }

    /// The recipe with single values changed, each given as `key=value`: `train.learning_rate=5e-4`,
    /// `model.layers.0.hidden=300`. A value that is no TOML is taken as text.
    pub fn with(&self, changes: &[String]) -> Result<Self> {
        let bad = |change: &str, reason: &str| Error::recipe(format!("--set {change}"), reason);
        let mut recipe = self.clone();
        for change in changes {
            let (key, value) = change.split_once('=').ok_or_else(|| bad(change, "not of the form key=value"))?;
            let value = toml::from_str::<Table>(&format!("x = {value}"))
                .ok()
                .and_then(|mut table| table.remove("x"))
                .unwrap_or_else(|| Value::String(value.to_owned()));
            let table = Table::try_from(&recipe).map_err(|e| bad(change, &e.to_string()))?;
            let mut table = Value::Table(table);
            set(&mut table, key.trim(), value).map_err(|reason| bad(change, &reason))?;
            recipe = table.try_into().map_err(|e: toml::de::Error| bad(change, &e.message().replace('\n', " ")))?;
        }
        recipe.validate().map_err(|e| Error::recipe("--set", e.to_string()))?;
        Ok(recipe)
    }

    /// The recipe as it is in a stage, counted from 0.
    ///
    /// # Errors
    /// If the stage sets a value that makes no sense.
    pub fn at_stage(&self, stage: usize) -> Result<Self> {
        let bare = Self { stages: Vec::new(), ..self.clone() };
        let changes: Vec<String> = self.stages.iter().take(stage).flat_map(|stage| stage.set.clone()).collect();
        Ok(Self { stages: self.stages.clone(), ..bare.with(&changes)? })
    }

    /// The recipe as TOML, every value written out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_else(|e| unreachable!("a recipe is plain data: {e}"))
    }

    /// The phone set, if the recipe names one; nothing if it is to be taken from the data.
    pub fn phones(&self) -> Result<Option<PhoneSet>> {
        match self.data.phones.as_str() {
            "arpabet39" => Ok(Some(PhoneSet::arpabet39())),
            "data" => Ok(None),
            other => Err(Error::invalid(format!("data: phones is {other:?}, it must be \"arpabet39\" or \"data\""))),
        }
    }

    fn validate(&self) -> Result<()> {
        let t = &self.train;
        let checks = [
            (self.recipe == 1, "recipe: only version 1 is known"),
            ((1..=100_000).contains(&t.epochs), "train: epochs must lie between 1 and 100000"),
            (t.learning_rate > 0.0 && t.learning_rate <= 10.0, "train: learning_rate must lie between 0 and 10"),
            ((0.0..=10.0).contains(&t.initial_range), "train: initial_range must lie between 0 and 10"),
            (t.clip_norm >= 0.0 && t.clip_norm.is_finite(), "train: clip_norm must not be negative"),
            ((0.0..1.0).contains(&t.guess_weight), "train: guess_weight must lie between 0 and 1, 1 excluded"),
            ((0.0..1.0).contains(&t.average_decay), "train: average_decay must lie between 0 and 1, 1 excluded"),
            (
                t.expected_errors
                    .as_ref()
                    .is_none_or(|e| (2..=64).contains(&e.hypotheses) && (0.0..=1.0).contains(&e.ctc_share)),
                "train: expected_errors: hypotheses must lie between 2 and 64, ctc_share between 0 and 1",
            ),
            (t.checkpoint_steps > 0, "train: checkpoint_steps must be at least 1"),
            (t.batch.frames > 0 && t.batch.utterances > 0, "train: batch limits must be at least 1"),
        ];
        if let Some((_, reason)) = checks.iter().find(|(fine, _)| !fine) {
            return Err(Error::invalid(*reason));
        }
        self.features.validate()?;
        self.augment.validate()?;
        t.schedule.validate()?;
        optimizer(&t.optimizer)?;
        let classes = self.phones()?.map_or(2, |p| p.classes());
        self.model.validate(&self.features, classes)?;
        self.validate_stages()
    }

    /// A stage may change how is trained, but not what.
    fn validate_stages(&self) -> Result<()> {
        if self.stages.len() > MOST_STAGES {
            return Err(Error::invalid(format!("stages: more than {MOST_STAGES}")));
        }
        for n in 1..=self.stages.len() {
            let stage = self.at_stage(n)?;
            let same = stage.features == self.features && stage.data == self.data && stage.seed == self.seed;
            if !same || !stage.model.computes_like(&self.model) {
                let reason = "stages: a stage cannot change data, features, seed, or what the network computes";
                return Err(Error::invalid(reason));
            }
        }
        Ok(())
    }
}

fn text_of(path: &Path) -> Result<String> {
    String::from_utf8(crate::files::read(path)?).map_err(|_| Error::recipe(path, "not UTF-8 text"))
}

/// The recipe that a recipe says it extends.
fn extends(text: &str) -> Option<String> {
    Some(toml::from_str::<Table>(text).ok()?.get("extends")?.as_str()?.to_owned())
}

/// The values of the recipe `base` with those of `text`, the recipe in `path`, over them; up to `depth` more may lie below.
fn over(base: &str, text: &str, path: &Path, depth: usize) -> Result<Table> {
    let table = |text: &str, path: &Path| {
        toml::from_str::<Table>(text).map_err(|e| Error::recipe(path, e.message().replace('\n', " ")))
    };
    let base_path = path.parent().unwrap_or(Path::new("")).join(base);
    let base_text = text_of(&base_path)?;
    let mut below = match extends(&base_text) {
        Some(_) if depth == 0 => return Err(Error::recipe(path, "it extends recipes without end")),
        Some(next) => over(&next, &base_text, &base_path, depth - 1)?,
        None => table(&base_text, &base_path)?,
    };
    let mut above = table(text, path)?;
    above.remove("extends");
    merge(&mut below, above);
    Ok(below)
}

fn merge(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// Fails, naming the value, if one makes no sense.
fn optimizer(rule: &Optimizer) -> Result<()> {
    let share = |x: f32| (0.0..1.0).contains(&x);
    let (fine, reason) = match *rule {
        Optimizer::Adam { beta1, beta2, epsilon, weight_decay } => (
            share(beta1) && share(beta2) && epsilon > 0.0 && epsilon <= 1.0 && (0.0..=100.0).contains(&weight_decay),
            "beta1 and beta2 must lie between 0 and 1, 1 excluded, epsilon above 0, weight_decay between 0 and 100",
        ),
        Optimizer::Sgd { momentum } => (share(momentum), "momentum must lie between 0 and 1, 1 excluded"),
    };
    if fine { Ok(()) } else { Err(Error::invalid(format!("train: optimizer: {reason}"))) }
}

/// Puts `value` at `key`, whose parts are separated by dots; a number counts the elements of an array from 0.
fn set(mut at: &mut Value, key: &str, value: Value) -> Result<(), String> {
    if key.split('.').count() > MOST_PARTS {
        return Err(format!("a key of more than {MOST_PARTS} parts"));
    }
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        at = match at {
            Value::Table(table) if last => {
                table.insert(part.to_owned(), value);
                return Ok(());
            }
            Value::Table(table) => table.entry(part).or_insert_with(|| Value::Table(Table::new())),
            Value::Array(array) => {
                let count = array.len();
                let place = part.parse().ok().filter(|n: &usize| *n < count);
                let Some(place) = place else { return Err(format!("{part:?} is no place in an array of {count}")) };
                &mut array[place]
            }
            _ => return Err(format!("{part:?} is inside something that has no parts")),
        };
        if last {
            *at = value;
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn writes_and_reads_itself() -> Result<()> {
        let recipe = Recipe::default();
        let text = recipe.to_toml();
        assert_eq!(Recipe::parse(&text, Path::new("r"))?, recipe);
        assert!(text.contains("learning_rate = 0.001\n"), "{text}");
        Ok(())
    }

    #[test]
    fn built_in_recipes_are_fine() -> Result<()> {
        assert_eq!(Recipe::standard().augment.speeds.len(), 3);
        let model = Model::embedded()?;
        let recipe = Recipe::adapt(&model);
        assert_eq!((&recipe.features, &recipe.model), (model.front(), model.config()));
        Ok(())
    }

    #[test]
    fn values_can_be_set() -> Result<()> {
        let changes =
            ["train.learning_rate=5e-4", "model.layers.1.hidden=30", "data.train=all", "augment.speeds=[0.9]"];
        let recipe = Recipe::default().with(&changes.map(str::to_owned))?;
        assert_eq!((recipe.train.learning_rate, recipe.model.layers[1].hidden), (5e-4, 30));
        assert_eq!((recipe.data.train.as_str(), recipe.augment.speeds.as_slice()), ("all", [0.9].as_slice()));
        Ok(())
    }

    #[test]
    fn errors_say_where_and_what() {
        let parse = |text| Recipe::parse(text, Path::new("r.toml")).unwrap_err().to_string();
        assert!(parse("seed = 1\nsped = 2\n").starts_with("r.toml: line 2: unknown field `sped`, expected one of"));
        assert!(parse("seed = \n").starts_with("r.toml: line 1: "));
        assert_eq!(parse("[features]\nbins = 0\n"), "r.toml: features: bins must lie between 1 and 512");
        let set = |change: &str| Recipe::default().with(&[change.to_owned()]).unwrap_err().to_string();
        assert_eq!(set("seed"), "--set seed: not of the form key=value");
        assert_eq!(set("model.layers.7.hidden=1"), "--set model.layers.7.hidden=1: \"7\" is no place in an array of 3");
        assert!(set("train.epoch=3").starts_with("--set train.epoch=3: unknown field `epoch`"));
        assert_eq!(set(&format!("{}a=1", "a.".repeat(30_000))).split(": ").nth(1), Some("a key of more than 16 parts"));
        let error = set("train.optimizer.beta2=1.0");
        assert!(error.starts_with("--set: train: optimizer: beta1 and beta2 must lie"), "{error}");
        assert!(set("augment.spec.time_fraction=2.0").ends_with("spec.time_fraction must lie between 0 and 1"));
        assert_eq!(set("train.epochs=0"), "--set: train: epochs must lie between 1 and 100000");
    }

    #[test]
    fn a_recipe_extends_another() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        write(
            "a.toml",
            "seed = 3\n[train]\nepochs = 7\nlearning_rate = 0.5\n[model]\nlayers = [{ hidden = 3 }, { hidden = 4 }]\n",
        );
        write("b.toml", "extends = \"a.toml\"\n[train]\nepochs = 8\n[model]\nlayers = [{ hidden = 5 }]\n");
        let recipe = Recipe::read(&folder.path().join("b.toml"))?;
        assert_eq!((recipe.seed, recipe.train.epochs, recipe.train.learning_rate), (3, 8, 0.5));
        assert_eq!(recipe.model.layers.iter().map(|l| l.hidden).collect::<Vec<_>>(), [5]);
        write("a.toml", "extends = \"b.toml\"\n");
        let error = Recipe::read(&folder.path().join("b.toml")).unwrap_err().to_string();
        assert!(error.ends_with("it extends recipes without end"), "{error}");
        write("a.toml", "sead = 3\n");
        assert!(Recipe::read(&folder.path().join("b.toml")).is_err());
        Ok(())
    }

    #[test]
    fn a_stage_changes_how_is_trained_and_not_what() -> Result<()> {
        let with = |change: &str| {
            let text = format!("[[stages]]\nset = [\"{change}\"]\n[[stages]]\nset = [\"train.epochs=9\"]\n");
            Recipe::parse(&text, Path::new("r"))
        };
        let recipe = with("model.weight_noise=0.1")?;
        let noise = |n: usize| Ok::<_, Error>(recipe.at_stage(n)?.model.weight_noise);
        assert_eq!((noise(0)?, noise(1)?, noise(2)?), (0.0, 0.1, 0.1));
        assert_eq!((recipe.at_stage(1)?.train.epochs, recipe.at_stage(2)?.train.epochs), (20, 9));
        assert_eq!(Recipe::parse(&recipe.to_toml(), Path::new("r"))?, recipe);
        for change in ["model.layers.0.hidden=3", "features.bins=20", "seed=2", "train.epochs=0", "x"] {
            assert!(with(change).is_err(), "{change}");
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn any_text_gives_a_recipe_or_an_error(text in "(\\[?[a-z._]{0,8}\\]?( ?= ?[-0-9a-z\"{}\\[\\],.]{0,9})?\n){0,6}") {
            let _ = Recipe::parse(&text, Path::new("r"));
        }

        #[test]
        fn any_change_gives_a_recipe_or_an_error(key in "[a-z.0-9]{0,20}", value in "[-0-9a-z\"\\[\\]{}=,.\n]{0,20}") {
            let _ = Recipe::default().with(&[format!("{key}={value}")]);
        }
    }
}
