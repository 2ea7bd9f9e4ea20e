//! Trunks and routes in an import.

use model::{Route, RouteId, Trunk, TrunkId};

use super::{Import, check_handle, invalid, unknown};
use crate::Result;
use crate::sql::{Bind, Columns, cells, json, query};
use crate::world::{NewRoute, NewTrunk};

impl Import {
    pub(super) async fn trunk(&mut self, new: &NewTrunk) -> Result<()> {
        let object = || format!("trunk {:?}", new.name);
        check_handle("trunk", &new.name)?;
        let tenant = self.tenant_id(&new.tenant, object)?;
        let mut wanted = Trunk {
            id: TrunkId(0),
            tenant,
            account: self.account_id(tenant, &new.account, object)?,
            name: new.name.clone(),
            address: new.address,
            transport: new.transport,
            sources: new.sources.clone(),
            tech_prefix: new.tech_prefix.clone(),
            calls_max: new.calls_max,
            enabled: new.enabled,
        };
        let values = cells![
            wanted.tenant.0,
            wanted.account.0,
            wanted.name.as_str(),
            wanted.address.to_string(),
            wanted.transport.as_str(),
            json(&wanted.sources),
            wanted.tech_prefix.as_str(),
            wanted.calls_max,
            wanted.enabled,
            self.revision,
        ];
        let Some(place) = self.there.trunks.iter().position(|there| there.name == new.name) else {
            let row = query(
                "INSERT INTO trunks (tenant, account, name, address, transport, sources, tech_prefix, calls_max, \
                 enabled, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id",
            )
            .cells(values)
            .fetch_one(&mut *self.tx)
            .await?;
            wanted.id = TrunkId(row.int("id")?);
            self.there.trunks.push(wanted);
            self.report.trunks.added += 1;
            return Ok(());
        };
        wanted.id = self.there.trunks[place].id;
        if self.there.trunks[place] == wanted {
            self.report.trunks.unchanged += 1;
            return Ok(());
        }
        query(
            "UPDATE trunks SET tenant = $1, account = $2, address = $4, transport = $5, sources = $6, \
             tech_prefix = $7, calls_max = $8, enabled = $9, revision = $10 WHERE name = $3",
        )
        .cells(values)
        .execute(&mut *self.tx)
        .await?;
        self.there.trunks[place] = wanted;
        self.report.trunks.changed += 1;
        Ok(())
    }

    pub(super) async fn route(&mut self, new: &NewRoute) -> Result<()> {
        let object = || format!("route {:?} to {:?}", new.prefix, new.trunk);
        if let Some(found) = new.prefix.chars().find(|digit| !digit.is_ascii_digit()) {
            return Err(invalid(
                object(),
                format!("{found:?} is not a digit; a prefix has digits only, no +"),
            ));
        }
        let trunk = self.there.trunks.iter().find(|trunk| trunk.name == new.trunk);
        let trunk = trunk.ok_or_else(|| unknown(object(), "trunk", &new.trunk))?;
        let mut wanted = Route {
            id: RouteId(0),
            tenant: trunk.tenant,
            prefix: new.prefix.clone(),
            trunk: trunk.id,
            priority: new.priority,
            weight: new.weight,
        };
        let values = cells![
            wanted.tenant.0,
            wanted.prefix.as_str(),
            wanted.trunk.0,
            wanted.priority,
            wanted.weight,
            self.revision
        ];
        let place = self.there.routes.iter().position(|there| {
            there.tenant == wanted.tenant && there.trunk == wanted.trunk && there.prefix == wanted.prefix
        });
        let Some(place) = place else {
            let row = query(
                "INSERT INTO routes (tenant, prefix, trunk, priority, weight, revision) \
                 VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
            )
            .cells(values)
            .fetch_one(&mut *self.tx)
            .await?;
            wanted.id = RouteId(row.int("id")?);
            self.there.routes.push(wanted);
            self.report.routes.added += 1;
            return Ok(());
        };
        wanted.id = self.there.routes[place].id;
        if self.there.routes[place] == wanted {
            self.report.routes.unchanged += 1;
            return Ok(());
        }
        query(
            "UPDATE routes SET priority = $4, weight = $5, revision = $6 \
             WHERE tenant = $1 AND prefix = $2 AND trunk = $3",
        )
        .cells(values)
        .execute(&mut *self.tx)
        .await?;
        self.there.routes[place] = wanted;
        self.report.routes.changed += 1;
        Ok(())
    }
}
