//! `tollbook topup` and `tollbook voucher`: money comes in.

use chrono::TimeDelta;
use model::Money;
use rand::RngExt as _;
use store::{NewTopUp, NewVoucher, TopUpKind, TopUpOutcome, voucher_code};

use crate::cli::{TopUpArgs, VoucherArgs};
use crate::clock::Clock;
use crate::commands::fraud::local;
use crate::commands::import::COMMAND_LINE;
use crate::commands::{account_of, print_table};
use crate::config::Config;
use crate::failure::UserError;
use crate::system::open_store;

/// Tops up an account, or lists what was tried.
pub(crate) async fn top_up(config: &Config, args: &TopUpArgs) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    let account = account_of(&directory, args.tenant.as_deref(), &args.account)?;
    let kind = match (&args.voucher, args.amount) {
        (Some(code), None) => TopUpKind::Voucher(code.clone()),
        (None, Some(amount)) => {
            let amount = Money::new(amount, account.currency);
            if args.adjust { TopUpKind::Adjustment(amount) } else { TopUpKind::Cash(amount) }
        }
        (None, None) => {
            let attempts = store.topups(Some(account.id), 50).await?;
            print_table(
                &["when", "how", "amount", "outcome", "token", "by", "why or why not"],
                attempts.into_iter().map(|attempt| {
                    vec![
                        local(&directory, account.id, attempt.at),
                        attempt.kind,
                        attempt.amount.to_string(),
                        attempt.outcome,
                        attempt.token,
                        attempt.actor,
                        if attempt.message.is_empty() { attempt.reason } else { attempt.message },
                    ]
                }),
                "nobody has tried to top up this account",
            );
            return Ok(());
        }
        (Some(_), Some(_)) => {
            return Err(UserError::new("give an amount or a voucher, not both", "").into());
        }
    };
    let token = args.token.clone().unwrap_or_else(|| code().to_ascii_lowercase());
    let new = NewTopUp {
        tenant: account.tenant,
        account: account.id,
        currency: account.currency,
        token: token.clone(),
        kind,
        actor: COMMAND_LINE.to_owned(),
        reason: args.reason.clone(),
    };
    match store.top_up(&new, Clock::start().utc()).await? {
        TopUpOutcome::Done(amount) => {
            println!(
                "{} is topped up with {amount} (token {token}); a running system knows within a second",
                args.account
            );
            Ok(())
        }
        TopUpOutcome::Known(amount) => {
            println!(
                "{} was topped up with {amount} under this token before; nothing was done",
                args.account
            );
            Ok(())
        }
        TopUpOutcome::Refused { message, .. } => Err(UserError::new(message, "").into()),
    }
}

/// Makes vouchers, and prints their codes this once.
pub(crate) async fn voucher(config: &Config, args: &VoucherArgs) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    let account = match &args.account {
        Some(handle) => Some(account_of(&directory, args.tenant.as_deref(), handle)?),
        None => None,
    };
    let named = |name: &String| directory.tenants.iter().find(|tenant| tenant.handle == *name);
    let tenant = match (account, &args.tenant, directory.tenants.as_slice()) {
        (Some(account), _, _) => account.tenant,
        (None, Some(name), _) => match named(name) {
            Some(tenant) => tenant.id,
            None => return Err(UserError::new(format!("there is no tenant {name:?}"), "").into()),
        },
        (None, None, [only]) => only.id,
        (None, None, _) => {
            return Err(UserError::new("there are several tenants", "name a --tenant or an --account").into());
        }
    };
    let currency = directory.tenants.iter().find(|there| there.id == tenant).map(|there| there.currency);
    let currency = account.map(|account| account.currency).or(currency).unwrap_or(model::Currency::EUR);
    if args.amount <= rust_decimal::Decimal::ZERO {
        return Err(UserError::new("the amount must be above 0", "").into());
    }
    let now = Clock::start().utc();
    let vouchers: Vec<NewVoucher> = (0..args.count)
        .map(|_| NewVoucher {
            tenant,
            code: code(),
            amount: Money::new(args.amount, currency),
            valid_until: now + TimeDelta::days(i64::from(args.days)),
            account: account.map(|account| account.id),
        })
        .collect();
    store.vouchers_add(&vouchers, COMMAND_LINE, now).await?;
    for voucher in vouchers {
        println!("{}", voucher.code);
    }
    Ok(())
}

fn code() -> String {
    voucher_code(rand::rng().random())
}
