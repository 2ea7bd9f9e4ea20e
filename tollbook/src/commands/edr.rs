//! `tollbook edr`: what happened to registrations, profiles, numbers, locks and trunks.

use store::EdrFilter;

use crate::cli::EdrArgs;
use crate::commands::fraud::local;
use crate::commands::{account_named, print_table};
use crate::config::Config;
use crate::system::open_store;

/// Lists the latest, oldest first.
pub(crate) async fn edr(config: &Config, args: &EdrArgs) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    let account =
        args.account.as_deref().map(|handle| account_named(&directory, handle)).transpose()?.map(|it| it.id);
    let filter = EdrFilter { kind: args.kind, account, number: args.number };
    let mut edrs = store.edrs(filter, args.limit).await?;
    edrs.reverse();
    print_table(
        &["time", "account", "subscriber", "number", "what", "before", "after", "detail", "id"],
        edrs.into_iter().map(|edr| {
            let subscriber =
                edr.subscriber.and_then(|id| directory.subscribers.iter().find(|it| it.id == id));
            vec![
                local(&directory, edr.account, edr.at),
                directory.name_of(edr.account),
                subscriber.map(|it| format!("{}@{}", it.username, it.domain)).unwrap_or_default(),
                edr.number.map(|number| number.to_string()).unwrap_or_default(),
                edr.kind.to_string(),
                edr.old_status,
                edr.new_status,
                edr.detail,
                edr.id,
            ]
        }),
        "nothing has happened yet",
    );
    Ok(())
}
