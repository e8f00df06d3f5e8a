#!/usr/bin/env bash
# Sends one request of every signal (testdata/) to a deployed stack, shows its log, lists the tables, and prints queries.
# Exits with 1 if a request was not accepted. It can be run again: the same requests are not stored twice.
#
#   test.sh [options]
#
#   --stack NAME      default otlp2iceberg
#   --region REGION   default AWS_REGION or the profile's
#   --direct          call the function with the AWS CLI, not through its URL (the default without a URL)
#   --url URL         another base URL, such as that of a local run; the script does not use AWS then
#   --log-wait SECS   how long to wait for the log, which CloudWatch shows with a delay (default 15; 0: no log)
#   --help
#
# Requests to a URL with AWS_IAM are signed with your credentials; you need the actions of the stack's SenderPolicy.
# For an open URL, the bearer token is OTLP2ICEBERG_AUTH_TOKEN, else the stack's secret.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"

STACK=otlp2iceberg
URL="" DIRECT=no LOG_WAIT=15 AUTH=NONE TOKEN=${OTLP2ICEBERG_AUTH_TOKEN:-}
SIGNALS=(logs traces metrics)

main() {
  read_arguments "$@"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  if [ -n "$URL" ]; then
    URL=${URL%/}
    send_all
    return
  fi
  find_account
  read_stack "$STACK"
  stack_exists || die "stack $STACK does not exist in $REGION: deploy.sh makes it (or give --stack, --region)"
  begun=$(date +%s)
  read_settings
  local failed=0
  send_all || failed=1
  show_log
  list_tables
  print_queries
  return $failed
}

read_arguments() {
  while [ $# -gt 0 ]; do
    case "$1" in
      --stack) STACK=$(value "$1" "${2:-}"); shift ;;
      --region) REGION=$(value "$1" "${2:-}"); shift ;;
      --url) URL=$(value "$1" "${2:-}"); shift ;;
      --direct) DIRECT=yes ;;
      --log-wait) LOG_WAIT=$(value "$1" "${2:-}"); shift ;;
      --help | -h) usage; exit 0 ;;
      *) die "unknown argument: $1 (--help lists them)" 2 ;;
    esac
    shift
  done
  [[ $LOG_WAIT =~ ^[0-9]+$ ]] || die "--log-wait $LOG_WAIT: a number of seconds is wanted" 2
}

# Reads how to send requests and with which credentials.
read_settings() {
  FUNCTION=$(output LambdaFunctionArn)
  CATALOG=$(output CatalogType)
  NAMESPACE=$(output TablesNamespace)
  BUCKET=$(output TableBucketName)
  BUCKET_ARN=$(output TableBucketArn)
  URL=$(output FunctionUrl)
  URL=${URL%/}
  AUTH=$(stack_parameter FunctionUrlAuth)
  local secret
  secret=$(stack_parameter AuthTokenSecretArn)
  if [ -z "$TOKEN" ] && [ -n "$secret" ]; then
    TOKEN=$(aws secretsmanager get-secret-value --secret-id "$secret" --query SecretString --output text) ||
      die "the token cannot be read from $secret: set OTLP2ICEBERG_AUTH_TOKEN"
  fi
  if [ -z "$URL" ]; then DIRECT=yes; fi
}

send_all() {
  local signal failed=0 status
  for signal in "${SIGNALS[@]}"; do
    local file=$here/../../testdata/$signal.binpb
    [ -f "$file" ] || die "missing: testdata/$signal.binpb"
    if [ "$DIRECT" = yes ]; then status=$(invoke "$signal" "$file"); else status=$(post "$signal" "$file"); fi
    if [ "$status" = 200 ]; then
      step "$signal: accepted ($(wc -c <"$file") bytes)"
    else
      step "$signal: not accepted, $status"
      show_answer
      failed=1
    fi
  done
  return $failed
}

# Prints the HTTP status. curl reads secrets from a file that only you can read, so process lists do not show them.
post() {
  need curl "7.75 or newer, which signs"
  {
    printf 'url = "%s/v1/%s"\n' "$URL" "$1"
    printf 'header = "Content-Type: application/x-protobuf"\n'
    if [ "$AUTH" = AWS_IAM ]; then signing; fi
    # A signed request already has an Authorization header.
    if [ -n "$TOKEN" ] && [ "$AUTH" != AWS_IAM ]; then printf 'header = "Authorization: Bearer %s"\n' "$TOKEN"; fi
  } >"$work/curl"
  curl --config "$work/curl" --silent --show-error --max-time 90 --data-binary "@$2" --output "$work/answer" \
    --write-out '%{http_code}' 2>"$work/error" || true
}

# Writes the credentials of the environment, else those that the AWS CLI finds (version 2 can export them).
signing() {
  local key=${AWS_ACCESS_KEY_ID:-} secret=${AWS_SECRET_ACCESS_KEY:-} token=${AWS_SESSION_TOKEN:-} name text
  if [ -z "$key" ]; then
    while IFS='=' read -r name text; do
      case "$name" in
        AWS_ACCESS_KEY_ID) key=$text ;;
        AWS_SECRET_ACCESS_KEY) secret=$text ;;
        AWS_SESSION_TOKEN) token=$text ;;
      esac
    done < <(aws configure export-credentials --format env-no-export 2>/dev/null)
  fi
  [ -n "$key" ] || die "no credentials to sign with: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use the AWS CLI 2, or --direct"
  printf 'aws-sigv4 = "aws:amz:%s:lambda"\nuser = "%s:%s"\n' "$REGION" "$key" "$secret"
  if [ -n "$token" ]; then printf 'header = "X-Amz-Security-Token: %s"\n' "$token"; fi
}

# Prints the statusCode of the function's answer, or why there is none. The event has a Function URL's format.
invoke() {
  local body headers='"content-type":"application/x-protobuf"' problem
  body=$(base64 <"$2" | tr -d '\n')
  [ -z "$TOKEN" ] || headers+=",\"authorization\":\"Bearer $TOKEN\""
  cat >"$work/event" <<JSON
{"version":"2.0","routeKey":"\$default","rawPath":"/v1/$1","rawQueryString":"","headers":{$headers},
"requestContext":{"http":{"method":"POST","path":"/v1/$1","protocol":"HTTP/1.1","sourceIp":"127.0.0.1","userAgent":"test.sh"},
"requestId":"test-$1","stage":"\$default"},"body":"$body","isBase64Encoded":true}
JSON
  : >"$work/answer"
  if ! problem=$(aws lambda invoke --function-name "$FUNCTION" --payload "fileb://$work/event" --query FunctionError \
    --output text "$work/answer" 2>"$work/error"); then
    echo "call failed"
  elif [ "$problem" != None ]; then
    echo "function error: $problem"
  else
    sed -nE 's/.*"statusCode" *: *([0-9]+).*/\1/p' "$work/answer" | head -n 1
  fi
}

show_answer() {
  local file
  for file in "$work/error" "$work/answer"; do
    # Protobuf answers contain the message as text among other bytes.
    if [ -s "$file" ]; then head -c 2000 "$file" | tr -c '[:print:]\n' ' ' | sed 's/^/    /'; echo; fi
  done
}

show_log() {
  [ "$LOG_WAIT" -gt 0 ] || return 0
  local group lines="" waited=0
  group=$(output LogGroupName)
  step "log ($group)"
  while [ -z "$lines" ] && [ "$waited" -lt "$LOG_WAIT" ]; do
    sleep 1
    waited=$((waited + 1))
    lines=$(aws logs filter-log-events --log-group-name "$group" --start-time "$((begun * 1000))" \
      --query 'events[].[message]' --output text 2>/dev/null | grep -v '^None$' || true)
  done
  if [ -n "$lines" ]; then tail -n 30 <<<"$lines" | sed 's/^/    /'; else note "nothing within $LOG_WAIT s"; fi
}

list_tables() {
  step "tables in namespace $NAMESPACE"
  local found
  if [ -n "$BUCKET_ARN" ]; then
    found=$(aws s3tables list-tables --table-bucket-arn "$BUCKET_ARN" --namespace "$NAMESPACE" --query 'tables[].[name]' --output text 2>&1) || true
  else
    found=$(aws glue get-tables --database-name "$NAMESPACE" --query 'TableList[].[Name]' --output text 2>&1) || true
  fi
  if [ -z "$found" ] || [ "$found" = None ] || [[ $found == *NotFound* ]]; then found="none yet"; fi
  local line
  while IFS= read -r line; do note "$line"; done <<<"$found"
}

print_queries() {
  local warehouse kind athena
  case "$CATALOG/$BUCKET" in
    s3tables/*) warehouse=$BUCKET_ARN kind=s3_tables athena="\"s3tablescatalog/$BUCKET\".$NAMESPACE.logs" ;;
    glue/?*) warehouse="$ACCOUNT:s3tablescatalog/$BUCKET" kind=glue athena="\"s3tablescatalog/$BUCKET\".$NAMESPACE.logs" ;;
    *) warehouse=$ACCOUNT kind=glue athena="$NAMESPACE.logs" ;;
  esac
  step "to query with DuckDB"
  cat <<SQL
    INSTALL iceberg; LOAD iceberg; INSTALL httpfs; LOAD httpfs; INSTALL aws; LOAD aws;
    CREATE SECRET (TYPE s3, PROVIDER credential_chain, REGION '$REGION');
    ATTACH '$warehouse' AS tables (TYPE iceberg, ENDPOINT_TYPE $kind);
    SELECT Timestamp, ServiceName, SeverityText, Body FROM tables.$NAMESPACE.logs ORDER BY Timestamp DESC LIMIT 20;
SQL
  step "to query with Athena (docs/aws.md says what must be set up, and why column names must be in lower case there)"
  cat <<SQL
    SELECT timestamp, servicename, severitytext, body FROM $athena ORDER BY timestamp DESC LIMIT 20;
SQL
}

main "$@"
