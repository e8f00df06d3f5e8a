locals {
  uses_table_bucket = var.warehouse_bucket_name == null
  table_bucket_arn  = "arn:${local.partition}:s3tables:${local.region}:${local.account}:bucket/${var.table_bucket_name}"
  glue_warehouse    = local.uses_table_bucket ? "${local.account}:s3tablescatalog/${var.table_bucket_name}" : local.account
  has_url           = var.function_url_auth != "DISABLED"
  url_is_open       = var.function_url_auth == "NONE"
  url_is_signed     = var.function_url_auth == "AWS_IAM"
}

resource "aws_s3tables_table_bucket" "tables" {
  count = var.create_table_bucket && local.uses_table_bucket ? 1 : 0
  name  = var.table_bucket_name

  lifecycle {
    # To delete the data: empty the bucket and remove this line.
    prevent_destroy = true
  }
}

resource "aws_cloudwatch_log_group" "function" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_lambda_function" "function" {
  function_name                  = var.name
  description                    = "OTLP to Apache Iceberg tables"
  role                           = aws_iam_role.function.arn
  architectures                  = [var.architecture]
  package_type                   = var.image_uri == null ? "Zip" : "Image"
  runtime                        = var.image_uri == null ? "provided.al2023" : null
  handler                        = var.image_uri == null ? "bootstrap" : null
  filename                       = var.image_uri == null ? var.zip : null
  source_code_hash               = var.image_uri == null && var.zip != null ? filebase64sha256(var.zip) : null
  image_uri                      = var.image_uri
  memory_size                    = var.memory_size
  timeout                        = var.timeout
  reserved_concurrent_executions = var.reserved_concurrency

  environment {
    variables = merge(
      {
        OTLP2ICEBERG_CATALOG_TYPE       = var.catalog_type
        OTLP2ICEBERG_CATALOG_WAREHOUSE  = var.catalog_type == "glue" ? local.glue_warehouse : local.table_bucket_arn
        OTLP2ICEBERG_CATALOG_NAMESPACE  = var.namespace
        OTLP2ICEBERG_TABLES_COLUMN_CASE = coalesce(var.table_column_case, local.uses_table_bucket ? "lower" : "pascal")
        OTLP2ICEBERG_REGISTER_PARQUET   = tostring(var.register_parquet)
      },
      # Glue assigns no locations to tables. A database that has one of its own does not need this.
      local.uses_table_bucket ? {} : { OTLP2ICEBERG_CATALOG_DEFAULT_LOCATION = "s3://${var.warehouse_bucket_name}" },
      var.auth_token == null ? {} : { OTLP2ICEBERG_AUTH_TOKEN = var.auth_token },
      var.dead_letter_path == null ? {} : { OTLP2ICEBERG_DEAD_LETTER_PATH = var.dead_letter_path },
      var.environment,
    )
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.function.name
  }

  lifecycle {
    precondition {
      condition     = (var.zip == null) != (var.image_uri == null)
      error_message = "Give zip or image_uri, and not both."
    }
    precondition {
      condition     = local.uses_table_bucket || var.catalog_type == "glue"
      error_message = "warehouse_bucket_name needs catalog_type glue; S3 Tables keep their files in the table bucket."
    }
    precondition {
      condition     = !local.uses_table_bucket || !startswith(var.namespace, "aws")
      error_message = "namespace: S3 Tables keeps names that begin with aws to itself; give another one (with warehouse_bucket_name it may begin so)."
    }
    precondition {
      condition     = !local.has_raw || local.raw_bucket != var.warehouse_bucket_name
      error_message = "raw_bucket_name must not be warehouse_bucket_name. The function would be told of each file that it writes; give raw objects a bucket of their own."
    }
    precondition {
      condition     = !local.makes_raw || !var.register_parquet
      error_message = "register_parquet needs a raw bucket of yours (raw_bucket_name, create_raw_bucket false) without a rule that deletes objects. The one that is made here, or that an earlier deployment made, deletes them after raw_retention_days, and then the tables cannot be read."
    }
    precondition {
      # The mapping does not know this limit. It receives messages that the function then has no copy for, and after five
      # receives they are in the dead-letter queue without having been tried.
      condition     = !local.has_raw || var.reserved_concurrency == -1 || var.reserved_concurrency >= local.raw_copies
      error_message = "reserved_concurrency must be at least ${local.raw_copies} with raw_ingest ${var.raw_ingest}, whose queue is read by that many copies, and more with a Function URL; or -1."
    }
    precondition {
      # A message is delivered again this often. Rows of it that were committed all the same are recognised only within
      # the window.
      condition     = !local.has_raw || local.receives_max * var.raw_visibility_timeout <= local.window_seconds
      error_message = "raw_visibility_timeout is too long for commit.dedup_window: rows would be stored twice when a message is delivered again after the window. Set OTLP2ICEBERG_COMMIT_DEDUP_WINDOW in environment to ${local.receives_max * var.raw_visibility_timeout}s or more, or lower raw_visibility_timeout."
    }
    precondition {
      # A signature occupies the header that the token needs, so no client could send both.
      condition     = var.auth_token == null || !local.url_is_signed
      error_message = "auth_token needs function_url_auth NONE, or DISABLED with a gateway of yours. Signed requests have no room for a token."
    }
    precondition {
      # A page cannot sign.
      condition     = length(var.cors_origins) == 0 || local.url_is_open
      error_message = "cors_origins needs function_url_auth NONE; web pages cannot sign requests, and a gateway of yours answers by itself."
    }
  }
}

resource "aws_lambda_function_url" "otlp" {
  count              = local.has_url ? 1 : 0
  function_name      = aws_lambda_function.function.function_name
  authorization_type = var.function_url_auth

  # The URL itself answers a browser's preflight requests.
  dynamic "cors" {
    for_each = length(var.cors_origins) == 0 ? [] : [var.cors_origins]

    content {
      allow_origins = cors.value
      allow_methods = ["POST"]
      allow_headers = ["authorization", "content-encoding", "content-type"]
      max_age       = 3600
    }
  }
}

# URLs created since October 2025 need both permissions; the second applies only to calls through a URL.
resource "aws_lambda_permission" "open_url" {
  count                  = local.url_is_open ? 1 : 0
  function_name          = aws_lambda_function.function.function_name
  action                 = "lambda:InvokeFunctionUrl"
  principal              = "*"
  function_url_auth_type = "NONE"
}

resource "aws_lambda_permission" "open_url_invoke" {
  count                    = local.url_is_open ? 1 : 0
  function_name            = aws_lambda_function.function.function_name
  action                   = "lambda:InvokeFunction"
  principal                = "*"
  invoked_via_function_url = true
}
