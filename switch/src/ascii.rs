//! Numbers and addresses as text, the same as their `Display` writes, without its machinery: a call has some fifty of them on the wire.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// As long as the longest of them: an IPv6 address with scope and port.
const LONGEST: usize = 72;

/// A short text that lies where it is made.
#[derive(Clone, Copy)]
pub(crate) struct Ascii {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Ascii {
    const EMPTY: Self = Self { bytes: [0; LONGEST], length: 0 };

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(crate) fn as_str(&self) -> &str {
        // Nothing but ASCII is put in.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn push_number(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut from = digits.len();
        loop {
            from -= 1;
            digits[from] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        for digit in &digits[from..] {
            self.push(*digit);
        }
    }

    fn push_v4(&mut self, address: Ipv4Addr) {
        for (idx, octet) in address.octets().into_iter().enumerate() {
            if idx > 0 {
                self.push(b'.');
            }
            self.push_number(octet.into());
        }
    }
}

impl std::fmt::Write for Ascii {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = self.bytes.get_mut(self.length..self.length + text.len()).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

impl AsRef<[u8]> for Ascii {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// In decimal.
pub(crate) fn number(number: impl Into<u64>) -> Ascii {
    let mut out = Ascii::EMPTY;
    out.push_number(number.into());
    out
}

/// In 16 hexadecimal digits.
pub(crate) fn hex(number: u64) -> Ascii {
    let mut out = Ascii::EMPTY;
    for byte in number.to_be_bytes() {
        out.push(b"0123456789abcdef"[usize::from(byte >> 4)]);
        out.push(b"0123456789abcdef"[usize::from(byte & 0xf)]);
    }
    out
}

/// Address and port.
pub(crate) fn address(address: SocketAddr) -> Ascii {
    let mut out = Ascii::EMPTY;
    match address {
        SocketAddr::V4(v4) => {
            out.push_v4(*v4.ip());
            out.push(b':');
            out.push_number(v4.port().into());
        }
        // It has room for the longest.
        SocketAddr::V6(v6) => {
            let _ = write!(out, "{v6}");
        }
    }
    out
}

/// An address alone.
pub(crate) fn ip(address: IpAddr) -> Ascii {
    let mut out = Ascii::EMPTY;
    match address {
        IpAddr::V4(v4) => out.push_v4(v4),
        IpAddr::V6(v6) => {
            let _ = write!(out, "{v6}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, SocketAddrV6};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_those_of_display(n: u64, octets: [u8; 4], port: u16, v6: u128, scope: u32) {
            prop_assert_eq!(number(n).as_str().to_owned(), n.to_string());
            prop_assert_eq!(hex(n).as_str().to_owned(), format!("{n:016x}"));
            let v4 = SocketAddr::from((octets, port));
            let v6 = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from_bits(v6), port, 0, scope));
            for one in [v4, v6] {
                prop_assert_eq!(address(one).as_str().to_owned(), one.to_string());
                prop_assert_eq!(ip(one.ip()).as_str().to_owned(), one.ip().to_string());
            }
        }
    }

    #[test]
    fn longest_address_has_room() {
        let all = Ipv6Addr::from_bits(u128::MAX);
        let longest = SocketAddr::V6(SocketAddrV6::new(all, u16::MAX, 0, u32::MAX));
        assert_eq!(address(longest).as_str(), longest.to_string());
    }
}
