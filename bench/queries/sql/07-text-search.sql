-- Log records whose text ends in some words.

-- ours
SELECT epoch_us(Timestamp), ServiceName, Body FROM logs WHERE Body LIKE '%for customer 4242';

-- otlp2records
SELECT epoch_us(time_unix_nano), service_name, body FROM logs WHERE body LIKE '%for customer 4242';

-- otel-arrow
SELECT epoch_us(l.time_unix_nano), service.str, l.body.str
FROM logs l JOIN resource_attrs service ON service.parent_id = l.resource.id AND service.key = 'service.name'
WHERE l.body.str LIKE '%for customer 4242';
