//! Identifiers. Those of provisioned objects are numbers the store hands out; those of records are derived
//! from what they name, so that a replay names the same thing again (design: "identifiers are derived").

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

macro_rules! provisioned_ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

provisioned_ids! {
    /// The operator or one of its brands; every provisioned row belongs to one.
    TenantId,
    /// A billing account: customer, reseller or carrier. 0 is nobody (an unknown source).
    AccountId,
    /// A SIP identity with credentials.
    SubscriberId,
    /// A SIP peer known by its address.
    TrunkId,
    /// One row of the outbound routing table.
    RouteId,
    /// A billing profile, over all its versions.
    ProfileId,
    /// One immutable dated version of a billing profile.
    ProfileVersionId,
    /// One fee of one profile version.
    FeeId,
    /// A network that calls come from.
    NetworkId,
    /// An invoice, whatever its number.
    InvoiceId,
}

impl AccountId {
    /// Nobody: the payer of events that belong to no account, such as a scanner's attempts.
    pub const NOBODY: AccountId = AccountId(0);
}

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an identifier of 32 hexadecimal digits")]
pub struct InvalidId {
    /// The text as given.
    pub text: String,
}

macro_rules! derived_ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// From the 16 bytes that [`Self::as_bytes`] gave.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes on the bus and in Parquet.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            fn derive_from(parts: &[&[u8]]) -> Self {
                let mut hash = Sha256::new();
                hash.update(stringify!($name).as_bytes());
                for part in parts {
                    // The length keeps ("ab", "c") apart from ("a", "bc").
                    hash.update((part.len() as u64).to_be_bytes());
                    hash.update(part);
                }
                let digest = hash.finalize();
                let mut bytes = [0; 16];
                bytes.copy_from_slice(&digest[..16]);
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let invalid = || InvalidId { text: text.to_owned() };
                if text.len() != 32 || !text.is_ascii() {
                    return Err(invalid());
                }
                let mut bytes = [0; 16];
                for (idx, byte) in bytes.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&text[idx * 2..idx * 2 + 2], 16).map_err(|_| invalid())?;
                }
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

derived_ids! {
    /// One CDR: one leg of one call, over all its revisions.
    CdrId,
    /// One posting of the ledger.
    PostingId,
    /// One crossing of one fraud limit in one period.
    AlertId,
}

impl CdrId {
    /// The record of `leg` (0 is the call itself, 1 the first forward) of `call`.
    pub fn derive(call: &CallUid, leg: u16) -> Self {
        Self::derive_from(&[call.as_bytes(), &leg.to_be_bytes()])
    }

    /// The record of a later fragment of the call that `self` is of, where files have one for each: the first has the call's own. `number`
    /// counts from 1.
    #[must_use]
    pub fn of_fragment(self, number: u32) -> Self {
        if number <= 1 {
            return self;
        }
        Self::derive_from(&[b"fragment", &self.0, &number.to_be_bytes()])
    }
}

impl PostingId {
    /// The `index`-th posting that `cdr` in its revision `revision` causes.
    pub fn derive(cdr: CdrId, revision: u32, index: u32) -> Self {
        Self::derive_from(&[cdr.as_bytes(), &revision.to_be_bytes(), &index.to_be_bytes()])
    }
}

impl PostingId {
    /// The `number`-th movement of an account's balance that no call causes.
    pub fn of_balance(account: AccountId, number: u64) -> Self {
        Self::derive_from(&[b"balance", &account.0.to_be_bytes(), &number.to_be_bytes()])
    }

    /// The top-up of `account` that was asked for under `token`.
    pub fn of_top_up(account: AccountId, token: &str) -> Self {
        Self::derive_from(&[b"topup", &account.0.to_be_bytes(), token.as_bytes()])
    }
}

impl AlertId {
    /// The crossing of `rule` by `account` in the period named `period` (such as `2026-10-05`).
    pub fn derive(rule: &str, account: AccountId, period: &str) -> Self {
        Self::derive_from(&[rule.as_bytes(), &account.0.to_be_bytes(), period.as_bytes()])
    }
}

/// Our name for one call, given by the switch to the leg that came in: `node-boot-count`, unique for ever.
/// A call is named in several tables at once, and each looks at the name for every event: so a name of usual length lies where its table is,
/// and copies of a longer one share the text.
#[derive(Clone, PartialEq, Eq)]
pub struct CallUid(Name);

/// Each text has one form, by its length: equal names are equal in their parts.
#[derive(Clone, PartialEq, Eq)]
enum Name {
    /// The bytes behind the first `length` are 0.
    Short { length: u8, bytes: [u8; NAME_BYTES] },
    /// Longer than [`NAME_BYTES`].
    Long(Arc<str>),
}

/// A node of four letters, sixteen digits of microseconds, and eight for the count.
const NAME_BYTES: usize = 30;
const _: () = assert!(size_of::<CallUid>() == 32);

impl CallUid {
    /// Takes the text as it is.
    pub fn new(text: impl AsRef<str> + Into<Arc<str>>) -> Self {
        let mut bytes = [0; NAME_BYTES];
        let is = text.as_ref().as_bytes();
        match (u8::try_from(is.len()), bytes.get_mut(..is.len())) {
            (Ok(length), Some(place)) => {
                place.copy_from_slice(is);
                Self(Name::Short { length, bytes })
            }
            _ => Self(Name::Long(text.into())),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Short { .. } => std::str::from_utf8(self.as_bytes()).expect("it was made of a text"),
            Name::Long(text) => text,
        }
    }

    /// The bytes of the text.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Name::Short { length, bytes } => &bytes[..usize::from(*length).min(NAME_BYTES)],
            Name::Long(text) => text.as_bytes(),
        }
    }
}

impl Hash for CallUid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As of a text.
        state.write(self.as_bytes());
        state.write_u8(0xff);
    }
}

impl PartialOrd for CallUid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By their texts.
impl Ord for CallUid {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl fmt::Debug for CallUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CallUid").field(&self.as_str()).finish()
    }
}

impl Serialize for CallUid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for CallUid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(CallUid::new)
    }
}

impl fmt::Display for CallUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_leg_has_the_same_id_and_another_leg_another() {
        let call = CallUid::new("sw1-1-7");
        assert_eq!(CdrId::derive(&call, 0), CdrId::derive(&call, 0));
        assert_ne!(CdrId::derive(&call, 0), CdrId::derive(&call, 1));
    }

    /// Around the length from which on the text is shared.
    #[test]
    fn name_of_any_length_is_its_text() {
        let texts: Vec<String> = (0..40).map(|length| "7".repeat(length)).collect();
        for (text, longer) in texts.iter().zip(&texts[1..]) {
            let (name, next) = (CallUid::new(text.as_str()), CallUid::new(longer.as_str()));
            assert_eq!((name.as_str(), name.as_bytes()), (text.as_str(), text.as_bytes()));
            assert_eq!(name, CallUid::new(text.clone()));
            assert_eq!(format!("{name:?} {name}"), format!("CallUid({text:?}) {text}"));
            assert!(name != next && name < next, "{text}");
        }
    }

    /// Lists of calls are sorted by it, and kept.
    #[test]
    fn names_sort_as_their_texts_do() {
        let long = "sw1-1790000000000000-123456789012";
        let mut texts = ["b", "a\0", "a", "", "ab", long, "sw1-2", "\u{fc}", &long[..30], &long[..31]];
        let mut names = texts.map(CallUid::new);
        texts.sort_unstable();
        names.sort_unstable();
        assert_eq!(names.each_ref().map(CallUid::as_str), texts);
    }

    #[test]
    fn id_survives_its_text_form() {
        let id = CdrId::derive(&CallUid::new("sw1-1-7"), 0);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("zz".parse::<CdrId>().is_err());
    }
}
