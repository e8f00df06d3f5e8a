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
#   --delete           deletes the stack. The table bucket, the raw bucket and the code bucket stay
#   --help
#
# Parameters of template.yaml follow after --, such as MemorySize=1024 or RawIngest=standard. Omitted parameters keep
# their values.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"

RELEASES=${OTLP2ICEBERG_RELEASES_URL:-https://github.com/otlp2iceberg/otlp2iceberg/releases/download}
# maxReceiveCount in template.yaml, and the default of commit.dedup_window.
RECEIVES_MAX=5 WINDOW=30m
STACK=otlp2iceberg
ARCH="" ZIP="" RELEASE="" IMAGE="" CODE_BUCKET="" TABLE_BUCKET="" DELETE=no
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
  check_window
  check_namespace
  if [ -n "$IMAGE" ]; then
    PARAMETERS+=("ImageUri=$IMAGE")
  else
    find_zip
    upload_zip
  fi
  check_token
  choose_buckets
  check_raw_bucket
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
  kept="$(output TableBucketArn) $(output RawBucketName)"
  step "deleting stack $STACK in $REGION"
  aws cloudformation delete-stack --stack-name "$STACK"
  aws cloudformation wait stack-delete-complete --stack-name "$STACK" ||
    die "the stack was not deleted: aws cloudformation describe-stack-events --stack-name $STACK says why"
  note "deleted"
  [ -z "${kept// /}" ] || note "kept, with all data: $kept. The next deploy.sh uses them again"
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
    die "stack $STACK has a function of the package type $before, which cannot become $now: deploy.sh --delete --stack $STACK first (the data stay, the URL changes)"
}

# With an old CLI an existing table bucket would seem to be missing. A call without an operation contacts no server.
check_cli() {
  local said
  [ -z "$(parameter WarehouseBucketName)" ] || return 0
  said=$(aws s3tables 2>&1) || true
  [[ $said != *nvalid\ choice* ]] ||
    die "this AWS CLI has no aws s3tables ($(aws --version 2>&1 | cut -d ' ' -f 1)): 2.23 or 1.37, or newer, is needed"
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

# is_own_bucket NAME REMEDY: whether this account has the S3 bucket. All accounts share the names of S3 buckets. Anybody can
# guess the default ones, create such a bucket and open it to us, with code and access to data in their hands. So the script
# ends if the bucket is another account's; S3's answer is then the same as for a missing permission.
is_own_bucket() {
  local answer
  if answer=$(aws s3api head-bucket --bucket "$1" --expected-bucket-owner "$ACCOUNT" 2>&1); then return 0; fi
  case "$answer" in
    *"(404)"*) return 1 ;;
    *"(403)"*) die "bucket $1 is another account's, or you lack s3:ListBucket on it: $2" ;;
    *) die "bucket $1 cannot be looked up: $answer" ;;
  esac
}

# Buckets outlive stacks, so a bucket may exist before its stack. Then the stack must not create it.
choose_buckets() {
  [ -z "$TABLE_BUCKET" ] || PARAMETERS+=("S3TablesBucketName=$TABLE_BUCKET")
  local bucket ours
  bucket=$(parameter S3TablesBucketName otlp2iceberg)
  # A given value wins: the bucket may exist even if the deploying user has no permission to see it.
  is_given CreateTableBucket || PARAMETERS+=("CreateTableBucket=$(is_ours TableBucket "$bucket" table_bucket_exists)")
  if [ "$(parameter RawIngest off)" != off ] && ! is_given CreateRawBucket; then
    bucket=$(parameter RawBucketName "$STACK-raw-$ACCOUNT-$REGION")
    ours=$(is_ours RawBucket "$bucket" raw_bucket_exists) || exit
    PARAMETERS+=("CreateRawBucket=$ours")
  fi
}

# is_ours LOGICAL_ID NAME EXISTS: prints true if the stack has created the bucket or must create it.
is_ours() {
  if { ! stack_exists || ! owns "$STACK" "$1" "$2"; } && "$3" "$2"; then echo false; else echo true; fi
}
table_bucket_exists() {
  aws s3tables get-table-bucket --table-bucket-arn "arn:$PARTITION:s3tables:$REGION:$ACCOUNT:bucket/$1" >/dev/null 2>&1
}
raw_bucket_exists() { is_own_bucket "$1" "give RawBucketName=<a name that is free>; for a bucket that you trust, also CreateRawBucket=false"; }

# Registered files belong to the tables, which cannot be read once a rule of the bucket deletes or archives one. A bucket
# that was made here has such a rule, also when its stack is gone or no longer has it as a resource. A rule for some objects
# is no reason to refuse: other objects may be in the bucket, below a prefix of their own.
check_raw_bucket() {
  [ "$(parameter RawIngest off)" != off ] || return 0
  [ "$(parameter RegisterParquet)" = true ] || return 0
  local bucket rules all some filtered removing
  bucket=$(parameter RawBucketName "$STACK-raw-$ACCOUNT-$REGION")
  removing="Expiration.Days || Expiration.Date || Transitions[?StorageClass=='GLACIER' || StorageClass=='DEEP_ARCHIVE']"
  filtered="Prefix || Filter.Prefix || Filter.Tag || Filter.And || Filter.ObjectSizeGreaterThan || Filter.ObjectSizeLessThan"
  removing="Status=='Enabled' && ($removing)"
  if rules=$(aws s3api get-bucket-lifecycle-configuration --bucket "$bucket" --expected-bucket-owner "$ACCOUNT" --output text \
    --query "[join(', ', Rules[?$removing && !($filtered)].ID), join(', ', Rules[?$removing && ($filtered)].ID)]" 2>"$work/refused"); then
    all=$(cut -f 1 <<<"$rules") some=$(cut -f 2 <<<"$rules")
    [ -z "$all" ] ||
      die "bucket $bucket has a life-cycle rule that deletes or archives objects ($all): RegisterParquet=true needs a bucket without one, because tables cannot be read without their files (docs/aws.md)"
    [ -z "$some" ] ||
      step "warning: bucket $bucket has a life-cycle rule that deletes or archives some objects ($some): make sure that it takes no registered file, because tables cannot be read without their files"
  else
    case "$(cat "$work/refused")" in
      *NoSuchLifecycleConfiguration* | *NoSuchBucket*) ;;
      *) step "warning: the life-cycle rules of bucket $bucket cannot be read ($(tr -d '\n' <"$work/refused")): make sure that none deletes or archives objects" ;;
    esac
  fi
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
