//! Where a run's weights come from: drawn, or taken from a model that has learned something already.
#![forbid(unsafe_code)]

use super::Recipe;
use super::checkpoint::{Checkpoint, State};
use crate::error::{Error, Result};
use crate::features::Cmvn;
use crate::model::{Model, Network, Origin};
use crate::nn::op;
use crate::nn::optim::OptimizerState;
use crate::nn::params::Params;
use crate::phones::PhoneSet;
use crate::rng::Rng;
use candle_core::Device;

/// A run before its first step, on data of this fingerprint and normalisation. With a model to begin `from`, weights
/// and normalisation are its own; only the output layer is drawn if its phones are others.
pub fn begin(recipe: &Recipe, phones: &PhoneSet, from: Option<&Model>, cmvn: Cmvn, data: u64) -> Result<Checkpoint> {
    let mut drawn = Network::new(&recipe.model, &recipe.features, phones.classes(), recipe.seed, &Device::Cpu)?;
    if recipe.train.initial_range > 0.0 {
        let params = uniform(drawn.params(), recipe.train.initial_range, recipe.seed)?;
        drawn = Network::from_params(&recipe.model, params);
    }
    let (params, cmvn, begun_from) = match from {
        None => (drawn.params().clone(), cmvn, None),
        Some(model) => {
            let card = &model.card;
            let mut trained_on = card.begun_from.as_ref().map_or_else(Vec::new, |origin| origin.trained_on.clone());
            trained_on
                .extend(card.trained_on.iter().filter(|set| !trained_on.contains(set)).cloned().collect::<Vec<_>>());
            let origin = Origin { name: model.name.clone(), trained_on };
            (adopt(model, &drawn, recipe, phones)?, model.cmvn.clone(), Some(origin))
        }
    };
    Ok(Checkpoint {
        recipe: recipe.clone(),
        symbols: phones.symbols().to_vec(),
        state: State { data, begun_from, ..State::default() },
        params,
        optimizer: OptimizerState::new(recipe.train.optimizer.clone()),
        average: Default::default(),
        cmvn,
    })
}

/// Parameters of the same names and shapes, drawn between `-range` and `range` (Graves 2013 draws all of them so).
fn uniform(params: &Params, range: f32, seed: u64) -> Result<Params> {
    let mut drawn = Params::default();
    for (n, (name, var)) in params.iter().enumerate() {
        let mut rng = Rng::stream(seed, "uniform weights", n as u64);
        let values = (0..var.elem_count()).map(|_| rng.range(-range, range)).collect();
        drawn.insert_vec(name, values, var.dims(), &Device::Cpu)?;
    }
    Ok(drawn)
}

/// The weights of `model`, and the output layer of `drawn` if the model's phones are others.
fn adopt(model: &Model, drawn: &Network, recipe: &Recipe, phones: &PhoneSet) -> Result<Params> {
    let differs = |what: &str| {
        Error::model(&model.name, format!("its {what} are not the recipe's: leave [features] and [model] to the model"))
    };
    if model.front != recipe.features {
        return Err(differs("features"));
    }
    if !model.config().computes_like(&recipe.model) {
        return Err(differs("layers"));
    }
    let same_phones = model.phones.symbols() == phones.symbols();
    let mut params = Params::default();
    for (name, var) in drawn.params().iter() {
        let source = if same_phones || !name.starts_with("output.") { model.network.params() } else { drawn.params() };
        // A copy: training changes it, and the model stays what it was.
        params.insert_vec(name, op::to_vec(source.get(name)?)?, var.dims(), &Device::Cpu)?;
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Card, LayerConfig, Storage};

    fn recipe() -> Recipe {
        let mut recipe = Recipe::default();
        recipe.features.bins = 4;
        recipe.model.layers = vec![LayerConfig { hidden: 3, ..LayerConfig::default() }];
        recipe
    }

    fn model(phones: &PhoneSet) -> Result<Model> {
        let recipe = recipe();
        Ok(Model {
            name: "old".to_owned(),
            network: Network::new(&recipe.model, &recipe.features, phones.classes(), 7, &Device::Cpu)?,
            front: recipe.features,
            cmvn: Cmvn { mean: vec![5.0; 4], inv_std: vec![2.0; 4] },
            phones: phones.clone(),
            card: Card { trained_on: vec!["a train".to_owned()], ..Card::default() },
            storage: Storage::F32,
        })
    }

    fn values(params: &Params, name: &str) -> Result<Vec<f32>> {
        Ok(op::to_vec(params.get(name)?)?)
    }

    #[test]
    fn all_weights_can_be_drawn_alike() -> Result<()> {
        let phones = PhoneSet::arpabet39();
        let mut recipe = recipe();
        recipe.train.initial_range = 0.1;
        let checkpoint = begin(&recipe, &phones, None, Cmvn::identity(4), 0)?;
        for (name, var) in checkpoint.params.iter() {
            let values: Vec<f32> = op::to_vec(var)?;
            assert!(values.iter().all(|x| x.abs() <= 0.1) && values.iter().any(|x| *x != 0.0), "{name}");
        }
        Ok(())
    }

    #[test]
    fn weights_and_normalisation_are_the_models() -> Result<()> {
        let phones = PhoneSet::arpabet39();
        let model = model(&phones)?;
        let mut recipe = recipe();
        recipe.model.layers[0].dropout = 0.5;
        let run = begin(&recipe, &phones, Some(&model), Cmvn::identity(4), 1)?;
        for (name, _) in run.params.iter() {
            assert_eq!(values(&run.params, name)?, values(model.network.params(), name)?, "{name}");
        }
        assert_eq!(run.cmvn, model.cmvn);
        assert_eq!(run.state.begun_from, Some(Origin { name: "old".into(), trained_on: vec!["a train".into()] }));
        Ok(())
    }

    #[test]
    fn other_phones_get_an_output_layer_of_their_own() -> Result<()> {
        let model = model(&PhoneSet::arpabet39())?;
        let phones = PhoneSet::from_symbols("few", &["<blank>".to_owned(), "x".to_owned()])?;
        let run = begin(&recipe(), &phones, Some(&model), Cmvn::identity(4), 1)?;
        assert_eq!(values(&run.params, "layers.0.w")?, values(model.network.params(), "layers.0.w")?);
        assert_eq!(run.params.get("output.w")?.dims(), [2, 6]);
        Ok(())
    }

    #[test]
    fn another_network_is_refused() -> Result<()> {
        let phones = PhoneSet::arpabet39();
        let model = model(&phones)?;
        let refused =
            |recipe: &Recipe| begin(recipe, &phones, Some(&model), Cmvn::identity(4), 1).err().map(|e| e.to_string());
        let mut other = recipe();
        other.features.stack = 2;
        let reason = "are not the recipe's: leave [features] and [model] to the model";
        assert_eq!(refused(&other), Some(format!("old: its features {reason}")));
        let mut other = recipe();
        other.model.layers[0].hidden = 4;
        assert_eq!(refused(&other), Some(format!("old: its layers {reason}")));
        Ok(())
    }
}
