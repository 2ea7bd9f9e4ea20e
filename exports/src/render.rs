//! Renders one CDR file: from calls and a snapshot of the directory to name and bytes, the same whenever it is
//! asked again.
//!
//! Header line (version, number of records), one line for each record, trailer line (MD5 of all before it), each
//! ended by LF (billing-reference 7.3). What goes into which file is the queue's business.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use md5::{Digest, Md5};
use model::{Directory, RatedCdr, Tenant, TenantId};

use crate::field::{Field, Row, write_value};
use crate::reference::{CARRIER, RESELLER, SYSTEM};
use crate::{ExportConfig, Owner, owner_dir};

/// Which file to render.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSpec {
    /// Whose: decides directory, columns and what is shown.
    pub owner: Owner,
    /// Counts up by 1 for each file of the owner, from 1, and never starts again.
    pub sequence: u64,
    /// When the file was closed; in its name and its directories.
    pub created_at: DateTime<Utc>,
    /// How it is written, once [`ExportConfig::check`] has passed it.
    pub config: ExportConfig,
}

/// A whole file, not yet on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Path below the export directory, `/` between its parts:
    /// `resellers/acme/202611/21/tollbook_007_20261121235900_0000000042.cdr`.
    pub name: String,
    /// Its contents.
    pub bytes: Vec<u8>,
    /// Records in it.
    pub rows: usize,
    /// Its trailer: lowercase hexadecimal MD5 of all bytes before the last line.
    pub md5: String,
}

/// Renders the file of `rows`, in their order.
pub fn render(file: &FileSpec, rows: &[RatedCdr], directory: &Directory) -> Rendered {
    let zone = zone_of(file, directory);
    let style = Style::of(&file.config);
    let fields = fields_of(file.owner);

    let mut bytes = String::with_capacity(64 + rows.len() * 16 * fields.len());
    bytes.push_str(&format!("{},{:04}\n", file.config.version, rows.len()));
    let mut value = String::new();
    for rated in rows {
        let row = Row { rated, viewer: file.owner, record_id: file.config.record_id };
        for (field_idx, field) in fields.iter().enumerate() {
            if field_idx > 0 {
                bytes.push(style.separator);
            }
            value.clear();
            write_value(&mut value, field, &row.value(field.fact), zone);
            style.write_quoted(&mut bytes, &value);
        }
        bytes.push('\n');
    }
    let md5 = hex::encode(Md5::digest(bytes.as_bytes()));
    bytes.push_str(&md5);
    bytes.push('\n');
    Rendered { name: name_of(file, directory, zone), bytes: bytes.into_bytes(), rows: rows.len(), md5 }
}

/// The names of the columns in a file of `owner`, in order.
pub fn column_names(owner: Owner) -> Vec<&'static str> {
    fields_of(owner).iter().map(|field| field.name).collect()
}

fn fields_of(owner: Owner) -> &'static [Field] {
    match owner {
        Owner::System => &SYSTEM,
        Owner::Reseller(_) => &RESELLER,
        Owner::Carrier(_) => &CARRIER,
    }
}

/// The zone of the configuration, else of the owner's tenant, else of the first tenant, else UTC.
fn zone_of(file: &FileSpec, directory: &Directory) -> Tz {
    let tenant_of = |id: TenantId| directory.tenants.iter().find(|tenant| tenant.id == id);
    let of_owner = || -> Option<&Tenant> {
        let account = file.owner.account()?;
        tenant_of(directory.accounts.iter().find(|candidate| candidate.id == account)?.tenant)
    };
    let first = || directory.tenants.iter().min_by_key(|tenant| tenant.id);
    file.config.zone.or_else(|| of_owner().or_else(first).map(|tenant| tenant.timezone)).unwrap_or(Tz::UTC)
}

fn name_of(file: &FileSpec, directory: &Directory, zone: Tz) -> String {
    let config = &file.config;
    let at = file.created_at.with_timezone(&zone);
    let (date_dir, short_time) = match (config.monthly_dir, config.daily_dir) {
        (true, true) => ("%Y%m/%d/", "%H%M%S"),
        (true, false) => ("%Y%m/", "%d%H%M%S"),
        (false, true) => ("%Y%m%d/", "%H%M%S"),
        (false, false) => ("", "%Y%m%d%H%M%S"),
    };
    let time = if config.full_names { "%Y%m%d%H%M%S" } else { short_time };
    format!(
        "{}/{}{}_{}_{}_{:010}.{}",
        owner_dir(file.owner, directory),
        at.format(date_dir),
        config.prefix,
        config.version,
        at.format(time),
        file.sequence,
        config.suffix
    )
}

/// Marks around and between values.
#[derive(Debug, Clone, Copy)]
struct Style {
    quote: Option<char>,
    separator: char,
    escape: Option<char>,
}

impl Style {
    fn of(config: &ExportConfig) -> Self {
        Self {
            quote: config.quotes.chars().next(),
            separator: config.separator.chars().next().unwrap_or(','),
            escape: config.escape.chars().next(),
        }
    }

    fn write_quoted(self, out: &mut String, value: &str) {
        out.extend(self.quote);
        let guarded = self.quote.unwrap_or(self.separator);
        let is_special = |c: char| c == guarded || Some(c) == self.escape || c.is_control();
        if value.contains(is_special) {
            for c in value.chars() {
                match self.escape {
                    // A line feed from a caller's name must not become a second record.
                    _ if c.is_control() => out.push(' '),
                    Some(escape) if c == guarded || c == escape => out.extend([escape, c]),
                    Some(_) | None => out.push(c),
                }
            }
        } else {
            out.push_str(value);
        }
        out.extend(self.quote);
    }
}
