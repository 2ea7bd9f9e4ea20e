//! Provisioning data as people write it.

use expect_test::expect;
use model::{AccountKind, LockLevel, Transport};
use store::World;

use crate::sample::decimal;

#[test]
fn few_words_make_a_world() {
    let world: World = toml::from_str(
        r#"
        [[tenants]]
        handle = "vox"
        timezone = "Europe/Vienna"
        contact = { name = "Vox GmbH", city = "Wien", country = "AT" }

        [[accounts]]
        handle = "acme"
        profile = "retail"
        vat_percent = "20"
        [accounts.fraud.daily]
        amount = "50.00"
        lock = "outgoing"
        notify = ["fraud@vox.example"]

        [[accounts]]
        handle = "globex"
        kind = "carrier"

        [[subscribers]]
        account = "acme"
        username = "alice"
        domain = "vox.example"
        ha1_md5 = "00"
        ha1_sha256 = "11"
        numbers = ["+43660555123"]

        [[trunks]]
        account = "globex"
        name = "globex-1"
        address = "192.0.2.7:5060"

        [[routes]]
        trunk = "globex-1"
        "#,
    )
    .unwrap();
    assert_eq!(world.tenants[0].contact.address.city, "Wien");
    let limit = world.accounts[0].fraud.daily.as_ref().unwrap();
    assert_eq!((limit.amount, limit.lock), (decimal("50"), LockLevel::Outgoing));
    assert_eq!(
        (world.accounts[0].kind, world.accounts[1].kind),
        (AccountKind::Customer, AccountKind::Carrier)
    );
    assert_eq!(world.subscribers[0].numbers[0].to_string(), "43660555123");
    assert_eq!((world.trunks[0].transport, world.trunks[0].enabled), (Transport::Udp, true));
    assert_eq!((world.routes[0].prefix.as_str(), world.routes[0].priority), ("", 1));
}

#[test]
fn misspelt_key_is_named() {
    let error =
        toml::from_str::<World>("[[accounts]]\nhandle = \"acme\"\nprofil = \"retail\"\n").unwrap_err();
    expect!["unknown field `profil`, expected one of `tenant`, `handle`, `kind`, `reseller`, `status`, `currency`, `timezone`, `contact`, `vat_percent`, `calls_max`, `fraud`, `profile`, `valid_from`, `profiles`, `calling`"].assert_eq(error.message());
}
