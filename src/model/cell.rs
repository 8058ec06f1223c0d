//! What a recipe's `cell` names: a cell of the recurrent layer, or the mLSTM, whose frames are no recurrence of vectors.
#![forbid(unsafe_code)]

use crate::nn::recurrent::CellKind;
use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerCell {
    /// A cell of [`crate::nn::recurrent`].
    Recurrent(CellKind),
    /// [`mod@crate::nn::mlstm`].
    Mlstm,
}

impl LayerCell {
    /// All that there are.
    pub fn all() -> impl Iterator<Item = Self> {
        CellKind::ALL.iter().map(|kind| Self::Recurrent(*kind)).chain([Self::Mlstm])
    }

    /// The name in recipes and model files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recurrent(kind) => kind.spec().name,
            Self::Mlstm => "mlstm",
        }
    }

    /// Gates, in the order of the rows of W and b.
    pub fn gates(self) -> &'static [&'static str] {
        match self {
            Self::Recurrent(kind) => kind.spec().gates,
            Self::Mlstm => &["q", "k", "v", "o", "i", "f"],
        }
    }

    /// Whether the output may be projected before R sees it.
    pub fn projects(self) -> bool {
        matches!(self, Self::Recurrent(kind) if kind.spec().projects)
    }

    /// Whether states may be clipped and mixed with older ones: not where they are scaled from frame to frame.
    pub fn carries(self) -> bool {
        matches!(self, Self::Recurrent(kind) if kind != CellKind::Slstm)
    }

    /// Whether W and R slide over the mel axis.
    pub fn slides(self) -> bool {
        matches!(self, Self::Recurrent(kind) if kind.spec().slides)
    }
}

impl Serialize for LayerCell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for LayerCell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::all().find(|cell| cell.name() == name).ok_or_else(|| {
            let names = Self::all().map(|cell| format!("`{}`", cell.name())).collect::<Vec<_>>().join(", ");
            D::Error::custom(format!("unknown cell `{name}`, expected one of {names}"))
        })
    }
}
