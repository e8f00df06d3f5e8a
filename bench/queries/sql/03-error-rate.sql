-- Log records and errors per minute.

-- ours
SELECT epoch_us(Timestamp) // 60000000 AS minute, count(*), count(*) FILTER (SeverityNumber >= 17) FROM logs GROUP BY minute;

-- otlp2records
SELECT epoch_us(time_unix_nano) // 60000000 AS minute, count(*), count(*) FILTER (severity_number >= 17) FROM logs GROUP BY minute;

-- otel-arrow
SELECT epoch_us(time_unix_nano) // 60000000 AS minute, count(*), count(*) FILTER (severity_number >= 17) FROM logs GROUP BY minute;
