-- What Grafana's PostgreSQL data source asks: at "Save and test", for its lists of tables and columns, and for a panel.
SELECT 1;
SELECT current_setting('server_version_num')::int/100 as version;
-- shows: 1500
SELECT extversion FROM pg_extension WHERE extname = 'timescaledb';
SELECT
    CASE WHEN
          quote_ident(table_schema) IN (
          SELECT
            CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
          FROM
            generate_series(
              array_lower(string_to_array(current_setting('search_path'),','),1),
              array_upper(string_to_array(current_setting('search_path'),','),1)
            ) as i,
            string_to_array(current_setting('search_path'),',') s
          )
      THEN quote_ident(table_name)
      ELSE quote_ident(table_schema) || '.' || quote_ident(table_name)
    END AS "table"
    FROM information_schema.tables
    WHERE quote_ident(table_schema) NOT IN ('information_schema',
                             'pg_catalog',
                             '_timescaledb_cache',
                             '_timescaledb_catalog',
                             '_timescaledb_internal',
                             '_timescaledb_config',
                             'timescaledb_information',
                             'timescaledb_experimental')
    ORDER BY CASE WHEN
          quote_ident(table_schema) IN (
          SELECT
            CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
          FROM
            generate_series(
              array_lower(string_to_array(current_setting('search_path'),','),1),
              array_upper(string_to_array(current_setting('search_path'),','),1)
            ) as i,
            string_to_array(current_setting('search_path'),',') s
          ) THEN 0 ELSE 1 END, 1;
-- shows: calls_history
SELECT quote_ident(column_name) AS "column", data_type AS "type"
    FROM information_schema.columns
    WHERE
      CASE WHEN array_length(parse_ident('calls'),1) = 2
        THEN quote_ident(table_schema) = (parse_ident('calls'))[1]
          AND quote_ident(table_name) = (parse_ident('calls'))[2]
        ELSE quote_ident(table_name) = 'calls'
          AND
          quote_ident(table_schema) IN (
          SELECT
            CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
          FROM
            generate_series(
              array_lower(string_to_array(current_setting('search_path'),','),1),
              array_upper(string_to_array(current_setting('search_path'),','),1)
            ) as i,
            string_to_array(current_setting('search_path'),',') s
          )
      END;
-- shows: customer_cost | numeric
-- A panel: $__timeGroup and $__timeFilter written out.
SELECT floor(extract(epoch from start_at)/3600)*3600 AS "time", count(*) AS "calls"
    FROM calls
    WHERE start_at BETWEEN '2026-10-05T00:00:00Z' AND '2026-10-07T00:00:00Z'
    GROUP BY 1 ORDER BY 1;
-- shows: 1791187200 |
