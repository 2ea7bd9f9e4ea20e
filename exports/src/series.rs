//! A row of files with one sequence: the files of one stream for one owner, and perhaps of one direction.

use std::fmt;
use std::str::FromStr;

use crate::fact::Way;
use crate::{Owner, UnknownOwner};

/// Whose files, of which stream. As text, in [`model::Effect::Export`] and as the key of a sequence:
/// `carrier:9` of the main stream, `ama/carrier:9` and `ama/carrier:9/out` of a stream called `ama`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// Name of the stream; empty for the main one.
    pub stream: String,
    /// Whose.
    pub owner: Owner,
    /// Calls of one direction only.
    pub way: Option<Way>,
}

impl Series {
    /// The main stream's files of `owner`.
    pub fn main(owner: Owner) -> Self {
        Self { stream: String::new(), owner, way: None }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.stream.is_empty() {
            write!(f, "{}/", self.stream)?;
        }
        write!(f, "{}", self.owner)?;
        match self.way {
            Some(way) => write!(f, "/{}", way.as_str()),
            None => Ok(()),
        }
    }
}

impl FromStr for Series {
    type Err = UnknownOwner;

    fn from_str(text: &str) -> Result<Self, UnknownOwner> {
        let unknown = || UnknownOwner { text: text.to_owned() };
        let way_of = |word: &str| Way::ALL.into_iter().find(|way| way.as_str() == word).ok_or_else(unknown);
        let parts: Vec<&str> = text.split('/').collect();
        let (stream, owner, way) = match parts.as_slice() {
            [owner] => ("", owner, None),
            [stream, owner] => (*stream, owner, None),
            [stream, owner, way] => (*stream, owner, Some(way_of(way)?)),
            _ => return Err(unknown()),
        };
        if stream.is_empty() && parts.len() > 1 {
            return Err(unknown());
        }
        Ok(Self { stream: stream.to_owned(), owner: owner.parse().map_err(|_| unknown())?, way })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::AccountId;

    #[test]
    fn a_series_survives_its_text_form() {
        for owner in [Owner::System, Owner::Reseller(AccountId(7)), Owner::Carrier(AccountId(9))] {
            let main = Series::main(owner);
            assert_eq!(main.to_string().parse(), Ok(main));
            for way in [None, Some(Way::Out), Some(Way::In)] {
                let series = Series { stream: "ama".to_owned(), owner, way };
                assert_eq!(series.to_string().parse(), Ok(series));
            }
        }
        for wrong in ["", "/system", "ama/", "ama/system/up", "ama/system/out/1", "customer:7"] {
            wrong.parse::<Series>().unwrap_err();
        }
    }
}
