//! A table's layout when files were written for it.

use iceberg::spec::{NestedFieldRef, PartitionSpecRef, SchemaRef, SortOrderRef, TableMetadata};
use uuid::Uuid;

use crate::schema::{AttributeColumn, columns};
use crate::signal::Table;

/// The layout that a table must still have for files to be added to it.
#[derive(Debug)]
pub(super) struct TableLayout {
    table: Table,
    table_id: Uuid,
    schema: SchemaRef,
    partition_spec: PartitionSpecRef,
    sort_order: SortOrderRef,
}

impl TableLayout {
    pub(super) fn of(table: Table, metadata: &TableMetadata) -> Self {
        Self {
            table,
            table_id: metadata.uuid(),
            schema: metadata.current_schema().clone(),
            partition_spec: metadata.default_partition_spec().clone(),
            sort_order: metadata.default_sort_order().clone(),
        }
    }

    /// Whether files fit the current table: either the same table, with any schema changes, or one that was
    /// recreated with the same ids for our columns.
    pub(super) fn fits(&self, metadata: &TableMetadata, attributes: &[AttributeColumn]) -> bool {
        let spec = metadata.partition_spec_by_id(self.partition_spec.spec_id());
        // Source columns may have been dropped since: the partitions have no types then.
        let is_usable = |spec: &PartitionSpecRef| {
            spec.fields() == self.partition_spec.fields()
                && spec.partition_type(metadata.current_schema()).is_ok()
        };
        if !spec.is_some_and(is_usable) {
            return false;
        }
        if metadata.uuid() == self.table_id {
            return true;
        }
        let order = metadata.sort_order_by_id(self.sort_order.order_id);
        order.is_some_and(|order| order.fields == self.sort_order.fields)
            && self.has_our_columns(metadata, attributes)
    }

    /// Whether the files' possible columns have the same meaning, and no other column is required.
    fn has_our_columns(&self, metadata: &TableMetadata, attributes: &[AttributeColumn]) -> bool {
        let (then, now) = (self.schema.as_struct(), metadata.current_schema().as_struct());
        let ours = columns(self.table, attributes);
        let is_ours = |field: &&NestedFieldRef| {
            let mut names = ours.iter().map(|column| column.name);
            names.any(|name| name.eq_ignore_ascii_case(&field.name))
        };
        let is_same = |field: &NestedFieldRef| {
            now.field_by_id(field.id)
                .is_some_and(|now| now.name == field.name && now.field_type == field.field_type)
        };
        let was_there = |field: &NestedFieldRef| then.field_by_id(field.id).is_some();
        then.fields().iter().filter(is_ours).all(is_same)
            && now.fields().iter().filter(|field| field.required).all(was_there)
    }
}
