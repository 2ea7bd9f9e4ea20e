//! The second factor as somebody who signs in meets it, and as somebody who tries to get round it.

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::sync::atomic::Ordering;
use web::{PasswordRefused, Role};

use crate::house::{House, PASSWORD, cookie_in, status};

/// What a generator shows at that second.
fn code_at(secret: &str, second: u64) -> String {
    let key = BASE32_NOPAD.decode(secret.as_bytes()).unwrap();
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(&key).unwrap();
    mac.update(&(second / 30).to_be_bytes());
    let digest = mac.finalize().into_bytes();
    let at = usize::from(digest[19] & 0xf);
    let word = u32::from_be_bytes(digest[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", word % 1_000_000)
}

/// The secret that a page shows.
fn secret_on(page: &str) -> String {
    let (_, rest) = page.split_once("<code class=\"secret\">").unwrap_or_else(|| panic!("{page}"));
    rest.split('<').next().unwrap().to_owned()
}

/// The recovery codes that a page shows.
fn codes_on(page: &str) -> Vec<String> {
    let (_, list) = page.split_once("<ul class=\"recovery\">").unwrap_or_else(|| panic!("{page}"));
    let list = list.split("</ul>").next().unwrap();
    list.split("<code>").skip(1).map(|item| item.split('<').next().unwrap().to_owned()).collect()
}

impl House {
    /// Sets one up on the page; the secret, the recovery codes, and the session that goes on.
    async fn set_up(&self, name: &str) -> (String, Vec<String>, String) {
        let cookie = self.cookie_of(name).await;
        let form = format!("act=begin&password={}", PASSWORD.replace(' ', "+"));
        let secret = secret_on(&self.post_form("/me", &cookie, &form).await);
        let second = self.seconds.load(Ordering::Relaxed);
        let form = format!("act=confirm&code={}", code_at(&secret, second));
        let answer = self.post_form("/me", &cookie, &form).await;
        assert_eq!(status(&answer), "200", "{answer}");
        assert_eq!(status(&self.ask("GET /me", &cookie, "").await), "303", "the session before has ended");
        (secret, codes_on(&answer), cookie_in(&answer))
    }

    fn later(&self, seconds: u64) -> u64 {
        self.seconds.fetch_add(seconds, Ordering::Relaxed) + seconds
    }
}

#[tokio::test]
async fn password_alone_opens_nothing_once_a_generator_is_set_up() {
    let house = House::with_roles(&["operator"]).await;
    let (secret, _, _) = house.set_up("operator").await;
    let now = house.later(60);
    let answer = house.sign_in("operator", "").await;
    assert!(answer.contains("location: /sign-in/code"), "{answer}");
    let waiting = cookie_in(&answer);
    for path in ["/", "/me", "/calls"] {
        assert_eq!(status(&house.ask(&format!("GET {path}"), &waiting, "").await), "303", "{path}");
    }
    assert_eq!(status(&house.ask("GET /api/v1/accounts", &waiting, "").await), "401");
    // Nor does it lead into setting up another generator.
    assert!(house.ask("GET /sign-in/set-up", &waiting, "").await.contains("location: /sign-in\r"));

    let code = code_at(&secret, now);
    let answer = house.post_form("/sign-in/code", &waiting, &format!("code={code}")).await;
    assert!(answer.contains("location: /\r"), "{answer}");
    let session = cookie_in(&answer);
    assert_ne!(session, waiting, "what opens was never sent before");
    assert_eq!(status(&house.ask("GET /", &session, "").await), "200");
    assert_eq!(status(&house.ask("GET /", &waiting, "").await), "303");
}

#[tokio::test]
async fn code_opens_once_and_the_ones_before_it_open_no_more() {
    let house = House::with_roles(&["operator"]).await;
    let (secret, _, _) = house.set_up("operator").await;
    // The code that set it up is used up.
    for (later, code_of, is_let_in) in
        [(0, 0, false), (60, 60, true), (0, 60, false), (0, 30, false), (30, 90, true)]
    {
        house.later(later);
        let waiting = cookie_in(&house.sign_in("operator", "").await);
        let form = format!("code={}", code_at(&secret, code_of));
        let answer = house.post_form("/sign-in/code", &waiting, &form).await;
        assert_eq!(status(&answer), if is_let_in { "303" } else { "401" }, "code of {code_of}: {answer}");
    }
}

#[tokio::test]
async fn same_code_at_the_same_time_lets_one_in() {
    let house = House::with_roles(&["operator"]).await;
    let (secret, _, _) = house.set_up("operator").await;
    let form = format!("code={}", code_at(&secret, house.later(60)));
    let one = cookie_in(&house.sign_in("operator", "").await);
    let other = cookie_in(&house.sign_in("operator", "").await);
    let (first, second) = tokio::join!(
        house.post_form("/sign-in/code", &one, &form),
        house.post_form("/sign-in/code", &other, &form)
    );
    let mut seen = [status(&first), status(&second)];
    seen.sort_unstable();
    assert_eq!(seen, ["303", "401"]);
}

#[tokio::test]
async fn guessing_codes_is_as_slow_as_guessing_passwords() {
    let house = House::with_roles(&["operator"]).await;
    let (secret, _, _) = house.set_up("operator").await;
    let now = house.later(60);
    // Each guess with a password before it, which is right: that does not begin the count anew.
    for _ in 0..5 {
        let waiting = cookie_in(&house.sign_in("operator", "").await);
        assert_eq!(status(&house.post_form("/sign-in/code", &waiting, "code=000000").await), "401");
    }
    assert_eq!(status(&house.sign_in("operator", "").await), "429");
    let now = now.max(house.later(61));
    let waiting = cookie_in(&house.sign_in("operator", "").await);
    let form = format!("code={}", code_at(&secret, now));
    assert_eq!(status(&house.post_form("/sign-in/code", &waiting, &form).await), "303");
}

#[tokio::test]
async fn waits_for_another_code_grow_whoever_knows_the_password() {
    let house = House::with_roles(&["operator"]).await;
    house.set_up("operator").await;
    let begun = house.later(60);
    for _ in 0..10 {
        loop {
            let answer = house.sign_in("operator", "").await;
            let is_looked_at = status(&answer) == "303" && {
                let waiting = cookie_in(&answer);
                let answer = house.post_form("/sign-in/code", &waiting, "code=000000").await;
                assert!(matches!(status(&answer), "401" | "429"), "{answer}");
                status(&answer) == "401"
            };
            if is_looked_at {
                break;
            }
            house.later(60);
        }
    }
    // After the fifth a minute, then twice as long each time.
    assert_eq!((house.later(0) - begun) / 60, 1 + 2 + 4 + 8 + 16);
}

#[tokio::test]
async fn recovery_code_does_not_wait_as_long_as_a_short_one() {
    let house = House::with_roles(&["operator"]).await;
    let (_, codes, _) = house.set_up("operator").await;
    for guess in 0..6 {
        // The wait after the fifth is over; the one after the sixth is longer.
        house.later(if guess == 5 { 60 } else { 0 });
        let waiting = cookie_in(&house.sign_in("operator", "").await);
        assert_eq!(status(&house.post_form("/sign-in/code", &waiting, "code=000000").await), "401");
    }
    let waiting = cookie_in(&house.sign_in("operator", "").await);
    assert_eq!(status(&house.post_form("/sign-in/code", &waiting, "code=000000").await), "429");
    let form = format!("code={}", codes[0]);
    assert_eq!(status(&house.post_form("/sign-in/code", &waiting, &form).await), "303");
}

#[tokio::test]
async fn guesses_in_an_open_session_hold_up_nobody_who_signs_in() {
    let house = House::with_roles(&["operator"]).await;
    let (secret, _, session) = house.set_up("operator").await;
    for _ in 0..5 {
        let answer = house.post_form("/me", &session, "act=renew&code=000000").await;
        assert_eq!(status(&answer), "401");
    }
    assert_eq!(status(&house.post_form("/me", &session, "act=renew&code=000000").await), "429");
    let form = format!("code={}", code_at(&secret, house.later(30)));
    let waiting = cookie_in(&house.sign_in("operator", "").await);
    assert_eq!(status(&house.post_form("/sign-in/code", &waiting, &form).await), "303");
}

#[tokio::test]
async fn many_guesses_at_once_are_no_more_than_one_after_the_other() {
    let house = House::with_roles(&["operator"]).await;
    house.set_up("operator").await;
    house.later(60);
    let waiting = cookie_in(&house.sign_in("operator", "").await);
    let guesses = (0..20).map(|guess| {
        let (house, waiting) = (&house, &waiting);
        async move { house.post_form("/sign-in/code", waiting, &format!("code={guess:06}")).await }
    });
    let answers = futures::future::join_all(guesses).await;
    assert_eq!(answers.iter().filter(|answer| status(answer) == "429").count(), 15);
}

#[tokio::test]
async fn recovery_code_opens_once_and_says_how_many_are_left() {
    let house = House::with_roles(&["operator"]).await;
    let (secret, codes, _) = house.set_up("operator").await;
    assert_eq!(codes.len(), 10);
    let form = format!("code={}", codes[3].to_string().replace('-', "+"));
    let waiting = cookie_in(&house.sign_in("operator", "").await);
    let answer = house.post_form("/sign-in/code", &waiting, &form).await;
    assert!(answer.contains("location: /me\r"), "{answer}");
    let session = cookie_in(&answer);
    let page = house.ask("GET /me", &session, "").await;
    assert!(page.contains("9 recovery codes are left"), "{page}");
    assert!(!codes.iter().any(|code| page.contains(code)), "they are not shown again");
    let waiting = cookie_in(&house.sign_in("operator", "").await);
    assert_eq!(status(&house.post_form("/sign-in/code", &waiting, &form).await), "401");

    let form = format!("act=renew&code={}", code_at(&secret, house.later(60)));
    let fresh = codes_on(&house.post_form("/me", &session, &form).await);
    assert!(fresh.iter().all(|code| !codes.contains(code)));
    let answer = house.post_form("/sign-in/code", &waiting, &format!("code={}", codes[4])).await;
    assert_eq!(status(&answer), "401", "the ones before open nothing");
    let trail = house.store.audit_list(3).await.unwrap();
    let actions: Vec<_> = trail.iter().map(|entry| (entry.actor.as_str(), entry.action.as_str())).collect();
    assert_eq!(
        actions,
        [
            ("operator", "recovery codes made"),
            ("operator", "recovery code used"),
            ("operator", "second factor set up")
        ]
    );
}

#[tokio::test]
async fn role_that_needs_it_sets_it_up_before_anything_opens() {
    let house = House::with_two_factors(&["operator", "analyst"], &[Role::Operator]).await;
    assert!(house.sign_in("analyst", "").await.contains("location: /\r"));
    let answer = house.sign_in("operator", "").await;
    assert!(answer.contains("location: /sign-in/set-up"), "{answer}");
    let waiting = cookie_in(&answer);
    assert_eq!(status(&house.ask("GET /", &waiting, "").await), "303");
    let page = house.ask("GET /sign-in/set-up", &waiting, "").await;
    assert!(page.contains("<svg class=\"qr\""), "{page}");
    let secret = secret_on(&page);
    let wrong = house.post_form("/sign-in/set-up", &waiting, "code=123").await;
    assert_eq!((status(&wrong), secret_on(&wrong)), ("401", secret.clone()));
    let form = format!("code={}", code_at(&secret, 0));
    let answer = house.post_form("/sign-in/set-up", &waiting, &form).await;
    assert_eq!(codes_on(&answer).len(), 10);
    let session = cookie_in(&answer);
    assert_eq!(status(&house.ask("GET /", &session, "").await), "200");
    // Who needs it cannot do without it.
    let form = format!("act=remove&code={}", code_at(&secret, house.later(60)));
    assert_eq!(status(&house.post_form("/me", &session, &form).await), "403");

    // Reset by whoever runs the house: nothing stays open, and another one is set up.
    house.store.second_factor_remove("operator", "command line", chrono::DateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!(status(&house.ask("GET /", &session, "").await), "303");
    assert!(house.sign_in("operator", "").await.contains("location: /sign-in/set-up"));
    assert_eq!(house.store.audit_list(1).await.unwrap()[0].object, "user:operator");
    assert_eq!(house.store.audit_verify().await.unwrap(), None);
}

#[tokio::test]
async fn session_from_before_the_role_needed_it_opens_nothing() {
    let house = House::with_two_factors(&["operator"], &[Role::Operator]).await;
    let operator = house.store.user_by_name("operator").await.unwrap().unwrap();
    let now = chrono::DateTime::UNIX_EPOCH;
    // As the program before left it.
    let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(b"old"));
    house.store.session_create(&hash, operator.id, now, now + chrono::TimeDelta::hours(1)).await.unwrap();
    assert_eq!(status(&house.ask("GET /", "Cookie: tollbook_session=old\r\n", "").await), "303");
}

#[tokio::test]
async fn setting_it_up_needs_the_password_and_doing_without_it_a_code() {
    let house = House::with_roles(&["operator"]).await;
    let cookie = house.cookie_of("operator").await;
    let answer = house.post_form("/me", &cookie, "act=begin&password=guess").await;
    assert_eq!(status(&answer), "401");
    assert!(!answer.contains("class=\"secret\""));
    assert_eq!(status(&house.post_form("/me", &cookie, "act=confirm&code=123456").await), "409");
    let (secret, _, session) = house.set_up("operator").await;
    assert_eq!(status(&house.post_form("/me", &session, "act=remove&code=000000").await), "401");
    assert!(house.sign_in("operator", "").await.contains("location: /sign-in/code"));
    let form = format!("act=remove&code={}", code_at(&secret, house.later(60)));
    assert_eq!(status(&house.post_form("/me", &session, &form).await), "303");
    assert!(house.sign_in("operator", "").await.contains("location: /\r"));
}

#[tokio::test]
async fn sql_takes_the_code_behind_the_password() {
    let house = House::with_two_factors(&["operator", "analyst"], &[Role::Analyst]).await;
    let seconds = house.seconds.clone();
    let clock = std::sync::Arc::new(move || {
        let mono = std::time::Duration::from_secs(seconds.load(Ordering::Relaxed));
        model::Moment { wall: chrono::DateTime::UNIX_EPOCH + mono, mono }
    });
    let passwords = web::Passwords::new(house.store.clone(), clock, [Role::Analyst]);
    let check = |name: &'static str, text: String| {
        let passwords = passwords.clone();
        async move { passwords.check_alone(name, text).await.map(|user| user.name) }
    };
    assert_eq!(check("operator", PASSWORD.to_owned()).await.unwrap(), "operator");
    let refused = check("analyst", PASSWORD.to_owned()).await;
    assert!(matches!(refused, Err(PasswordRefused::NotEnrolled)), "{refused:?}");
    let (secret, _, _) = house.set_up("operator").await;
    let now = house.later(60);
    let whole = format!("{PASSWORD}{}", code_at(&secret, now));
    for wrong in
        [PASSWORD.to_owned(), format!("{PASSWORD}000000"), String::new(), "ä".to_owned(), "€€€".to_owned()]
    {
        assert!(matches!(check("operator", wrong).await, Err(PasswordRefused::Wrong)));
    }
    // Five wrong ones in a row have to wait.
    assert!(matches!(check("operator", whole).await, Err(PasswordRefused::Wait(_))));
    let whole = format!("{PASSWORD}{}", code_at(&secret, house.later(60)));
    assert_eq!(check("operator", whole.clone()).await.unwrap(), "operator");
    assert!(matches!(check("operator", whole).await, Err(PasswordRefused::Wrong)));
}

#[tokio::test]
async fn secret_shown_to_somebody_else_is_never_the_one_that_is_set_up() {
    let house = House::with_two_factors(&["operator"], &[Role::Operator]).await;
    let thief = cookie_in(&house.sign_in("operator", "").await);
    let stolen = secret_on(&house.ask("GET /sign-in/set-up", &thief, "").await);
    let victim = cookie_in(&house.sign_in("operator", "").await);
    let own = secret_on(&house.ask("GET /sign-in/set-up", &victim, "").await);
    assert_ne!(own, stolen);
    let now = house.later(30);
    let answer =
        house.post_form("/sign-in/set-up", &victim, &format!("code={}", code_at(&stolen, now))).await;
    assert_eq!(status(&answer), "401");
    let form = format!("code={}", code_at(&own, now));
    assert_eq!(status(&house.post_form("/sign-in/set-up", &victim, &form).await), "200");
    // Whoever waited with the other one is sent away.
    let form = format!("code={}", code_at(&stolen, now));
    assert_eq!(status(&house.post_form("/sign-in/set-up", &thief, &form).await), "303");
    let factor = house.store.user_by_name("operator").await.unwrap().unwrap();
    assert_eq!(house.store.second_factor(factor.id).await.unwrap().unwrap().secret, own);
}

#[tokio::test]
async fn stolen_session_does_not_get_to_see_the_secret() {
    let house = House::with_roles(&["operator"]).await;
    let cookie = house.cookie_of("operator").await;
    let form = format!("act=begin&password={}", PASSWORD.replace(' ', "+"));
    let secret = secret_on(&house.post_form("/me", &cookie, &form).await);
    for guess in 0..5 {
        let answer = house.post_form("/me", &cookie, "act=confirm&code=000000").await;
        assert_eq!(status(&answer), "401", "{guess}");
        assert!(!answer.contains(&secret) && !answer.contains("<svg class=\"qr\""), "{answer}");
    }
    let answer = house.post_form("/me", &cookie, "act=confirm&code=000000").await;
    assert_eq!(status(&answer), "429", "first codes are throttled too");
    // Nor does another session of the same user confirm it.
    let form = format!("act=confirm&code={}", code_at(&secret, house.later(61)));
    let other = house.cookie_of("operator").await;
    assert_eq!(status(&house.post_form("/me", &other, &form).await), "409");
}

#[tokio::test]
async fn whoever_has_a_second_factor_gives_a_code_to_let_others_in() {
    let house = House::with_roles(&["operator", "finance"]).await;
    let (secret, _, session) = house.set_up("operator").await;
    house.set_up("finance").await;
    let headers = format!("Content-Type: application/json\r\n{session}");
    let wanted = r#"{"name": "robot", "role": "operator", "days": 3650}"#;
    assert_eq!(status(&house.ask("POST /api/v1/tokens", &headers, wanted).await), "422");
    let code = code_at(&secret, house.later(60));
    let coded = format!("{headers}Second-Factor-Code: {code}\r\n");
    let made = house.ask("POST /api/v1/tokens", &coded, wanted).await;
    assert_eq!(status(&made), "201", "{made}");
    let again = wanted.replace("robot", "other");
    assert_eq!(status(&house.ask("POST /api/v1/tokens", &coded, &again).await), "422", "a code is used up");

    // With the token of an operator nobody is let in, and nobody's second factor taken.
    let (_, rest) = made.split_once("\"token\":\"").unwrap();
    let bearer = format!(
        "Content-Type: application/json\r\nAuthorization: Bearer {}\r\n",
        rest.split('"').next().unwrap()
    );
    for (request, object) in [
        ("POST /api/v1/users", r#"{"name": "eve", "role": "operator"}"#),
        ("POST /api/v1/tokens", again.as_str()),
        ("DELETE /api/v1/users/finance/second-factor", ""),
        ("DELETE /api/v1/users/finance", ""),
    ] {
        assert_eq!(status(&house.ask(request, &bearer, object).await), "403", "{request}");
    }
    let fresh = |code: String| format!("{headers}Second-Factor-Code: {code}\r\n");
    for own in ["DELETE /api/v1/users/operator/second-factor", "DELETE /api/v1/users/operator"] {
        let coded = fresh(code_at(&secret, house.later(30)));
        assert_eq!(status(&house.ask(own, &coded, "").await), "422", "{own}");
    }
    let page = house.ask("GET /access", &session, "").await;
    assert!(page.contains("name=\"code\""), "{page}");
    let form = format!("act=reset&name=finance&code={}", code_at(&secret, house.later(30)));
    assert_eq!(status(&house.post_form("/access", &session, &form).await), "303");
}
