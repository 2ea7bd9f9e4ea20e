//! What a call has cost, told to whoever called when it ends (AOC-E): a header of the last message to that side.
//!
//! In: the end of an answered call of a subscriber or a trunk that is set so. Out: a question to the charging service, and with its answer
//! the BYE to that side, or the 200 to its BYE, with the price; without an answer in time the same message without it. The record of the
//! call does not wait. The header is the one that telephones and gateways know from ISDN's advice of charge:
//! `AOC: charging;state=completed;charging-info=currency;currency=EUR;currency-amount=12;multiplier=0.01`.

use std::time::Duration;

use model::Money;
use rust_decimal::Decimal;

use super::call::{Call, CallRef, CallState, Fate, Side};
use super::{Due, Switch};
use crate::credit::{CreditKey, CreditQuestion, CreditStep};
use crate::hop::Hop;
use crate::message::Message;
use crate::timer::Timer;
use crate::transaction::{Reply, ServerId};

/// The message that waits for the price.
#[derive(Debug)]
pub(super) enum AdviceDue {
    /// The 200 to the BYE that this transaction is of, and the tag for its To.
    Answer(ServerId, String),
    /// Our own BYE, with this Reason.
    Bye(String),
}

impl Switch {
    /// Answers the BYE of a party that hangs up: at once, or when it is known what the call has cost.
    pub(super) fn answer_bye(&mut self, from: Hop, message: &Message<'_>, call: &mut Call, side: Side) {
        let is_up = matches!(call.state, CallState::Answered { .. });
        if !(is_up && side == Side::Caller && call.wants_advice) {
            return self.answer(from, message, 200);
        }
        let server = self.transactions.open(message, from);
        call.advice_due = Some(AdviceDue::Answer(server, self.stateless_tag(message)));
    }

    /// Whether the BYE to this side waits for the price, and is sent later.
    pub(super) fn defers_bye(&self, call: &mut Call, side: Side, reason: &str) -> bool {
        let is_up = matches!(call.state, CallState::Answered { .. });
        if !(is_up && side == Side::Caller && call.wants_advice) {
            return false;
        }
        call.advice_due = Some(AdviceDue::Bye(reason.to_owned()));
        true
    }

    /// The call is over and its end reported: asks what it has cost, if somebody waits for that.
    pub(super) fn ask_price(&mut self, name: CallRef, call: &mut Call) {
        if call.advice_due.is_none() {
            return;
        }
        let Some(leg) = call.legs.first() else { return };
        let key = CreditKey { call: call.uid.clone(), leg: leg.number, place: name.number() };
        let what = CreditStep::Price { account: leg.payer };
        self.questions.push_back(CreditQuestion { key, what });
        let patience = Duration::from_millis(self.config.credit.advice_ms.into());
        call.short_timer =
            Some(self.timers.arm(self.now.mono + patience, Due::Call(name, Timer::AdviceSilent)));
    }

    /// The caller hangs up, for the first time or again, while something waits for the price: our own BYE is needless, and an answer is
    /// sent as it is.
    pub(super) fn hangs_up_too(&mut self, call: &mut Call) {
        if matches!(call.advice_due, Some(AdviceDue::Bye(_))) {
            call.advice_due = None;
        }
        self.tell_price(call, None);
    }

    /// Sends what waited, with the price if there is one that the header can say.
    pub(super) fn tell_price(&mut self, call: &mut Call, price: Option<Money>) -> Fate {
        self.timers.disarm(&mut call.short_timer);
        let value = price.and_then(advice);
        match call.advice_due.take() {
            Some(AdviceDue::Answer(server, tag)) => {
                let lines = value.map_or_else(String::new, |value| format!("AOC: {value}\r\n"));
                let reply = Reply { lines: lines.as_bytes(), ..Reply::plain(200, Some(&tag)) };
                self.transactions.respond(self.now.mono, server, reply);
            }
            Some(AdviceDue::Bye(reason)) => self.send_bye(call, Side::Caller, &reason, value.as_deref()),
            None => {}
        }
        super::ending::fate_of(call)
    }
}

/// The header's value. `None` for a price that it cannot say exactly: below 0, finer than a thousandth, or too large.
fn advice(price: Money) -> Option<String> {
    let currency = price.currency;
    [(2, "0.01"), (3, "0.001")].into_iter().find_map(|(scale, multiplier)| {
        let amount = price.amount.checked_mul(Decimal::from(10u64.pow(scale)))?.normalize();
        let is_exact = amount.scale() == 0 && !amount.is_sign_negative();
        let amount = u32::try_from(amount.trunc()).ok().filter(|_| is_exact)?;
        Some(format!(
            "charging;state=completed;charging-info=currency;currency={currency};currency-amount={amount};\
             multiplier={multiplier}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use model::Currency;

    use super::*;

    fn check(amount: &str, expected: Option<&str>) {
        let value = advice(Money::new(amount.parse().unwrap(), Currency::EUR));
        let amount =
            value.as_deref().and_then(|value| value.split_once("currency-amount=").map(|(_, rest)| rest));
        assert_eq!(amount, expected);
    }

    #[test]
    fn price_is_told_exactly_or_not_at_all() {
        check("0.12", Some("12;multiplier=0.01"));
        check("0", Some("0;multiplier=0.01"));
        check("1.50000", Some("150;multiplier=0.01"));
        check("0.125", Some("125;multiplier=0.001"));
        check("0.1255", None);
        check("-0.10", None);
        check("99999999999999", None);
    }
}
