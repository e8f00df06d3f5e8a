# shellcheck shell=bash disable=SC2154
# The S3 buckets of a stack: whose they are, which of them the stack makes, and what their rules do to the tables. deploy.sh
# sources this file, and makes the folder $work.

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

# A bucket with versioning keeps what is deleted or replaced in it, such as the files of expired snapshots, until a rule of
# the bucket removes noncurrent versions.
check_warehouse_bucket() {
  local bucket versioning rules
  bucket=$(parameter WarehouseBucketName)
  [ -n "$bucket" ] || return 0
  if ! versioning=$(aws s3api get-bucket-versioning --bucket "$bucket" --query Status --output text 2>"$work/refused"); then
    tell_unknown_versions "$bucket"
    return
  fi
  [ "$versioning" = Enabled ] || return 0
  if rules=$(aws s3api get-bucket-lifecycle-configuration --bucket "$bucket" --output text \
    --query "length(Rules[?Status=='Enabled' && NoncurrentVersionExpiration])" 2>"$work/refused"); then
    [ "$rules" = 0 ] || return 0
  elif ! grep -q NoSuchLifecycleConfiguration "$work/refused"; then
    tell_unknown_versions "$bucket"
    return
  fi
  step "warning: bucket $bucket has versioning and no life-cycle rule for noncurrent versions: files that are deleted there, such as those of expired snapshots, stay and are paid for; add a rule with NoncurrentVersionExpiration (docs/storage.md)"
}

# A missing bucket is reported by the function.
tell_unknown_versions() {
  grep -q NoSuchBucket "$work/refused" ||
    step "warning: versioning and life-cycle rules of bucket $1 cannot be read ($(tr -d '\n' <"$work/refused")): if it has versioning, it needs a rule for noncurrent versions (docs/storage.md)"
}
