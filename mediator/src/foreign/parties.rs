//! Who the parties of a foreign record are: looked up once, when it is taken in, by who is provisioned at the time of the call.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use model::{
    Account, AccountId, CallStatus, CallType, CallUid, Cdr, CdrDestination, CdrDetail, CdrId, CdrSource,
    Directory, E164, NumberOwner, Party, RouteAction, RouteTry, Subscriber, SubscriberId, TenantId, Text,
    Trunk,
};

use super::{Foreign, ForeignError};

/// Accounts, numbers and trunks by what records name them.
#[derive(Debug)]
pub struct Parties<'a> {
    revision: i64,
    /// Of several tenants where they have a handle in common.
    accounts: HashMap<&'a str, Vec<&'a Account>>,
    accounts_by_id: HashMap<AccountId, &'a Account>,
    subscribers: HashMap<SubscriberId, &'a Subscriber>,
    first_of_account: HashMap<AccountId, &'a Subscriber>,
    numbers: HashMap<E164, Vec<&'a NumberOwner>>,
    trunks: HashMap<&'a str, &'a Trunk>,
    first_owners: bool,
}

impl<'a> Parties<'a> {
    /// Of one snapshot. With `first_owners`, a call from before a number had an owner here is its first owner's: of records from
    /// before a migration nobody knows better.
    pub fn new(directory: &'a Directory, first_owners: bool) -> Self {
        let mut numbers: HashMap<_, Vec<_>> = HashMap::new();
        for owner in &directory.numbers {
            numbers.entry(owner.number).or_default().push(owner);
        }
        let mut first_of_account = HashMap::new();
        for subscriber in &directory.subscribers {
            first_of_account.entry(subscriber.account).or_insert(subscriber);
        }
        let mut accounts: HashMap<_, Vec<_>> = HashMap::new();
        for account in &directory.accounts {
            accounts.entry(account.handle.as_str()).or_default().push(account);
        }
        Self {
            revision: directory.revision,
            accounts,
            accounts_by_id: directory.accounts.iter().map(|account| (account.id, account)).collect(),
            subscribers: directory.subscribers.iter().map(|subscriber| (subscriber.id, subscriber)).collect(),
            first_of_account,
            numbers,
            trunks: directory.trunks.iter().map(|trunk| (trunk.name.as_str(), trunk)).collect(),
            first_owners,
        }
    }

    /// Our name for the record with `key` of `source`; the same whenever it is read.
    pub fn call_uid(source: &str, key: &str) -> CallUid {
        CallUid::new(format!("import-{source}-{key}"))
    }

    /// Makes the CDR.
    ///
    /// # Errors
    ///
    /// [`ForeignError::NobodyPays`], [`ForeignError::NoTrunk`] and numbers that are none.
    pub fn cdr(&self, source: &str, foreign: Foreign) -> Result<Cdr, ForeignError> {
        let caller = number_of(&foreign.source);
        let callee = number_of(&foreign.destination);
        let from = self.source_party(&foreign, caller)?;
        let to = self.destination_party(&foreign, callee)?;
        let (payer, tenant) = self.payer_of(&from)?;
        let call = Self::call_uid(source, &foreign.key);
        let (code, pdd_us) = (foreign.code, foreign.pdd_us);
        let mut attempts = Vec::new();
        if to != Party::Unknown {
            attempts.push(RouteTry {
                attempt: 1,
                party: to.clone(),
                code,
                pdd_us,
                action: RouteAction::Stop,
            });
        }
        Ok(Cdr {
            id: CdrId::derive(&call, 0),
            revision: 0,
            leg: 0,
            sip_call_id: if foreign.call_id.is_empty() {
                foreign.key.clone().into()
            } else {
                foreign.call_id.into()
            },
            node: format!("import:{source}").into(),
            tenant,
            payer,
            source: CdrSource {
                party: from,
                user: foreign.source.into(),
                domain: Text::new(),
                cli: caller,
                clir: false,
                user_out: Text::new(),
                ip: foreign.ip.into(),
                user_agent: foreign.user_agent.into(),
            },
            destination: CdrDestination {
                party: to,
                dialed: foreign.destination.clone().into(),
                domain: Text::new(),
                user_in: foreign.destination.into(),
                number: callee,
                user_out: Text::new(),
                user_agent: Text::new(),
            },
            call_type: CallType::Call,
            status: CallStatus::of_code(code),
            code,
            cause: foreign.cause,
            ended_by: foreign.ended_by,
            init_at: foreign.init_at,
            start_at: foreign.start_at,
            duration_us: foreign.duration_us,
            pdd_us,
            codec: foreign.codec.into(),
            attempts,
            config_revision: self.revision,
            partial: false,
            detail: CdrDetail {
                foreign_key: format!("{source}/{}", foreign.key).into(),
                ..CdrDetail::default()
            },
            call,
        })
    }

    fn source_party(&self, foreign: &Foreign, caller: Option<E164>) -> Result<Party, ForeignError> {
        if let Some(name) = &foreign.trunk_in {
            let trunk = self.trunk(name)?;
            return Ok(Party::Trunk { trunk: trunk.id, account: trunk.account });
        }
        let owner = caller.and_then(|number| self.owner(number, foreign.start_at));
        let Some(handle) = &foreign.account else {
            return owner.map(|subscriber| self.party_of(subscriber)).ok_or_else(|| {
                ForeignError::NobodyPays {
                    why: format!(
                        "no subscriber owned the number {:?} at {}{}",
                        foreign.source,
                        foreign.start_at.format("%F %T"),
                        self.later_owned(caller, foreign.start_at)
                    ),
                }
            });
        };
        let account = match self.accounts.get(handle.as_str()).map_or(&[][..], Vec::as_slice) {
            [account] => *account,
            [] => {
                return Err(ForeignError::NobodyPays { why: format!("there is no account {handle:?}") });
            }
            // Of these the one who owned the number then, if one did.
            several => {
                let owner = owner.map(|subscriber| subscriber.account);
                several.iter().copied().find(|account| Some(account.id) == owner).ok_or_else(|| {
                    ForeignError::NobodyPays { why: format!("several tenants have an account {handle:?}") }
                })?
            }
        };
        let own = owner.filter(|subscriber| subscriber.account == account.id);
        own.or_else(|| self.first_of_account.get(&account.id).copied())
            .map(|subscriber| self.party_of(subscriber))
            .ok_or_else(|| ForeignError::NobodyPays { why: format!("account {handle:?} has no subscriber") })
    }

    fn destination_party(&self, foreign: &Foreign, callee: Option<E164>) -> Result<Party, ForeignError> {
        if let Some(name) = &foreign.trunk_out {
            let trunk = self.trunk(name)?;
            return Ok(Party::Trunk { trunk: trunk.id, account: trunk.account });
        }
        let owner = callee.and_then(|number| self.owner(number, foreign.start_at));
        Ok(owner.map_or(Party::Unknown, |subscriber| self.party_of(subscriber)))
    }

    fn payer_of(&self, party: &Party) -> Result<(AccountId, TenantId), ForeignError> {
        let account = self.accounts_by_id.get(&party.account());
        account.map(|account| (account.id, account.tenant)).ok_or_else(|| ForeignError::NobodyPays {
            why: format!("account {} is not provisioned", party.account()),
        })
    }

    fn trunk(&self, name: &str) -> Result<&'a Trunk, ForeignError> {
        self.trunks.get(name).copied().ok_or_else(|| ForeignError::NoTrunk { name: name.to_owned() })
    }

    fn owner(&self, number: E164, at: DateTime<Utc>) -> Option<&'a Subscriber> {
        let owners = self.numbers.get(&number)?;
        let owns = |owner: &&&NumberOwner| owner.from <= at && owner.to.is_none_or(|to| at < to);
        let first = || {
            owners.iter().min_by_key(|owner| owner.from).filter(|owner| self.first_owners && at < owner.from)
        };
        let owner = owners.iter().find(owns).or_else(first)?;
        self.subscribers.get(&owner.subscriber).copied()
    }

    /// Words about a number that got its first owner here after `at`: a record from before a migration, most likely.
    fn later_owned(&self, number: Option<E164>, at: DateTime<Utc>) -> String {
        let owners = number.and_then(|number| self.numbers.get(&number));
        let first = owners.into_iter().flatten().map(|owner| owner.from).min().filter(|from| at < *from);
        first.map_or_else(String::new, |from| {
            format!(
                "; its first owner here has it since {}: --first-owners gives it such calls",
                from.format("%F %T")
            )
        })
    }

    fn party_of(&self, subscriber: &Subscriber) -> Party {
        let reseller = self.accounts_by_id.get(&subscriber.account).and_then(|account| account.reseller);
        Party::Subscriber {
            subscriber: subscriber.id,
            account: subscriber.account,
            reseller: reseller.unwrap_or(AccountId::NOBODY),
            uuid: subscriber.uuid.clone().into(),
        }
    }
}

/// A number, if it is one: names and short words are dialled too.
fn number_of(digits: &str) -> Option<E164> {
    digits.parse().ok()
}
