locals {
  alarm_actions = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "${var.name}-errors"
  alarm_description   = "Invocations fail or run into the timeout; see the log."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = aws_lambda_function.function.function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
}

# Some senders drop what is answered with 429, so a burst of a minute loses data.
resource "aws_cloudwatch_metric_alarm" "throttles" {
  alarm_name          = "${var.name}-throttles"
  alarm_description   = "More requests at a time than the concurrency allows; senders get 429, and those that do not try again lose data."
  namespace           = "AWS/Lambda"
  metric_name         = "Throttles"
  dimensions          = { FunctionName = aws_lambda_function.function.function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "slow" {
  alarm_name          = "${var.name}-slow"
  alarm_description   = "The slowest requests take more than 80 percent of the timeout."
  namespace           = "AWS/Lambda"
  metric_name         = "Duration"
  dimensions          = { FunctionName = aws_lambda_function.function.function_name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 3
  threshold           = 0.8 * 1000 * var.timeout
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "rejected" {
  alarm_name          = "${var.name}-rejected"
  alarm_description   = "Records were left out because they cannot be stored; the log and the answers to senders say why."
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions

  metric_query {
    id          = "all"
    label       = "rejected records"
    expression  = "FILL(logs, 0) + FILL(traces, 0) + FILL(metrics, 0)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = ["logs", "traces", "metrics"]
    content {
      id          = metric_query.value
      return_data = false

      metric {
        namespace   = "otlp2iceberg"
        metric_name = "RejectedRecords"
        dimensions  = { FunctionName = aws_lambda_function.function.function_name, Signal = metric_query.value }
        stat        = "Sum"
        period      = 300
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "refused" {
  alarm_name          = "${var.name}-refused"
  alarm_description   = "Requests were refused whole (malformed, too large, of another type, to another path, without the token). Senders drop them and nothing keeps them; the log says why."
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions

  metric_query {
    id          = "all"
    label       = "refused requests"
    expression  = "FILL(logs, 0) + FILL(traces, 0) + FILL(metrics, 0)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = ["logs", "traces", "metrics"]
    content {
      id          = metric_query.value
      return_data = false

      metric {
        namespace   = "otlp2iceberg"
        metric_name = "RefusedRequests"
        dimensions  = { FunctionName = aws_lambda_function.function.function_name, Signal = metric_query.value }
        stat        = "Sum"
        period      = 300
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "failures" {
  alarm_name          = "${var.name}-failures"
  alarm_description   = "Requests or objects could not be stored in two of three times five minutes, such as while the catalog is down; the log says why."
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions

  metric_query {
    id          = "all"
    label       = "failures"
    expression  = "FILL(logs, 0) + FILL(traces, 0) + FILL(metrics, 0)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = ["logs", "traces", "metrics"]
    content {
      id          = metric_query.value
      return_data = false

      metric {
        namespace   = "otlp2iceberg"
        metric_name = "Failures"
        dimensions  = { FunctionName = aws_lambda_function.function.function_name, Signal = metric_query.value }
        stat        = "Sum"
        period      = 300
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "url_5xx" {
  count               = local.has_url ? 1 : 0
  alarm_name          = "${var.name}-url-5xx"
  alarm_description   = "Senders got 5xx in two of three times five minutes. An answer of 503 is no error to AWS/Lambda Errors."
  namespace           = "AWS/Lambda"
  metric_name         = "Url5xxCount"
  dimensions          = { FunctionName = aws_lambda_function.function.function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "raw_dead" {
  count               = local.has_raw ? 1 : 0
  alarm_name          = "${var.name}-raw-dead"
  alarm_description   = "Objects could not be loaded and are in the dead-letter queue."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.raw_dead[0].name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "raw_age" {
  count               = local.has_raw ? 1 : 0
  alarm_name          = "${var.name}-raw-age"
  alarm_description   = "Objects have waited for more than an hour to be loaded."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = aws_sqs_queue.raw[0].name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 3600
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
}
