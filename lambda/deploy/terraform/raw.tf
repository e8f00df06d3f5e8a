# Objects from S3: bucket, EventBridge, queue, function.

locals {
  has_raw    = var.raw_ingest != "off"
  is_fifo    = var.raw_ingest == "fifo"
  makes_raw  = local.has_raw && var.create_raw_bucket
  raw_bucket = coalesce(var.raw_bucket_name, "${var.name}-raw-${local.account}-${local.region}")
  suffix     = local.is_fifo ? ".fifo" : ""
  # Copies of the function that read the queue.
  raw_copies = local.is_fifo ? 4 : 2

  # How often a message is delivered, and for how long its rows are recognised: commit.dedup_window in seconds, 0 if it is
  # no duration.
  receives_max   = 5
  window         = coalesce(lookup(var.environment, "OTLP2ICEBERG_COMMIT_DEDUP_WINDOW", ""), "30m")
  seconds_of     = { ns = 1e-9, us = 1e-6, ms = 1e-3, s = 1, m = 60, h = 3600 }
  window_parts   = regexall("([0-9.]+)(ns|us|ms|s|m|h)", local.window)
  window_seconds = try(sum([for part in local.window_parts : tonumber(part[0]) * local.seconds_of[part[1]]]), 0)

  # By the rule's name: its kind of queue, the keys that it matches (all if empty), and its message group. One
  # invocation at a time receives a group's messages. An object that matches two rules is still loaded only once: the function
  # recognises it by bucket, key and version.
  all_raw_rules = {
    "raw"         = { queue = "standard", keys = "", group = "" }
    "raw-logs"    = { queue = "fifo", keys = jsonencode([{ wildcard = "*logs*" }]), group = "logs" }
    "raw-traces"  = { queue = "fifo", keys = jsonencode([{ wildcard = "*traces*" }]), group = "traces" }
    "raw-metrics" = { queue = "fifo", keys = jsonencode([{ wildcard = "*metrics*" }]), group = "metrics" }
    "raw-other" = {
      queue = "fifo"
      keys  = jsonencode([{ anything-but = { wildcard = ["*logs*", "*traces*", "*metrics*"] } }])
      group = "other"
    }
  }
  raw_rules = { for name, rule in local.all_raw_rules : name => rule if rule.queue == var.raw_ingest }
}

resource "aws_s3_bucket" "raw" {
  count  = local.makes_raw ? 1 : 0
  bucket = local.raw_bucket
}

resource "aws_s3_bucket_public_access_block" "raw" {
  count                   = local.makes_raw ? 1 : 0
  bucket                  = aws_s3_bucket.raw[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_lifecycle_configuration" "raw" {
  count  = local.makes_raw ? 1 : 0
  bucket = aws_s3_bucket.raw[0].id

  rule {
    id     = "expire"
    status = "Enabled"
    filter {}

    expiration {
      days = var.raw_retention_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

resource "aws_s3_bucket_notification" "raw" {
  count       = local.makes_raw ? 1 : 0
  bucket      = aws_s3_bucket.raw[0].id
  eventbridge = true
}

# Terraform deletes the queues with their messages, without looking (docs/aws.md, "Queues that are deleted").
resource "aws_sqs_queue" "raw_dead" {
  count                     = local.has_raw ? 1 : 0
  name                      = "${var.name}-raw-dead${local.suffix}"
  fifo_queue                = local.is_fifo
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue" "raw" {
  count                       = local.has_raw ? 1 : 0
  name                        = "${var.name}-raw${local.suffix}"
  fifo_queue                  = local.is_fifo
  content_based_deduplication = local.is_fifo
  visibility_timeout_seconds  = var.raw_visibility_timeout
  message_retention_seconds   = 1209600
  sqs_managed_sse_enabled     = true

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.raw_dead[0].arn
    maxReceiveCount     = local.receives_max
  })
}

resource "aws_sqs_queue_policy" "raw" {
  count     = local.has_raw ? 1 : 0
  queue_url = aws_sqs_queue.raw[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.raw[0].arn
      Condition = { ArnLike = { "aws:SourceArn" = [for rule in aws_cloudwatch_event_rule.raw : rule.arn] } }
    }]
  })
}

resource "aws_cloudwatch_event_rule" "raw" {
  for_each = local.raw_rules
  name     = "${var.name}-${each.key}"

  event_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail = merge(
      { bucket = { name = [local.raw_bucket] } },
      each.value.keys == "" ? {} : { object = { key = jsondecode(each.value.keys) } },
    )
  })
}

resource "aws_cloudwatch_event_target" "raw" {
  for_each = local.raw_rules
  rule     = aws_cloudwatch_event_rule.raw[each.key].name
  arn      = aws_sqs_queue.raw[0].arn

  dynamic "sqs_target" {
    for_each = each.value.group == "" ? [] : [each.value.group]
    content {
      message_group_id = sqs_target.value
    }
  }
}

resource "aws_lambda_event_source_mapping" "raw" {
  count                              = local.has_raw ? 1 : 0
  function_name                      = aws_lambda_function.function.arn
  event_source_arn                   = aws_sqs_queue.raw[0].arn
  function_response_types            = ["ReportBatchItemFailures"]
  batch_size                         = local.is_fifo ? 10 : var.raw_batch_size
  maximum_batching_window_in_seconds = local.is_fifo ? null : 20

  scaling_config {
    maximum_concurrency = local.raw_copies
  }

  depends_on = [aws_iam_role_policy.raw]
}
