//! Who may see and do what: the one table that every page and every resource of the API asks.

use std::str::FromStr;

/// What a person is at the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// Outside the house: sees its own account and its customers'.
    Reseller,
    /// Outside the house: sees its own account.
    Customer,
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
    /// Making, changing and deleting what is provisioned.
    ChangeProvisioning,
    /// The same of what was agreed about money: packages, contracts, billing terms, exchange rates, limits of profiles.
    ChangeTerms,
    /// Alerts and locks.
    FraudDesk,
    /// Setting and lifting locks and barrings, ending calls, working on cases.
    ChangeLocks,
    /// Changing fraud rules, and whom they leave alone.
    ChangeRules,
    /// Balances and invoices.
    Books,
    /// Topping up accounts, making vouchers.
    ChangeBalances,
    /// CDR files.
    Files,
    /// SQL, with numbers, prices and tables as far as the other rights go.
    Sql,
    /// Suspended records and the trail of changes.
    Suspense,
    /// Sending suspended records in again, or giving them up.
    ChangeSuspense,
    /// Who may sign in, and which programs may.
    Users,
    /// Letting people and programs in, and shutting them out.
    ChangeUsers,
    /// One's own account, on the pages for those outside the house, and nothing else.
    Own,
    /// The accounts below one's own, there.
    OwnCustomers,
}

impl Role {
    /// Every role, in the order people read them.
    pub const ALL: [Role; 8] = [
        Role::Operator,
        Role::Finance,
        Role::Fraud,
        Role::CarrierRelations,
        Role::Analyst,
        Role::Auditor,
        Role::Reseller,
        Role::Customer,
    ];

    /// The stable word, as in the database and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Operator => "operator",
            Role::Finance => "finance",
            Role::Fraud => "fraud",
            Role::CarrierRelations => "carrier_relations",
            Role::Analyst => "analyst",
            Role::Auditor => "auditor",
            Role::Reseller => "reseller",
            Role::Customer => "customer",
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
                ChangeProvisioning,
                ChangeTerms,
                FraudDesk,
                ChangeLocks,
                ChangeRules,
                Books,
                ChangeBalances,
                Files,
                Sql,
                Suspense,
                ChangeSuspense,
                Users,
                ChangeUsers,
            ],
            Role::Finance => &[
                Calls,
                Numbers,
                CustomerPrices,
                CarrierPrices,
                Provisioning,
                ChangeTerms,
                Books,
                ChangeBalances,
                Files,
                Sql,
                Suspense,
            ],
            Role::Fraud => &[Calls, Numbers, CustomerPrices, FraudDesk, ChangeLocks, ChangeRules, Sql],
            Role::CarrierRelations => &[Calls, Numbers, CarrierPrices, Files, Sql],
            Role::Analyst => &[Calls, Sql],
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
                Users,
            ],
            Role::Reseller => &[Own, OwnCustomers],
            Role::Customer => &[Own],
        }
    }

    /// What it sees in SQL: what it sees on the pages, and no more.
    pub(crate) fn lake_access(self) -> lake::Access {
        lake::Access {
            tenant: None,
            numbers: self.may(Right::Numbers),
            customer_prices: self.may(Right::CustomerPrices),
            carrier_prices: self.may(Right::CarrierPrices),
            books: self.may(Right::Books),
            fraud_desk: self.may(Right::FraudDesk),
            tariffs: self.may(Right::Provisioning),
        }
    }

    /// Whether it is somebody's outside the house, who sees one account alone and must be told which.
    pub fn is_outside(self) -> bool {
        self.may(Right::Own)
    }

    /// Whether it has `right`.
    pub(crate) fn may(self, right: Right) -> bool {
        self.rights().contains(&right)
    }
}

/// What a user sees in SQL over the network; `None`: the role may not ask, or is of a later version.
pub fn sql_access(user: &store::User) -> Option<lake::Access> {
    let role: Role = user.role.parse().ok().filter(|role: &Role| role.may(Right::Sql))?;
    Some(lake::Access { tenant: user.tenant, ..role.lake_access() })
}

/// Whether somebody of this role may be handed cases of the fraud desk.
pub fn may_work_on_cases(role: &str) -> bool {
    role.parse::<Role>().is_ok_and(|role| role.may(Right::ChangeLocks))
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not a role; there are operator, finance, fraud, carrier_relations, analyst, auditor, reseller and customer"
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
    fn sql_shows_a_role_what_its_pages_show() {
        assert_eq!(Role::Operator.lake_access(), lake::Access::WHOLE);
        assert_eq!(Role::Auditor.lake_access(), lake::Access::WHOLE);
        let analyst = Role::Analyst.lake_access();
        assert!(!analyst.numbers && !analyst.customer_prices && !analyst.carrier_prices);
        assert!(!analyst.books && !analyst.fraud_desk && !analyst.tariffs);
        let carriers = Role::CarrierRelations.lake_access();
        assert!(carriers.numbers && carriers.carrier_prices && !carriers.customer_prices && !carriers.books);
        let fraud = Role::Fraud.lake_access();
        assert!(fraud.fraud_desk && fraud.customer_prices && !fraud.carrier_prices && !fraud.books);
        assert!(!Role::Finance.lake_access().fraud_desk);
    }

    #[test]
    fn auditor_sees_all_that_the_operator_sees_and_changes_nothing() {
        for right in Role::Operator.rights() {
            let is_change = matches!(
                right,
                Right::ChangeProvisioning
                    | Right::ChangeTerms
                    | Right::ChangeLocks
                    | Right::ChangeRules
                    | Right::ChangeBalances
                    | Right::ChangeSuspense
                    | Right::ChangeUsers
            );
            assert_eq!(Role::Auditor.may(*right), !is_change, "{right:?}");
        }
    }

    #[test]
    fn who_is_outside_has_no_right_of_the_house() {
        for role in Role::ALL {
            let rights = role.rights();
            let n_outside =
                rights.iter().filter(|right| matches!(right, Right::Own | Right::OwnCustomers)).count();
            assert!(n_outside == if role.is_outside() { rights.len() } else { 0 }, "{role}");
        }
        assert!(Role::Customer.is_outside() && !Role::Customer.may(Right::OwnCustomers));
        let nothing = Role::Reseller.lake_access();
        assert!(!nothing.numbers && !nothing.customer_prices && !nothing.books && !nothing.tariffs);
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
