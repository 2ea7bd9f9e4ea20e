//! Tenants' own invoice templates. Whoever puts one here has checked it, so what is in use always works.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use model::TenantId;

use crate::audit::append;
use crate::sql::{Bind, Columns, cells, insert_rows, query};
use crate::{Result, Store};

/// The files of one template, by name.
pub type TemplateFiles = BTreeMap<String, Vec<u8>>;

impl Store {
    /// The template of each tenant that has its own.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn invoice_templates(&self) -> Result<HashMap<TenantId, TemplateFiles>> {
        let mut tx = self.read().await?;
        let rows = query("SELECT tenant, name, content FROM invoice_templates").fetch_all(&mut *tx).await?;
        tx.commit().await?;
        let mut templates: HashMap<_, TemplateFiles> = HashMap::new();
        for row in rows {
            let files = templates.entry(TenantId(row.int("tenant")?)).or_default();
            files.insert(row.text("name")?, row.bytes("content")?);
        }
        Ok(templates)
    }

    /// Puts `files` in the place of the tenant's template, all at once; none of them goes back to the program's.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn invoice_template_set(
        &self,
        tenant: TenantId,
        files: &TemplateFiles,
        now: DateTime<Utc>,
        actor: &str,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        query("DELETE FROM invoice_templates WHERE tenant = $1")
            .cells(cells![tenant.0])
            .execute(&mut *tx)
            .await?;
        let rows =
            files.iter().map(|(name, content)| cells![tenant.0, name.as_str(), content.clone()]).collect();
        insert_rows(&mut tx, "INSERT INTO invoice_templates (tenant, name, content)", "", rows).await?;
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        let object = format!("tenant {tenant}");
        append(&mut tx, actor, "invoice template", &object, "", &names.join(", "), now).await?;
        tx.commit().await?;
        Ok(())
    }
}
