//! The columns of the reference's CDR format `007` (billing-reference 7.4), in its order, as tables checked while
//! compiling; and our own table for carriers, to whom the reference writes nothing.
//!
//! Costs and free times of parties that are not part of a call are 0 and not empty: a rated record has no null
//! costs (billing-reference 5.1).

use model::Direction::{In, Out};
use model::Provider::{Carrier, Customer, Reseller};

use crate::field::Side::{Destination, Source as From};
use crate::field::{Fact, Field, Format};

/// Columns of the operator's file.
pub const SYSTEM_COLUMNS: usize = 59;
/// Columns of a reseller's file: no carrier and no reseller cost.
pub const RESELLER_COLUMNS: usize = 43;
/// Columns of a carrier's file: what happened, and what it is owed.
pub const CARRIER_COLUMNS: usize = 43;

/// Columns 1 to 35 of every file.
const CALL_COLUMNS: usize = 35;

const CALL: [Field; CALL_COLUMNS] = [
    plain("id", Fact::RecordId),
    field("update_time", Fact::UpdateTime, Format::Seconds, ""),
    field("source_user_id", Fact::UserId(From), Format::Plain, "0"),
    field("source_provider_id", Fact::ProviderId(From), Format::Plain, "0"),
    plain("source_external_subscriber_id", Fact::NotKept),
    plain("source_subscriber_id", Fact::SubscriberId(From)),
    plain("source_external_contract_id", Fact::NotKept),
    field("source_account_id", Fact::AccountId(From), Format::Plain, "0"),
    plain("source_user", Fact::SourceUser),
    plain("source_domain", Fact::SourceDomain),
    plain("source_cli", Fact::SourceCli),
    plain("source_clir", Fact::SourceClir),
    plain("source_ip", Fact::SourceIp),
    field("destination_user_id", Fact::UserId(Destination), Format::Plain, "0"),
    field("destination_provider_id", Fact::ProviderId(Destination), Format::Plain, "0"),
    plain("destination_external_subscriber_id", Fact::NotKept),
    plain("destination_subscriber_id", Fact::SubscriberId(Destination)),
    plain("destination_external_contract_id", Fact::NotKept),
    field("destination_account_id", Fact::AccountId(Destination), Format::Plain, "0"),
    plain("destination_user", Fact::DestinationUser),
    plain("destination_domain", Fact::DestinationDomain),
    plain("destination_user_in", Fact::DestinationUserIn),
    plain("destination_domain_in", Fact::DestinationDomain),
    plain("destination_user_dialed", Fact::DestinationUserDialed),
    plain("peer_auth_user", Fact::NotKept),
    plain("peer_auth_realm", Fact::NotKept),
    plain("call_type", Fact::CallType),
    plain("call_status", Fact::CallStatus),
    plain("call_code", Fact::CallCode),
    field("init_time", Fact::InitTime, Format::Millis, ""),
    field("start_time", Fact::StartTime, Format::Millis, ""),
    field("duration", Fact::Duration, Format::Duration, "0.000"),
    plain("call_id", Fact::CallId),
    plain("rating_status", Fact::RatingStatus),
    field("rated_at", Fact::RatedAt, Format::Seconds, ""),
];

const SYSTEM_COSTS: [Field; SYSTEM_COLUMNS - CALL_COLUMNS] = [
    cost("source_carrier_cost", Fact::Cost(Carrier, Out)),
    cost("source_customer_cost", Fact::Cost(Customer, Out)),
    field("source_carrier_zone", Fact::Zone(Carrier, Out), Format::Plain, ON_NET_ZONE),
    plain("source_customer_zone", Fact::Zone(Customer, Out)),
    field("source_carrier_detail", Fact::ZoneDetail(Carrier, Out), Format::Plain, ON_NET_DETAIL),
    plain("source_customer_detail", Fact::ZoneDetail(Customer, Out)),
    free_time("source_carrier_free_time", Fact::FreeTime(Carrier, Out)),
    free_time("source_customer_free_time", Fact::FreeTime(Customer, Out)),
    cost("destination_carrier_cost", Fact::Cost(Carrier, In)),
    cost("destination_customer_cost", Fact::Cost(Customer, In)),
    plain("destination_carrier_zone", Fact::Zone(Carrier, In)),
    plain("destination_customer_zone", Fact::Zone(Customer, In)),
    plain("destination_carrier_detail", Fact::ZoneDetail(Carrier, In)),
    plain("destination_customer_detail", Fact::ZoneDetail(Customer, In)),
    free_time("destination_carrier_free_time", Fact::FreeTime(Carrier, In)),
    free_time("destination_customer_free_time", Fact::FreeTime(Customer, In)),
    cost("source_reseller_cost", Fact::Cost(Reseller, Out)),
    plain("source_reseller_zone", Fact::Zone(Reseller, Out)),
    plain("source_reseller_detail", Fact::ZoneDetail(Reseller, Out)),
    free_time("source_reseller_free_time", Fact::FreeTime(Reseller, Out)),
    cost("destination_reseller_cost", Fact::Cost(Reseller, In)),
    plain("destination_reseller_zone", Fact::Zone(Reseller, In)),
    plain("destination_reseller_detail", Fact::ZoneDetail(Reseller, In)),
    free_time("destination_reseller_free_time", Fact::FreeTime(Reseller, In)),
];

const RESELLER_COSTS: [Field; RESELLER_COLUMNS - CALL_COLUMNS] = [
    cost("source_customer_cost", Fact::Cost(Customer, Out)),
    plain("source_customer_zone", Fact::Zone(Customer, Out)),
    plain("source_customer_detail", Fact::ZoneDetail(Customer, Out)),
    free_time("source_customer_free_time", Fact::FreeTime(Customer, Out)),
    cost("destination_customer_cost", Fact::Cost(Customer, In)),
    plain("destination_customer_zone", Fact::Zone(Customer, In)),
    plain("destination_customer_detail", Fact::ZoneDetail(Customer, In)),
    free_time("destination_customer_free_time", Fact::FreeTime(Customer, In)),
];

/// Source columns: a call we handed to the carrier. Destination columns: one it handed to us.
const CARRIER_COSTS: [Field; CARRIER_COLUMNS - CALL_COLUMNS] = [
    cost("source_carrier_cost", Fact::Cost(Carrier, Out)),
    plain("source_carrier_zone", Fact::Zone(Carrier, Out)),
    plain("source_carrier_detail", Fact::ZoneDetail(Carrier, Out)),
    free_time("source_carrier_free_time", Fact::FreeTime(Carrier, Out)),
    cost("destination_carrier_cost", Fact::Cost(Carrier, In)),
    plain("destination_carrier_zone", Fact::Zone(Carrier, In)),
    plain("destination_carrier_detail", Fact::ZoneDetail(Carrier, In)),
    free_time("destination_carrier_free_time", Fact::FreeTime(Carrier, In)),
];

/// The reference's words for a call that no carrier was paid for.
const ON_NET_ZONE: &str = "onnet";
const ON_NET_DETAIL: &str = "platform internal";

pub(crate) const SYSTEM: [Field; SYSTEM_COLUMNS] = after_call(SYSTEM_COSTS);
pub(crate) const RESELLER: [Field; RESELLER_COLUMNS] = after_call(RESELLER_COSTS);
pub(crate) const CARRIER: [Field; CARRIER_COLUMNS] = after_call(CARRIER_COSTS);

const _: () =
    assert!(SYSTEM_COLUMNS == 59 && RESELLER_COLUMNS == 43, "the reference's readers count columns");

const fn field(name: &'static str, fact: Fact, format: Format, absent: &'static str) -> Field {
    Field { name, fact, format, absent }
}

const fn plain(name: &'static str, fact: Fact) -> Field {
    field(name, fact, Format::Plain, "")
}

const fn cost(name: &'static str, fact: Fact) -> Field {
    field(name, fact, Format::Cents, "0.000000")
}

const fn free_time(name: &'static str, fact: Fact) -> Field {
    field(name, fact, Format::Plain, "0")
}

/// The columns of the call, then `costs`.
const fn after_call<const COSTS: usize, const ALL: usize>(costs: [Field; COSTS]) -> [Field; ALL] {
    assert!(CALL_COLUMNS + COSTS == ALL);
    let mut all = [CALL[0]; ALL];
    let mut field_idx = 0;
    while field_idx < ALL {
        all[field_idx] =
            if field_idx < CALL_COLUMNS { CALL[field_idx] } else { costs[field_idx - CALL_COLUMNS] };
        field_idx += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_column_has_the_name_of_another() {
        for table in [SYSTEM.as_slice(), &RESELLER, &CARRIER] {
            let mut names: Vec<_> = table.iter().map(|field| field.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), table.len());
        }
    }

    #[test]
    fn columns_stand_where_the_reference_has_them() {
        for (number, name) in [
            (1, "id"),
            (6, "source_subscriber_id"),
            (13, "source_ip"),
            (24, "destination_user_dialed"),
            (32, "duration"),
            (35, "rated_at"),
            (36, "source_carrier_cost"),
            (40, "source_carrier_detail"),
            (44, "destination_carrier_cost"),
            (51, "destination_customer_free_time"),
            (52, "source_reseller_cost"),
            (59, "destination_reseller_free_time"),
        ] {
            assert_eq!(SYSTEM[number - 1].name, name, "column {number}");
        }
        assert_eq!(RESELLER[35].name, "source_customer_cost");
        assert_eq!(RESELLER[42].name, "destination_customer_free_time");
    }

    #[test]
    fn a_reseller_sees_no_carrier_and_no_reseller_cost() {
        for field in RESELLER {
            assert!(!field.name.contains("carrier") && !field.name.contains("reseller"), "{}", field.name);
        }
    }
}
