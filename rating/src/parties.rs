//! Who is charged for a call, at which level and side.
//!
//! In: a CDR, whose parties the switch wrote down at call time. Out: the charges to make, carrier first. Whether a party
//! has a tariff is asked in [`crate::snapshot`].

use model::{AccountId, Cdr, Charge, Direction, Party, Provider};

/// One charge to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PayingParty {
    pub(crate) provider: Provider,
    pub(crate) direction: Direction,
    pub(crate) account: AccountId,
}

/// The parties of an answered call (billing-reference 5.2): the calling subscriber's side pays the outgoing fee, the called
/// one's the incoming fee; a trunk is the carrier the call came from (in) or went to (out).
pub(crate) fn paying_parties(cdr: &Cdr) -> Vec<PayingParty> {
    let mut parties = Vec::with_capacity(4);
    let mut pays = |provider, direction, account| {
        if account != AccountId::NOBODY {
            parties.push(PayingParty { provider, direction, account });
        }
    };
    match &cdr.destination.party {
        Party::Trunk { account, .. } => pays(Provider::Carrier, Direction::Out, *account),
        Party::Subscriber { .. } | Party::Unknown => {}
    }
    match &cdr.source.party {
        Party::Subscriber { account, reseller, .. } => {
            pays(Provider::Reseller, Direction::Out, *reseller);
            pays(Provider::Customer, Direction::Out, *account);
        }
        Party::Trunk { account, .. } => pays(Provider::Carrier, Direction::In, *account),
        Party::Unknown => {}
    }
    match &cdr.destination.party {
        Party::Subscriber { account, reseller, .. } => {
            pays(Provider::Reseller, Direction::In, *reseller);
            pays(Provider::Customer, Direction::In, *account);
        }
        Party::Trunk { .. } | Party::Unknown => {}
    }
    parties
}

/// Whether this is what the payer of a record owes for having called, which its balance pays.
pub(crate) fn is_of_payer(charge: &Charge, payer: AccountId) -> bool {
    (charge.provider, charge.direction, charge.account) == (Provider::Customer, Direction::Out, payer)
}

/// What fees match on the calling side: the network-provided number, else the user part as sent.
pub(crate) fn source_key(cdr: &Cdr) -> String {
    match cdr.source.cli {
        Some(cli) => cli.to_string(),
        None => without_plus(&cdr.source.user).to_owned(),
    }
}

/// What fees match on the called side: the number after inbound rewriting.
pub(crate) fn destination_key(cdr: &Cdr) -> String {
    match cdr.destination.number {
        Some(number) => number.to_string(),
        None => without_plus(&cdr.destination.user_in).to_owned(),
    }
}

/// The two keys with their domains, which the reference's order looks at first (billing-reference 3.4).
pub(crate) fn keys_with_domains(cdr: &Cdr) -> (String, String) {
    let with_domain = |key: String, domain: &str| match domain {
        "" => key,
        domain => format!("{key}@{domain}"),
    };
    (
        with_domain(source_key(cdr), &cdr.source.domain),
        with_domain(destination_key(cdr), &cdr.destination.domain),
    )
}

fn without_plus(user: &str) -> &str {
    user.strip_prefix('+').unwrap_or(user)
}
