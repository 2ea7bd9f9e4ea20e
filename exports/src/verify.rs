//! Checks a file of the reference's format without knowing whose it is or what its columns are: also a partner's.

use md5::{Digest, Md5};

use crate::VerifyError;

/// What a good file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Format version of the header, such as `007`.
    pub version: String,
    /// Records, counted and equal to the header's.
    pub rows: u64,
    /// Computed and equal to the trailer's.
    pub md5: String,
}

/// Checks trailer, checksum, header and count, in this order: what was cut off or changed on the way is told first.
///
/// # Errors
///
/// The first [`VerifyError`].
pub fn verify(bytes: &[u8]) -> Result<Verified, VerifyError> {
    let lines = bytes.strip_suffix(b"\n").ok_or(VerifyError::NoTrailer)?;
    let split = lines.iter().rposition(|byte| *byte == b'\n').ok_or(VerifyError::NoTrailer)?;
    let (covered, trailer) = bytes.split_at(split + 1);
    let trailer = trailer.strip_suffix(b"\n").unwrap_or(trailer);
    let is_md5 = trailer.len() == 32 && trailer.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_md5 {
        return Err(VerifyError::NoTrailer);
    }
    let trailer = String::from_utf8_lossy(trailer).into_owned();
    let computed = hex::encode(Md5::digest(covered));
    if computed != trailer {
        return Err(VerifyError::Checksum { computed, trailer });
    }
    let header_len = covered.iter().position(|byte| *byte == b'\n').unwrap_or(covered.len());
    let header = String::from_utf8_lossy(&covered[..header_len]).into_owned();
    let Some((version, rows)) = read_header(&header) else {
        return Err(VerifyError::Header { found: header.chars().take(80).collect() });
    };
    let n_lines = covered.iter().filter(|byte| **byte == b'\n').count();
    let body = u64::try_from(n_lines.saturating_sub(1)).unwrap_or(u64::MAX);
    if body != rows {
        return Err(VerifyError::Count { header: rows, body });
    }
    Ok(Verified { version, rows, md5: computed })
}

fn read_header(line: &str) -> Option<(String, u64)> {
    let (version, count) = line.split_once(',')?;
    let is_count = count.len() >= 4 && count.bytes().all(|byte| byte.is_ascii_digit());
    if version.is_empty() || !is_count {
        return None;
    }
    Some((version.to_owned(), count.parse().ok()?))
}
