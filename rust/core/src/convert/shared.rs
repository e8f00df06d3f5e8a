//! The columns of the resource and the scope, which every table has.

use std::borrow::Cow;

use super::attributes::{Entries, dropped_attributes};
use super::columns::{IntColumn, columns};
use super::context::Context;
use super::labels::{Key, LabelColumn};
use super::shared_map::SharedMapColumn;
use crate::decode::{DecodeError, Resource, Scope, Text};

/// The resource attribute that `ServiceName` is the text of (rule 10).
const SERVICE_NAME: &[u8] = b"service.name";

/// What all rows of a scope share, rendered once.
#[derive(Default)]
pub(super) struct Group<'a> {
    /// A new number for each scope, from 1, so that tables know when keys must be looked up again.
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
    /// Takes on a resource; one that is missing counts as empty (rule 1).
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
        self.resource_attributes
            .render(&resource.attributes, "attributes", context)
            .map_err(|error| error.in_field("resource"))?;
        self.resource_schema_url = context.mended(schema_url);
        self.resource_dropped =
            dropped_attributes(resource.dropped_attributes_count, &resource.attributes, context);
        Ok(())
    }

    /// Takes on a scope of that resource; one that is missing counts as empty (rule 1).
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
        self.scope_name = context.mended(scope.name);
        self.scope_version = context.mended(scope.version);
        self.scope_attributes
            .render(&scope.attributes, "attributes", context)
            .map_err(|error| error.in_field("scope"))?;
        self.scope_schema_url = context.mended(schema_url);
        self.scope_dropped = dropped_attributes(scope.dropped_attributes_count, &scope.attributes, context);
        Ok(())
    }

    /// The text of the resource's service name.
    pub(super) fn service_name(&self) -> Option<&[u8]> {
        let attributes = &self.resource_attributes;
        attributes.value(attributes.find(SERVICE_NAME)?)
    }
}

columns! {
    /// The resource and scope columns of a table.
    SharedColumns {
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
    state {
        generation: u64,
        keys: GroupKeys,
    }
}

/// The keys of a group's labels and attributes in the open batch.
#[derive(Default)]
struct GroupKeys {
    service_name: Option<Key>,
    resource_attributes: Option<Key>,
    resource_schema_url: Option<Key>,
    scope_name: Option<Key>,
    scope_version: Option<Key>,
    scope_attributes: Option<Key>,
    scope_schema_url: Option<Key>,
}

impl SharedColumns {
    /// Appends a row of this group.
    #[inline]
    pub(super) fn append(&mut self, group: &Group<'_>) {
        if self.generation != group.generation {
            self.look_up_keys(group);
        }
        self.service_name.append_key(self.keys.service_name);
        self.resource_attributes.append_key(self.keys.resource_attributes);
        self.resource_schema_url.append_key(self.keys.resource_schema_url);
        self.resource_dropped_attributes_count
            .append(group.resource_dropped);
        self.scope_name.append_key(self.keys.scope_name);
        self.scope_version.append_key(self.keys.scope_version);
        self.scope_attributes.append_key(self.keys.scope_attributes);
        self.scope_schema_url.append_key(self.keys.scope_schema_url);
        self.scope_dropped_attributes_count.append(group.scope_dropped);
    }

    fn look_up_keys(&mut self, group: &Group<'_>) {
        self.generation = group.generation;
        self.keys = GroupKeys {
            service_name: group.service_name().map(|name| self.service_name.intern(name)),
            resource_attributes: self.resource_attributes.intern(&group.resource_attributes),
            resource_schema_url: self.resource_schema_url.intern_field(&group.resource_schema_url),
            scope_name: self.scope_name.intern_field(&group.scope_name),
            scope_version: self.scope_version.intern_field(&group.scope_version),
            scope_attributes: self.scope_attributes.intern(&group.scope_attributes),
            scope_schema_url: self.scope_schema_url.intern_field(&group.scope_schema_url),
        };
    }
}
