//! Single revisions of calls as they were rated, out of the rows: for whoever has to make again what was once made of them.
//!
//! In: records by id and revision, and between which starts they lie. Out: the calls, in no order, as far as a row tells them: without the
//! routes tried, and without how a price came about (version, fee, pieces, rounding, conversion), which no CDR file shows. Rows older than a
//! column have nothing there: whoever needs proof compares hashes.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{
    Array, AsArray, BooleanArray, Decimal128Array, Int64Array, RecordBatch, StringViewArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use model::{
    AccountId, CallUid, Cdr, CdrDestination, CdrDetail, CdrId, CdrSource, Charge, Currency, Direction,
    MediaQuality, Party, ProfileVersionId, Provider, RatedCdr, SubscriberId, TenantId, Text, TrunkId,
    from_micros,
};
use rust_decimal::Decimal;

use crate::{Lake, LakeError};

/// Ids asked for in one statement: those of a usual file, some ten megabytes of rows.
const IDS_AT_ONCE: usize = 5_000;

/// Levels and sides, and how the columns of their charge begin.
const PARTIES: [(Provider, Direction, &str); 6] = [
    (Provider::Customer, Direction::Out, "customer"),
    (Provider::Reseller, Direction::Out, "reseller"),
    (Provider::Carrier, Direction::Out, "carrier"),
    (Provider::Customer, Direction::In, "customer_in"),
    (Provider::Reseller, Direction::In, "reseller_in"),
    (Provider::Carrier, Direction::In, "carrier_in"),
];

impl Lake {
    /// Those of `wanted`, by record and revision, that started at `from` or later and at `to` or before, and that the lake has.
    ///
    /// # Errors
    ///
    /// Those of [`Lake::query`], and [`LakeError::Internal`] where a file holds something else than a column says.
    pub async fn kept_calls(
        &self,
        wanted: &[(CdrId, u32)],
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<RatedCdr>, LakeError> {
        let literal = |at: DateTime<Utc>| at.format("TIMESTAMP '%Y-%m-%dT%H:%M:%S%.6f'").to_string();
        let mut calls = Vec::with_capacity(wanted.len());
        for some in wanted.chunks(IDS_AT_ONCE) {
            let keys: HashSet<(CdrId, u32)> = some.iter().copied().collect();
            let ids: Vec<String> = some.iter().map(|(id, _)| format!("'{id}'")).collect();
            let sql = format!(
                "SELECT * FROM calls_history WHERE start_at >= {} AND start_at <= {} AND cdr_id IN ({})",
                literal(from),
                literal(to),
                ids.join(", ")
            );
            for batch in &self.query(&sql).await?.batches {
                for row in 0..batch.num_rows() {
                    let row = Row { batch, row };
                    let key = (row.parsed("cdr_id")?, row.narrow("revision")?);
                    if keys.contains(&key) {
                        calls.push(row.call(key)?);
                    }
                }
            }
        }
        Ok(calls)
    }
}

/// One row, by the names of its columns.
struct Row<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl<'a> Row<'a> {
    fn column<T: Array>(
        &self,
        name: &str,
        of: impl Fn(&'a dyn Array) -> Option<&'a T>,
    ) -> Result<Option<&'a T>, LakeError> {
        let array = self.batch.column_by_name(name).and_then(|array| of(array.as_ref()));
        let array = array.ok_or_else(|| broken(name))?;
        Ok(array.is_valid(self.row).then_some(array))
    }

    fn opt_text(&self, name: &str) -> Result<Option<&'a str>, LakeError> {
        let column = self.column::<StringViewArray>(name, |array| array.as_string_view_opt())?;
        Ok(column.map(|array| array.value(self.row)))
    }

    /// Empty for NULL.
    fn text(&self, name: &str) -> Result<Text, LakeError> {
        Ok(self.opt_text(name)?.unwrap_or_default().into())
    }

    fn string(&self, name: &str) -> Result<String, LakeError> {
        Ok(self.opt_text(name)?.unwrap_or_default().to_owned())
    }

    fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<T, LakeError> {
        self.opt_text(name)?.and_then(|text| text.parse().ok()).ok_or_else(|| broken(name))
    }

    fn opt_parsed<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, LakeError> {
        // Of a number that was forgotten its first digits are left: it is none any more.
        let text = self.opt_text(name)?.filter(|text| !text.ends_with('…'));
        text.map(|text| text.parse().map_err(|_| broken(name))).transpose()
    }

    fn opt_int(&self, name: &str) -> Result<Option<i64>, LakeError> {
        let column = self.column::<Int64Array>(name, |array| array.as_primitive_opt::<Int64Type>())?;
        Ok(column.map(|array| array.value(self.row)))
    }

    /// 0 for NULL.
    fn narrow<T: TryFrom<i64> + Default>(&self, name: &str) -> Result<T, LakeError> {
        Ok(self.opt_narrow(name)?.unwrap_or_default())
    }

    fn opt_narrow<T: TryFrom<i64>>(&self, name: &str) -> Result<Option<T>, LakeError> {
        self.opt_int(name)?.map(|number| T::try_from(number).map_err(|_| broken(name))).transpose()
    }

    fn account(&self, name: &str) -> Result<AccountId, LakeError> {
        Ok(self.opt_int(name)?.map_or(AccountId::NOBODY, AccountId))
    }

    fn flag(&self, name: &str) -> Result<bool, LakeError> {
        let column = self.column::<BooleanArray>(name, |array| array.as_boolean_opt())?;
        Ok(column.is_some_and(|array| array.value(self.row)))
    }

    fn time(&self, name: &str) -> Result<DateTime<Utc>, LakeError> {
        let column = self.column::<TimestampMicrosecondArray>(name, |array| {
            array.as_primitive_opt::<TimestampMicrosecondType>()
        })?;
        let micros = column.map(|array| array.value(self.row));
        micros.and_then(DateTime::from_timestamp_micros).ok_or_else(|| broken(name))
    }

    /// Millionths.
    fn opt_micros(&self, name: &str) -> Result<Option<i64>, LakeError> {
        let column =
            self.column::<Decimal128Array>(name, |array| array.as_primitive_opt::<Decimal128Type>())?;
        column.map(|array| i64::try_from(array.value(self.row)).map_err(|_| broken(name))).transpose()
    }

    /// 0 for NULL.
    fn amount(&self, name: &str) -> Result<Decimal, LakeError> {
        Ok(from_micros(self.opt_micros(name)?.unwrap_or(0)))
    }

    fn call(&self, (id, revision): (CdrId, u32)) -> Result<RatedCdr, LakeError> {
        let cdr = Cdr {
            id,
            revision,
            call: CallUid::new(self.string("call_id")?),
            leg: self.narrow("leg")?,
            sip_call_id: self.text("sip_call_id")?,
            node: self.text("node")?,
            tenant: TenantId(self.narrow("tenant")?),
            payer: self.account("payer")?,
            source: self.source()?,
            destination: self.destination()?,
            call_type: self.parsed("call_type")?,
            status: self.parsed("status")?,
            code: self.narrow("code")?,
            cause: self.parsed("cause")?,
            ended_by: self.parsed("ended_by")?,
            init_at: self.time("init_at")?,
            start_at: self.time("start_at")?,
            duration_us: u64::try_from(self.opt_micros("duration_seconds")?.unwrap_or(0))
                .map_err(|_| broken("duration_seconds"))?,
            pdd_us: self.opt_narrow("pdd_us")?,
            codec: self.text("codec")?,
            attempts: Vec::new(),
            config_revision: self.narrow("config_revision")?,
            partial: self.flag("partial")?,
            detail: self.detail()?,
        };
        let mut charges = Vec::new();
        for (provider, direction, party) in PARTIES {
            charges.extend(self.charge(provider, direction, party)?);
        }
        Ok(RatedCdr { cdr, charges })
    }

    fn party(&self, side: &str, trunk: &str) -> Result<Party, LakeError> {
        let account = self.account(&format!("{side}_account"))?;
        let subscriber = self.opt_int(&format!("{side}_subscriber"))?;
        Ok(match (subscriber, self.opt_int(trunk)?) {
            (Some(subscriber), _) => Party::Subscriber {
                subscriber: SubscriberId(subscriber),
                account,
                reseller: self.account(&format!("{side}_reseller"))?,
                uuid: self.text(&format!("{side}_uuid"))?,
            },
            (None, Some(trunk)) => Party::Trunk { trunk: TrunkId(trunk), account },
            (None, None) => Party::Unknown,
        })
    }

    fn source(&self) -> Result<CdrSource, LakeError> {
        Ok(CdrSource {
            party: self.party("source", "source_trunk")?,
            user: self.text("source_user")?,
            domain: self.text("source_domain")?,
            cli: self.opt_parsed("source_number")?,
            clir: self.flag("clir")?,
            user_out: self.text("source_user_out")?,
            ip: self.text("source_ip")?,
            user_agent: self.text("source_user_agent")?,
        })
    }

    fn destination(&self) -> Result<CdrDestination, LakeError> {
        Ok(CdrDestination {
            party: self.party("destination", "trunk")?,
            dialed: self.text("dialed")?,
            domain: self.text("destination_domain")?,
            user_in: self.text("destination_user")?,
            number: self.opt_parsed("destination_number")?,
            user_out: self.text("destination_user_out")?,
            user_agent: Text::default(),
        })
    }

    fn detail(&self) -> Result<CdrDetail, LakeError> {
        let media = MediaQuality {
            mos_hundredths: self.opt_narrow("mos_hundredths")?,
            loss_hundredths: self.opt_narrow("loss_hundredths")?,
            jitter_us: self.opt_narrow("jitter_us")?,
            round_trip_us: self.opt_narrow("round_trip_us")?,
        };
        let nothing = MediaQuality {
            mos_hundredths: None,
            loss_hundredths: None,
            jitter_us: None,
            round_trip_us: None,
        };
        Ok(CdrDetail {
            reason: self.text("reason")?,
            refused_by: self.text("refused_by")?,
            setup_us: self.opt_narrow("setup_us")?,
            transport: self.opt_parsed("transport")?,
            auth: self.opt_parsed("auth")?,
            asserted_identity: self.text("asserted_identity")?,
            diversion: self.text("diversion")?,
            foreign_key: self.text("foreign_key")?,
            emergency: self.flag("emergency")?,
            stir: self.text("stir")?,
            preferred_identity: self.text("preferred_identity")?,
            user_to_user: self.text("user_to_user")?,
            history_info: self.text("history_info")?,
            media: (media != nothing).then_some(media),
            peer_auth_user: self.text("peer_auth_user")?,
            peer_auth_realm: self.text("peer_auth_realm")?,
        })
    }

    /// `None` where nobody stands in that part of the call.
    fn charge(
        &self,
        provider: Provider,
        direction: Direction,
        party: &str,
    ) -> Result<Option<Charge>, LakeError> {
        let Some(account) = self.opt_int(&format!("{party}_account"))? else { return Ok(None) };
        // The columns of the customer's outgoing charge came first, and some have the bare name.
        let bare = |column: &str| {
            if party == "customer" { column.to_owned() } else { format!("{party}_{column}") }
        };
        let of = |column: &str| format!("{party}_{column}");
        Ok(Some(Charge {
            provider,
            direction,
            account: AccountId(account),
            version: ProfileVersionId(self.narrow(&of("tariff_version"))?),
            profile: self.string(&of("tariff"))?,
            fee: None,
            matched: self.string(&of("prefix"))?,
            zone: self.string(&of("zone"))?,
            zone_detail: self.string(&of("zone_detail"))?,
            currency: self.parsed::<Currency>(&of("currency"))?,
            cost: self.amount(&of("cost"))?,
            free_seconds: self.narrow(&bare("free_seconds"))?,
            free_cash: self.amount(&bare("free_cash"))?,
            billed_seconds: self.narrow(&bare("billed_seconds"))?,
            onpeak_seconds: self.narrow(&bare("onpeak_seconds"))?,
            offpeak_seconds: self.narrow(&bare("offpeak_seconds"))?,
            flat: Decimal::ZERO,
            rounding: String::new(),
            pieces: Vec::new(),
            fragments: Vec::new(),
            conversion: None,
        }))
    }
}

fn broken(column: &str) -> LakeError {
    LakeError::Internal { problem: format!("a call's {column} cannot be read") }
}
