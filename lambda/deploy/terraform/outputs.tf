output "function_url" {
  description = "OTLP/HTTP endpoint. Senders add /v1/logs, /v1/traces and /v1/metrics."
  value       = one(aws_lambda_function_url.otlp[*].function_url)
}

output "lambda_function_arn" {
  description = "The function."
  value       = aws_lambda_function.function.arn
}

output "function_role_arn" {
  description = "Whom Lake Formation must grant access."
  value       = aws_iam_role.function.arn
}

output "sender_policy_arn" {
  description = "Attach it to the roles that send."
  value       = one(aws_iam_policy.sender[*].arn)
}

output "table_bucket_name" {
  description = "The S3 table bucket; null when the tables are in an ordinary bucket."
  value       = local.uses_table_bucket ? var.table_bucket_name : null
}

output "table_bucket_arn" {
  description = "The same as an ARN."
  value       = local.uses_table_bucket ? local.table_bucket_arn : null
}

output "iceberg_rest_endpoint" {
  description = "Where engines find the tables."
  value       = "https://${var.catalog_type}.${local.region}.${data.aws_partition.current.dns_suffix}/iceberg"
}

output "log_group_name" {
  description = "Where the function's log is."
  value       = aws_cloudwatch_log_group.function.name
}

output "raw_bucket_name" {
  description = "Where OTLP objects are loaded from; null when raw_ingest is off."
  value       = local.has_raw ? local.raw_bucket : null
}

output "raw_dead_letter_queue" {
  description = "URL of the queue of objects that could not be loaded; null when raw_ingest is off."
  value       = one(aws_sqs_queue.raw_dead[*].url)
}
