//! A row of files with one sequence: the files of one stream for one owner, and perhaps of one direction.

use std::fmt;
use std::str::FromStr;

use crate::fact::Way;
use crate::{Owner, UnknownOwner};

/// The name of the main stream where one is needed, such as in a file name.
pub(crate) const MAIN: &str = "main";

/// What the name of a stream's corrections ends with.
pub(crate) const CORRECTIONS: &str = ".corrections";

/// Whose files, of which stream. As text, in [`model::Effect::Export`] and as the key of a sequence:
/// `carrier:9` of the main stream, `ama/carrier:9` and `ama/carrier:9/out` of a stream called `ama`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// Name of the stream; empty for the main one. That of a stream's corrections ends with `.corrections`.
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

    /// The reports of what was corrected after it went out in files of this series.
    #[must_use]
    pub fn corrections(&self) -> Self {
        let stream = if self.stream.is_empty() { MAIN } else { &self.stream };
        Self { stream: format!("{stream}{CORRECTIONS}"), ..self.clone() }
    }

    /// The series whose corrections this one has; `None` if it has calls of its own.
    pub fn corrected(&self) -> Option<Self> {
        let stream = self.stream.strip_suffix(CORRECTIONS)?;
        let stream = if stream == MAIN { "" } else { stream };
        Some(Self { stream: stream.to_owned(), ..self.clone() })
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
        let ama = Series { stream: "ama".to_owned(), owner: Owner::System, way: Some(Way::In) };
        for (series, text) in
            [(Series::main(Owner::System), "main.corrections/system"), (ama, "ama.corrections/system/in")]
        {
            assert_eq!(series.corrections().to_string(), text);
            assert_eq!(series.corrections().corrected(), Some(series.clone()));
            assert_eq!(series.corrected(), None);
        }
        for wrong in ["", "/system", "ama/", "ama/system/up", "ama/system/out/1", "customer:7"] {
            wrong.parse::<Series>().unwrap_err();
        }
    }
}
