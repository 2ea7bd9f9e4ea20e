//! What prices depend on beside tariffs: where a caller is, who carries a ported number, what a currency is worth. Rates and ported numbers
//! are dated, and closed rather than changed, so that the price of a call can be told again later.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{Currency, NetworkId, TenantId};

/// A named list of address blocks: an account may have another profile for calls from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillingNetwork {
    /// Its id.
    pub id: NetworkId,
    /// Whose platform.
    pub tenant: TenantId,
    /// Letters, digits, dash; unique within the tenant.
    pub name: String,
    /// Address and prefix length, such as `192.0.2.0/24` or `2001:db8::/32`.
    pub blocks: Vec<String>,
}

impl BillingNetwork {
    /// Whether a call from `address` comes from this network.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.blocks.iter().any(|block| block_contains(block, address) == Some(true))
    }

    /// Whether `block` can be read as an address and a prefix length.
    pub fn is_block(block: &str) -> bool {
        parts(block).is_some()
    }
}

fn parts(block: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = match block.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (block, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(bits), |length| length.parse().ok().filter(|length| *length <= bits))?;
    Some((address, length))
}

fn block_contains(block: &str, address: IpAddr) -> Option<bool> {
    let (first, length) = parts(block)?;
    // An IPv4 caller may be written in IPv6 form on a socket that takes both.
    Some(match (first, address.to_canonical()) {
        (IpAddr::V4(first), IpAddr::V4(address)) => {
            let differing = u32::from(first) ^ u32::from(address);
            length == 0 || differing >> (32 - length) == 0
        }
        (IpAddr::V6(first), IpAddr::V6(address)) => {
            let differing = u128::from(first) ^ u128::from(address);
            length == 0 || differing >> (128 - length) == 0
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    })
}

/// What one unit of a currency is worth in another, from a time on until the next rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeRate {
    /// Whose books.
    pub tenant: TenantId,
    /// One unit of this
    pub from: Currency,
    /// is so many of that:
    pub to: Currency,
    /// above 0.
    pub rate: Decimal,
    /// For calls that start at or after this.
    pub valid_from: DateTime<Utc>,
}

/// Numbers that another carrier serves than their prefix says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortedNumber {
    /// Digits; a whole number or the beginning of a range.
    pub number: String,
    /// Who serves it: what `lnp:CARRIER` in a fee names.
    pub carrier: String,
    /// Kind of number, which `lnpnumbertype:TYPE` in a fee names; may be empty.
    pub number_type: String,
    /// Since; `None` is open.
    pub from: Option<DateTime<Utc>>,
    /// Until, exclusive; `None` is open.
    pub to: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_the_addresses_of_its_blocks_and_no_others() {
        let network = BillingNetwork {
            id: NetworkId(1),
            tenant: TenantId(1),
            name: "office".to_owned(),
            blocks: vec!["192.0.2.128/25".to_owned(), "2001:db8::/32".to_owned(), "198.51.100.7".to_owned()],
        };
        let holds = |text: &str| network.contains(text.parse().unwrap());
        assert!(holds("192.0.2.128") && holds("192.0.2.255") && holds("::ffff:192.0.2.200"));
        assert!(!holds("192.0.2.127") && !holds("192.0.3.128"));
        assert!(holds("2001:db8:ffff::1") && !holds("2001:db9::1"));
        assert!(holds("198.51.100.7") && !holds("198.51.100.8"));
        assert!(BillingNetwork::is_block("0.0.0.0/0") && !BillingNetwork::is_block("192.0.2.0/33"));
        let all = BillingNetwork { blocks: vec!["0.0.0.0/0".to_owned()], ..network };
        assert!(all.contains("203.0.113.1".parse().unwrap()) && !all.contains("::1".parse().unwrap()));
    }
}
