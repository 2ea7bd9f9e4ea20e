//! Import of networks, schedules of profiles and exchange rates.

use chrono::DateTime;
use model::{BillingNetwork, ExchangeRate, NetworkId, ProfileMapping};
use rust_decimal::Decimal;

use super::{Import, invalid, unknown};
use crate::Result;
use crate::dated_facts::{write_exchange_rate, write_network};
use crate::world::{NewAccount, NewExchangeRate, NewNetwork};

impl Import {
    pub(super) async fn network(&mut self, new: &NewNetwork) -> Result<()> {
        let object = || format!("network {:?}", new.name);
        super::check_handle("network", &new.name)?;
        let tenant = self.tenant_id(&new.tenant, object)?;
        if let Some(block) = new.blocks.iter().find(|block| !BillingNetwork::is_block(block)) {
            let rule = format!("{block:?} is not an address and a prefix length such as \"192.0.2.0/24\"");
            return Err(invalid(object(), rule));
        }
        let mut wanted =
            BillingNetwork { id: NetworkId(0), tenant, name: new.name.clone(), blocks: new.blocks.clone() };
        let place =
            self.there.networks.iter().position(|there| (there.tenant, &there.name) == (tenant, &new.name));
        if let Some(place) = place {
            wanted.id = self.there.networks[place].id;
            if self.there.networks[place] == wanted {
                self.report.networks.unchanged += 1;
                return Ok(());
            }
        }
        wanted.id = write_network(&mut self.tx, &wanted, self.revision).await?;
        match place {
            Some(place) => {
                self.there.networks[place] = wanted;
                self.report.networks.changed += 1;
            }
            None => {
                self.there.networks.push(wanted);
                self.report.networks.added += 1;
            }
        }
        Ok(())
    }

    /// A rate that has begun to hold stays: calls were priced by it.
    pub(super) async fn exchange_rate(&mut self, new: &NewExchangeRate) -> Result<()> {
        let object =
            || format!("exchange rate from {} to {} of {}", new.from, new.to, new.valid_from.to_rfc3339());
        let tenant = self.tenant_id(&new.tenant, object)?;
        if new.rate <= Decimal::ZERO || new.from == new.to {
            let rule = "a rate is above 0, between two currencies";
            return Err(invalid(object(), rule.to_owned()));
        }
        let wanted =
            ExchangeRate { tenant, from: new.from, to: new.to, rate: new.rate, valid_from: new.valid_from };
        let place = self.there.exchange_rates.iter().position(|there| {
            (there.tenant, there.from, there.to, there.valid_from)
                == (tenant, new.from, new.to, new.valid_from)
        });
        match place {
            Some(place) if self.there.exchange_rates[place] == wanted => {
                self.report.exchange_rates.unchanged += 1;
                return Ok(());
            }
            Some(_) if new.valid_from <= self.now => {
                let rule = "is in force with another value; add one with a later `valid_from`";
                return Err(invalid(object(), rule.to_owned()));
            }
            Some(place) => {
                self.there.exchange_rates[place] = wanted.clone();
                self.report.exchange_rates.changed += 1;
            }
            None if self.is_of_desk && new.valid_from < self.now && self.has_rate_at(&wanted) => {
                let rule = "begins in the past, and calls since then are priced; give a later `valid_from`";
                return Err(invalid(object(), rule.to_owned()));
            }
            None => {
                self.there.exchange_rates.push(wanted.clone());
                self.report.exchange_rates.added += 1;
            }
        }
        write_exchange_rate(&mut self.tx, &wanted, self.revision).await
    }

    /// Whether another rate is in force when `new` begins.
    fn has_rate_at(&self, new: &ExchangeRate) -> bool {
        self.there.exchange_rates.iter().any(|there| {
            (there.tenant, there.from, there.to) == (new.tenant, new.from, new.to)
                && there.valid_from <= new.valid_from
        })
    }

    /// Refuses at the desk what would price calls of the past anew: a beginning in the past at which something was in force, or for a
    /// network, since which something was.
    pub(super) fn prices_no_past(&self, mapping: &ProfileMapping, place: usize) -> Result<()> {
        if !self.is_of_desk || mapping.from >= self.now {
            return Ok(());
        }
        let account = &self.there.accounts[place];
        let until = mapping.to.map_or(self.now, |to| to.min(self.now));
        let prices_before = |there: &ProfileMapping| {
            let begins_by = if mapping.network.is_some() { until } else { mapping.from };
            there.network.is_none_or(|network| Some(network) == mapping.network)
                && there.from <= begins_by
                && there.to.is_none_or(|to| to > mapping.from)
        };
        if !account.profiles.iter().any(prices_before) {
            return Ok(());
        }
        let rule = format!(
            "its schedule has priced calls since {}; give a beginning (from, valid_from) that is still to come, or leave it out for now",
            mapping.from.to_rfc3339()
        );
        Err(invalid(format!("account {:?}", account.handle), rule))
    }

    /// The entries of an account's schedule. One that has begun stays, but for an end that is still to come. Whether anything changed.
    pub(super) async fn schedule(&mut self, new: &NewAccount, place: usize, is_new: bool) -> Result<bool> {
        let object = || format!("account {:?}", new.handle);
        let tenant = self.there.accounts[place].tenant;
        let mut is_changed = false;
        for entry in &new.profiles {
            let named = self.profiles.get(&(tenant, entry.profile.clone()));
            let profile = named.ok_or_else(|| unknown(object(), "profile", &entry.profile))?.0;
            let network = match &entry.network {
                None => None,
                Some(name) => {
                    let there = self.there.networks.iter();
                    let found = there.clone().find(|there| (there.tenant, &there.name) == (tenant, name));
                    Some(found.ok_or_else(|| unknown(object(), "network", name))?.id)
                }
            };
            let from = entry.from.unwrap_or(DateTime::UNIX_EPOCH);
            if entry.to.is_some_and(|to| to <= from) {
                let rule = format!("its schedule has {:?} end before it begins", entry.profile);
                return Err(invalid(object(), rule));
            }
            let mapping = ProfileMapping { from, to: entry.to, network, profile };
            let account = &self.there.accounts[place];
            let there = account.profiles.iter().find(|there| (there.from, there.network) == (from, network));
            match there {
                Some(there) if *there == mapping => continue,
                Some(there) if there.from <= self.now => {
                    let only_ends = there.profile == profile
                        && there.to.is_none_or(|to| to > self.now)
                        && mapping.to.is_none_or(|to| to > self.now);
                    if !only_ends {
                        let rule = format!(
                            "its schedule has priced calls since {from}; only an end in the future can be changed, or an \
                             entry with a later `from` be added"
                        );
                        return Err(invalid(object(), rule));
                    }
                }
                Some(_) | None if is_new => {}
                Some(_) | None => self.prices_no_past(&mapping, place)?,
            }
            self.map_profile(place, mapping).await?;
            is_changed = true;
        }
        Ok(is_changed)
    }
}
