//! Before the answer: provisional answers that are acknowledged (RFC 3262) on either leg or both, and UPDATEs of early dialogs (RFC 3311).

use model::{AccountKind, CallingRules, EventBody, TrunkCalling, TrunkId};

use super::world::{World, directory, header_of};
use crate::SwitchConfig;

/// A customer's exchange, known by its address.
const CALLER: &str = "198.51.100.7:5060";
const CARRIER: &str = "203.0.113.77:5060";
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n";
const WITH_SDP: &str = "Content-Type: application/sdp\r\n";

fn world() -> World {
    world_with(TrunkCalling::default())
}

fn world_with(rules: TrunkCalling) -> World {
    let calling = CallingRules { trunks: [(TrunkId(1), rules)].into(), ..CallingRules::default() };
    let mut rows = model::Directory { calling, ..directory() };
    rows.trunks[0].address = CARRIER.parse().unwrap();
    rows.trunks[1].sources = vec!["198.51.100.7".into()];
    rows.accounts[3].kind = AccountKind::Customer;
    rows.routes.truncate(1);
    World::with(SwitchConfig { alive_seconds: 0, ..SwitchConfig::default() }, rows)
}

/// A request of the caller; `to` with the tag, once there is one.
fn from_caller(method: &str, cseq: u32, to: &str, lines: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} sip:49301234@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK{method}{cseq};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:43999@x>;tag=caller\r\nTo: {to}\r\nCall-ID: early@x\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:x@{CALLER}>\r\n{lines}Content-Length: {length}\r\n\r\n{body}"
    )
}

const TO: &str = "<sip:49301234@x>";

/// The caller's INVITE has gone out. Out: as the carrier got it.
fn invited(world: &mut World, lines: &str, body: &str) -> String {
    let lines = if body.is_empty() { lines.to_owned() } else { format!("{lines}{WITH_SDP}") };
    world.inject(CALLER, from_caller("INVITE", 1, TO, &lines, body));
    world.last_to(CARRIER, "INVITE").expect("the call goes out")
}

/// Lines of a provisional answer that is to be acknowledged.
fn reliable(rseq: u32) -> String {
    format!("Require: 100rel\r\nRSeq: {rseq}\r\nContact: <sip:far@{CARRIER}>\r\n{WITH_SDP}")
}

/// The ACK of the caller and a BYE after it; the carrier answers.
fn talk_and_hang_up(world: &mut World, to: &str, cseq: u32) -> (String, String) {
    world.inject(CALLER, from_caller("ACK", 1, to, "", ""));
    let ack = world.last_to(CARRIER, "ACK").expect("the ACK crosses");
    world.run_seconds(3);
    world.inject(CALLER, from_caller("BYE", cseq, to, "", ""));
    let bye = world.last_to(CARRIER, "BYE").expect("the BYE crosses");
    world.answer_from(CARRIER, &bye, "200 OK", "", "");
    (ack, bye)
}

#[test]
fn acknowledged_progress_and_its_prack_go_from_end_to_end() {
    let mut world = world();
    let invite = invited(&mut world, "Supported: 100rel\r\n", SDP);
    assert_eq!(header_of(&invite, "Supported"), "timer, 100rel");
    world.answer_from(CARRIER, &invite, "183 Session Progress", &reliable(77), SDP);
    let progress = world.last_to(CALLER, "SIP/2.0 183").unwrap();
    assert_eq!(header_of(&progress, "Require"), "100rel");
    assert!(progress.ends_with(SDP));
    let rseq = header_of(&progress, "RSeq").to_owned();
    assert!(world.last_to(CARRIER, "PRACK").is_none(), "the caller's word is waited for");
    // The carrier repeats itself, and so do we, each by its own clock.
    world.answer_from(CARRIER, &invite, "183 Session Progress", &reliable(77), SDP);
    let n_told =
        |world: &World| world.raw.iter().filter(|(_, bytes)| bytes.starts_with(b"SIP/2.0 183")).count();
    assert_eq!(n_told(&world), 1);
    world.run_seconds(2);
    assert_eq!(n_told(&world), 3, "after 0.5 and 1.5 s");

    let to = header_of(&progress, "To").to_owned();
    world.inject(CALLER, from_caller("PRACK", 2, &to, &format!("RAck: {rseq} 1 INVITE\r\n"), ""));
    let prack = world.last_to(CARRIER, "PRACK").unwrap();
    assert_eq!(header_of(&prack, "RAck"), "77 1 INVITE");
    assert_eq!(header_of(&prack, "CSeq"), "2 PRACK");
    assert!(header_of(&prack, "To").ends_with(";tag=far"), "{prack}");
    world.answer_from(CARRIER, &prack, "200 OK", "", "");
    let done = world.last_to(CALLER, "SIP/2.0 200").unwrap();
    assert_eq!(header_of(&done, "CSeq"), "2 PRACK");
    world.run_seconds(10);
    assert_eq!(n_told(&world), 3, "nothing is repeated after the PRACK");

    // The description was exchanged before; the 200 has none.
    world.answer_from(CARRIER, &invite, "200 OK", &format!("Contact: <sip:far@{CARRIER}>\r\n"), "");
    let answer = world.last_to(CALLER, "SIP/2.0 200").unwrap();
    assert_eq!(header_of(&answer, "CSeq"), "1 INVITE");
    assert_eq!(header_of(&answer, "Content-Length"), "0");
    let (ack, bye) = talk_and_hang_up(&mut world, &to, 3);
    assert_eq!(header_of(&ack, "CSeq"), "1 ACK");
    assert_eq!(header_of(&bye, "CSeq"), "3 BYE", "the numbers of the early dialog go on");
    assert!(world.story().contains("answer 200 PCMA/8000"), "{}", world.story());
    assert!(world.story().contains("after 3.000 s"), "{}", world.story());
    world.assert_idle();
}

#[test]
fn callee_is_acknowledged_for_a_caller_who_knows_nothing_of_it_and_the_answer_has_the_description() {
    let mut world = world();
    let invite = invited(&mut world, "", SDP);
    world.answer_from(CARRIER, &invite, "183 Session Progress", &reliable(9), SDP);
    let prack = world.last_to(CARRIER, "PRACK").expect("at once, and by us");
    assert_eq!(header_of(&prack, "RAck"), "9 1 INVITE");
    let progress = world.last_to(CALLER, "SIP/2.0 183").unwrap();
    assert_eq!((header_of(&progress, "Require"), header_of(&progress, "RSeq")), ("", ""));
    world.answer_from(CARRIER, &prack, "200 OK", "", "");
    // Out of order, and a repetition: neither is acknowledged.
    let n_pracks = |world: &World| world.raw.iter().filter(|(_, bytes)| bytes.starts_with(b"PRACK")).count();
    world.answer_from(CARRIER, &invite, "180 Ringing", &reliable(11), "");
    world.answer_from(CARRIER, &invite, "183 Session Progress", &reliable(9), SDP);
    assert_eq!(n_pracks(&world), 1);
    world.answer_from(CARRIER, &invite, "180 Ringing", &reliable(10), "");
    assert_eq!(n_pracks(&world), 2);
    let prack = world.last_to(CARRIER, "PRACK").unwrap();
    world.answer_from(CARRIER, &prack, "200 OK", "", "");
    world.answer_from(CARRIER, &invite, "200 OK", &format!("Contact: <sip:far@{CARRIER}>\r\n"), "");
    let answer = world.last_to(CALLER, "SIP/2.0 200").unwrap();
    assert!(
        answer.contains(WITH_SDP) && answer.ends_with(SDP),
        "the caller has it from nowhere else: {answer}"
    );
    let to = header_of(&answer, "To").to_owned();
    let (_, bye) = talk_and_hang_up(&mut world, &to, 2);
    assert_eq!(header_of(&bye, "CSeq"), "4 BYE");
    world.assert_idle();
}

#[test]
fn caller_who_insists_is_told_reliably_and_hears_the_answer_after_its_prack() {
    let mut world = world();
    let invite = invited(&mut world, "Require: 100rel\r\n", SDP);
    let progress_lines = format!("Contact: <sip:far@{CARRIER}>\r\n{WITH_SDP}");
    world.answer_from(CARRIER, &invite, "183 Session Progress", &progress_lines, SDP);
    let progress = world.last_to(CALLER, "SIP/2.0 183").unwrap();
    let rseq: u32 = header_of(&progress, "RSeq").parse().unwrap();
    let to = header_of(&progress, "To").to_owned();
    // A second one waits for its turn, and so does the answer.
    world.answer_from(CARRIER, &invite, "180 Ringing", "", "");
    assert!(world.last_to(CALLER, "SIP/2.0 180").is_none());
    world.answer_from(CARRIER, &invite, "200 OK", &progress_lines, SDP);
    assert!(world.last_to(CALLER, "SIP/2.0 200").is_none());
    assert!(!world.story().contains("answer 200"), "nobody can talk yet");
    let prack = |cseq, rack: &str| from_caller("PRACK", cseq, &to, &format!("RAck: {rack}\r\n"), "");
    for wrong in [format!("{} 1 INVITE", rseq + 1), format!("{rseq} 2 INVITE"), format!("{rseq} 1 UPDATE")] {
        let n = 2 + u32::try_from(world.raw.len()).unwrap();
        world.inject(CALLER, prack(n, &wrong));
        assert!(world.last_to(CALLER, "SIP/2.0 481").is_some(), "{wrong}");
    }
    world.run_seconds(1);
    world.inject(CALLER, prack(90, &format!("{rseq} 1 INVITE")));
    let codes: Vec<String> = world
        .raw
        .iter()
        .filter(|(_, bytes)| bytes.starts_with(b"SIP/2.0 2") || bytes.starts_with(b"SIP/2.0 180"))
        .map(|(_, bytes)| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            format!("{} {}", &text[8..11], header_of(&text, "CSeq"))
        })
        .collect();
    assert_eq!(codes, ["200 90 PRACK", "180 1 INVITE", "200 1 INVITE"]);
    assert!(world.last_to(CARRIER, "PRACK").is_none(), "the carrier knows nothing of it");
    talk_and_hang_up(&mut world, &to, 91);
    world.assert_idle();
}

#[test]
fn caller_who_never_acknowledges_is_refused_and_the_callee_cancelled() {
    let mut world = world();
    let invite = invited(&mut world, "Supported: 100rel\r\n", SDP);
    world.answer_from(CARRIER, &invite, "183 Session Progress", &reliable(1), SDP);
    world.run_seconds(33);
    assert!(world.last_to(CALLER, "SIP/2.0 504").is_some());
    let cancel = world.last_to(CARRIER, "CANCEL").unwrap();
    world.answer_from(CARRIER, &cancel, "200 OK", "", "");
    world.answer_from(CARRIER, &invite, "487 Request Terminated", "", "");
    world.assert_idle();
}

#[test]
fn offer_of_the_callee_is_answered_in_the_callers_prack() {
    let mut world = world();
    let invite = invited(&mut world, "Supported: 100rel\r\n", "");
    world.answer_from(CARRIER, &invite, "183 Session Progress", &reliable(5), SDP);
    let progress = world.last_to(CALLER, "SIP/2.0 183").unwrap();
    let (to, rseq) = (header_of(&progress, "To").to_owned(), header_of(&progress, "RSeq").to_owned());
    let lines = format!("RAck: {rseq} 1 INVITE\r\n{WITH_SDP}");
    world.inject(CALLER, from_caller("PRACK", 2, &to, &lines, SDP));
    let prack = world.last_to(CARRIER, "PRACK").unwrap();
    assert!(prack.contains(WITH_SDP) && prack.ends_with(SDP), "{prack}");
    // The PRACK is on its way when the caller gives up: it is told, too.
    world.inject(CALLER, from_caller("CANCEL", 1, TO, "", "").replace("z9hG4bKCANCEL1", "z9hG4bKINVITE1"));
    assert!(world.last_to(CALLER, "SIP/2.0 487").is_some());
    let cancel = world.last_to(CARRIER, "CANCEL").unwrap();
    world.answer_from(CARRIER, &cancel, "200 OK", "", "");
    world.answer_from(CARRIER, &invite, "487 Request Terminated", "", "");
    world.inject(CALLER, from_caller("ACK", 1, &to, "", "").replace("z9hG4bKACK1", "z9hG4bKINVITE1"));
    world.assert_idle();
}

#[test]
fn it_is_offered_only_where_it_can_be_kept() {
    let supported = |world: &mut World, lines: &str, body: &str| {
        let invite = invited(world, lines, body);
        header_of(&invite, "Supported").to_owned()
    };
    assert_eq!(supported(&mut world(), "", SDP), "timer, 100rel");
    assert_eq!(supported(&mut world(), "Supported: 100rel\r\n", ""), "timer, 100rel");
    assert_eq!(supported(&mut world(), "", ""), "timer", "an offer of the callee would find no answer");
    let mut shy = world_with(TrunkCalling { without_100rel: true, ..TrunkCalling::default() });
    assert_eq!(supported(&mut shy, "Supported: 100rel\r\n", SDP), "timer");
}

/// Both early dialogs are up. Out: the carrier's INVITE and the caller's To.
fn early(world: &mut World, allow: &str) -> (String, String) {
    let invite = invited(world, &format!("Supported: 100rel\r\n{allow}"), SDP);
    world.answer_from(CARRIER, &invite, "183 Session Progress", &reliable(1), SDP);
    let progress = world.last_to(CALLER, "SIP/2.0 183").unwrap();
    let (to, rseq) = (header_of(&progress, "To").to_owned(), header_of(&progress, "RSeq").to_owned());
    world.inject(CALLER, from_caller("PRACK", 2, &to, &format!("RAck: {rseq} 1 INVITE\r\n"), ""));
    let prack = world.last_to(CARRIER, "PRACK").unwrap();
    world.answer_from(CARRIER, &prack, "200 OK", "", "");
    (invite, to)
}

/// An UPDATE of the carrier in the early dialog that `invite` began.
fn update_of_carrier(invite: &str, cseq: u32) -> String {
    let (length, own) = (SDP.len(), header_of(invite, "From"));
    format!(
        "UPDATE sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {CARRIER};branch=z9hG4bKu{cseq};rport\r\nMax-Forwards: 70\r\n\
         From: {};tag=far\r\nTo: {own}\r\nCall-ID: {}\r\nCSeq: {cseq} UPDATE\r\nContact: <sip:far@{CARRIER}>\r\n{WITH_SDP}\
         Content-Length: {length}\r\n\r\n{SDP}",
        header_of(invite, "To"),
        header_of(invite, "Call-ID")
    )
}

#[test]
fn updates_before_the_answer_cross_both_ways_and_two_at_once_meet_with_491() {
    let mut world = world();
    let (invite, to) = early(&mut world, "Allow: INVITE, ACK, UPDATE\r\n");
    world.inject(CALLER, from_caller("UPDATE", 3, &to, WITH_SDP, SDP));
    let update = world.last_to(CARRIER, "UPDATE").expect("on to the carrier");
    assert_eq!(header_of(&update, "CSeq"), "3 UPDATE");
    assert!(update.ends_with(SDP));
    // The carrier wants a change of its own, meanwhile.
    world.inject(CARRIER, update_of_carrier(&invite, 10));
    assert!(world.last_to(CARRIER, "SIP/2.0 491").is_some());
    world.answer_from(
        CARRIER,
        &update,
        "200 OK",
        &format!("Contact: <sip:far@{CARRIER}>\r\n{WITH_SDP}"),
        SDP,
    );
    let answer = world.last_to(CALLER, "SIP/2.0 200").unwrap();
    assert_eq!(header_of(&answer, "CSeq"), "3 UPDATE");
    assert!(answer.ends_with(SDP));
    // Now there is room for it.
    world.inject(CARRIER, update_of_carrier(&invite, 11));
    let update = world.last_to(CALLER, "UPDATE").expect("on to the caller");
    world.answer_from(CALLER, &update, "200 OK", WITH_SDP, SDP);
    let answer = world.last_to(CARRIER, "SIP/2.0 200").unwrap();
    assert_eq!(header_of(&answer, "CSeq"), "11 UPDATE");
    let n_updates = world.events.iter().filter(|event| matches!(event.body, EventBody::Update(_))).count();
    assert_eq!(n_updates, 0, "nothing has changed about a call that is not answered");
    world.answer_from(CARRIER, &invite, "200 OK", &format!("Contact: <sip:far@{CARRIER}>\r\n"), "");
    let (_, bye) = talk_and_hang_up(&mut world, &to, 4);
    assert_eq!(header_of(&bye, "CSeq"), "4 BYE");
    world.assert_idle();
}

#[test]
fn update_that_cannot_cross_is_refused_with_its_reason() {
    // There is no early dialog on the other leg.
    let mut world = world();
    let invite = invited(&mut world, "Supported: 100rel\r\n", SDP);
    world.answer_from(CARRIER, &invite, "180 Ringing", "", "");
    let to = header_of(&world.last_to(CALLER, "SIP/2.0 180").unwrap(), "To").to_owned();
    world.inject(CALLER, from_caller("UPDATE", 2, &to, WITH_SDP, SDP));
    let refusal = world.last_to(CALLER, "SIP/2.0 500").unwrap();
    assert_eq!(header_of(&refusal, "Retry-After"), "2");
    // The caller does not know UPDATE.
    let mut world = self::world();
    let (invite, _) = early(&mut world, "");
    world.inject(CARRIER, update_of_carrier(&invite, 10));
    assert!(world.last_to(CARRIER, "SIP/2.0 504").is_some());
    // Somebody else's dialog.
    world.inject(CARRIER, update_of_carrier(&invite, 11).replace("tag=far", "tag=other"));
    assert!(world.last_to(CARRIER, "SIP/2.0 481").is_some());
}

/// A caller who insists on acknowledging and never does; the carrier has answered. Out: the carrier's INVITE.
fn answered_unheard(world: &mut World) -> String {
    let invite = invited(world, "Require: 100rel\r\n", SDP);
    let lines = format!("Contact: <sip:far@{CARRIER}>\r\n{WITH_SDP}");
    world.answer_from(CARRIER, &invite, "183 Session Progress", &lines, SDP);
    world.run_seconds(2);
    world.answer_from(CARRIER, &invite, "200 OK", &lines, SDP);
    assert!(world.last_to(CALLER, "SIP/2.0 200").is_none());
    invite
}

/// The call ends with an answer and a length of so many seconds, and both sides are hung up.
fn is_billed(world: &mut World, seconds: &str) {
    let story = world.story();
    assert!(story.contains("answered 200 OK") && !story.contains("answered 487"), "{story}");
    assert!(story.contains("answer 200 PCMA/8000"), "{story}");
    assert!(story.contains(&format!("after {seconds} s")), "{story}");
    assert_eq!(world.ends(), 1);
    let answered =
        world.events.iter().find(|event| matches!(event.body, EventBody::Answer(_))).expect("an answer");
    let began = world.events.iter().find(|event| event.call.is_some()).expect("a beginning");
    assert_eq!((answered.at - began.at).num_seconds(), 2, "when the callee answered");
    assert!(world.last_to(CARRIER, "ACK").is_some());
    let bye = world.last_to(CARRIER, "BYE").expect("the callee is hung up");
    world.answer_from(CARRIER, &bye, "200 OK", "", "");
    let answer = world.last_to(CALLER, "SIP/2.0 200").expect("the caller is told");
    let to = header_of(&answer, "To").to_owned();
    world.inject(CALLER, from_caller("ACK", 1, &to, "", ""));
    if let Some(bye) = world.last_to(CALLER, "BYE") {
        world.answer_from(CALLER, &bye, "200 OK", "", "");
    }
    world.assert_idle();
}

#[test]
fn caller_who_talks_without_ever_acknowledging_pays_from_the_answer_on() {
    let mut world = world();
    answered_unheard(&mut world);
    world.run_seconds(31);
    is_billed(&mut world, "30.000");
}

#[test]
fn caller_who_acknowledges_late_pays_from_the_answer_on() {
    let mut world = world();
    answered_unheard(&mut world);
    world.run_seconds(20);
    let progress = world.last_to(CALLER, "SIP/2.0 183").unwrap();
    let (to, rseq) = (header_of(&progress, "To").to_owned(), header_of(&progress, "RSeq").to_owned());
    world.inject(CALLER, from_caller("PRACK", 2, &to, &format!("RAck: {rseq} 1 INVITE\r\n"), ""));
    talk_and_hang_up(&mut world, &to, 3);
    is_billed(&mut world, "23.000");
}

#[test]
fn caller_who_gives_up_after_an_answer_it_did_not_acknowledge_pays_for_it() {
    let mut cancelled = world();
    answered_unheard(&mut cancelled);
    cancelled.run_seconds(10);
    let cancel = from_caller("CANCEL", 1, TO, "", "").replace("z9hG4bKCANCEL1", "z9hG4bKINVITE1");
    cancelled.inject(CALLER, cancel);
    is_billed(&mut cancelled, "10.000");

    let mut hung_up = world();
    answered_unheard(&mut hung_up);
    hung_up.run_seconds(10);
    let progress = hung_up.last_to(CALLER, "SIP/2.0 183").unwrap();
    hung_up.inject(CALLER, from_caller("BYE", 2, header_of(&progress, "To"), "", ""));
    is_billed(&mut hung_up, "10.000");
}

#[test]
fn callee_who_hangs_up_before_the_caller_acknowledges_ends_the_call() {
    let mut world = world();
    let invite = answered_unheard(&mut world);
    world.run_seconds(5);
    let bye = format!(
        "BYE sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {CARRIER};branch=z9hG4bKfarbye;rport\r\nMax-Forwards: 70\r\n\
         From: {};tag=far\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
        header_of(&invite, "To"),
        header_of(&invite, "From"),
        header_of(&invite, "Call-ID")
    );
    world.inject(CARRIER, bye);
    let answer = world.last_to(CARRIER, "SIP/2.0 200").expect("its BYE is taken");
    assert_eq!(header_of(&answer, "CSeq"), "1 BYE");
    assert!(world.story().contains("by callee after 5.000 s"), "{}", world.story());
    let to = header_of(&world.last_to(CALLER, "SIP/2.0 200").unwrap(), "To").to_owned();
    world.inject(CALLER, from_caller("ACK", 1, &to, "", ""));
    let bye = world.last_to(CALLER, "BYE").expect("after its ACK");
    world.answer_from(CALLER, &bye, "200 OK", "", "");
    world.assert_idle();
}

#[test]
fn change_of_a_session_whose_answers_would_have_to_be_acknowledged_is_refused() {
    let mut world = world();
    let invite = invited(&mut world, "", SDP);
    let lines = format!("Contact: <sip:far@{CARRIER}>\r\n{WITH_SDP}");
    world.answer_from(CARRIER, &invite, "200 OK", &lines, SDP);
    let to = header_of(&world.last_to(CALLER, "SIP/2.0 200").unwrap(), "To").to_owned();
    world.inject(CALLER, from_caller("ACK", 1, &to, "", ""));
    let required = format!("Require: 100rel\r\n{WITH_SDP}");
    world.inject(CALLER, from_caller("INVITE", 2, &to, &required, SDP));
    let refusal = world.last_to(CALLER, "SIP/2.0 420").expect("none of ours");
    assert_eq!(header_of(&refusal, "Unsupported"), "100rel");
}

#[test]
fn update_of_a_callee_whose_dialog_nothing_has_made_has_to_wait() {
    let mut world = world();
    let invite = invited(&mut world, "", SDP);
    world.answer_from(CARRIER, &invite, "180 Ringing", "", "");
    world.inject(CARRIER, update_of_carrier(&invite, 10));
    let refusal = world.last_to(CARRIER, "SIP/2.0 500").expect("not 481, which would end the call");
    assert_eq!(header_of(&refusal, "Retry-After"), "2");
    world.inject(CARRIER, update_of_carrier(&invite, 11).replace("Call-ID: ", "Call-ID: x"));
    assert!(world.last_to(CARRIER, "SIP/2.0 481").is_some(), "somebody else's");
}
