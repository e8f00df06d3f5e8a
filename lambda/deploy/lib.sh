# shellcheck shell=bash
# Functions of deploy.sh, test.sh and setup-glue-integration.sh, which source this file.

die() {
  echo "${0##*/}: $1" >&2
  exit "${2:-1}"
}
step() { echo "==> $1"; }
note() { echo "    $1"; }

# usage: prints the comment at the top of the running script.
usage() { awk 'NR > 1 && /^#/ { sub(/^# ?/, ""); print; next } NR > 1 { exit }' "$0"; }

# value OPTION VALUE: prints VALUE, or exits with an error if it is empty.
value() {
  [ -n "${2:-}" ] || die "$1 needs a value (--help tells more)" 2
  printf '%s' "$2"
}

# need TOOL HINT
need() { command -v "$1" >/dev/null 2>&1 || die "missing tool: $1 ($2)"; }

# find_account: sets REGION (from --region, the environment or the profile), ACCOUNT and PARTITION.
find_account() {
  need aws "the AWS CLI: https://docs.aws.amazon.com/cli"
  REGION=${REGION:-${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region 2>/dev/null || true)}}}
  [ -n "$REGION" ] || die "no region: give --region, or set AWS_REGION"
  export AWS_REGION=$REGION AWS_DEFAULT_REGION=$REGION AWS_PAGER=""
  local caller
  caller=$(aws sts get-caller-identity --query '[Account, Arn]' --output text) ||
    die "AWS does not know the caller (above): check AWS_PROFILE and AWS_ACCESS_KEY_ID, or run aws sso login"
  ACCOUNT=$(cut -f 1 <<<"$caller")
  PARTITION=$(cut -f 2 <<<"$caller" | cut -d : -f 2)
  # For the scripts that source this.
  export ACCOUNT PARTITION
}

# read_stack STACK: looks up the stack for the functions below.
read_stack() {
  local query="Stacks[0].[[['status', 'status', StackStatus]], Parameters[].['parameter', ParameterKey, ParameterValue],
    Outputs[].['output', OutputKey, OutputValue]][]"
  if ! DESCRIPTION=$(aws cloudformation describe-stacks --stack-name "$1" --query "$query" --output text 2>&1); then
    [[ $DESCRIPTION == *"does not exist"* ]] || die "stack $1 cannot be looked up: $DESCRIPTION"
    DESCRIPTION=""
  fi
}

# stack_status: prints its status, or nothing if the stack does not exist.
stack_status() { described status status; }

# stack_exists: false also for a stack whose creation was rolled back: it is empty and cannot be updated.
stack_exists() {
  case "$(stack_status)" in "" | ROLLBACK_COMPLETE | REVIEW_IN_PROGRESS) return 1 ;; esac
}

# output KEY, stack_parameter KEY: print nothing if the stack has none of that name.
output() { described output "$1"; }
stack_parameter() { described parameter "$1"; }
described() { awk -F '\t' -v kind="$1" -v key="$2" '$1 == kind && $2 == key { printf "%s", $3 }' <<<"$DESCRIPTION"; }

# owns STACK LOGICAL_ID BUCKET: whether the stack has created this bucket and still has it as a resource. The physical
# id is the name for S3 and the ARN for S3 Tables.
owns() {
  local id
  id=$(aws cloudformation describe-stack-resources --stack-name "$1" --query \
    "StackResources[?LogicalResourceId=='$2' && !starts_with(ResourceStatus, 'DELETE_')].PhysicalResourceId | [0]" \
    --output text 2>/dev/null) || return 1
  [[ $id == "$3" || $id == *:bucket/"$3" ]]
}
