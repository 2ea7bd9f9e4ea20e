//! Customers and resellers: each sees its own, and of everybody else not even that there is somebody.

use chrono::DateTime;
use lake::LaneRows;
use model::{AccountId, Provider, RatedCdr};

use crate::house::{House, body, rated_call, status};

const MORE: &str = r#"
    [[accounts]]
    handle = "brand"
    kind = "reseller"
    contact = { name = "Brand" }
    [[accounts]]
    handle = "shop"
    reseller = "brand"
    contact = { name = "Shop of Brand" }
    [[accounts]]
    handle = "rival"
    contact = { name = "Rival" }
"#;

impl House {
    async fn id_of(&self, handle: &str) -> AccountId {
        self.store.directory().await.unwrap().accounts_named(handle)[0].id
    }

    /// Lets somebody in who sees that account; the session.
    async fn outsider(&self, role: &str, handle: &str) -> String {
        let hash = web::hash_password(crate::house::PASSWORD).unwrap();
        let name = format!("{role}-{handle}");
        let account = Some(self.id_of(handle).await);
        let new = store::NewUser { name: &name, password_hash: &hash, role, account, ..Default::default() };
        self.store.user_let_in(new, "test", DateTime::UNIX_EPOCH).await.unwrap();
        self.cookie_of(&name).await
    }

    /// A call that each of these accounts pays for.
    async fn call_of(&self, handles: &[&str]) -> Vec<RatedCdr> {
        let mut rows = Vec::new();
        for (n, handle) in handles.iter().enumerate() {
            let mut rated = rated_call();
            rated.charges.retain(|charge| charge.provider != Provider::Reseller);
            let paying = |charge: &&mut model::Charge| {
                charge.provider == Provider::Customer && charge.direction == model::Direction::Out
            };
            rated.charges.iter_mut().find(paying).unwrap().account = self.id_of(handle).await;
            rated.cdr.id = rated.cdr.id.of_fragment(u32::try_from(n).unwrap() + 1);
            rows.push(rated);
        }
        let lane = LaneRows { partition: 1, position: 1, watermarks: Vec::new(), rows: rows.clone() };
        self.lake.commit(vec![lane], DateTime::UNIX_EPOCH).await.unwrap();
        rows
    }
}

#[tokio::test]
async fn customer_sees_its_own_calls_and_money_and_nothing_of_others() {
    let house = House::with_more(&["operator"], MORE).await;
    let calls = house.call_of(&["acme", "rival"]).await;
    let cookie = house.outsider("customer", "acme").await;
    assert!(house.ask("GET /", &cookie, "").await.contains("location: /own\r"));
    let page = house.ask("GET /own", &cookie, "").await;
    assert!(
        page.contains("Acme &#60;Ltd&#62;") && !page.contains("Rival") && !page.contains("href=\"/calls\""),
        "{page}"
    );
    let listed = house.ask("GET /own/calls", &cookie, "").await;
    let (own, others) = (calls[0].cdr.id.to_string(), calls[1].cdr.id.to_string());
    assert_eq!(listed.matches("<tr><td>").count(), 1, "{listed}");
    assert!(!listed.contains(&others), "{listed}");
    // Not by a filter, nor by a name, nor by an address of the house.
    for path in [
        "/own?account=rival",
        "/own/calls?account=rival",
        "/own/calls?account=carrier",
        "/own/statement?account=rival&from=1970-01-01&to=1970-01-02",
        "/own/statement?account=nobody&from=1970-01-01&to=1970-01-02",
    ] {
        let answer = house.ask(&format!("GET {path}"), &cookie, "").await;
        assert_eq!(status(&answer), "404", "{path}: {answer}");
        assert!(answer.contains("you have no account"), "{path}: {answer}");
    }
    for path in [
        format!("/calls/{own}"),
        "/search?q=rival".to_owned(),
        "/accounts/acme".to_owned(),
        "/accounts/acme/money".to_owned(),
        "/own/../calls".to_owned(),
        "/own/nothing".to_owned(),
        "/figures".to_owned(),
        "/metrics".to_owned(),
        "/api/v1/calls".to_owned(),
        "/api/v1/openapi.json".to_owned(),
    ] {
        let answer = house.ask(&format!("GET {path}"), &cookie, "").await;
        assert!(matches!(status(&answer), "403" | "404"), "{path}: {answer}");
        assert!(!body(&answer).contains(&own), "{path}");
    }
    let form = "account=acme&level=outgoing&reason=x";
    assert_eq!(status(&house.post_form("/fraud/lock", &cookie, form).await), "403");
    for filter in ["number=999", "from=1999-01-01&to=1999-01-02"] {
        let none = house.ask(&format!("GET /own/calls?{filter}"), &cookie, "").await;
        assert_eq!(none.matches("<tr><td>2").count(), 0, "{filter}: {none}");
    }
    let odd = house.ask("GET /own/calls?number=1%27+OR+1=1", &cookie, "").await;
    assert!(odd.contains("is not one") && !odd.contains("<tr><td>2"), "{odd}");
}

#[tokio::test]
async fn reseller_sees_what_is_below_it_and_no_other_account() {
    let house = House::with_more(&["operator"], MORE).await;
    house.call_of(&["shop", "rival"]).await;
    let cookie = house.outsider("reseller", "brand").await;
    let page = house.ask("GET /own", &cookie, "").await;
    assert!(page.contains("Shop of Brand") && !page.contains("Rival") && !page.contains("Acme"), "{page}");
    let shop = house.ask("GET /own/calls?account=shop", &cookie, "").await;
    assert_eq!(shop.matches("<tr><td>2").count(), 1, "{shop}");
    for (path, code) in
        [("/own?account=shop", "200"), ("/own?account=rival", "404"), ("/own?account=acme", "404")]
    {
        assert_eq!(status(&house.ask(&format!("GET {path}"), &cookie, "").await), code, "{path}");
    }
    // A customer of the same reseller does not see upwards, nor what a reseller sees.
    let customer = house.outsider("customer", "shop").await;
    assert_eq!(status(&house.ask("GET /own?account=brand", &customer, "").await), "404");
    let as_customer = house.outsider("customer", "brand").await;
    assert_eq!(status(&house.ask("GET /own?account=shop", &as_customer, "").await), "404");
}

#[tokio::test]
async fn outsider_without_an_account_sees_nothing_and_is_not_made() {
    let house = House::with_roles(&["operator"]).await;
    let hash = web::hash_password(crate::house::PASSWORD).unwrap();
    house.store.user_create("lost", &hash, "customer", DateTime::UNIX_EPOCH).await.unwrap();
    let cookie = house.cookie_of("lost").await;
    assert_eq!(status(&house.ask("GET /own", &cookie, "").await), "403");
    assert_eq!(status(&house.ask("GET /own/calls", &cookie, "").await), "403");
    let operator = house.cookie_of("operator").await;
    let headers = format!("Content-Type: application/json\r\n{operator}");
    for (object, said) in [
        (r#"{"name": "ann", "role": "customer"}"#, "say which one"),
        (r#"{"name": "ann", "role": "finance", "account": "acme"}"#, "reseller and customer alone"),
    ] {
        let answer = house.ask("POST /api/v1/users", &headers, object).await;
        assert!(status(&answer) == "422" && answer.contains(said), "{object}: {answer}");
    }
    let object = r#"{"name": "ann", "role": "customer", "account": "acme"}"#;
    assert_eq!(status(&house.ask("POST /api/v1/users", &headers, object).await), "201");
    let token = r#"{"name": "t", "role": "customer", "days": 3}"#;
    assert_eq!(status(&house.ask("POST /api/v1/tokens", &headers, token).await), "422");
    assert!(house.ask("GET /api/v1/users", &operator, "").await.contains("\"account\":\"acme\""));
}

#[tokio::test]
async fn customers_login_on_a_resellers_account_does_not_see_the_calls_of_its_customers() {
    let house = House::with_more(&["operator"], MORE).await;
    let mut rated = rated_call();
    let (brand, shop) = (house.id_of("brand").await, house.id_of("shop").await);
    rated.charges.retain(|charge| charge.provider != Provider::Reseller);
    let paying = |charge: &&mut model::Charge| {
        charge.provider == Provider::Customer && charge.direction == model::Direction::Out
    };
    let paid = rated.charges.iter_mut().find(paying).unwrap();
    paid.account = shop;
    let owed = model::Charge { provider: Provider::Reseller, account: brand, ..paid.clone() };
    rated.charges.push(owed);
    rated.cdr.id = rated.cdr.id.of_fragment(1);
    let lane = LaneRows { partition: 1, position: 1, watermarks: Vec::new(), rows: vec![rated] };
    house.lake.commit(vec![lane], DateTime::UNIX_EPOCH).await.unwrap();
    for (role, n_calls) in [("reseller", 1), ("customer", 0)] {
        let cookie = house.outsider(role, "brand").await;
        let listed = house.ask("GET /own/calls", &cookie, "").await;
        assert_eq!(listed.matches("<tr><td>").count(), n_calls, "{role}: {listed}");
    }
}
