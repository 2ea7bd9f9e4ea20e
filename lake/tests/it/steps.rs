//! What is done otherwise than the library does it, for speed, has the library's answers.

use crate::world::{World, ask, call, dec, lines, rows, unanswered};

#[tokio::test]
async fn hours_and_weekdays_are_those_of_the_calendar() {
    let world = World::new();
    let lake = world.open();
    let times = [
        "1970-01-01T12:00:00Z",
        "2024-02-29T23:59:59.999999Z",
        "2026-10-04T12:00:00Z",
        "2026-10-05T00:00:00Z",
        "2026-10-10T22:30:00Z",
    ];
    let calls = times.iter().enumerate().map(|(n, time)| call(&n.to_string(), time)).collect();
    lake.commit(rows(1, calls), world.now).await.unwrap();
    let sql = "SELECT date_part('hour', start_at), date_part('DOW', start_at), date_part('minute', start_at) FROM calls ORDER BY start_at";
    assert_eq!(
        lines(&lake, sql).await,
        ["12 | 4 | 0", "23 | 4 | 59", "12 | 0 | 0", "0 | 1 | 0", "22 | 6 | 30"]
    );
    // Through another type, which the library answers for.
    let library = "SELECT count(*) FROM calls WHERE date_part('hour', start_at) <> date_part('hour', CAST(start_at AS TIMESTAMP(3))) \
                   OR date_part('dow', start_at) <> date_part('dow', CAST(start_at AS TIMESTAMP(3)))";
    assert_eq!(ask(&lake, library).await, "0");
    let others = "SELECT datepart('hour', TIMESTAMP '2026-10-05T07:00:00'), date_part('hour', NULL::TIMESTAMP(6)), \
                  arrow_typeof(date_part('hour', start_at)) FROM calls LIMIT 1";
    assert_eq!(lines(&lake, others).await, ["7 | NULL | Int32"]);
}

#[tokio::test]
async fn different_texts_are_counted_the_same_in_two_steps() {
    let world = World::new();
    let lake = world.open();
    let mut calls = Vec::new();
    for n in 0..12_i64 {
        let uid = format!("sw1-1-{n}");
        let start = format!("2026-10-05T08:00:{n:02}Z");
        let mut rated = if n % 4 == 3 { unanswered(&uid, &start) } else { call(&uid, &start) };
        rated.cdr.payer = model::AccountId(1000 + n % 2);
        rated.cdr.destination.number =
            if n == 4 { None } else { Some(format!("4930555{}", n % 3).parse().unwrap()) };
        if let Some(charge) = rated.charges.first_mut() {
            charge.cost = dec("0.1");
        }
        calls.push(rated);
    }
    lake.commit(rows(1, calls), world.now).await.unwrap();
    let counted = "SELECT payer + 1 AS who, count(DISTINCT destination_number) AS numbers, count(*) AS calls, \
                   count(*) FILTER (WHERE answered) AS answered, sum(customer_cost) AS cost, min(start_at), max(duration_seconds) \
                   FROM calls GROUP BY who ORDER BY who";
    let expected = [
        "1001 | 3 | 6 | 6 | 0.600000 | 2026-10-05T08:00:00 | 131.650000",
        "1002 | 3 | 6 | 3 | 0.300000 | 2026-10-05T08:00:01 | 131.650000",
    ];
    assert_eq!(lines(&lake, counted).await, expected);
    let is_stepped =
        async |sql: &str| lines(&lake, &format!("EXPLAIN {sql}")).await.concat().contains("__text");
    assert!(is_stepped(counted).await);
    let kind = format!("SELECT arrow_typeof(cost), arrow_typeof(calls) FROM ({counted}) LIMIT 1");
    assert_eq!(ask(&lake, &format!("SELECT count(*) FROM ({kind})")).await, "1");
    assert_eq!(lines(&lake, &kind).await, ["Decimal128(28, 6) | Int64"]);
    // Several texts, averages and questions without groups are the library's.
    for (sql, expected) in [
        ("SELECT count(DISTINCT destination_number), count(*) FROM calls WHERE payer = 7", "0 | 0"),
        (
            "SELECT payer, count(DISTINCT destination_number), count(DISTINCT call_id) FROM calls GROUP BY payer ORDER BY payer LIMIT 1",
            "1000 | 3 | 6",
        ),
        (
            "SELECT payer, count(DISTINCT call_id), avg(duration_seconds) FROM calls GROUP BY payer ORDER BY payer LIMIT 1",
            "1000 | 6 | 131.6500000000",
        ),
        (
            "SELECT payer, count(DISTINCT call_id) FILTER (WHERE answered), count(*) FROM calls GROUP BY payer ORDER BY payer DESC LIMIT 1",
            "1001 | 3 | 6",
        ),
    ] {
        assert_eq!(lines(&lake, sql).await, [expected], "{sql}");
        assert!(!is_stepped(sql).await, "{sql}");
    }
    let having = "SELECT payer FROM calls GROUP BY payer HAVING count(DISTINCT call_id) > 5 AND count(*) FILTER (WHERE answered) < 5";
    assert_eq!(lines(&lake, having).await, ["1001"]);
    assert!(is_stepped(having).await);
    // A group of a NULL is one too, and so is the answer to a question about no call.
    let by_number = "SELECT destination_number, count(DISTINCT call_id) AS n, count(*) AS k FROM calls GROUP BY 1 ORDER BY 1 NULLS FIRST LIMIT 1";
    assert_eq!(lines(&lake, by_number).await, ["NULL | 1 | 1"]);
    assert!(
        lines(
            &lake,
            "SELECT payer, count(DISTINCT call_id), count(*) FROM calls WHERE payer = 7 GROUP BY payer"
        )
        .await
        .is_empty()
    );
}

/// What was a count stays one that is never NULL, for whatever is planned on top of it.
#[tokio::test]
async fn counts_in_two_steps_can_be_built_upon() {
    let world = World::new();
    let lake = world.open();
    let calls = (0..6).map(|n| {
        let mut rated = call(&format!("sw1-1-{n}"), &format!("2026-10-05T08:00:{n:02}Z"));
        rated.cdr.payer = model::AccountId(1000 + n % 2);
        rated
    });
    lake.commit(rows(1, calls.collect()), world.now).await.unwrap();
    let counted = "SELECT payer, count(DISTINCT call_id) AS texts, count(*) AS n, sum(duration_seconds) AS s FROM calls GROUP BY payer";
    for (sql, expected) in [
        (format!("SELECT sum(n), max(texts), min(s) FROM ({counted})"), "6 | 3 | 394.950000"),
        (format!("SELECT n, count(DISTINCT payer), count(*) FROM ({counted}) GROUP BY n"), "3 | 2 | 2"),
        (format!("SELECT max(x) FROM (SELECT row_number() OVER (ORDER BY n, payer) + n AS x FROM ({counted}))"), "5"),
        (format!("SELECT sum(n) FROM (({counted}) UNION ALL ({counted}))"), "12"),
        (format!("SELECT count(*), sum(a.n) FROM ({counted}) a JOIN ({counted}) b ON a.payer = b.payer AND a.n = b.n"), "2 | 6"),
        (format!("SELECT sum(CASE WHEN n > 2 THEN texts ELSE 0 END) FROM ({counted})"), "6"),
        (
            "SELECT d, sum(k) FROM (SELECT day AS d, payer, count(DISTINCT call_id) AS t, count(*) FILTER (WHERE answered) AS k \
             FROM calls GROUP BY day, payer) GROUP BY d"
                .to_owned(),
            "2026-10-05 | 6",
        ),
        (
            "SELECT count(*) FROM calls c WHERE 3 = (SELECT count(*) FROM calls i WHERE i.payer = c.payer)".to_owned(),
            "6",
        ),
    ] {
        assert_eq!(lines(&lake, &sql).await, [expected], "{sql}");
    }
    let null = format!("SELECT sum(n) FROM ({counted}) WHERE n IS NULL");
    assert_eq!(ask(&lake, &null).await, "NULL");
}

/// A period is decided by the manifest alone only where it says yes or no of every row.
#[tokio::test]
async fn period_that_is_neither_true_nor_false_lets_no_row_through() {
    let world = World::new();
    let lake = world.open();
    for (position, start) in ["2026-10-05T08:00:00Z", "2026-10-06T08:00:00Z"].into_iter().enumerate() {
        let position = position as u64 + 1;
        lake.commit(rows(position, vec![call(&format!("{position}"), start)]), world.now).await.unwrap();
    }
    let early = "start_at < '2026-10-06T00:00:00'";
    for (period, expected) in [
        (early.to_owned(), "1"),
        (format!("NOT ({early})"), "1"),
        (format!("{early} OR NULL::BOOLEAN"), "1"),
        (format!("{early} AND NULL::BOOLEAN"), "0"),
        (format!("NOT ({early} AND NULL::BOOLEAN)"), "1"),
        ("start_at > NULL::TIMESTAMP(6)".to_owned(), "0"),
        ("NOT (start_at > NULL::TIMESTAMP(6))".to_owned(), "0"),
        ("day IN ('2026-10-05', NULL)".to_owned(), "1"),
        ("day NOT IN ('2026-10-05', NULL)".to_owned(), "0"),
        ("day <> NULL::DATE OR day = '2026-10-06'".to_owned(), "1"),
        ("nullif(day, '2026-10-05') > '2026-10-01'".to_owned(), "1"),
        ("NOT (nullif(day, '2026-10-05') > '2026-10-01')".to_owned(), "0"),
        ("CASE WHEN day = '2026-10-05' THEN NULL ELSE true END".to_owned(), "1"),
        ("coalesce(day, NULL) = '2026-10-05'".to_owned(), "1"),
        ("day IS NULL".to_owned(), "0"),
        ("day IS NOT NULL".to_owned(), "2"),
        ("(day = '2026-10-05') IS DISTINCT FROM true".to_owned(), "1"),
        ("(day > NULL::DATE) IS NULL".to_owned(), "2"),
        ("date_trunc('month', start_at) = '2026-10-01T00:00:00'".to_owned(), "2"),
        ("CAST(start_at AS DATE) = '2026-10-05'".to_owned(), "1"),
        ("TRY_CAST(arrow_cast(start_at, 'Utf8') AS DATE) > '2026-10-05'".to_owned(), "1"),
        ("day BETWEEN '2026-10-05' AND NULL::DATE".to_owned(), "0"),
        ("day NOT BETWEEN '2026-10-06' AND NULL::DATE".to_owned(), "1"),
    ] {
        let sql = format!("SELECT count(*) FROM calls WHERE {period}");
        assert_eq!(ask(&lake, &sql).await, expected, "{sql}");
        let rows = lines(&lake, &format!("SELECT call_id FROM calls WHERE {period} LIMIT 5")).await.len();
        assert_eq!(rows.to_string(), expected, "{period}");
    }
}

/// What does not keep the order of times says nothing about the first and the last one of a file.
#[tokio::test]
async fn hours_of_another_zone_are_asked_of_each_row() {
    let world = World::new();
    let lake = world.open();
    let starts = ["2026-10-05T00:30:00Z", "2026-10-05T22:30:00Z", "2026-10-05T23:30:00Z"];
    let calls = starts.iter().map(|start| call(start, start)).collect();
    lake.commit(rows(1, calls), world.now).await.unwrap();
    // 02:30, 00:30 and 01:30 of Vienna.
    let time = "CAST(start_at AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Vienna' AS TIME)";
    for (filter, expected) in [
        (format!("{time} >= '01:00'"), "2"),
        (format!("{time} < '01:00'"), "1"),
        (format!("NOT ({time} < '01:00')"), "2"),
        (format!("{time} BETWEEN '00:00' AND '00:59'"), "1"),
        ("CAST(start_at AS TIME) < '01:00'".to_owned(), "1"),
        (
            "CAST(start_at AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Vienna' AS DATE) = '2026-10-06'"
                .to_owned(),
            "2",
        ),
        ("CAST(start_at AS DATE) = '2026-10-05'".to_owned(), "3"),
        ("CAST(start_at AS VARCHAR) LIKE '%T00:%'".to_owned(), "1"),
        ("CAST(start_at AS VARCHAR) > '2026-10-05T1'".to_owned(), "2"),
        ("CAST(day AS VARCHAR) > '2026-10-1'".to_owned(), "0"),
        ("CAST(CAST(start_at AS BIGINT) % 2 AS BIGINT) = 0".to_owned(), "3"),
        ("-CAST(start_at AS BIGINT) < 0".to_owned(), "3"),
    ] {
        let sql = format!("SELECT count(*) FROM calls WHERE {filter}");
        assert_eq!(ask(&lake, &sql).await, expected, "{sql}");
        assert_eq!(
            ask(&lake, &format!("SELECT count(call_id) FROM calls WHERE {filter}")).await,
            expected,
            "{filter}"
        );
    }
}
