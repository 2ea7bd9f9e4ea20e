//! The formats that come with the program: the same TOML as anybody's, in `exports/formats/`.

use super::compile::{DescriptionError, Format};

/// Name and description of each.
pub const DELIVERED: &[(&str, &str)] = &[
    ("reference-system", include_str!("../../formats/reference-system.toml")),
    ("reference-reseller", include_str!("../../formats/reference-reseller.toml")),
    ("reference-carrier", include_str!("../../formats/reference-carrier.toml")),
    ("reference-intermediate", include_str!("../../formats/reference-intermediate.toml")),
    ("reference-kabelplus", include_str!("../../formats/reference-kabelplus.toml")),
    ("csv", include_str!("../../formats/csv.toml")),
    ("fixed-record", include_str!("../../formats/fixed-record.toml")),
    ("json-lines", include_str!("../../formats/json-lines.toml")),
    ("reference-edr-system", include_str!("../../formats/reference-edr-system.toml")),
    ("reference-edr-reseller", include_str!("../../formats/reference-edr-reseller.toml")),
    ("corrections", include_str!("../../formats/corrections.toml")),
];

/// The delivered format of that name; `None` if there is none.
///
/// # Errors
///
/// Never: a test reads them all. The type says so because nothing else here does.
pub fn delivered(name: &str) -> Option<Result<Format, DescriptionError>> {
    let (name, text) = DELIVERED.iter().find(|(known, _)| *known == name)?;
    Some(Format::parse(name, text))
}
