//! Splits lists, maps and structs into the column chunks of their values.
//!
//! Parquet's levels: a definition level says how much of a value's path is defined, a repetition level says
//! which list on the path continues (Dremel's record shredding; parquet-format README, "Nested Encoding").

use std::ops::Range;

use arrow_schema::{DataType, Field, Fields};
use parquet::errors::Result;

use super::compress::Compressor;
use super::expansion::Expansion;
use super::leaf::Leaf;
use super::lists::{Lists, Run, span};
use super::view::{Values, View};

/// A node of a column's type.
pub(super) enum Node {
    /// Values.
    Leaf { leaf: Box<Leaf>, repetition: u8 },
    /// A list or a map.
    List {
        /// Definition level of an empty list; that of a null list is one less.
        empty: u8,
        repetition: u8,
        element: Box<Node>,
    },
    /// A struct.
    Struct {
        /// Definition level of a present struct; that of a null struct is one less.
        present: u8,
        repetition: u8,
        fields: Vec<Node>,
    },
}

impl Node {
    /// Builds the nodes below a field at these levels; `leaf` returns the chunk of each leaf, in order.
    /// `None` for a type that is not supported here.
    pub fn build(
        field: &Field,
        definition: u8,
        repetition: u8,
        leaf: &mut dyn FnMut(&DataType) -> Option<Leaf>,
    ) -> Option<Node> {
        let definition = definition + u8::from(field.is_nullable());
        let mut all = |fields: &Fields, definition: u8, repetition: u8| -> Option<Vec<Node>> {
            fields
                .iter()
                .map(|field| Node::build(field, definition, repetition, leaf))
                .collect()
        };
        Some(match field.data_type() {
            DataType::List(element) => Node::List {
                empty: definition,
                repetition,
                element: Box::new(Node::build(element, definition + 1, repetition + 1, leaf)?),
            },
            DataType::Map(entries, _) => {
                let DataType::Struct(fields) = entries.data_type() else {
                    return None;
                };
                Node::List {
                    empty: definition,
                    repetition,
                    element: Box::new(Node::Struct {
                        present: definition + 1,
                        repetition: repetition + 1,
                        fields: all(fields, definition + 1, repetition + 1)?,
                    }),
                }
            }
            DataType::Struct(fields) => Node::Struct {
                present: definition,
                repetition,
                fields: all(fields, definition, repetition)?,
            },
            data_type => {
                let leaf = leaf(data_type)?;
                if leaf.definition_max() != definition {
                    return None;
                }
                Node::Leaf {
                    leaf: Box::new(leaf),
                    repetition,
                }
            }
        })
    }

    /// Inspects the rows that will be appended: labels that they repeat often get a dictionary of any size.
    /// Such are the attributes of a resource, read from files that are joined.
    pub fn look_ahead(&mut self, view: &View<'_>, rows: &[u32]) {
        if may_expand(view) {
            let rows = rows.iter().map(|row| *row as usize);
            let rows: Vec<Range<usize>> = rows.map(|row| row..row + 1).collect();
            self.expect(view, &rows);
        }
    }

    fn expect(&mut self, view: &View<'_>, values: &[Range<usize>]) {
        match (self, view) {
            (Node::Leaf { leaf, .. }, View::Leaf(view)) => {
                if let Values::Label(labels) = &view.values {
                    leaf.expect(Expansion::of_elements(labels, values));
                }
            }
            (
                Node::List { element, .. },
                View::List {
                    offsets,
                    nulls,
                    element: elements,
                },
            ) => {
                let lists = values.iter().cloned().flatten();
                let lists = lists.filter(|list| nulls.is_none_or(|nulls| nulls.is_valid(*list)));
                let spans: Vec<Range<usize>> = lists.map(|list| span(offsets, list)).collect();
                element.expect(elements, &spans);
            }
            (Node::Struct { fields, .. }, View::Struct { fields: views, .. }) => {
                for (field, view) in fields.iter_mut().zip(views) {
                    if may_expand(view) {
                        field.expect(view, values);
                    }
                }
            }
            // Cannot happen: views have the shape of their array, and nodes that of its type.
            _ => {}
        }
    }

    /// Appends rows.
    ///
    /// # Errors
    /// When a page cannot be compressed.
    pub fn append_rows(&mut self, view: &View<'_>, rows: &[u32], compressor: &mut Compressor) -> Result<()> {
        match (self, view) {
            (
                Node::List { empty, element, .. },
                View::List {
                    offsets,
                    nulls,
                    element: elements,
                },
            ) => {
                let lists = Lists {
                    offsets,
                    nulls: *nulls,
                    empty: *empty,
                };
                element.append_lists(elements, lists, rows, compressor)
            }
            (node, view) => rows.iter().try_for_each(|row| {
                let row = *row as usize;
                node.push(view, row..row + 1, 0);
                node.each_leaf(&mut |leaf| leaf.end_row(compressor))
            }),
        }
    }

    /// Appends the lists of rows whose element this node is. It processes one chunk after the other, so each
    /// chunk's path is resolved once instead of once per row.
    fn append_lists(
        &mut self,
        elements: &View<'_>,
        lists: Lists<'_>,
        rows: &[u32],
        compressor: &mut Compressor,
    ) -> Result<()> {
        match (self, elements) {
            (
                Node::Struct { fields, .. },
                View::Struct {
                    nulls: None,
                    fields: views,
                },
            ) => {
                let mut fields = fields.iter_mut().zip(views);
                fields.try_for_each(|(field, view)| field.append_lists(view, lists, rows, compressor))
            }
            (Node::Leaf { leaf, repetition }, View::Leaf(view)) => lists.runs(rows, |run| match run {
                Run::Missing { definition, rows } => leaf.append_missing(definition, rows, compressor),
                Run::Elements { rows, len } => {
                    leaf.append_lists(view, lists, rows, len, *repetition, compressor)
                }
            }),
            (node, view) => lists.runs(rows, |run| match run {
                Run::Missing { definition, rows } => {
                    node.each_leaf(&mut |leaf| leaf.append_missing(definition, rows, compressor))
                }
                Run::Elements { rows, .. } => rows.iter().try_for_each(|row| {
                    node.push(view, lists.span(*row), 0);
                    node.each_leaf(&mut |leaf| leaf.end_row(compressor))
                }),
            }),
        }
    }

    /// Appends consecutive values, at least one. The first has the repetition level `first`, the others that
    /// of the list around this node.
    fn push(&mut self, view: &View<'_>, values: Range<usize>, first: u8) {
        match (self, view) {
            (Node::Leaf { leaf, repetition }, View::Leaf(view)) => {
                leaf.push_elements(view, values, first, *repetition);
            }
            (
                Node::List {
                    empty,
                    repetition,
                    element,
                },
                View::List {
                    offsets,
                    nulls,
                    element: elements,
                },
            ) => {
                let mut level = first;
                for index in values {
                    if nulls.is_some_and(|nulls| nulls.is_null(index)) {
                        element.push_missing(empty.saturating_sub(1), level);
                    } else {
                        match span(offsets, index) {
                            span if span.is_empty() => element.push_missing(*empty, level),
                            span => element.push(elements, span, level),
                        }
                    }
                    level = *repetition;
                }
            }
            (
                Node::Struct {
                    present,
                    repetition,
                    fields,
                },
                View::Struct { nulls, fields: views },
            ) => match nulls {
                None => {
                    for (field, view) in fields.iter_mut().zip(views) {
                        field.push(view, values.clone(), first);
                    }
                }
                Some(nulls) => {
                    let mut level = first;
                    for index in values {
                        for (field, view) in fields.iter_mut().zip(views) {
                            if nulls.is_null(index) {
                                field.push_missing(present.saturating_sub(1), level);
                            } else {
                                field.push(view, index..index + 1, level);
                            }
                        }
                        level = *repetition;
                    }
                }
            },
            // Cannot happen: views have the shape of their array, and nodes that of its type.
            _ => {}
        }
    }

    /// Appends an entry without a value to each leaf: their parent is null or empty.
    fn push_missing(&mut self, definition: u8, repetition: u8) {
        match self {
            Node::Leaf { leaf, .. } => leaf.push_missing(definition, repetition),
            Node::List { element, .. } => element.push_missing(definition, repetition),
            Node::Struct { fields, .. } => {
                for field in fields {
                    field.push_missing(definition, repetition);
                }
            }
        }
    }

    /// Visits the leaves in order.
    ///
    /// # Errors
    /// Any error of `visit`.
    pub fn each_leaf(&mut self, visit: &mut dyn FnMut(&mut Leaf) -> Result<()>) -> Result<()> {
        match self {
            Node::Leaf { leaf, .. } => visit(leaf),
            Node::List { element, .. } => element.each_leaf(visit),
            Node::Struct { fields, .. } => fields.iter_mut().try_for_each(|field| field.each_leaf(visit)),
        }
    }

    /// Bytes of all chunks so far; open pages count uncompressed.
    pub fn bytes(&self) -> usize {
        match self {
            Node::Leaf { leaf, .. } => leaf.bytes(),
            Node::List { element, .. } => element.bytes(),
            Node::Struct { fields, .. } => fields.iter().map(Node::bytes).sum(),
        }
    }

    /// Takes the leaves out, in order.
    pub fn into_leaves(self) -> Vec<Leaf> {
        match self {
            Node::Leaf { leaf, .. } => vec![*leaf],
            Node::List { element, .. } => element.into_leaves(),
            Node::Struct { fields, .. } => fields.into_iter().flat_map(Node::into_leaves).collect(),
        }
    }
}

/// Whether there are labels that take much if each is written as text.
fn may_expand(view: &View<'_>) -> bool {
    match view {
        View::Leaf(leaf) => {
            matches!(&leaf.values, Values::Label(labels) if Expansion::may_be_large(labels))
        }
        View::List { element, .. } => may_expand(element),
        View::Struct { fields, .. } => fields.iter().any(may_expand),
        View::Shared { .. } => false,
    }
}
