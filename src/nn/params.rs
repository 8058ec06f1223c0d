//! The trainable parameters of a network, by name, in a fixed order.
#![forbid(unsafe_code)]

use candle_core::{Device, Result, Tensor, Var};
use std::collections::BTreeMap;

/// Named variables, sorted by name: the order of updates and of the model file.
#[derive(Clone, Debug, Default)]
pub struct Params {
    vars: BTreeMap<String, Var>,
}

impl Params {
    /// Adds a parameter.
    pub fn insert(&mut self, name: impl Into<String>, value: &Tensor) -> Result<()> {
        self.vars.insert(name.into(), Var::from_tensor(value)?);
        Ok(())
    }

    /// Adds an f32 parameter with these values.
    pub fn insert_vec(
        &mut self,
        name: impl Into<String>,
        values: Vec<f32>,
        shape: &[usize],
        device: &Device,
    ) -> Result<()> {
        self.insert(name, &Tensor::from_vec(values, shape, device)?)
    }

    /// A copy on another device.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        let mut params = Self::default();
        self.iter().try_for_each(|(name, var)| params.insert(name, &var.to_device(device)?))?;
        Ok(params)
    }

    /// Where they are.
    pub fn device(&self) -> Device {
        self.vars.values().next().map_or(Device::Cpu, |var| var.device().clone())
    }

    /// The parameter called `name`.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        match self.vars.get(name) {
            Some(var) => Ok(var.as_tensor()),
            None => candle_core::bail!("the network has no parameter {name:?}"),
        }
    }

    /// Names and variables, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.vars.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// How many numbers there are in all.
    pub fn count(&self) -> usize {
        self.vars.values().map(|var| var.elem_count()).sum()
    }
}
