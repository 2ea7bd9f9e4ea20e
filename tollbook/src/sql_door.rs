//! Who may ask in SQL over the network: the console's users, each within the rights of role and tenant.

use async_trait::async_trait;
use lake::Access;
use lake::wire::{Admitted, Door, Refused};
use sha2::{Digest, Sha256};
use store::{Store, User};
use web::{PasswordRefused, Passwords};

/// The door of the SQL server.
pub(crate) struct SqlDoor {
    pub(crate) passwords: Passwords,
    pub(crate) store: Store,
}

/// A connection ends with the password that opened it, and when a second factor is set up or taken away.
fn mark_of(user: &User) -> String {
    let since = user.second_factor_since.map(|at| at.timestamp_micros()).unwrap_or_default();
    hex::encode(Sha256::digest(format!("{} {since}", user.password_hash)))
}

#[async_trait]
impl Door for SqlDoor {
    async fn admit(&self, name: &str, password: &str) -> Result<Admitted, Refused> {
        let user = self.passwords.check_alone(name, password.to_owned()).await.map_err(|why| match why {
            PasswordRefused::Wrong => Refused::WrongPassword,
            PasswordRefused::Wait(left) => Refused::Wait { seconds: left.as_secs() + 1 },
            PasswordRefused::NotEnrolled => Refused::NotEnrolled,
            PasswordRefused::Failed(why) => Refused::Failed(why),
        })?;
        if web::sql_access(&user).is_none() {
            return Err(Refused::NoRight);
        }
        Ok(Admitted { mark: mark_of(&user), name: user.name })
    }

    async fn still(&self, admitted: &Admitted) -> Option<Access> {
        match self.store.user_by_name(&admitted.name).await {
            Ok(user) => user.filter(|user| mark_of(user) == admitted.mark).as_ref().and_then(web::sql_access),
            Err(why) => {
                tracing::warn!(error = %why, "who asks in SQL could not be looked up; the connection is ended");
                None
            }
        }
    }
}
