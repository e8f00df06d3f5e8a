-- Log records with one value of one attribute, which has a column in our tables (`tables.attribute_columns`).

-- ours
SELECT epoch_us(Timestamp), ServiceName, Body FROM logs WHERE UrlPath = '/api/v1/orders/{order}';

-- otlp2records
SELECT epoch_us(time_unix_nano), service_name, body FROM logs
WHERE log_attributes ->> '$."url.path"' = '/api/v1/orders/{order}';

-- otel-arrow
SELECT epoch_us(l.time_unix_nano), service.str, l.body.str
FROM logs l
JOIN log_attrs path ON path.parent_id = l.id AND path.key = 'url.path' AND path.str = '/api/v1/orders/{order}'
JOIN resource_attrs service ON service.parent_id = l.resource.id AND service.key = 'service.name';
