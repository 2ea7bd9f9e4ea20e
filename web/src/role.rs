//! Who may see and do what: the one table that every page and every resource of the API asks.

use std::str::FromStr;

/// What a person is at the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Runs the platform: sees and does everything.
    Operator,
    /// Keeps the books: prices, invoices, CDR files; not whom the fraud desk watches.
    Finance,
    /// Watches for fraud: calls, alerts and locks; not the books.
    Fraud,
    /// Looks after carriers: calls with what the carrier charges, CDR files.
    CarrierRelations,
    /// Studies traffic: calls with masked numbers and without money.
    Analyst,
    /// Sees everything and changes nothing.
    Auditor,
}

/// One thing that a person may see or do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Right {
    /// Call records.
    Calls,
    /// Whole telephone numbers; without it they are masked, and cannot be searched by.
    Numbers,
    /// What customers and resellers pay for calls.
    CustomerPrices,
    /// What carriers are owed for calls.
    CarrierPrices,
    /// Accounts, subscribers, trunks, tariffs.
    Provisioning,
    /// Alerts and locks.
    FraudDesk,
    /// Setting and lifting locks.
    ChangeLocks,
    /// Balances and invoices.
    Books,
    /// CDR files.
    Files,
    /// SQL over all calls; implies whole numbers and all prices.
    Sql,
    /// Suspended records and the trail of changes.
    Suspense,
    /// Sending suspended records in again, or giving them up.
    ChangeSuspense,
}

impl Role {
    /// Every role, in the order people read them.
    pub const ALL: [Role; 6] =
        [Role::Operator, Role::Finance, Role::Fraud, Role::CarrierRelations, Role::Analyst, Role::Auditor];

    /// The stable word, as in the database and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Operator => "operator",
            Role::Finance => "finance",
            Role::Fraud => "fraud",
            Role::CarrierRelations => "carrier_relations",
            Role::Analyst => "analyst",
            Role::Auditor => "auditor",
        }
    }

    const fn rights(self) -> &'static [Right] {
        use Right::*;
        match self {
            Role::Operator => &[
                Calls,
                Numbers,
                CustomerPrices,
                CarrierPrices,
                Provisioning,
                FraudDesk,
                ChangeLocks,
                Books,
                Files,
                Sql,
                Suspense,
                ChangeSuspense,
            ],
            Role::Finance => {
                &[Calls, Numbers, CustomerPrices, CarrierPrices, Provisioning, Books, Files, Sql, Suspense]
            }
            Role::Fraud => &[Calls, Numbers, CustomerPrices, FraudDesk, ChangeLocks],
            Role::CarrierRelations => &[Calls, Numbers, CarrierPrices, Files],
            Role::Analyst => &[Calls],
            Role::Auditor => &[
                Calls,
                Numbers,
                CustomerPrices,
                CarrierPrices,
                Provisioning,
                FraudDesk,
                Books,
                Files,
                Sql,
                Suspense,
            ],
        }
    }

    /// Whether it has `right`.
    pub(crate) fn may(self, right: Right) -> bool {
        self.rights().contains(&right)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not a role; there are operator, finance, fraud, carrier_relations, analyst and auditor"
)]
pub struct UnknownRole {
    /// What was given.
    pub given: String,
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Role::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole { given: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_ask_in_sql_may_see_what_sql_shows() {
        for role in Role::ALL {
            if role.may(Right::Sql) {
                for shown in [Right::Calls, Right::Numbers, Right::CustomerPrices, Right::CarrierPrices] {
                    assert!(role.may(shown), "{role} {shown:?}");
                }
            }
        }
    }

    #[test]
    fn auditor_sees_all_that_the_operator_sees_and_changes_nothing() {
        for right in Role::Operator.rights() {
            let is_change = matches!(right, Right::ChangeLocks | Right::ChangeSuspense);
            assert_eq!(Role::Auditor.may(*right), !is_change, "{right:?}");
        }
    }

    #[test]
    fn words_are_read_back() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert!(UnknownRole { given: String::new() }.to_string().contains(role.as_str()));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
