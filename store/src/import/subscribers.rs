//! Subscribers and their numbers in an import.

use std::collections::{HashMap, HashSet};

use model::{Digest, E164, Subscriber, SubscriberId, TenantId};
use sha2::{Digest as _, Sha256};

use super::calling::note;
use super::{Import, ImportCount, check_handle, invalid};
use crate::Result;
use crate::provisioning_events::keep_profile;
use crate::sql::{Bind, Columns, cells, query};
use crate::world::NewSubscriber;

impl Import {
    pub(super) async fn subscriber(&mut self, new: &NewSubscriber) -> Result<()> {
        let object = || format!("subscriber {}@{}", new.username, new.domain);
        if new.username.is_empty() || new.domain.is_empty() {
            return Err(invalid(object(), "username and domain must not be empty".to_owned()));
        }
        let tenant = self.tenant_id(&new.tenant, object)?;
        let account = self.account_id(tenant, &new.account, object)?;
        let key = (new.username.clone(), new.domain.clone());
        let place = self.subscriber_places.get(&key).copied();
        let uuid = match (&new.uuid, place) {
            (Some(uuid), _) => uuid.clone(),
            (None, Some(place)) => self.there.subscribers[place].uuid.clone(),
            (None, None) => derived_uuid(&new.username, &new.domain),
        };
        let mut wanted = Subscriber {
            id: SubscriberId(0),
            tenant,
            account,
            uuid,
            username: new.username.clone(),
            domain: new.domain.clone(),
            digest: Digest { ha1_md5: new.ha1_md5.clone(), ha1_sha256: new.ha1_sha256.clone() },
            cli: new.cli,
            calls_max: new.calls_max,
        };
        let values = cells![
            tenant.0,
            account.0,
            wanted.uuid.as_str(),
            wanted.digest.ha1_md5.as_str(),
            wanted.digest.ha1_sha256.as_str(),
            wanted.cli.map(E164::as_u64).map(u64::cast_signed),
            wanted.calls_max,
            self.revision,
            wanted.username.as_str(),
            wanted.domain.as_str(),
        ];
        let Some(place) = place else {
            let row = query(
                "INSERT INTO subscribers (tenant, account, uuid, ha1_md5, ha1_sha256, cli, calls_max, revision, \
                 username, domain) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id",
            )
            .cells(values)
            .fetch_one(&mut *self.tx)
            .await?;
            wanted.id = SubscriberId(row.int("id")?);
            self.subscriber_places.insert(key, self.there.subscribers.len());
            self.there.subscribers.push(wanted);
            self.report.subscribers.added += 1;
            return Ok(());
        };
        wanted.id = self.there.subscribers[place].id;
        if self.there.subscribers[place] == wanted {
            self.report.subscribers.unchanged += 1;
            return Ok(());
        }
        query(
            "UPDATE subscribers SET tenant = $1, account = $2, uuid = $3, ha1_md5 = $4, ha1_sha256 = $5, cli = $6, \
             calls_max = $7, revision = $8 WHERE username = $9 AND domain = $10",
        )
        .cells(values)
        .execute(&mut *self.tx)
        .await?;
        self.there.subscribers[place] = wanted;
        self.report.subscribers.changed += 1;
        Ok(())
    }

    pub(super) async fn subscriber_profile(
        &mut self,
        new: &NewSubscriber,
        before: ImportCount,
    ) -> Result<()> {
        let place = self.subscriber_places[&(new.username.clone(), new.domain.clone())];
        let id = self.there.subscribers[place].id;
        let wanted = new.profile.as_deref().unwrap_or_default();
        if !wanted.is_empty() {
            check_handle("subscriber profile", wanted)?;
        }
        let is_changed = keep_profile(&mut self.tx, id, wanted, self.now, self.revision).await?;
        note(&mut self.report.subscribers, before, is_changed);
        Ok(())
    }

    /// First all numbers that leave an owner, then all that come to one: so numbers can be swapped in one import.
    pub(super) async fn numbers(&mut self, subscribers: &[NewSubscriber]) -> Result<()> {
        let mut wanted: HashMap<E164, (SubscriberId, TenantId, String)> = HashMap::new();
        let mut named = HashSet::new();
        for new in subscribers {
            let place = self.subscriber_places[&(new.username.clone(), new.domain.clone())];
            let Subscriber { id, tenant, .. } = self.there.subscribers[place];
            let name = format!("{}@{}", new.username, new.domain);
            named.insert(id);
            for number in &new.numbers {
                if let Some((other, _, other_name)) = wanted.insert(*number, (id, tenant, name.clone()))
                    && other != id
                {
                    return Err(invalid(
                        format!("number {number}"),
                        format!("given to {other_name} and to {name}; a number has one owner"),
                    ));
                }
            }
        }
        let mut open = self.there.numbers.clone();
        open.retain(|owner| owner.to.is_none());
        for owner in open {
            let goes_to = wanted.get(&owner.number).map(|(id, ..)| *id);
            if goes_to == Some(owner.subscriber) {
                wanted.remove(&owner.number);
                self.report.numbers.unchanged += 1;
            } else if goes_to.is_some() || named.contains(&owner.subscriber) {
                query(
                    "UPDATE numbers SET valid_to = $2, revision = $3 WHERE number = $1 AND valid_to IS NULL",
                )
                .cells(cells![owner.number.as_u64().cast_signed(), self.now, self.revision])
                .execute(&mut *self.tx)
                .await?;
                self.report.numbers.changed += 1;
            }
        }
        let mut fresh: Vec<_> = wanted.into_iter().collect();
        fresh.sort_by_key(|(number, _)| *number);
        for (number, (subscriber, tenant, _)) in fresh {
            query(
                "INSERT INTO numbers (tenant, number, subscriber, valid_from, revision) VALUES ($1, $2, $3, $4, $5)",
            )
            .cells(cells![tenant.0, number.as_u64().cast_signed(), subscriber.0, self.now, self.revision])
            .execute(&mut *self.tx)
            .await?;
            self.report.numbers.added += 1;
        }
        Ok(())
    }
}

/// The same for the same subscriber on every machine: version 8 of RFC 9562, from a hash of the address of record.
fn derived_uuid(username: &str, domain: &str) -> String {
    let digest = Sha256::digest(format!("tollbook subscriber {username}@{domain}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = 0x80 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    let text = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}
