//! A handful of things by number: the legs of a call, the routes of a leg.
//!
//! Nearly always there is one of them. A `BTreeMap` makes room for eleven at once, and a call took 15 kB for that; here it takes what is
//! there. In state entries it has the form of a map.

use std::collections::BTreeMap;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// In the order of their numbers, each number once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbered<T>(Vec<(u16, T)>);

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Numbered<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The number that comes at `place`, counted from 0.
    pub(crate) fn number_at(&self, place: usize) -> u16 {
        self.0[place].0
    }

    fn place(&self, number: u16) -> Result<usize, usize> {
        self.0.binary_search_by_key(&number, |(held, _)| *held)
    }

    pub(crate) fn get(&self, number: u16) -> Option<&T> {
        self.place(number).ok().map(|place| &self.0[place].1)
    }

    pub(crate) fn get_mut(&mut self, number: u16) -> Option<&mut T> {
        self.place(number).ok().map(|place| &mut self.0[place].1)
    }

    /// The one of this number; made if it is not there.
    pub(crate) fn get_or_insert_with(&mut self, number: u16, make: impl FnOnce() -> T) -> &mut T {
        let place = self.place(number).unwrap_or_else(|place| {
            self.0.reserve_exact(1);
            self.0.insert(place, (number, make()));
            place
        });
        &mut self.0[place].1
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (u16, &T)> {
        self.0.iter().map(|(number, held)| (*number, held))
    }

    pub(crate) fn numbers(&self) -> impl DoubleEndedIterator<Item = u16> + '_ {
        self.0.iter().map(|(number, _)| *number)
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.0.iter().map(|(_, held)| held)
    }
}

/// Of numbers in rising order.
impl<T> FromIterator<(u16, T)> for Numbered<T> {
    fn from_iter<I: IntoIterator<Item = (u16, T)>>(held: I) -> Self {
        Self(held.into_iter().collect())
    }
}

impl<T: Serialize> Serialize for Numbered<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (number, held) in &self.0 {
            map.serialize_entry(number, held)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Numbered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(BTreeMap::deserialize(deserializer)?.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_has_the_form_of_a_map_in_the_order_of_the_numbers() {
        let mut legs = Numbered::default();
        for number in [10, 2, 10, 1] {
            *legs.get_or_insert_with(number, || 0) += 1;
        }
        let text = serde_json::to_string(&legs).unwrap();
        assert_eq!(text, r#"{"1":1,"2":1,"10":2}"#);
        assert_eq!(serde_json::from_str::<Numbered<i32>>(r#"{"10":2,"2":1,"1":1}"#).unwrap(), legs);
        assert_eq!((legs.get(2), legs.get(3)), (Some(&1), None));
    }
}
