//! Calls of one account that share its free time: what is kept back for each, if the others take all of it that they can.

use model::{AccountId, CdrId};

use super::{Charger, Funds, Hold, MICROS, Verdict};

/// What is kept back for one of several calls that share free time.
#[derive(Debug, Clone, Copy)]
struct Share {
    length_us: u64,
    wants: u64,
    counts_on: u64,
    reserved: Funds,
}

impl Charger {
    /// Whether several calls of an account, up or not posted, may take its free time from each other: the order of their records, or of their
    /// starts, decides which of them does.
    pub(super) fn shares_time(&self, account: AccountId) -> bool {
        let are_several = self.calls.get(&account).is_some_and(|calls| calls.len() > 1);
        let has_time = || self.accounts.get(&account).is_some_and(|entry| entry.funds.seconds > 0);
        are_several && (has_time() || self.sharing.contains(&account))
    }

    /// What each call of an account may cost if the others take all the free time that they can before it; one of them lasting so long. Of
    /// those for which that changes. `None`: that one has no price.
    fn shares(&self, account: AccountId, (longer, length_us): (CdrId, u64)) -> Option<Vec<(CdrId, Share)>> {
        let pool = self.accounts.get(&account)?.funds.seconds;
        let wants = self.wants(self.holds.get(&longer)?, length_us)?;
        let of_account =
            self.calls.get(&account)?.iter().filter_map(|call| Some((*call, self.holds.get(call)?)));
        let calls: Vec<(CdrId, &Hold, u64, u64)> = of_account
            .map(|(call, hold)| match call == longer {
                true => (call, hold, length_us, wants),
                // One that began before there was free time may want some too.
                false if !hold.shares_time => {
                    (call, hold, hold.length_us, self.wants(hold, hold.length_us).unwrap_or(0))
                }
                false => (call, hold, hold.length_us, hold.wants),
            })
            .collect();
        let still = |hold: &Hold, wants: u64| wants.saturating_sub(hold.posted.seconds);
        let all: u64 = calls.iter().map(|(_, hold, _, wants)| still(hold, *wants)).sum();
        let mut shares = Vec::new();
        for (call, hold, length_us, wants) in calls {
            let of_others = all - still(hold, wants);
            let counts_on = wants.min(hold.posted.seconds + pool.saturating_sub(of_others));
            if call != longer && hold.shares_time && hold.counts_on == counts_on {
                continue;
            }
            let reserved = match self.cost_at_most(hold, length_us, counts_on) {
                Some(cost) => cost,
                None if call == longer => return None,
                // What was kept back for it so far stays.
                None => hold.reserved,
            };
            shares.push((call, Share { length_us, wants, counts_on, reserved }));
        }
        Some(shares)
    }

    /// Keeps back so much for each of these calls.
    fn hold_shares(&mut self, account: AccountId, shares: &[(CdrId, Share)]) {
        self.sharing.insert(account);
        for (call, share) in shares {
            let Some(hold) = self.holds.get_mut(call) else { continue };
            let before = hold.outstanding();
            (hold.length_us, hold.wants, hold.counts_on) = (share.length_us, share.wants, share.counts_on);
            hold.reserved = share.reserved;
            hold.shares_time = true;
            let after = hold.outstanding();
            self.release(account, before);
            self.reserve(account, after);
        }
    }

    /// A call that shares free time has ended: it wants no more than it has used.
    pub(super) fn share_out(&mut self, account: AccountId, ended: CdrId) {
        let length_us = self.holds.get(&ended).map_or(0, |hold| hold.length_us);
        if let Some(shares) = self.shares(account, (ended, length_us)) {
            self.hold_shares(account, &shares);
        }
    }

    /// As [`Self::grant`], where calls share free time: what all of them may cost must be there.
    pub(super) fn grant_share(&mut self, call: CdrId, account: AccountId, limit: i64) -> Option<Verdict> {
        let entry = self.accounts.get(&account)?;
        let at_hand = entry.funds.micros.saturating_add(limit);
        let held = entry.held.micros;
        let fits = |total: u32| -> Option<Option<Vec<(CdrId, Share)>>> {
            let shares = self.shares(account, (call, u64::from(total) * MICROS))?;
            let more = shares.iter().filter_map(|(call, share)| {
                let hold = self.holds.get(call)?;
                Some((share.reserved.micros - hold.posted.micros).max(0) - hold.outstanding().micros)
            });
            Some((held.saturating_add(more.sum()) <= at_hand).then_some(shares))
        };
        let before = self.holds.get(&call)?.granted_seconds;
        let wanted = before.saturating_add(self.quantum_seconds);
        let (granted, shares) = match fits(wanted)? {
            Some(shares) => (wanted, Some(shares)),
            None => {
                let (mut fitting, mut not) = ((before, None), wanted);
                while not - fitting.0 > 1 {
                    let middle = fitting.0 + (not - fitting.0) / 2;
                    match fits(middle)? {
                        Some(shares) => fitting = (middle, Some(shares)),
                        None => not = middle,
                    }
                }
                fitting
            }
        };
        let billed = self.billed(self.holds.get(&call)?, u64::from(granted) * MICROS);
        let hold = self.holds.get_mut(&call)?;
        (hold.granted_seconds, hold.billed) = (granted, billed);
        if let Some(shares) = shares {
            self.hold_shares(account, &shares);
        }
        Some(Verdict::Seconds(granted))
    }
}
