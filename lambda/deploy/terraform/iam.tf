locals {
  glue_arn      = "arn:${local.partition}:glue:${local.region}:${local.account}"
  warehouse_arn = "arn:${local.partition}:s3:::${coalesce(var.warehouse_bucket_name, "none")}"
  raw_arn       = "arn:${local.partition}:s3:::${local.raw_bucket}"
}

resource "aws_iam_role" "function" {
  name_prefix = "${var.name}-"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "logs" {
  name = "logs"
  role = aws_iam_role.function.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "${aws_cloudwatch_log_group.function.arn}:*"
    }]
  })
}

resource "aws_iam_role_policy" "s3_tables" {
  count = local.uses_table_bucket ? 1 : 0
  name  = "s3-tables"
  role  = aws_iam_role.function.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = [
        "s3tables:GetTableBucket",
        "s3tables:GetNamespace",
        "s3tables:CreateNamespace",
        "s3tables:GetTable",
        "s3tables:CreateTable",
        "s3tables:GetTableMetadataLocation",
        "s3tables:UpdateTableMetadataLocation",
        "s3tables:GetTableData",
        "s3tables:PutTableData",
      ]
      Resource = [local.table_bucket_arn, "${local.table_bucket_arn}/table/*"]
    }]
  })
}

resource "aws_iam_role_policy" "glue" {
  count = var.catalog_type == "glue" ? 1 : 0
  name  = "glue"
  role  = aws_iam_role.function.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = [
          "glue:GetCatalog",
          "glue:GetDatabase",
          "glue:CreateDatabase",
          "glue:GetTable",
          "glue:CreateTable",
          "glue:UpdateTable",
        ]
        Resource = local.uses_table_bucket ? [
          "${local.glue_arn}:catalog",
          "${local.glue_arn}:catalog/s3tablescatalog",
          "${local.glue_arn}:catalog/s3tablescatalog/${var.table_bucket_name}",
          "${local.glue_arn}:database/s3tablescatalog/${var.table_bucket_name}/${var.namespace}",
          "${local.glue_arn}:table/s3tablescatalog/${var.table_bucket_name}/${var.namespace}/*",
          ] : [
          "${local.glue_arn}:catalog",
          "${local.glue_arn}:database/${var.namespace}",
          "${local.glue_arn}:table/${var.namespace}/*",
        ]
      },
      # The action has no resources: Lake Formation's own grants decide (setup-glue-integration.sh).
      {
        Effect   = "Allow"
        Action   = "lakeformation:GetDataAccess"
        Resource = "*"
      },
    ]
  })
}

resource "aws_iam_role_policy" "warehouse" {
  count = local.uses_table_bucket ? 0 : 1
  name  = "warehouse"
  role  = aws_iam_role.function.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
        Resource = "${local.warehouse_arn}/*"
      },
      {
        Effect   = "Allow"
        Action   = ["s3:ListBucket", "s3:GetBucketLocation"]
        Resource = local.warehouse_arn
      },
    ]
  })
}

resource "aws_iam_role_policy" "dead_letters" {
  count = var.dead_letter_path == null ? 0 : 1
  name  = "dead-letters"
  role  = aws_iam_role.function.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      # After a multipart upload the function checks the object, which needs s3:GetObject.
      Effect   = "Allow"
      Action   = ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"]
      Resource = "arn:${local.partition}:s3:::${trimprefix(var.dead_letter_path, "s3://")}/*"
    }]
  })
}

resource "aws_iam_role_policy" "raw" {
  count = local.has_raw ? 1 : 0
  name  = "raw-objects"
  role  = aws_iam_role.function.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
        Resource = aws_sqs_queue.raw[0].arn
      },
      {
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:GetObjectVersion"]
        Resource = "${local.raw_arn}/*"
      },
      # Without this permission S3 answers 403 instead of 404 for a missing object.
      {
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = local.raw_arn
      },
    ]
  })
}

# For the roles of senders, such as a Collector's.
resource "aws_iam_policy" "sender" {
  count       = local.url_is_signed ? 1 : 0
  name_prefix = "${var.name}-sender-"
  description = "May send OTLP to the Function URL of ${var.name}"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Action    = "lambda:InvokeFunctionUrl"
        Resource  = aws_lambda_function.function.arn
        Condition = { StringEquals = { "lambda:FunctionUrlAuthType" = "AWS_IAM" } }
      },
      {
        Effect    = "Allow"
        Action    = "lambda:InvokeFunction"
        Resource  = aws_lambda_function.function.arn
        Condition = { Bool = { "lambda:InvokedViaFunctionUrl" = "true" } }
      },
    ]
  })
}
