//! The calling rules that come with an imported object. An object whose rules alone differ counts as changed.

use super::{Import, ImportCount, unknown};
use crate::Result;
use crate::calling::{CallingKind, keep_calling};
use crate::world::{NewAccount, NewRoute, NewSubscriber, NewTenant, NewTrunk};

/// The object that was counted last turns out to be changed.
pub(super) fn note(count: &mut ImportCount, before: ImportCount, is_changed: bool) {
    if is_changed && count.unchanged > before.unchanged {
        count.unchanged -= 1;
        count.changed += 1;
    }
}

impl Import {
    pub(super) async fn tenant_calling(&mut self, new: &NewTenant, before: ImportCount) -> Result<()> {
        let there = self.there.tenants.iter().find(|there| there.handle == new.handle);
        let id = there.ok_or_else(|| unknown(new.handle.clone(), "tenant", &new.handle))?.id;
        let all = &mut self.there.calling.tenants;
        let (kind, revision) = (CallingKind::Tenant, self.revision);
        let is_changed = keep_calling(&mut self.tx, kind, (id, id.0), &new.calling, all, revision).await?;
        note(&mut self.report.tenants, before, is_changed);
        Ok(())
    }

    pub(super) async fn account_calling(&mut self, new: &NewAccount) -> Result<()> {
        let tenant = self.tenant_id(&new.tenant, || format!("account {:?}", new.handle))?;
        let id = self.account_id(tenant, &new.handle, || format!("account {:?}", new.handle))?;
        let all = &mut self.there.calling.accounts;
        let (kind, revision) = (CallingKind::Account, self.revision);
        if keep_calling(&mut self.tx, kind, (id, id.0), &new.calling, all, revision).await?
            && self.report.accounts.unchanged > 0
        {
            // Accounts are counted together before their rules are looked at.
            self.report.accounts.unchanged -= 1;
            self.report.accounts.changed += 1;
        }
        Ok(())
    }

    pub(super) async fn subscriber_calling(
        &mut self,
        new: &NewSubscriber,
        before: ImportCount,
    ) -> Result<()> {
        let place = self.subscriber_places.get(&(new.username.clone(), new.domain.clone()));
        let place = place.ok_or_else(|| unknown(new.username.clone(), "subscriber", &new.username))?;
        let id = self.there.subscribers[*place].id;
        let all = &mut self.there.calling.subscribers;
        let (kind, revision) = (CallingKind::Subscriber, self.revision);
        let is_changed = keep_calling(&mut self.tx, kind, (id, id.0), &new.calling, all, revision).await?;
        note(&mut self.report.subscribers, before, is_changed);
        Ok(())
    }

    pub(super) async fn trunk_calling(&mut self, new: &NewTrunk, before: ImportCount) -> Result<()> {
        let there = self.there.trunks.iter().find(|there| there.name == new.name);
        let id = there.ok_or_else(|| unknown(new.name.clone(), "trunk", &new.name))?.id;
        let all = &mut self.there.calling.trunks;
        let (kind, revision) = (CallingKind::Trunk, self.revision);
        let is_changed = keep_calling(&mut self.tx, kind, (id, id.0), &new.calling, all, revision).await?;
        note(&mut self.report.trunks, before, is_changed);
        Ok(())
    }

    pub(super) async fn route_calling(&mut self, new: &NewRoute, before: ImportCount) -> Result<()> {
        let object = || format!("route {:?} to {:?}", new.prefix, new.trunk);
        let trunk = self.there.trunks.iter().find(|there| there.name == new.trunk);
        let trunk = trunk.ok_or_else(|| unknown(object(), "trunk", &new.trunk))?.id;
        let there = self.there.routes.iter().find(|there| there.trunk == trunk && there.prefix == new.prefix);
        let id = there.ok_or_else(|| unknown(object(), "route", &new.prefix))?.id;
        let all = &mut self.there.calling.routes;
        let (kind, revision) = (CallingKind::Route, self.revision);
        let is_changed = keep_calling(&mut self.tx, kind, (id, id.0), &new.calling, all, revision).await?;
        note(&mut self.report.routes, before, is_changed);
        Ok(())
    }
}
