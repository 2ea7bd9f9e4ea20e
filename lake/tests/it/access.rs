//! What people may not see they do not see, however they ask.

use lake::{Access, Lake};
use model::TenantId;

use crate::saved::made_world;
use crate::world::{World, call, rows};

/// As the console's analyst: neither numbers nor money.
const ANALYST: Access = Access {
    tenant: None,
    numbers: false,
    customer_prices: false,
    carrier_prices: false,
    books: false,
    fraud_desk: false,
    tariffs: false,
};

/// Digits that only whole numbers have, of the made world and of its texts.
const SECRETS: [&str; 4] = ["30555", "60555001", "3660555", "12555019"];

async fn seen_by(lake: &Lake, access: &Access, sql: &str) -> String {
    match lake.query_as(sql, access).await {
        Ok(result) => {
            let mut out = Vec::new();
            lake::write_table(&result, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        }
        Err(why) => why.to_string(),
    }
}

#[tokio::test]
async fn whole_numbers_cannot_be_got_at() {
    let (_world, lake) = made_world().await;
    for sql in [
        "SELECT * FROM calls",
        "SELECT * FROM calls_history",
        "SELECT * FROM charges",
        "SELECT * FROM attempts",
        "SELECT * FROM events",
        "SELECT * FROM registrations",
        "SELECT source_number || destination_number FROM calls",
        "WITH c AS (SELECT destination_number AS n FROM calls) SELECT reverse(n), n FROM c",
        "WITH calls AS (SELECT * FROM tollbook.public.calls_history) SELECT destination_number FROM calls",
        "SELECT \"destination_number\" FROM \"tollbook\".\"public\".\"calls\"",
        "SELECT CAST(destination_number AS BIGINT) FROM calls",
        "SELECT CAST(dialed AS DOUBLE) + 1 FROM calls_history",
        "SELECT min(destination_number), max(source_user), array_agg(destination_user_out) FROM calls",
        "SELECT max(destination_number) OVER (PARTITION BY day) FROM calls",
        "SELECT first.destination_number FROM calls first JOIN calls_history other ON first.destination_number = other.destination_number",
        "SELECT x FROM (SELECT destination_number AS x FROM calls UNION ALL SELECT detail FROM events)",
        "SELECT (SELECT max(destination_number) FROM calls)",
        "SELECT 1 / (CASE WHEN destination_number LIKE '4930555%' THEN 0 ELSE 1 END), destination_number FROM calls",
        "SELECT number_prefix(destination_number), destination_number FROM calls",
        "SELECT nullif(destination_number, ''), coalesce(asserted_identity, diversion) FROM calls",
        "EXPLAIN ANALYZE SELECT destination_number FROM calls WHERE source_number > ''",
        "EXPLAIN VERBOSE SELECT destination_number FROM calls",
        "SELECT destination_number.x FROM calls",
        "SELECT * FROM information_schema.columns",
        "SELECT * FROM information_schema.views",
        "SELECT destination_number FROM calls GROUP BY destination_number HAVING count(*) > 0",
        "SELECT regexp_replace(destination_number, '…', '') FROM calls",
        "SELECT DISTINCT dialed FROM calls ORDER BY dialed",
        "VALUES ((SELECT max(source_user_out) FROM calls))",
    ] {
        let seen = seen_by(&lake, &ANALYST, sql).await;
        let asked = sql.to_owned();
        for secret in SECRETS {
            assert!(asked.contains(secret) || !seen.contains(secret), "{sql} shows {secret}:\n{seen}");
        }
    }
    // The test can fail: the operator sees them.
    assert!(seen_by(&lake, &Access::WHOLE, "SELECT * FROM calls").await.contains("4930555001"));
}

#[tokio::test]
async fn filter_compares_what_is_shown() {
    let (_world, lake) = made_world().await;
    let count = |sql: &'static str| seen_by(&lake, &ANALYST, sql);
    // Guessing a number digit by digit says nothing.
    for sql in [
        "SELECT count(*) FROM calls WHERE destination_number = '4930555001'",
        "SELECT count(*) FROM calls WHERE destination_number LIKE '%555001'",
        "SELECT count(*) FROM calls WHERE destination_number BETWEEN '49305550' AND '49305559'",
        "SELECT count(*) FROM calls_history WHERE dialed = '004930555123'",
        "SELECT count(*) FROM charges WHERE destination_number = '4930555001'",
        "SELECT count(*) FROM attempts WHERE destination_number = '4930555001'",
        "SELECT count(*) FROM events WHERE detail LIKE '%43660555001%'",
        "SELECT count(*) FROM calls JOIN (VALUES ('4930555001')) AS g(n) ON destination_number = g.n",
        "SELECT count(*) FROM calls WHERE destination_number IN (SELECT '4930555001')",
    ] {
        assert!(count(sql).await.contains("\n       0\n"), "{sql}: {}", count(sql).await);
    }
    assert!(
        !count("SELECT count(*) FROM calls WHERE destination_number = '4930…01'")
            .await
            .contains("\n       0\n")
    );
}

#[tokio::test]
async fn money_and_tables_beyond_the_rights_are_not_there() {
    let (_world, lake) = made_world().await;
    for column in [
        "customer_cost",
        "carrier_cost",
        "margin",
        "free_cash",
        "reseller_cost",
        "customer_in_cost",
        "carrier_in_cost",
    ] {
        let seen = seen_by(&lake, &ANALYST, &format!("SELECT count({column}) FROM calls")).await;
        assert!(seen.contains(" 0\n"), "{column}: {seen}");
    }
    assert!(seen_by(&lake, &ANALYST, "SELECT count(cost) FROM charges").await.contains(" 0\n"));
    for table in [
        "postings",
        "call_postings",
        "other_postings",
        "invoices",
        "invoice_lines",
        "alerts",
        "call_marks",
        "rates",
    ] {
        let why = lake.query_as(&format!("SELECT * FROM {table}"), &ANALYST).await.unwrap_err();
        assert_eq!(why.code(), "LAK017", "{table}: {why}");
        assert!(!why.to_string().contains(&format!(", {table},")), "{why}");
        let listed = format!("SELECT count(*) FROM documentation WHERE table_name = '{table}'");
        assert!(seen_by(&lake, &ANALYST, &listed).await.contains(" 0\n"));
        let listed = format!("SELECT count(*) FROM information_schema.tables WHERE table_name = '{table}'");
        assert!(seen_by(&lake, &ANALYST, &listed).await.contains(" 0\n"));
    }
    // Carrier relations: what carriers are owed, and not what customers pay.
    let carriers = Access { numbers: true, carrier_prices: true, ..ANALYST };
    let charges =
        "SELECT provider || ':' || CAST(count(cost) AS VARCHAR) AS known FROM charges GROUP BY provider";
    let seen = seen_by(&lake, &carriers, charges).await;
    assert!(seen.contains("customer:0\n") && !seen.contains("carrier:0\n"), "{seen}");
    assert!(seen_by(&lake, &carriers, "SELECT count(margin) FROM calls").await.contains(" 0\n"));
}

#[tokio::test]
async fn tenant_sees_its_own_rows_alone() {
    let world = World::new();
    let lake = world.open();
    let mut theirs = call("theirs", "2026-10-05T09:00:00Z");
    theirs.cdr.tenant = TenantId(2);
    // A correction of a call of theirs, too.
    let mut corrected = theirs.clone();
    corrected.cdr.revision = 1;
    lake.commit(rows(1, vec![call("ours", "2026-10-05T08:00:00Z"), theirs, corrected]), world.now)
        .await
        .unwrap();
    let mut payment = crate::tables::posting(1, "payment", None);
    payment[1] = 2_i64.into();
    let ours = crate::tables::posting(2, "payment", None);
    lake.replace(&lake::tables::OTHER_POSTINGS, vec![payment, ours], "1".to_owned(), world.now)
        .await
        .unwrap();
    let tenant = Access { tenant: Some(TenantId(1)), ..Access::WHOLE };
    for table in ["calls", "calls_history", "charges", "attempts", "postings", "other_postings"] {
        let other = format!("SELECT count(*) FROM {table} WHERE tenant <> 1 OR tenant IS NULL");
        assert!(seen_by(&lake, &tenant, &other).await.contains(" 0\n"), "{table}");
        let own = format!("SELECT count(*) > 0 AS own FROM {table}");
        assert!(seen_by(&lake, &tenant, &own).await.contains("true"), "{table}");
        assert!(!seen_by(&lake, &Access::WHOLE, &other).await.contains(" 0\n"), "{table}");
    }
    for sql in
        ["SELECT call_id FROM calls WHERE tenant = 2", "SELECT call_id FROM calls WHERE true OR tenant = 2"]
    {
        assert!(!seen_by(&lake, &tenant, sql).await.contains("theirs"), "{sql}");
    }
}

#[tokio::test]
async fn errors_and_measurements_tell_nothing_of_rows_of_others() {
    let world = World::new();
    let lake = world.open();
    let mut calls = Vec::new();
    for idx in 0..20 {
        let mut made = call(&format!("call-{idx}"), "2026-10-05T09:00:00Z");
        if idx % 2 == 0 {
            made.cdr.tenant = TenantId(2);
            made.cdr.source.cli = Some("43777888999".parse().unwrap());
        }
        calls.push(made);
    }
    lake.commit(rows(1, calls), world.now).await.unwrap();
    let tenant = Access { tenant: Some(TenantId(1)), ..Access::WHOLE };
    for table in ["calls", "calls_history"] {
        for sql in [
            format!(
                "SELECT count(*) FROM {table} WHERE CAST(CASE WHEN tenant <> 1 THEN source_number || 'x' ELSE '1' END AS BIGINT) = 1"
            ),
            format!(
                "SELECT count(*) FROM {table} WHERE CAST(CASE WHEN tenant <> 1 THEN source_number || 'x' ELSE '1' END AS BIGINT) = 1 AND day = '2026-10-05'"
            ),
            format!("SELECT count(*) FROM (SELECT * FROM {table}) WHERE 1 / (tenant - 2) < 5"),
        ] {
            let seen = seen_by(&lake, &tenant, &sql).await;
            assert!(seen.contains("10\n") && !seen.contains("777888999"), "{sql}: {seen}");
        }
    }
    let days = "SELECT count(*) FROM calls WHERE start_at < TIMESTAMP '2026-10-05 00:00:00'";
    assert!(seen_by(&lake, &tenant, days).await.contains(" 0\n"));
    let measured = seen_by(&lake, &tenant, "EXPLAIN ANALYZE SELECT * FROM calls").await;
    assert!(measured.contains("EXPLAIN ANALYZE is for users"), "{measured}");
    assert!(seen_by(&lake, &tenant, "EXPLAIN SELECT * FROM calls").await.contains("BarrierExec"));
}
