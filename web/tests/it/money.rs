//! Money of an account at the console: topped up by hand, once, with a reason, by those who may.

use crate::house::{House, body, status};

/// The token that the form of the page was given.
fn token_on(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap_or_else(|| panic!("{page}"));
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn form_sent_twice_tops_up_once_and_says_who_and_why() {
    let house = House::with_roles(&["finance"]).await;
    let cookie = house.cookie_of("finance").await;
    let page = house.ask("GET /accounts/acme/money", &cookie, "").await;
    let form = format!("token={}&kind=cash&value=12.50&reason=paid+<in>+cash", token_on(&page));
    let first = house.post_form("/accounts/acme/money", &cookie, &form).await;
    assert!(first.contains("is%20on%20its%20way"), "{first}");
    let again = house.post_form("/accounts/acme/money", &cookie, &form).await;
    assert!(again.contains("not%20done%20again"), "{again}");
    let done = house.store.topups(None, 10).await.unwrap();
    let seen: Vec<_> =
        done.iter().map(|attempt| (attempt.outcome.as_str(), attempt.reason.as_str())).collect();
    assert_eq!(seen, [("known", "paid <in> cash"), ("done", "paid <in> cash")]);
    let page = house.ask("GET /accounts/acme/money", &cookie, "").await;
    assert!(page.contains("paid &#60;in&#62; cash") && page.contains("12.5"), "{page}");
    let trail = house.store.audit_list(1).await.unwrap();
    assert_eq!((trail[0].actor.as_str(), trail[0].action.as_str()), ("finance", "top up"));
    assert!(
        trail[0].after.contains("12.5") && trail[0].after.contains("paid <in> cash"),
        "{}",
        trail[0].after
    );
    // The same token for something else is a mistake, not a repetition.
    let other = form.replace("12.50", "13");
    assert_eq!(status(&house.post_form("/accounts/acme/money", &cookie, &other).await), "422");
}

#[tokio::test]
async fn what_is_wrong_with_a_top_up_is_said_beside_what_was_typed() {
    let house = House::with_roles(&["finance"]).await;
    let cookie = house.cookie_of("finance").await;
    for (form, said) in [
        ("token=t&kind=cash&value=12&reason=+", "say why"),
        ("token=t&kind=cash&value=a+lot&reason=x", "is no amount"),
        ("token=t&kind=cash&value=-3&reason=x", ""),
        ("token=t&kind=cash&value=0.0000001&reason=x", "at most six decimals"),
        ("token=&kind=cash&value=3&reason=x", "token"),
        ("token=t&kind=gift&value=3&reason=x", "exactly one of"),
        ("token=t&kind=voucher&value=NOSUCH&reason=x", ""),
        ("token=tollbook:1&kind=cash&value=3&reason=x", "own"),
    ] {
        let answer = house.post_form("/accounts/acme/money", &cookie, form).await;
        assert_eq!(status(&answer), "422", "{form}: {answer}");
        assert!(answer.contains(said) && answer.contains("role=\"alert\""), "{form}: {answer}");
    }
    assert!(house.store.topups(None, 99).await.unwrap().iter().all(|attempt| attempt.outcome != "done"));
}

#[tokio::test]
async fn those_who_only_look_have_no_form_and_cannot_send_one() {
    let house = House::with_roles(&["auditor", "fraud"]).await;
    let form = "token=t&kind=cash&value=12&reason=x";
    for role in ["auditor", "fraud"] {
        let cookie = house.cookie_of(role).await;
        assert_eq!(status(&house.post_form("/accounts/acme/money", &cookie, form).await), "403", "{role}");
    }
    let page = house.ask("GET /accounts/acme/money", &house.cookie_of("auditor").await, "").await;
    assert!(!page.contains("name=\"token\""), "{page}");
    assert!(house.store.topups(None, 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn statement_is_taken_away_as_csv_and_pdf() {
    let house = House::with_roles(&["finance"]).await;
    let cookie = house.cookie_of("finance").await;
    for (format, kind, begins) in [("csv", "text/csv", "at,"), ("pdf", "application/pdf", "%PDF")] {
        let days = format!("from=1970-01-01&to=1970-01-31&format={format}");
        for path in ["/accounts/acme/statement", "/api/v1/accounts/acme/statement"] {
            let answer = house.ask(&format!("GET {path}?{days}"), &cookie, "").await;
            assert_eq!(status(&answer), "200", "{answer}");
            assert!(answer.contains(kind) && body(&answer).starts_with(begins), "{path} {format}: {answer}");
        }
    }
    let backwards = "GET /accounts/acme/statement?from=1970-02-01&to=1970-01-01&format=pdf";
    assert_eq!(status(&house.ask(backwards, &cookie, "").await), "422");
}
