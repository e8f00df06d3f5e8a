//! The resource and scope columns, which every table has.

use std::borrow::Cow;

use arrow_schema::ArrowError;

use super::attributes::{Entries, dropped_attributes};
use super::columns::{Arrays, Columns, columns};
use super::context::Context;
use super::dictionary::Key;
use super::labels::LabelColumn;
use super::primitive::IntColumn;
use super::shared_map::SharedMapColumn;
use super::used::Used;
use crate::decode::{DecodeError, Resource, Scope, Text};

/// The resource attribute whose text becomes `ServiceName` (rule 10).
const SERVICE_NAME: &[u8] = b"service.name";

/// The values that all rows of a scope share, rendered once.
#[derive(Default)]
pub(super) struct Group<'a> {
    /// A new number for each resource, from 1; tables look up its keys again when it changes. A long text is
    /// compared with the same one then, which a request with a million scopes must not cause for each.
    resource_generation: u64,
    /// The same for each scope.
    generation: u64,
    resource_attributes: Entries,
    resource_schema_url: Cow<'a, [u8]>,
    resource_dropped: i32,
    scope_name: Cow<'a, [u8]>,
    scope_version: Cow<'a, [u8]>,
    scope_attributes: Entries,
    scope_schema_url: Cow<'a, [u8]>,
    scope_dropped: i32,
}

impl<'a> Group<'a> {
    /// Sets the current resource; a missing one counts as empty (rule 1).
    ///
    /// # Errors
    /// When its attributes are malformed.
    pub(super) fn enter_resource(
        &mut self,
        resource: Option<Resource<'a>>,
        schema_url: Text<'a>,
        context: &mut Context,
    ) -> Result<(), DecodeError> {
        let resource = resource.unwrap_or_default();
        self.resource_generation += 1;
        self.resource_attributes
            .render(&resource.attributes, "attributes", context)
            .map_err(|error| error.in_field("resource"))?;
        self.resource_schema_url = context.repaired(schema_url);
        self.resource_dropped =
            dropped_attributes(resource.dropped_attributes_count, &resource.attributes, context);
        Ok(())
    }

    /// Sets the current scope of that resource; a missing one counts as empty (rule 1).
    ///
    /// # Errors
    /// When its attributes are malformed.
    pub(super) fn enter_scope(
        &mut self,
        scope: Option<Scope<'a>>,
        schema_url: Text<'a>,
        context: &mut Context,
    ) -> Result<(), DecodeError> {
        let scope = scope.unwrap_or_default();
        self.generation += 1;
        self.scope_name = context.repaired(scope.name);
        self.scope_version = context.repaired(scope.version);
        self.scope_attributes
            .render(&scope.attributes, "attributes", context)
            .map_err(|error| error.in_field("scope"))?;
        self.scope_schema_url = context.repaired(schema_url);
        self.scope_dropped = dropped_attributes(scope.dropped_attributes_count, &scope.attributes, context);
        Ok(())
    }

    /// The number of attributes that each record gets from the resource and the scope.
    pub(super) fn attributes(&self) -> usize {
        self.resource_attributes.len() + self.scope_attributes.len()
    }

    /// The text of the resource's service name.
    pub(super) fn service_name(&self) -> Option<&[u8]> {
        let attributes = &self.resource_attributes;
        attributes.value(attributes.find(SERVICE_NAME)?)
    }
}

columns! {
    /// The columns themselves.
    SharedArrays {
        service_name: LabelColumn,
        resource_attributes: SharedMapColumn,
        resource_schema_url: LabelColumn,
        resource_dropped_attributes_count: IntColumn,
        scope_name: LabelColumn,
        scope_version: LabelColumn,
        scope_attributes: SharedMapColumn,
        scope_schema_url: LabelColumn,
        scope_dropped_attributes_count: IntColumn,
    }
}

/// Bytes of a row in these columns, besides the values it refers to.
const ROW_BYTES: usize = 9 * size_of::<i32>();

/// The resource and scope columns of a table. Rows of a group are only counted, and are written when the
/// group ends.
#[derive(Default)]
pub(super) struct SharedColumns {
    arrays: SharedArrays,
    /// Rows that are written.
    rows: usize,
    /// Rows of the current group that are not written yet.
    open: usize,
    /// Bytes of the arrays.
    bytes: usize,
    resource_generation: u64,
    generation: u64,
    resource: ResourceKeys,
    scope: ScopeKeys,
}

/// A resource in the open batch.
#[derive(Default)]
struct ResourceKeys {
    service_name: Option<Key>,
    attributes: Option<Key>,
    schema_url: Option<Key>,
    dropped: i32,
}

/// A scope in the open batch.
#[derive(Default)]
struct ScopeKeys {
    name: Option<Key>,
    version: Option<Key>,
    attributes: Option<Key>,
    schema_url: Option<Key>,
    dropped: i32,
}

impl SharedColumns {
    /// Appends a row of this group.
    #[inline]
    pub(super) fn append(&mut self, group: &Group<'_>) {
        if self.generation != group.generation {
            self.begin(group);
        }
        self.open += 1;
    }

    fn begin(&mut self, group: &Group<'_>) {
        self.end();
        let arrays = &mut self.arrays;
        if self.resource_generation != group.resource_generation {
            self.resource_generation = group.resource_generation;
            self.resource = ResourceKeys {
                service_name: group.service_name().map(|name| arrays.service_name.intern(name)),
                attributes: arrays.resource_attributes.intern(&group.resource_attributes),
                schema_url: arrays
                    .resource_schema_url
                    .intern_field(&group.resource_schema_url),
                dropped: group.resource_dropped,
            };
        }
        self.generation = group.generation;
        self.scope = ScopeKeys {
            name: arrays.scope_name.intern_field(&group.scope_name),
            version: arrays.scope_version.intern_field(&group.scope_version),
            attributes: arrays.scope_attributes.intern(&group.scope_attributes),
            schema_url: arrays.scope_schema_url.intern_field(&group.scope_schema_url),
            dropped: group.scope_dropped,
        };
        self.bytes = arrays.bytes();
    }

    /// Writes the open rows, before another group starts or the columns end.
    fn end(&mut self) {
        let count = std::mem::take(&mut self.open);
        if count == 0 {
            return;
        }
        let Self {
            arrays,
            resource,
            scope,
            ..
        } = self;
        arrays.service_name.append_keys(resource.service_name, count);
        arrays.resource_attributes.append_keys(resource.attributes, count);
        arrays.resource_schema_url.append_keys(resource.schema_url, count);
        arrays
            .resource_dropped_attributes_count
            .append_n(resource.dropped, count);
        arrays.scope_name.append_keys(scope.name, count);
        arrays.scope_version.append_keys(scope.version, count);
        arrays.scope_attributes.append_keys(scope.attributes, count);
        arrays.scope_schema_url.append_keys(scope.schema_url, count);
        arrays
            .scope_dropped_attributes_count
            .append_n(scope.dropped, count);
        self.rows += count;
    }
}

impl Columns for SharedColumns {
    fn reserve(&mut self, times: usize) {
        self.arrays.reserve(times);
    }

    fn truncate(&mut self, len: usize) {
        self.open = len.saturating_sub(self.rows);
        if len < self.rows {
            self.arrays.truncate(len);
            self.rows = len;
            self.bytes = self.arrays.bytes();
        }
    }

    #[inline]
    fn extent(&self) -> usize {
        self.arrays.extent()
    }

    #[inline]
    fn bytes(&self) -> usize {
        self.bytes + self.open * ROW_BYTES
    }

    fn finish(mut self, arrays: &mut Arrays<'_>) -> Result<(), ArrowError> {
        self.end();
        self.arrays.finish(arrays)
    }

    fn reuse(&mut self, arrays: &mut Used) {
        self.arrays.reuse(arrays);
    }
}
