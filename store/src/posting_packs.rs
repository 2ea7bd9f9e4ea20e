//! Postings of calls in packs: what a large commit posts, as some rows instead of thousands.
//!
//! In: the postings that calls cause. Out: those of an account, or of all, in a span of time. Accounts are in one of [`BUCKETS`] by their ids; a
//! commit adds a pack to each that it posts to, where the postings of one account and pair of sides lie beside each other, in time order. An account's
//! postings are found in the packs of its bucket, of which those of other accounts are stepped over.
//!
//! A posting is in a pack or a row of `postings`, never in both, and a pack is never changed. Unlike rows, packs are not searched for a posting
//! that comes again: that it does not is due to the position and the watermarks of its lane, which are in the same transaction. The
//! audit looks for ids that are there twice.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use model::{
    AccountId, CdrId, Currency, LedgerAccount, Money, Posting, PostingId, PostingReason, TenantId,
    from_micros,
};
use sqlx::AnyConnection;

use crate::packed_bytes::{Reader, Writer};
use crate::sql::{Bind, Cell, Columns, cells, count, insert_rows, query, unreadable};
use crate::{Result, StoreError};

/// Postings of calls in one commit from which on they are packed: fewer are found faster as rows, and cost little.
pub(crate) const PACKED_FROM: usize = 2_048;

/// Accounts share so many sequences of packs. Part of the layout: never changed.
const BUCKETS: i64 = 64;

/// Packs read at a time.
const PACKS_AT_ONCE: u32 = 64;

/// What we write. A format that was shipped is read for ever.
const FORMAT: u8 = 1;

const COLUMN: &str = "posting_packs.payload";

/// A posting, and its amount in millionths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packable<'p> {
    pub(crate) posting: &'p Posting,
    pub(crate) micros: i64,
}

/// Whether it may be in a pack: a call caused it, and nobody looks it up by its reason.
pub(crate) fn is_packable(posting: &Posting) -> bool {
    matches!(posting.reason, PostingReason::Call | PostingReason::Reversal) && posting.cdr.is_some()
}

/// What the postings of one group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    account: AccountId,
    tenant: TenantId,
    debit: LedgerAccount,
    credit: LedgerAccount,
    currency: Currency,
    is_reversal: bool,
    has_reversed: bool,
}

impl Head {
    fn of(posting: &Posting) -> Self {
        Self {
            account: posting.account,
            tenant: posting.tenant,
            debit: posting.debit,
            credit: posting.credit,
            currency: posting.amount.currency,
            is_reversal: posting.reason == PostingReason::Reversal,
            has_reversed: posting.reverses.is_some(),
        }
    }
}

fn bucket_of(account: AccountId) -> i64 {
    account.0.rem_euclid(BUCKETS)
}

/// Adds postings that are packable, sorted by time and id.
pub(crate) async fn insert_packs(conn: &mut AnyConnection, postings: &[Packable<'_>]) -> Result<()> {
    let mut buckets: BTreeMap<i64, Vec<Packable<'_>>> = BTreeMap::new();
    for packable in postings {
        buckets.entry(bucket_of(packable.posting.account)).or_default().push(*packable);
    }
    let mut rows: Vec<Vec<Cell>> = Vec::with_capacity(buckets.len());
    for (bucket, postings) in buckets {
        let (Some(first), Some(last)) = (postings.first(), postings.last()) else { continue };
        let (first, last) = (first.posting.at, last.posting.at);
        rows.push(cells![bucket, first, last, count(postings.len()), pack(&postings)]);
    }
    insert_rows(conn, "INSERT INTO posting_packs (bucket, first_at, last_at, n_postings, payload)", "", rows)
        .await?;
    Ok(())
}

fn pack(postings: &[Packable<'_>]) -> Vec<u8> {
    let mut groups: BTreeMap<Head, Vec<Packable<'_>>> = BTreeMap::new();
    for packable in postings {
        groups.entry(Head::of(packable.posting)).or_default().push(*packable);
    }
    let mut writer = Writer(Vec::with_capacity(64 + groups.len() * 48 + postings.len() * 48));
    writer.0.push(FORMAT);
    writer.number(groups.len() as u64);
    let mut body = Writer::default();
    for (head, postings) in groups {
        writer.signed(head.account.0);
        writer.signed(head.tenant.0);
        writer.text(&head.debit.to_string());
        writer.text(&head.credit.to_string());
        writer.text(head.currency.as_str());
        writer.number(u64::from(head.is_reversal) | u64::from(head.has_reversed) << 1);
        writer.number(postings.len() as u64);
        body.0.clear();
        let mut before = 0;
        for Packable { posting, micros } in postings {
            let at = posting.at.timestamp_micros();
            body.signed(at.wrapping_sub(before));
            before = at;
            body.signed(micros);
            body.0.extend(posting.id.as_bytes());
            body.0.extend(posting.cdr.iter().flat_map(CdrId::as_bytes));
            body.0.extend(posting.reverses.iter().flat_map(PostingId::as_bytes));
        }
        writer.number(body.0.len() as u64);
        writer.0.extend(&body.0);
    }
    writer.0
}

/// Which packed postings are asked for: `from <= at < to`, in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// All, if left out.
    pub(crate) account: Option<AccountId>,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl Asked {
    pub(crate) const ALL: Asked = Asked { account: None, from: i64::MIN, to: i64::MAX };

    pub(crate) fn between(account: Option<AccountId>, from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        Self { account, from: from.timestamp_micros(), to: to.timestamp_micros() }
    }
}

/// The way through the packs of one bucket.
struct Walk {
    bucket: i64,
    /// The last pack that was read: its first time, and its id.
    after: (i64, i64),
    is_over: bool,
}

impl Walk {
    fn of(bucket: i64) -> Self {
        Self { bucket, after: (i64::MIN, 0), is_over: false }
    }

    /// Some packs further, calls `each` with every posting that is asked for, and its millionths. What comes later is not before the first time
    /// of the last pack.
    async fn go_on(
        &mut self,
        conn: &mut AnyConnection,
        asked: Asked,
        mut each: impl FnMut(Posting, i64),
    ) -> Result<()> {
        let rows = query(
            "SELECT id, first_at, payload FROM posting_packs WHERE bucket = $1 AND first_at < $2 AND last_at >= $3 \
             AND (first_at, id) > ($4, $5) ORDER BY first_at, id LIMIT $6",
        )
        .cells(cells![self.bucket, asked.to, asked.from, self.after.0, self.after.1, PACKS_AT_ONCE])
        .fetch_all(conn)
        .await?;
        for row in &rows {
            self.after = (row.int("first_at")?, row.int("id")?);
            unpack(&row.bytes("payload")?, asked, &mut each)?;
        }
        self.is_over = count(rows.len()) < i64::from(PACKS_AT_ONCE);
        Ok(())
    }
}

/// Calls `each` with every packed posting that is asked for, and its millionths, in no certain order.
pub(crate) async fn each_packed(
    conn: &mut AnyConnection,
    asked: Asked,
    mut each: impl FnMut(Posting, i64),
) -> Result<()> {
    let buckets = match asked.account {
        Some(account) => bucket_of(account)..bucket_of(account) + 1,
        None => 0..BUCKETS,
    };
    for bucket in buckets {
        let mut walk = Walk::of(bucket);
        while !walk.is_over {
            walk.go_on(conn, asked, &mut each).await?;
        }
    }
    Ok(())
}

/// The first `max` packed postings of an account in a span of time, by time and id.
pub(crate) async fn first_packed(
    conn: &mut AnyConnection,
    account: AccountId,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    max: i64,
) -> Result<Vec<Posting>> {
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let asked = Asked::between(Some(account), from, to);
    let mut found: Vec<Posting> = Vec::new();
    let mut walk = Walk::of(bucket_of(account));
    while !walk.is_over {
        walk.go_on(conn, asked, |posting, _| found.push(posting)).await?;
        if found.len() > max || walk.is_over {
            found.sort_unstable_by_key(|posting| (posting.at, posting.id));
            found.truncate(max);
            walk.is_over |= found.last().is_none_or(|last| last.at.timestamp_micros() < walk.after.0);
        }
    }
    Ok(found)
}

/// What packed postings came to on each side of the ledger: debits minus credits, in millionths.
pub(crate) async fn packed_sums(
    conn: &mut AnyConnection,
    asked: Asked,
) -> Result<BTreeMap<(LedgerAccount, Currency), i64>> {
    let mut sums: BTreeMap<(LedgerAccount, Currency), Option<i64>> = BTreeMap::new();
    each_packed(conn, asked, |posting, micros| {
        for (side, delta) in [(posting.debit, Some(micros)), (posting.credit, micros.checked_neg())] {
            let sum = sums.entry((side, posting.amount.currency)).or_insert(Some(0));
            *sum = sum.zip(delta).and_then(|(sum, delta)| sum.checked_add(delta));
        }
    })
    .await?;
    let known = |((side, currency), sum): ((LedgerAccount, Currency), Option<i64>)| {
        let source = model::MoneyError::OutOfRange;
        let sum =
            sum.ok_or_else(|| StoreError::Amount { object: format!("the balance of {side}"), source })?;
        Ok(((side, currency), sum))
    };
    sums.into_iter().map(known).collect()
}

fn unpack(bytes: &[u8], asked: Asked, each: &mut impl FnMut(Posting, i64)) -> Result<()> {
    match bytes.split_first() {
        Some((&FORMAT, groups)) => read_groups(&mut Reader(groups), asked, each)
            .ok_or_else(|| unreadable(COLUMN, format!("{} bytes that are no pack", bytes.len()))),
        Some((other, _)) => Err(unreadable(COLUMN, format!("format {other}"))),
        None => Err(unreadable(COLUMN, "nothing")),
    }
}

fn read_groups(reader: &mut Reader<'_>, asked: Asked, each: &mut impl FnMut(Posting, i64)) -> Option<()> {
    for _ in 0..reader.count()? {
        let (account, tenant) = (AccountId(reader.signed()?), TenantId(reader.signed()?));
        let (debit, credit) = (reader.text()?.parse().ok()?, reader.text()?.parse().ok()?);
        let currency = reader.text()?.parse().ok()?;
        let flags = reader.number()?;
        let (is_reversal, has_reversed) = (flags & 1 != 0, flags & 2 != 0);
        if flags > 3 {
            return None;
        }
        let n_postings = reader.count()?;
        let length = reader.count()?;
        let mut body = Reader(reader.bytes(length)?);
        if asked.account.is_some_and(|asked| asked != account) {
            continue;
        }
        let head = Head { account, tenant, debit, credit, currency, is_reversal, has_reversed };
        read_group(&mut body, &head, n_postings, asked, each)?;
    }
    reader.0.is_empty().then_some(())
}

fn read_group(
    body: &mut Reader<'_>,
    head: &Head,
    n_postings: usize,
    asked: Asked,
    each: &mut impl FnMut(Posting, i64),
) -> Option<()> {
    let mut at = 0_i64;
    for _ in 0..n_postings {
        at = at.wrapping_add(body.signed()?);
        let micros = body.signed()?;
        let id = PostingId::from_bytes(body.id()?);
        let cdr = Some(CdrId::from_bytes(body.id()?));
        let reverses = if head.has_reversed { Some(PostingId::from_bytes(body.id()?)) } else { None };
        if asked.from <= at && at < asked.to {
            let reason = if head.is_reversal { PostingReason::Reversal } else { PostingReason::Call };
            let posting = Posting {
                id,
                tenant: head.tenant,
                account: head.account,
                at: DateTime::from_timestamp_micros(at)?,
                debit: head.debit,
                credit: head.credit,
                amount: Money::new(from_micros(micros), head.currency),
                reason,
                cdr,
                reverses,
            };
            each(posting, micros);
        }
    }
    body.0.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posting(n: u8, account: i64, micros: i64) -> Posting {
        Posting {
            id: PostingId::from_bytes([n; 16]),
            tenant: TenantId(1),
            account: AccountId(account),
            at: DateTime::from_timestamp_micros(1_700_000_000_000_000 + i64::from(n) * 1_001).unwrap(),
            debit: LedgerAccount::Receivable(AccountId(account)),
            credit: LedgerAccount::Revenue(TenantId(1)),
            amount: Money::new(from_micros(micros), Currency::EUR),
            reason: PostingReason::Call,
            cdr: Some(CdrId::from_bytes([n + 100; 16])),
            reverses: None,
        }
    }

    fn several() -> Vec<Posting> {
        let first = posting(1, 7, 250_000);
        let back = Posting {
            reason: PostingReason::Reversal,
            debit: first.credit,
            credit: first.debit,
            reverses: Some(first.id),
            ..posting(4, 7, 250_000)
        };
        vec![first, posting(2, 71, -1), posting(3, 7, i64::MIN), back, posting(5, 71, i64::MAX)]
    }

    fn packed(postings: &[Posting]) -> Vec<u8> {
        let micros = |posting: &Posting| model::to_micros(posting.amount.amount).unwrap();
        let packable: Vec<Packable<'_>> =
            postings.iter().map(|posting| Packable { posting, micros: micros(posting) }).collect();
        pack(&packable)
    }

    fn unpacked(bytes: &[u8], asked: Asked) -> Result<Vec<Posting>> {
        let mut found = Vec::new();
        unpack(bytes, asked, &mut |posting, _| found.push(posting))?;
        found.sort_by_key(|posting| posting.at);
        Ok(found)
    }

    #[test]
    fn postings_come_out_as_they_went_in() {
        let all = several();
        let bytes = packed(&all);
        assert_eq!(unpacked(&bytes, Asked::ALL).unwrap(), all);
        let of_one = Asked { account: Some(AccountId(71)), ..Asked::ALL };
        assert_eq!(unpacked(&bytes, of_one).unwrap(), [all[1].clone(), all[4].clone()]);
        let span = Asked::between(None, all[1].at, all[3].at);
        assert_eq!(unpacked(&bytes, span).unwrap(), all[1..3]);
    }

    /// Bytes of format 1 as it was when it was new.
    #[test]
    fn packs_of_format_1_are_read_for_ever() {
        let kept = hex::decode(include_str!("../golden/posting_pack_v1.hex").trim()).unwrap();
        assert_eq!(unpacked(&kept, Asked::ALL).unwrap(), several());
        assert_eq!(hex::encode(packed(&several())), hex::encode(kept));
    }

    #[test]
    fn damaged_packs_are_refused() {
        let bytes = packed(&several());
        for end in 0..bytes.len() {
            assert!(unpacked(&bytes[..end], Asked::ALL).is_err(), "{end}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(unpacked(&longer, Asked::ALL).is_err());
        let mut later = bytes;
        later[0] = 2;
        let refused = unpacked(&later, Asked::ALL).unwrap_err().to_string();
        assert!(refused.contains("posting_packs.payload holds \"format 2\""), "{refused}");
    }
}
