# The same settings as the parameters of ../template.yaml, with the same defaults.

variable "name" {
  description = "The function's name, and the beginning of the names of what goes with it."
  type        = string
  default     = "otlp2iceberg"
}

variable "architecture" {
  description = "arm64 or x86_64; must be that of the zip or image."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture: arm64 or x86_64 is wanted."
  }
}

variable "zip" {
  description = "Path of otlp2iceberg-lambda-<arch>.zip, from a release or `make lambda`. Needed unless image_uri is given."
  type        = string
  default     = null
}

variable "image_uri" {
  description = "Container image in ECR, in place of a zip."
  type        = string
  default     = null
}

variable "memory_size" {
  description = "MB. CPU grows with it."
  type        = number
  default     = 512
}

variable "timeout" {
  description = "Seconds for one request or one batch of objects."
  type        = number
  default     = 60
}

variable "reserved_concurrency" {
  description = "The most copies at a time; -1 for no limit but the account's. Every copy is a writer that commits. With raw_ingest at least 2 (standard) or 4 (fifo), and one more for each request at a time."
  type        = number
  default     = -1
}

variable "log_retention_days" {
  description = "Days for which the function's log is kept."
  type        = number
  default     = 7
}

variable "environment" {
  description = "Further variables of the function, such as OTLP2ICEBERG_TABLES_PARTITION_BY = \"hour\"."
  type        = map(string)
  default     = {}

  validation {
    condition = length(setintersection(keys(var.environment), [
      "OTLP2ICEBERG_CATALOG_TYPE", "OTLP2ICEBERG_CATALOG_WAREHOUSE", "OTLP2ICEBERG_CATALOG_DEFAULT_LOCATION",
      "OTLP2ICEBERG_CATALOG_NAMESPACE", "OTLP2ICEBERG_AUTH_TOKEN", "OTLP2ICEBERG_DEAD_LETTER_PATH",
      "OTLP2ICEBERG_TABLES_COLUMN_CASE", "OTLP2ICEBERG_REGISTER_PARQUET",
      "OTLP2PARQUET_ICEBERG_BUCKET_ARN", "OTLP2PARQUET_ICEBERG_WAREHOUSE", "OTLP2PARQUET_ICEBERG_NAMESPACE",
      "OTLP2PARQUET_ICEBERG_ENABLED", "ICEBERG_ENABLED",
    ])) == 0
    error_message = "environment: the module sets the catalog, the case of columns, the token, the place of dead letters and the registration of Parquet files itself; use catalog_type, table_bucket_name, warehouse_bucket_name, namespace, table_column_case, auth_token, dead_letter_path, register_parquet. It cannot deploy the function without a catalog."
  }
}

variable "function_url_auth" {
  description = "AWS_IAM, NONE (give auth_token too) or DISABLED (no URL)."
  type        = string
  default     = "AWS_IAM"

  validation {
    condition     = contains(["AWS_IAM", "NONE", "DISABLED"], var.function_url_auth)
    error_message = "function_url_auth: AWS_IAM, NONE or DISABLED is wanted."
  }
}

variable "auth_token" {
  description = "The bearer token that requests must have, for senders that cannot sign, so not with AWS_IAM. It gets into Terraform's state."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = try(trimspace(var.auth_token) != "", true)
    error_message = "auth_token: is blank; give the token, or null to ask for none."
  }
}

variable "cors_origins" {
  description = "With NONE only. Origins of web pages that may send, such as [\"https://a.example\"]; a token in a page is known to all its visitors."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for origin in var.cors_origins : can(regex("^(\\*|https?://[^,/\\s]+)$", origin))])
    error_message = "cors_origins: https://<host>, or * for every page, is wanted, without a path."
  }
}

variable "catalog_type" {
  description = "s3tables or glue: through which Iceberg REST endpoint tables are written."
  type        = string
  default     = "s3tables"

  validation {
    condition     = contains(["s3tables", "glue"], var.catalog_type)
    error_message = "catalog_type: s3tables or glue is wanted."
  }
}

variable "table_bucket_name" {
  description = "The S3 table bucket."
  type        = string
  default     = "otlp2iceberg"
}

variable "create_table_bucket" {
  description = "false for a table bucket that exists already."
  type        = bool
  default     = true
}

variable "warehouse_bucket_name" {
  description = "With glue only, an ordinary bucket whose tables are in Glue's default catalog, in place of the table bucket."
  type        = string
  default     = null
}

variable "namespace" {
  description = "The namespace, or Glue database, of the tables. Must not begin with aws, which S3 Tables keeps to itself, unless warehouse_bucket_name is given."
  type        = string
  default     = "otel"
}

variable "table_column_case" {
  description = "Case of column names in tables that the function creates, and of columns that it adds (tables.column_case): pascal or lower. Without it lower in a table bucket, because AWS shows no tables there that have capital letters, and pascal with warehouse_bucket_name."
  type        = string
  default     = null

  validation {
    condition     = var.table_column_case == null || can(regex("^(pascal|lower)$", var.table_column_case))
    error_message = "table_column_case: pascal or lower is wanted."
  }
}

variable "dead_letter_path" {
  description = "s3://<bucket>/<prefix>, where rejected records and requests are kept (dead_letter.path), but not requests that are refused with 4xx. The bucket is in this region and exists; a raw bucket that was made here deletes its objects. Without it rejected data is counted and dropped."
  type        = string
  default     = null

  validation {
    # Excludes characters that are wildcards or variables in a policy.
    condition     = var.dead_letter_path == null || can(regex("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_=-][A-Za-z0-9_.=-]*)*$", var.dead_letter_path))
    error_message = "dead_letter_path: s3://<bucket>/<prefix> is wanted, without a slash at its end."
  }
}

variable "raw_ingest" {
  description = "Load OTLP objects from a bucket: off, standard (large batches) or fifo (10 objects, one writer per signal). Another value, like terraform destroy, deletes the queues with their messages: let them run empty first."
  type        = string
  default     = "off"

  validation {
    condition     = contains(["off", "standard", "fifo"], var.raw_ingest)
    error_message = "raw_ingest: off, standard or fifo is wanted."
  }
}

variable "raw_bucket_name" {
  description = "Default <name>-raw-<account>-<region>."
  type        = string
  default     = null
}

variable "create_raw_bucket" {
  description = "false for a bucket that exists already; switch on its events to EventBridge."
  type        = bool
  default     = true
}

variable "raw_retention_days" {
  description = "Days until objects of a raw bucket that was made here are deleted."
  type        = number
  default     = 14
}

variable "raw_batch_size" {
  description = "Objects in one invocation (standard)."
  type        = number
  default     = 100
}

variable "raw_visibility_timeout" {
  description = "Seconds until a failed object is tried again; at least timeout, better twice that. Five times it must not be more than commit.dedup_window (30m unless set in environment)."
  type        = number
  default     = 360
}

variable "register_parquet" {
  description = "Register objects whose keys end with .parquet in the tables, in place. Whoever may write to the bucket can then add files to the tables. Not with a raw bucket that is made here, nor one that an earlier deployment made: they delete their objects after raw_retention_days."
  type        = bool
  default     = false
}

variable "alarm_topic_arn" {
  description = "SNS topic that is told of alarms."
  type        = string
  default     = null
}
