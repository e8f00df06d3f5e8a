#!/usr/bin/env bash
# Deploys otlp2iceberg on AWS Lambda: uploads the code and creates or updates one CloudFormation stack.
# It can be run again at any time and changes only what differs.
#
#   deploy.sh [options] [-- Parameter=Value ...]
#
#   --stack NAME       the stack, which is also the function's name (default otlp2iceberg)
#   --region REGION    default AWS_REGION or the profile's
#   --bucket NAME      the table bucket (default otlp2iceberg); an existing one is used unchanged
#   --arch ARCH        arm64 (default) or x86_64
#   --zip FILE         the code (default dist/lambda/otlp2iceberg-lambda-<arch>.zip, which `make lambda` makes)
#   --release VERSION  the code of a release, such as v0.1.0; its checksum is verified
#   --image URI        a container image in ECR in place of a zip (see Dockerfile)
#   --code-bucket NAME the bucket for the code, of this account (default otlp2iceberg-code-<account>-<region>, made if
#                      missing)
#   --env NAME=VALUE   a variable of the function, such as OTLP2ICEBERG_TABLES_PARTITION_BY=hour; repeatable. Give all
#                      of them each time: omitted ones are removed
#   --delete           deletes the stack and its queues. The table bucket, the raw bucket and the code bucket stay
#   --discard-messages deletes queues (--delete, another RawIngest) although messages are in them. The objects that these
#                      name stay in their bucket and are not loaded
#   --help
#
# Parameters of template.yaml follow after --, such as MemorySize=1024 or RawIngest=standard. Omitted parameters keep
# their values.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
# shellcheck source=buckets.sh
. "$here/buckets.sh"

RELEASES=${OTLP2ICEBERG_RELEASES_URL:-https://github.com/otlp2iceberg/otlp2iceberg/releases/download}
# maxReceiveCount in template.yaml, and the default of commit.dedup_window.
RECEIVES_MAX=5 WINDOW=30m
STACK=otlp2iceberg
ARCH="" ZIP="" RELEASE="" IMAGE="" CODE_BUCKET="" TABLE_BUCKET="" DELETE=no DISCARD_MESSAGES=no
VARIABLES=() PARAMETERS=()

main() {
  read_arguments "$@"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cp "$here/template.yaml" "$work/template.yaml"
  [ ${#VARIABLES[@]} -eq 0 ] || add_variables
  find_account
  read_stack "$STACK"
  if [ "$DELETE" = yes ]; then
    delete_stack
    return
  fi
  clear_failed_stack
  choose_architecture
  check_package
  check_cli
  check_version
  check_window
  check_namespace
  check_queues
  if [ -n "$IMAGE" ]; then
    PARAMETERS+=("ImageUri=$IMAGE")
  else
    find_zip
    upload_zip
  fi
  check_token
  choose_buckets
  check_raw_bucket
  check_warehouse_bucket
  deploy_stack
  print_outputs
}

read_arguments() {
  while [ $# -gt 0 ]; do
    case "$1" in
      --stack) STACK=$(value "$1" "${2:-}"); shift ;;
      --region) REGION=$(value "$1" "${2:-}"); shift ;;
      --bucket) TABLE_BUCKET=$(value "$1" "${2:-}"); shift ;;
      --arch) ARCH=$(value "$1" "${2:-}"); shift ;;
      --zip) ZIP=$(value "$1" "${2:-}"); shift ;;
      --release) RELEASE=$(value "$1" "${2:-}"); shift ;;
      --image) IMAGE=$(value "$1" "${2:-}"); shift ;;
      --code-bucket) CODE_BUCKET=$(value "$1" "${2:-}"); shift ;;
      --env) VARIABLES+=("$(value "$1" "${2:-}")"); shift ;;
      --delete) DELETE=yes ;;
      --discard-messages) DISCARD_MESSAGES=yes ;;
      --help | -h) usage; exit 0 ;;
      --) shift; break ;;
      *) die "unknown argument: $1 (--help lists them; parameters of the template come after --)" 2 ;;
    esac
    shift
  done
  local parameter
  for parameter in "$@"; do
    [[ $parameter =~ ^[A-Za-z0-9]+=.* ]] || die "not a parameter: $parameter (Name=Value is wanted)" 2
    PARAMETERS+=("$parameter")
  done
  [[ $STACK =~ ^[a-z][a-z0-9-]{0,40}$ ]] ||
    die "--stack $STACK: lower-case letters, digits and hyphens are wanted, 41 at most (it is in names of buckets and queues)" 2
  case "$ARCH" in "" | arm64 | x86_64) ;; *) die "--arch $ARCH: arm64 or x86_64 is wanted" 2 ;; esac
  local sources=0 one
  for one in "$ZIP" "$RELEASE" "$IMAGE"; do if [ -n "$one" ]; then sources=$((sources + 1)); fi; done
  [ "$sources" -le 1 ] || die "give one of --zip, --release and --image" 2
}

delete_stack() {
  local kept
  if [ -z "$(stack_status)" ]; then
    step "stack $STACK does not exist in $REGION: nothing to delete"
    return
  fi
  check_messages --delete
  kept="$(output TableBucketArn) $(output RawBucketName)"
  step "deleting stack $STACK in $REGION"
  aws cloudformation delete-stack --stack-name "$STACK"
  aws cloudformation wait stack-delete-complete --stack-name "$STACK" ||
    die "the stack was not deleted: aws cloudformation describe-stack-events --stack-name $STACK says why"
  note "deleted"
  [ -z "${kept// /}" ] || note "kept, with all data: $kept. The next deploy.sh uses them again"
  [ -z "$(output RawBucketName)" ] || note "objects that come into the raw bucket until then are not loaded"
}

# A queue of another kind replaces the stack's queues.
check_queues() {
  local before now
  stack_exists || return 0
  before=$(stack_parameter RawIngest) now=$(parameter RawIngest off)
  [ "${before:-off}" = "$now" ] || check_messages "RawIngest=$now"
}

# check_messages CAUSE: ends if queues of the stack, which CAUSE deletes, have messages. SQS deletes a queue with all that is
# in it, and nothing else knows that these objects were not loaded.
check_messages() {
  [ "$DISCARD_MESSAGES" = no ] || return 0
  local queues queue count found=""
  queues=$(aws cloudformation describe-stack-resources --stack-name "$STACK" --output text --query \
    "StackResources[?ResourceType=='AWS::SQS::Queue' && ResourceStatus!='DELETE_COMPLETE'].[PhysicalResourceId]") ||
    die "the queues of stack $STACK cannot be looked up (above)"
  for queue in $queues; do
    [[ $queue == http* ]] || continue
    count=$(count_messages "$queue") || exit
    [ "$count" = 0 ] || found+="${found:+, }$count in ${queue##*/}"
  done
  [ -z "$found" ] ||
    die "$1 would delete messages, each of an object that is not loaded: $found. Wait until the queue is empty; move messages of the dead-letter queue back (aws sqs start-message-move-task), or note their objects' keys and load them later with {\"objects\": [...]}; --discard-messages deletes them all the same (docs/aws.md)"
}

# count_messages URL: prints how many messages a queue has, waiting, in progress and delayed. One that is gone has none.
count_messages() {
  # Version 1 of the CLI reads no other endpoint of SQS from the environment.
  local endpoint=${AWS_ENDPOINT_URL_SQS:-${AWS_ENDPOINT_URL:-}}
  aws sqs get-queue-attributes ${endpoint:+--endpoint-url "$endpoint"} --queue-url "$1" --output text \
    --query "sum(map(&to_number(@), values(Attributes)))" --attribute-names ApproximateNumberOfMessages \
    ApproximateNumberOfMessagesNotVisible ApproximateNumberOfMessagesDelayed 2>"$work/refused" && return
  case "$(cat "$work/refused")" in
    *NonExistentQueue* | *QueueDoesNotExist*) echo 0 ;;
    *) die "the messages of queue ${1##*/} cannot be counted ($(tr -d '\n' <"$work/refused")): allow sqs:GetQueueAttributes, or give --discard-messages" ;;
  esac
}

# Writes a copy of the template with the variables of --env.
add_variables() {
  local variable name text
  for variable in "${VARIABLES[@]}"; do
    name=${variable%%=*} text=${variable#*=}
    case "$name" in
      OTLP2ICEBERG_CATALOG_TYPE | OTLP2ICEBERG_CATALOG_WAREHOUSE | OTLP2ICEBERG_CATALOG_DEFAULT_LOCATION | \
        OTLP2ICEBERG_CATALOG_NAMESPACE | OTLP2ICEBERG_AUTH_TOKEN | OTLP2ICEBERG_DEAD_LETTER_PATH | \
        OTLP2ICEBERG_TABLES_COLUMN_CASE | OTLP2ICEBERG_REGISTER_PARQUET | OTLP2PARQUET_ICEBERG_BUCKET_ARN | OTLP2PARQUET_ICEBERG_WAREHOUSE | OTLP2PARQUET_ICEBERG_NAMESPACE)
        die "--env $name: the template sets it; use the parameters CatalogType, S3TablesBucketName, WarehouseBucketName, Namespace, TableColumnCase, AuthTokenSecretArn, DeadLetterPath, RegisterParquet" 2
        ;;
      ICEBERG_ENABLED | OTLP2PARQUET_ICEBERG_ENABLED)
        die "--env $name: the template sets a catalog (CatalogType); the function cannot be deployed without one by this script" 2
        ;;
    esac
    [[ $variable == *=* && $name =~ ^(OTLP2ICEBERG|OTLP2PARQUET)_[A-Z0-9_]+$ ]] ||
      die "--env $name: OTLP2ICEBERG_<KEY>=<value> is wanted (docs/configuration.md has the keys)" 2
    if [ "$name" = OTLP2ICEBERG_COMMIT_DEDUP_WINDOW ] && [ -n "$text" ]; then WINDOW=$text; fi
    [[ $text != *$'\n'* ]] || die "--env $name: a value has one line" 2
    # Quoted for YAML: in single quotes, which are doubled inside.
    printf "          %s: '%s'\n" "$name" "${text//\'/\'\'}" >>"$work/variables"
  done
  awk -v file="$work/variables" '
    { print }
    /# deploy.sh --env adds variables below this line/ { while ((getline line < file) > 0) print line; found = 1 }
    END { exit !found }
  ' "$here/template.yaml" >"$work/template.yaml" || die "template.yaml has lost the line that --env looks for"
}

# Deletes a stack whose creation failed, because it blocks a new creation.
clear_failed_stack() {
  [ "$(stack_status)" = ROLLBACK_COMPLETE ] || return 0
  step "stack $STACK is left over from a creation that failed: deleting it first"
  aws cloudformation delete-stack --stack-name "$STACK"
  aws cloudformation wait stack-delete-complete --stack-name "$STACK"
}

# The value that a parameter will have: the given one, else that of the stack, else $2.
parameter() {
  local found=""
  if is_given "$1"; then
    found=$(given "$1")
  elif stack_exists; then
    found=$(stack_parameter "$1")
  fi
  printf '%s' "${found:-${2:-}}"
}

is_given() { given "$1" >/dev/null; }

given() {
  local one
  for one in ${PARAMETERS[@]+"${PARAMETERS[@]}"}; do
    if [ "${one%%=*}" = "$1" ]; then
      printf '%s' "${one#*=}"
      return
    fi
  done
  return 1
}

choose_architecture() {
  [ -n "$ARCH" ] || ARCH=$(parameter LambdaArchitecture arm64)
  PARAMETERS+=("LambdaArchitecture=$ARCH")
}

# A function cannot change its package type, and CloudFormation cannot create a second one of the same name.
check_package() {
  stack_exists || return 0
  local before=Zip now=Zip
  [ -z "$(stack_parameter ImageUri)" ] || before=Image
  [ -z "$IMAGE" ] || now=Image
  [ "$before" = "$now" ] ||
    die "stack $STACK has a function of the package type $before, which cannot become $now: deploy.sh --delete --stack $STACK first (tables and buckets stay, the URL changes)"
}

# With an old CLI an existing table bucket would seem to be missing. A call without an operation contacts no server.
check_cli() {
  local said
  [ -z "$(parameter WarehouseBucketName)" ] || return 0
  said=$(aws s3tables 2>&1) || true
  [[ $said != *nvalid\ choice* ]] ||
    die "this AWS CLI has no aws s3tables ($(aws --version 2>&1 | cut -d ' ' -f 1)): 2.23 or 1.37, or newer, is needed"
}

# The template gives the function variables that its own version knows. A function does not start with another one.
check_version() {
  local checkout=$here/../../Cargo.toml version
  if [ -z "$RELEASE" ] || [ ! -f "$checkout" ]; then return; fi
  version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$checkout")
  [ "${RELEASE#v}" = "$version" ] ||
    step "warning: --release $RELEASE with the template of version $version: use the one of the same version (git checkout $RELEASE; docs/aws.md, Upgrades and rollbacks)"
}

# A queue delivers a message up to RECEIVES_MAX times, RawVisibilityTimeout apart. If its rows were committed but the
# function could not report that, a later delivery recognises them only within commit.dedup_window, else it doubles them.
check_window() {
  [ "$(parameter RawIngest off)" != off ] || return 0
  local window timeout needed
  # The function itself refuses a window that is no duration.
  window=$(seconds_of "$WINDOW") || return 0
  timeout=$(parameter RawVisibilityTimeout 360)
  [[ $timeout =~ ^[0-9]+$ ]] || return 0
  needed=$((RECEIVES_MAX * timeout))
  [ "$needed" -le "$window" ] ||
    die "RawVisibilityTimeout=$timeout with commit.dedup_window $WINDOW: rows would be stored twice when a message is delivered again after the window; add --env OTLP2ICEBERG_COMMIT_DEDUP_WINDOW=${needed}s or more, or lower RawVisibilityTimeout (docs/aws.md)" 2
}

# S3 Tables keeps these names to itself, and the function would not start. The template has no rule that could say this.
check_namespace() {
  local name
  [ -z "$(parameter WarehouseBucketName)" ] || return 0
  name=$(parameter Namespace otel)
  [[ $name != aws* ]] ||
    die "Namespace=$name: S3 Tables keeps names that begin with aws to itself; give another one (with WarehouseBucketName it may begin so)" 2
}

# seconds_of DURATION: prints the whole seconds of a duration such as 90m or 1h30m; fails if it is none.
seconds_of() {
  awk -v rest="$1" 'BEGIN {
    seconds["h"] = 3600; seconds["m"] = 60; seconds["s"] = 1; seconds["ms"] = 1e-3; seconds["us"] = 1e-6; seconds["ns"] = 1e-9
    if (rest == "0") rest = "0s"
    if (rest == "") exit 1
    while (match(rest, /^[0-9.]+[a-z]+/)) {
      unit = part = substr(rest, 1, RLENGTH)
      rest = substr(rest, RLENGTH + 1)
      sub(/^[0-9.]+/, "", unit)
      if (!(unit in seconds)) exit 1
      total += part * seconds[unit]
    }
    if (rest != "") exit 1
    printf "%d", total
  }'
}

find_zip() {
  local name=otlp2iceberg-lambda-$ARCH.zip
  if [ -n "$RELEASE" ]; then
    fetch_release "$name"
  elif [ -z "$ZIP" ]; then
    ZIP=$here/../../dist/lambda/$name
    [ -f "$ZIP" ] || die "no code: dist/lambda/$name is missing (make lambda makes it for this machine's architecture; or give --zip, --release or --image)"
  fi
  [ -f "$ZIP" ] || die "--zip $ZIP: no such file"
  need unzip "to look into the zip"
  unzip -Z1 "$ZIP" 2>/dev/null | grep -qx bootstrap || die "$ZIP: not a zip with the program bootstrap at its top"
}

fetch_release() {
  need curl "to fetch a release"
  need sha256sum "of GNU coreutils"
  step "fetching $1 of $RELEASE"
  local file
  for file in "$1" "$1.sha256"; do
    curl --fail --silent --show-error --location --retry 3 --output "$work/$file" "$RELEASES/$RELEASE/$file" ||
      die "$RELEASES/$RELEASE/$file cannot be had: check --release $RELEASE"
  done
  (cd "$work" && sha256sum --check --status "$1.sha256") || die "$1 does not have the checksum that the release names: do not use it"
  ZIP=$work/$1
}

# The key contains the content's hash, so new code has a new key, which makes CloudFormation update the function.
upload_zip() {
  CODE_BUCKET=${CODE_BUCKET:-otlp2iceberg-code-$ACCOUNT-$REGION}
  make_code_bucket
  local hash key
  hash=$(sha256sum "$ZIP" | cut -c 1-16)
  key=otlp2iceberg-lambda-$ARCH-$hash.zip
  if aws s3api head-object --bucket "$CODE_BUCKET" --key "$key" --expected-bucket-owner "$ACCOUNT" >/dev/null 2>&1; then
    step "code: s3://$CODE_BUCKET/$key is there already"
  else
    step "code: uploading s3://$CODE_BUCKET/$key ($(wc -c <"$ZIP") bytes)"
    aws s3api put-object --bucket "$CODE_BUCKET" --key "$key" --body "$ZIP" --expected-bucket-owner "$ACCOUNT" >/dev/null
  fi
  PARAMETERS+=("LambdaCodeBucket=$CODE_BUCKET" "LambdaCodeKey=$key" "ImageUri=")
}

make_code_bucket() {
  if is_own_bucket "$CODE_BUCKET" "give --code-bucket, with a name that is free or a bucket of this account"; then return; fi
  step "code: making bucket $CODE_BUCKET"
  if [ "$REGION" = us-east-1 ]; then
    aws s3api create-bucket --bucket "$CODE_BUCKET" >/dev/null
  else
    aws s3api create-bucket --bucket "$CODE_BUCKET" --create-bucket-configuration "LocationConstraint=$REGION" >/dev/null
  fi
  aws s3api put-public-access-block --bucket "$CODE_BUCKET" --expected-bucket-owner "$ACCOUNT" --public-access-block-configuration \
    BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
}

# A rule of the template checks the same, but reports it only after minutes.
check_token() {
  case "$(parameter FunctionUrlAuth AWS_IAM) $(parameter AuthTokenSecretArn)" in
    "NONE ") step "warning: FunctionUrlAuth=NONE without AuthTokenSecretArn: whoever knows the URL can write to your tables" ;;
    "AWS_IAM ") ;;
    "AWS_IAM "*) die "FunctionUrlAuth=AWS_IAM with AuthTokenSecretArn: signed requests have no room for a token; add AuthTokenSecretArn=, or FunctionUrlAuth=NONE" 2 ;;
  esac
}

deploy_stack() {
  step "deploying stack $STACK in $REGION (account $ACCOUNT)"
  aws cloudformation deploy --template-file "$work/template.yaml" --stack-name "$STACK" \
    --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset --parameter-overrides "${PARAMETERS[@]}" || {
    echo "what failed, newest first:" >&2
    aws cloudformation describe-stack-events --stack-name "$STACK" --output text --query \
      "StackEvents[?contains(ResourceStatus, 'FAILED')].[LogicalResourceId, ResourceStatusReason]" >&2 || true
    die "the stack was not deployed (docs/aws.md has causes and remedies)"
  }
}

print_outputs() {
  read_stack "$STACK"
  step "deployed"
  sort <<<"$DESCRIPTION" | awk -F '\t' '$1 == "output" { printf "    %-22s %s\n", $2, $3 }'
  if [ "$(stack_parameter CatalogType)" = glue ]; then
    note "first: $here/setup-glue-integration.sh --stack $STACK --region $REGION"
  fi
  note "next: $here/test.sh --stack $STACK --region $REGION"
}

main "$@"
