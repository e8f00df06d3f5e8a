#!/usr/bin/env bash
# Makes a table bucket visible in the Glue Data Catalog under Lake Formation, and grants the function's role the
# permissions to write there. Needed for CatalogType=glue, and for Athena, Redshift and EMR to see the tables. It can be
# run again at any time. An account has one catalog s3tablescatalog and one registration per region; existing ones are
# not changed.
#
#   setup-glue-integration.sh [options]
#
#   --stack NAME      the stack with the role, bucket and namespace (default otlp2iceberg)
#   --region REGION   default AWS_REGION or the profile's
#   --reader ARN      a role or user that may read the tables; repeatable
#   --lf-role NAME    the role that Lake Formation reads and writes with (default S3TablesRoleForLakeFormation)
#   --help
#
# You must be a data lake administrator (Lake Formation, Administrative roles) and have permission to create roles.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"

STACK=otlp2iceberg LF_ROLE=S3TablesRoleForLakeFormation
READERS=()

main() {
  read_arguments "$@"
  find_account
  read_stack "$STACK"
  stack_exists || die "stack $STACK does not exist in $REGION: deploy.sh makes it (or give --stack, --region)"
  ROLE=$(output FunctionRoleArn)
  BUCKET=$(output TableBucketName)
  NAMESPACE=$(output TablesNamespace)
  [ -n "$BUCKET" ] || die "stack $STACK has no table bucket: Glue's default catalog needs no integration"
  ALL_BUCKETS="arn:$PARTITION:s3tables:$REGION:$ACCOUNT:bucket/*"
  CATALOG=$ACCOUNT:s3tablescatalog/$BUCKET

  make_lake_formation_role
  register_buckets
  make_catalog
  make_namespace
  step "granting $ROLE"
  grant_writer "$ROLE"
  local reader
  for reader in ${READERS[@]+"${READERS[@]}"}; do
    step "granting $reader"
    grant_reader "$reader"
  done
  step "done: $CATALOG, database $NAMESPACE"
}

read_arguments() {
  while [ $# -gt 0 ]; do
    case "$1" in
      --stack) STACK=$(value "$1" "${2:-}"); shift ;;
      --region) REGION=$(value "$1" "${2:-}"); shift ;;
      --lf-role) LF_ROLE=$(value "$1" "${2:-}"); shift ;;
      --reader)
        [[ ${2:-} == arn:*:iam::* ]] || die "--reader ${2:-}: the ARN of a role or user is wanted" 2
        READERS+=("$2")
        shift
        ;;
      --help | -h) usage; exit 0 ;;
      *) die "unknown argument: $1 (--help lists them)" 2 ;;
    esac
    shift
  done
}

# The role whose credentials Lake Formation vends for the data.
make_lake_formation_role() {
  local trust data
  trust='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lakeformation.amazonaws.com"},
    "Action":["sts:AssumeRole","sts:SetSourceIdentity","sts:SetContext"],
    "Condition":{"StringEquals":{"aws:SourceAccount":"'$ACCOUNT'"}}}]}'
  data='{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Action":"s3tables:ListTableBuckets","Resource":"*"},
    {"Effect":"Allow","Action":["s3tables:GetTableBucket","s3tables:CreateNamespace","s3tables:GetNamespace",
      "s3tables:ListNamespaces","s3tables:CreateTable","s3tables:GetTable","s3tables:ListTables","s3tables:RenameTable",
      "s3tables:UpdateTableMetadataLocation","s3tables:GetTableMetadataLocation","s3tables:GetTableData","s3tables:PutTableData"],
     "Resource":"'$ALL_BUCKETS'"}]}'
  if aws iam get-role --role-name "$LF_ROLE" >/dev/null 2>&1; then
    step "role $LF_ROLE is there"
    return
  fi
  step "making role $LF_ROLE"
  aws iam create-role --role-name "$LF_ROLE" --assume-role-policy-document "$trust" \
    --description "Lake Formation's access to S3 table buckets" >/dev/null
  aws iam put-role-policy --role-name "$LF_ROLE" --policy-name s3-tables --policy-document "$data"
  aws iam wait role-exists --role-name "$LF_ROLE"
}

register_buckets() {
  local answer tries
  if answer=$(aws lakeformation describe-resource --resource-arn "$ALL_BUCKETS" 2>&1); then
    step "table buckets are registered with Lake Formation"
    return
  fi
  [[ $answer == *EntityNotFound* ]] || die "Lake Formation refuses: $answer"
  step "registering table buckets with Lake Formation"
  # IAM needs some seconds to propagate a new role.
  for tries in 1 2 3 4 5 6; do
    if answer=$(aws lakeformation register-resource --resource-arn "$ALL_BUCKETS" --with-federation --with-privileged-access \
      --role-arn "arn:$PARTITION:iam::$ACCOUNT:role/$LF_ROLE" 2>&1); then return; fi
    [[ $answer != *AlreadyExists* ]] || return 0
    [[ $answer == *role* || $answer == *assume* ]] && [ "$tries" -lt 6 ] || break
    sleep 5
  done
  die "the table buckets cannot be registered (are you a data lake administrator?): $answer"
}

make_catalog() {
  local answer
  if answer=$(aws glue get-catalog --catalog-id s3tablescatalog --query Catalog.Name --output text 2>&1); then
    step "catalog s3tablescatalog is there"
    return
  fi
  [[ $answer == *EntityNotFound* ]] || die "Glue refuses: $answer"
  step "making catalog s3tablescatalog"
  # With empty default permissions, Lake Formation's grants decide and not IAM alone. The last key allows third-party
  # engines, such as this function, to get credentials for whole tables.
  answer=$(aws glue create-catalog --name s3tablescatalog --catalog-input '{
    "Description":"S3 table buckets","FederatedCatalog":{"Identifier":"'"$ALL_BUCKETS"'","ConnectionName":"aws:s3tables"},
    "CreateDatabaseDefaultPermissions":[],"CreateTableDefaultPermissions":[],"AllowFullTableExternalDataAccess":"True"}' 2>&1) ||
    [[ $answer == *AlreadyExists* ]] || die "the catalog cannot be made: $answer"
}

# Creates the database (namespace), because grants require an existing one.
make_namespace() {
  local bucket_arn=arn:$PARTITION:s3tables:$REGION:$ACCOUNT:bucket/$BUCKET
  if aws s3tables get-namespace --table-bucket-arn "$bucket_arn" --namespace "$NAMESPACE" >/dev/null 2>&1; then
    step "namespace $NAMESPACE is there"
  else
    step "making namespace $NAMESPACE"
    aws s3tables create-namespace --table-bucket-arn "$bucket_arn" --namespace "$NAMESPACE" >/dev/null
  fi
}

grant_writer() {
  grant "$1" "$(catalog_resource)" DESCRIBE CREATE_DATABASE
  grant "$1" "$(database_resource)" DESCRIBE CREATE_TABLE ALTER
  grant "$1" "$(tables_resource)" DESCRIBE SELECT INSERT DELETE ALTER
}

grant_reader() {
  grant "$1" "$(catalog_resource)" DESCRIBE
  grant "$1" "$(database_resource)" DESCRIBE
  grant "$1" "$(tables_resource)" DESCRIBE SELECT
}

catalog_resource() { printf '{"Catalog":{"Id":"%s"}}' "$CATALOG"; }
database_resource() { printf '{"Database":{"CatalogId":"%s","Name":"%s"}}' "$CATALOG" "$NAMESPACE"; }
tables_resource() { printf '{"Table":{"CatalogId":"%s","DatabaseName":"%s","TableWildcard":{}}}' "$CATALOG" "$NAMESPACE"; }

# grant PRINCIPAL RESOURCE PERMISSION...: adds permissions; existing grants stay.
grant() {
  local principal=$1 resource=$2
  shift 2
  note "$* on $resource"
  aws lakeformation grant-permissions --principal "DataLakePrincipalIdentifier=$principal" --resource "$resource" \
    --permissions "$@" || die "Lake Formation does not grant this: are you a data lake administrator?"
}

main "$@"
