//! The fees of a tariff version, shared by all who hold it: a list of some hundred thousand is read once and copied never.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Fee;

/// Fees in their order. A copy is the same list, until somebody writes to it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Fee>", into = "Vec<Fee>")]
pub struct Fees(Arc<Vec<Fee>>);

impl Fees {
    /// The list itself, to be kept or watched beside this.
    pub fn shared(&self) -> &Arc<Vec<Fee>> {
        &self.0
    }
}

impl Deref for Fees {
    type Target = Vec<Fee>;

    fn deref(&self) -> &Vec<Fee> {
        &self.0
    }
}

impl DerefMut for Fees {
    fn deref_mut(&mut self) -> &mut Vec<Fee> {
        Arc::make_mut(&mut self.0)
    }
}

impl From<Vec<Fee>> for Fees {
    fn from(fees: Vec<Fee>) -> Self {
        Self(Arc::new(fees))
    }
}

impl From<Arc<Vec<Fee>>> for Fees {
    fn from(fees: Arc<Vec<Fee>>) -> Self {
        Self(fees)
    }
}

impl From<Fees> for Vec<Fee> {
    fn from(fees: Fees) -> Self {
        Arc::unwrap_or_clone(fees.0)
    }
}

impl FromIterator<Fee> for Fees {
    fn from_iter<I: IntoIterator<Item = Fee>>(fees: I) -> Self {
        Self::from(fees.into_iter().collect::<Vec<_>>())
    }
}

impl<'f> IntoIterator for &'f Fees {
    type Item = &'f Fee;
    type IntoIter = std::slice::Iter<'f, Fee>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'f> IntoIterator for &'f mut Fees {
    type Item = &'f mut Fee;
    type IntoIter = std::slice::IterMut<'f, Fee>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}
