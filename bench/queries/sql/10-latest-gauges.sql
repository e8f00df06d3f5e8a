-- The latest value of every series of a gauge.

-- ours
SELECT ServiceName, Attributes['cpu.logical_number'] AS cpu, Attributes['cpu.mode'] AS mode, arg_max(Value, TimeUnix)
FROM metrics_gauge WHERE MetricName = 'system.cpu.utilization' GROUP BY ALL;

-- otlp2records
SELECT service_name, metric_attributes ->> '$."cpu.logical_number"' AS cpu, metric_attributes ->> '$."cpu.mode"' AS mode,
       arg_max(double_value, time_unix_nano)
FROM gauge WHERE name = 'system.cpu.utilization' GROUP BY ALL;

-- otel-arrow
SELECT service.str, cpu.str, mode.str, arg_max(p.double_value, p.time_unix_nano)
FROM number_data_points p
JOIN univariate_metrics m ON m.id = p.parent_id AND m.name = 'system.cpu.utilization'
JOIN resource_attrs service ON service.parent_id = m.resource.id AND service.key = 'service.name'
JOIN number_dp_attrs cpu ON cpu.parent_id = p.id AND cpu.key = 'cpu.logical_number'
JOIN number_dp_attrs mode ON mode.parent_id = p.id AND mode.key = 'cpu.mode'
GROUP BY ALL;
