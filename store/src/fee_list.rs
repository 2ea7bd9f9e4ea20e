//! The fees of a tariff version as one value: packed when the version is written, unpacked when it is read.
//!
//! In: fees, in their order. Out: bytes, and from them the same fees. What fees have in common is written once: the texts of zones and
//! sources, and everything else but the destination as one set of terms; a destination says how much of the one before it begins with. So four
//! hundred thousand fees are some megabytes, which are compressed once more.
//!
//! The first byte is the format. A format that was shipped is read for ever.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use chrono::{DateTime, Utc};
use model::{Direction, ExtraRate, Fee, FeeId, MatchMode, PeakOptions, Rate};
use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};

use crate::Result;
use crate::sql::unreadable;

/// What we write: zstd over numbers of seven bits a byte, texts with their lengths, decimals of sixteen bytes.
const FORMAT: u8 = 1;
/// Nearly as small as the slower levels make it.
const ZSTD_LEVEL: i32 = 1;
/// No list is longer than this, unpacked: some ten million fees.
const BYTES_MAX: usize = 1 << 30;

const COLUMN: &str = "fee_lists.packed";

/// A list, ready for the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackedFees {
    /// Equal for equal fees in the same order, whatever their ids and the way their amounts are written: over what would be compressed if
    /// all were written without zeros at the end.
    pub(crate) digest: String,
    pub(crate) bytes: Vec<u8>,
}

/// A decimal as it is written: its sixteen bytes.
type Amount = [u8; 16];

/// Whether free time may be used, and the extra rate with the second it is due at.
type Options = (bool, Option<(u64, Amount)>);

/// Everything of a fee but its destination and texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Terms {
    direction: Direction,
    match_mode: MatchMode,
    rates: [(Amount, u32, u32); 4],
    connection_fee: Amount,
    failed_attempt_fee: Amount,
    bounds: [Option<Amount>; 2],
    /// Microseconds since 1970.
    validity: [Option<i64>; 2],
    options: [Options; 2],
}

/// By the prices alone, which tell nearly all terms apart: to hash all of it takes longer than everything else that is done with a fee.
impl Hash for Terms {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Odd, with its bits well mixed: the fraction of the golden ratio.
        const FACTOR: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        let mix = |sum: u128, amount: &Amount| (sum ^ u128::from_le_bytes(*amount)).wrapping_mul(FACTOR);
        let sum = self
            .rates
            .iter()
            .fold(0, |sum, (price, _, interval)| mix(sum, price).wrapping_add(u128::from(*interval)));
        state.write_u128(mix(sum, &self.connection_fee));
    }
}

impl Terms {
    /// The same, each amount without zeros at its end.
    fn normalized(self) -> Self {
        let amount = |bytes: Amount| Decimal::deserialize(bytes).normalize().serialize();
        Self {
            rates: self.rates.map(|(price, per, interval)| (amount(price), per, interval)),
            connection_fee: amount(self.connection_fee),
            failed_attempt_fee: amount(self.failed_attempt_fee),
            bounds: self.bounds.map(|bound| bound.map(amount)),
            options: self.options.map(|(free, extra)| (free, extra.map(|(second, of)| (second, amount(of))))),
            ..self
        }
    }

    fn of(fee: &Fee) -> Self {
        let rate = |rate: Rate| (rate.price.serialize(), rate.per_seconds, rate.interval_seconds);
        let options = |options: PeakOptions| {
            (options.use_free_time, options.extra.map(|extra| (extra.second, extra.amount.serialize())))
        };
        Self {
            direction: fee.direction,
            match_mode: fee.match_mode,
            rates: [fee.onpeak_init, fee.onpeak_follow, fee.offpeak_init, fee.offpeak_follow].map(rate),
            connection_fee: fee.connection_fee.serialize(),
            failed_attempt_fee: fee.failed_attempt_fee.serialize(),
            bounds: [fee.minimum_charge, fee.maximum_charge]
                .map(|amount| amount.map(|amount| amount.serialize())),
            validity: [fee.valid_from, fee.valid_to].map(|at| at.map(|at| at.timestamp_micros())),
            options: [fee.onpeak, fee.offpeak].map(options),
        }
    }
}

/// Packs a list.
pub(crate) fn pack(fees: &[Fee]) -> Result<PackedFees> {
    let parts = Parts::of(fees);
    let body = parts.body(fees);
    let normalized = parts.normalized();
    let digest = if normalized.terms == parts.terms {
        Sha256::digest(&body)
    } else {
        Sha256::digest(normalized.body(fees))
    };
    let compressed = zstd::bulk::compress(&body, ZSTD_LEVEL)
        .map_err(|why| unreadable(COLUMN, format!("cannot be compressed: {why}")))?;
    let mut bytes = Vec::with_capacity(compressed.len() + 1);
    bytes.push(FORMAT);
    bytes.extend(compressed);
    Ok(PackedFees { digest: hex::encode(digest), bytes })
}

/// Of the terms of a fee; of its source, zone and detail.
type Places = (u64, [u64; 3]);

/// What fees have in common, each once in the order of its first appearance, and for each fee the places of its own.
struct Parts<'f> {
    texts: Vec<&'f str>,
    terms: Vec<Terms>,
    fields: Vec<Places>,
}

impl<'f> Parts<'f> {
    fn of(fees: &'f [Fee]) -> Self {
        let mut texts = Numbered::default();
        let mut all_terms = Numbered::default();
        // Neighbours often have the same, and to look it up takes longer than to compare it.
        let mut last: Option<(&[&str; 3], Terms, Places)> = None;
        let all: Vec<[&str; 3]> = fees
            .iter()
            .map(|fee| [fee.source.as_str(), fee.zone.as_str(), fee.zone_detail.as_str()])
            .collect();
        let mut fields = Vec::with_capacity(fees.len());
        for (fee, of_fee) in fees.iter().zip(&all) {
            let terms = Terms::of(fee);
            let terms_place = match last {
                Some((_, of_last, (place, _))) if of_last == terms => place,
                Some(_) | None => all_terms.place(terms),
            };
            let mut places = [0; 3];
            for (column, place) in places.iter_mut().enumerate() {
                *place = match last {
                    Some((before, _, (_, places))) if before[column] == of_fee[column] => places[column],
                    Some(_) | None => texts.place(of_fee[column]),
                };
            }
            last = Some((of_fee, terms, (terms_place, places)));
            fields.push((terms_place, places));
        }
        Self { texts: texts.listed, terms: all_terms.listed, fields }
    }

    /// As it would be if no amount were written with zeros at its end.
    fn normalized(&self) -> Self {
        let mut all = Numbered::default();
        let places: Vec<u64> = self.terms.iter().map(|terms| all.place(terms.normalized())).collect();
        let fields = self.fields.iter().map(|&(terms, texts)| {
            // A place fits, being one of a list in memory.
            (usize::try_from(terms).map_or(terms, |place| places[place]), texts)
        });
        Self { texts: self.texts.clone(), terms: all.listed, fields: fields.collect() }
    }

    /// What is compressed.
    fn body(&self, fees: &[Fee]) -> Vec<u8> {
        let mut writer = Writer(Vec::with_capacity(fees.len() * 16 + 1_024));
        writer.number(self.texts.len() as u64);
        self.texts.iter().for_each(|text| writer.text(text));
        writer.number(self.terms.len() as u64);
        self.terms.iter().for_each(|terms| writer.terms(terms));
        writer.number(fees.len() as u64);
        let mut before = "";
        for (fee, (terms, texts)) in fees.iter().zip(&self.fields) {
            writer.number(*terms);
            texts.iter().for_each(|place| writer.number(*place));
            let destination = fee.destination.as_str();
            let shared = shared(before, destination);
            writer.number(shared as u64);
            writer.text(&destination[shared..]);
            before = destination;
        }
        writer.0
    }
}

/// Unpacks a list; its fees have the ids from `first` on.
pub(crate) fn unpack(bytes: &[u8], first: FeeId) -> Result<Vec<Fee>> {
    let body = match bytes.split_first() {
        Some((&FORMAT, rest)) => {
            let size = zstd::zstd_safe::get_frame_content_size(rest)
                .ok()
                .flatten()
                .and_then(|size| usize::try_from(size).ok())
                .filter(|size| *size <= BYTES_MAX)
                .ok_or_else(|| unreadable(COLUMN, "a frame without its size"))?;
            zstd::bulk::decompress(rest, size).map_err(|why| unreadable(COLUMN, why))?
        }
        Some((format, _)) => return Err(unreadable(COLUMN, format!("format {format}"))),
        None => return Err(unreadable(COLUMN, "nothing")),
    };
    let mut reader = Reader(&body);
    reader
        .fees(first)
        .filter(|_| reader.0.is_empty())
        .ok_or_else(|| unreadable(COLUMN, "a list cut short or damaged"))
}

/// Bytes that `text` has in common with `before`, to the end of a character.
fn shared(before: &str, text: &str) -> usize {
    let same = before.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
    (0..=same).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Values by the order of their first appearance.
struct Numbered<T> {
    listed: Vec<T>,
    places: HashMap<T, u64>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { listed: Vec::new(), places: HashMap::new() }
    }
}

impl<T: Copy + Eq + Hash> Numbered<T> {
    fn place(&mut self, value: T) -> u64 {
        let next = self.listed.len() as u64;
        let listed = &mut self.listed;
        *self.places.entry(value).or_insert_with(|| {
            listed.push(value);
            next
        })
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    fn maybe<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.0.push(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn terms(&mut self, terms: &Terms) {
        let Terms {
            direction,
            match_mode,
            rates,
            connection_fee,
            failed_attempt_fee,
            bounds,
            validity,
            options,
        } = terms;
        self.text(direction.as_str());
        self.text(match_mode.as_str());
        for (price, per_seconds, interval_seconds) in rates {
            self.0.extend(price);
            self.number(u64::from(*per_seconds));
            self.number(u64::from(*interval_seconds));
        }
        self.0.extend(connection_fee);
        self.0.extend(failed_attempt_fee);
        for amount in bounds {
            self.maybe(*amount, |writer, amount| writer.0.extend(amount));
        }
        for at in validity {
            self.maybe(*at, |writer, at| writer.0.extend(at.to_le_bytes()));
        }
        for (use_free_time, extra) in options {
            self.0.push(u8::from(*use_free_time));
            self.maybe(*extra, |writer, (second, amount)| {
                writer.number(second);
                writer.0.extend(amount);
            });
        }
    }
}

/// What is left to read; `None` from it means that the bytes are not a list.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn bytes(&mut self, count: usize) -> Option<&'b [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..u64::BITS).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A count of things that take a byte each at least.
    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|count| *count <= self.0.len())
    }

    fn narrow(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    fn text(&mut self) -> Option<&'b str> {
        let length = usize::try_from(self.number()?).ok()?;
        std::str::from_utf8(self.bytes(length)?).ok()
    }

    fn flag(&mut self) -> Option<bool> {
        match self.bytes(1)? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    fn maybe<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }

    fn decimal(&mut self) -> Option<Decimal> {
        let bytes: [u8; 16] = self.bytes(16)?.try_into().ok()?;
        // More decimals than a decimal has would not survive its arithmetic.
        let decimal = Decimal::deserialize(bytes);
        (decimal.scale() <= Decimal::MAX_SCALE).then_some(decimal)
    }

    fn instant(&mut self) -> Option<DateTime<Utc>> {
        let bytes: [u8; 8] = self.bytes(8)?.try_into().ok()?;
        DateTime::from_timestamp_micros(i64::from_le_bytes(bytes))
    }

    fn rate(&mut self) -> Option<Rate> {
        let price = self.decimal()?;
        Some(Rate { price, per_seconds: self.narrow()?, interval_seconds: self.narrow()? })
    }

    fn options(&mut self) -> Option<PeakOptions> {
        let use_free_time = self.flag()?;
        let extra = self.maybe(|reader| {
            let second = reader.number()?;
            Some(ExtraRate { second, amount: reader.decimal()? })
        })?;
        Some(PeakOptions { use_free_time, extra })
    }

    /// A fee without its id, destination and texts.
    fn terms(&mut self) -> Option<Fee> {
        let direction = self.text()?.parse().ok()?;
        let match_mode = self.text()?.parse().ok()?;
        let [onpeak_init, onpeak_follow, offpeak_init, offpeak_follow] =
            [self.rate()?, self.rate()?, self.rate()?, self.rate()?];
        let (connection_fee, failed_attempt_fee) = (self.decimal()?, self.decimal()?);
        let [minimum_charge, maximum_charge] = [self.maybe(Self::decimal)?, self.maybe(Self::decimal)?];
        let [valid_from, valid_to] = [self.maybe(Self::instant)?, self.maybe(Self::instant)?];
        let [onpeak, offpeak] = [self.options()?, self.options()?];
        Some(Fee {
            id: FeeId(0),
            source: String::new(),
            destination: String::new(),
            direction,
            match_mode,
            zone: String::new(),
            zone_detail: String::new(),
            onpeak_init,
            onpeak_follow,
            offpeak_init,
            offpeak_follow,
            connection_fee,
            minimum_charge,
            maximum_charge,
            failed_attempt_fee,
            onpeak,
            offpeak,
            valid_from,
            valid_to,
        })
    }

    fn fees(&mut self, first: FeeId) -> Option<Vec<Fee>> {
        let n_texts = self.count()?;
        let texts: Vec<&str> = (0..n_texts).map(|_| self.text()).collect::<Option<_>>()?;
        let n_terms = self.count()?;
        let all_terms: Vec<Fee> = (0..n_terms).map(|_| self.terms()).collect::<Option<_>>()?;
        let n_fees = self.count()?;
        let mut fees: Vec<Fee> = Vec::with_capacity(n_fees);
        for idx in 0..n_fees {
            let terms = all_terms.get(usize::try_from(self.number()?).ok()?)?;
            let mut text = || {
                let place = usize::try_from(self.number()?).ok()?;
                texts.get(place).map(|text| (*text).to_owned())
            };
            let [source, zone, zone_detail] = [text()?, text()?, text()?];
            let shared = usize::try_from(self.number()?).ok()?;
            let before = fees.last().map_or("", |fee| fee.destination.as_str()).get(..shared)?;
            let rest = self.text()?;
            let mut destination = String::with_capacity(before.len() + rest.len());
            destination.push_str(before);
            destination.push_str(rest);
            let id = FeeId(first.0.checked_add(i64::try_from(idx).ok()?)?);
            fees.push(Fee { id, source, destination, zone, zone_detail, ..terms.clone() });
        }
        Some(fees)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fee(destination: &str, price: &str) -> Fee {
        let rate = |price: &str, interval_seconds| Rate {
            price: price.parse().unwrap(),
            per_seconds: 60,
            interval_seconds,
        };
        Fee {
            id: FeeId(0),
            source: String::new(),
            destination: destination.to_owned(),
            direction: Direction::Out,
            match_mode: MatchMode::Prefix,
            zone: "Österreich".to_owned(),
            zone_detail: "mobile".to_owned(),
            onpeak_init: rate(price, 60),
            onpeak_follow: rate(price, 1),
            offpeak_init: rate("0.0123456789", 60),
            offpeak_follow: rate("-0.01", 300),
            connection_fee: "0.050".parse().unwrap(),
            minimum_charge: None,
            maximum_charge: Some("9.99".parse().unwrap()),
            failed_attempt_fee: Decimal::ZERO,
            onpeak: PeakOptions {
                use_free_time: true,
                extra: Some(ExtraRate { second: 600, amount: "-0.30".parse().unwrap() }),
            },
            offpeak: PeakOptions::default(),
            valid_from: Some("1969-12-31T23:59:59.999999Z".parse().unwrap()),
            valid_to: None,
        }
    }

    fn several() -> Vec<Fee> {
        let mut fees = vec![
            fee("4366", "0.06"),
            fee("43660", "0.060"),
            fee("43ä", "0.06"),
            fee("43ö", "0.06"),
            fee("", "0.07"),
            Fee { direction: Direction::In, source: "4366".to_owned(), ..fee("43", "0.06") },
        ];
        for (fee, id) in fees.iter_mut().zip(70..) {
            fee.id = FeeId(id);
        }
        fees
    }

    #[test]
    fn a_list_comes_out_as_it_went_in() {
        let fees = several();
        let packed = pack(&fees).unwrap();
        assert_eq!(unpack(&packed.bytes, FeeId(70)).unwrap(), fees);
        assert_eq!(unpack(&pack(&[]).unwrap().bytes, FeeId(1)).unwrap(), []);
    }

    #[test]
    fn decimals_keep_the_way_they_were_written() {
        let packed = pack(&[fee("43", "0.060")]).unwrap();
        assert_eq!(unpack(&packed.bytes, FeeId(1)).unwrap()[0].onpeak_init.price.to_string(), "0.060");
    }

    #[test]
    fn equal_lists_have_the_same_digest_whatever_their_ids() {
        let fees = several();
        let others: Vec<Fee> = fees.iter().map(|fee| Fee { id: FeeId(0), ..fee.clone() }).collect();
        assert_eq!(pack(&fees).unwrap().digest, pack(&others).unwrap().digest);
        let mut dearer = fees.clone();
        dearer[3].connection_fee += Decimal::ONE;
        assert_ne!(pack(&fees).unwrap().digest, pack(&dearer).unwrap().digest);
        // As a spreadsheet writes the same amounts: two of the terms are the same now.
        let mut short = fees.clone();
        for fee in &mut short {
            fee.onpeak_init.price = fee.onpeak_init.price.normalize();
            fee.connection_fee = fee.connection_fee.normalize();
        }
        assert_eq!(pack(&fees).unwrap().digest, pack(&short).unwrap().digest);
    }

    /// Bytes that were written by format 1 when it was new.
    #[test]
    fn lists_of_format_1_are_read_for_ever() {
        let kept = hex::decode(include_str!("../golden/fee_list_v1.hex").trim()).unwrap();
        assert_eq!(unpack(&kept, FeeId(70)).unwrap(), several());
    }

    #[test]
    fn damaged_lists_are_refused_whole() {
        let packed = pack(&several()).unwrap().bytes;
        let body = zstd::bulk::decompress(&packed[1..], 1 << 20).unwrap();
        for end in 0..body.len() {
            let mut cut = vec![FORMAT];
            cut.extend(zstd::bulk::compress(&body[..end], 1).unwrap());
            let error = unpack(&cut, FeeId(1)).unwrap_err().to_string();
            assert!(error.contains("fee_lists.packed"), "{error}");
        }
        assert!(unpack(&[], FeeId(1)).is_err());
        assert!(unpack(&packed[..packed.len() - 1], FeeId(1)).is_err());
        let mut later = packed;
        later[0] = 2;
        assert!(unpack(&later, FeeId(1)).unwrap_err().to_string().contains("format 2"));
    }
}
