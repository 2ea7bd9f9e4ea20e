//! Where one record ends and the next begins, line by line.

use super::Kind;

/// The longest record, 256 KiB: ten times a FreeSWITCH CDR with all its variables.
pub const RECORD_BYTES_MAX: usize = 256 << 10;

/// Follows quotes and braces over the lines of one record.
#[derive(Debug, Clone)]
pub struct Splitter {
    kind: Kind,
    in_quotes: bool,
    is_escaped: bool,
    depth: u32,
}

impl Splitter {
    /// At the beginning of a record.
    pub fn new(kind: Kind) -> Self {
        Self { kind, in_quotes: false, is_escaped: false, depth: 0 }
    }

    /// Takes one line. Whether the record ends with it.
    pub fn ends_with(&mut self, line: &[u8]) -> bool {
        match self.kind {
            Kind::JsonLines | Kind::Fixed => true,
            // A quote inside a quoted field is written twice (RFC 4180), so the count tells.
            Kind::Csv => {
                let n_quotes = line.iter().filter(|byte| **byte == b'"').count();
                self.in_quotes ^= n_quotes % 2 == 1;
                !self.in_quotes
            }
            Kind::Freeswitch => {
                for byte in line {
                    self.step(*byte);
                }
                self.depth == 0 && !self.in_quotes
            }
        }
    }

    fn step(&mut self, byte: u8) {
        if self.in_quotes {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_quotes = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_quotes = true,
            b'{' => self.depth += 1,
            b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}
