//! Values as compact JSON (rules 5 and 7).

use super::any_value::{non_finite, write_base64, write_finite};
use super::context::Context;
use crate::decode::{AnyValue, ArrayValue, DecodeError, KeyValueList, Text};

/// The position of a JSON object's member: `start..key_end` is its key with quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    start: usize,
    key_end: usize,
    end: usize,
}

/// Writes a value at nesting `level`; an attribute's own value is level 1. The limit on levels bounds the
/// recursion (rule 7).
///
/// # Errors
/// When a list inside is malformed; the path starts at the field of the oneof.
pub(super) fn write_value(
    value: AnyValue<'_>,
    level: u32,
    out: &mut Vec<u8>,
    context: &mut Context,
) -> Result<(), DecodeError> {
    if level > context.limits.nesting_max && !matches!(value, AnyValue::Empty) {
        context.repairs.nesting += 1;
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match value {
        AnyValue::Empty => out.extend_from_slice(b"null"),
        AnyValue::String(text) => write_string(text, out, context),
        AnyValue::Bool(true) => out.extend_from_slice(b"true"),
        AnyValue::Bool(false) => out.extend_from_slice(b"false"),
        AnyValue::Int(number) => {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }
        AnyValue::Double(number) if number.is_finite() => write_finite(number, out),
        AnyValue::Double(number) => {
            out.push(b'"');
            out.extend_from_slice(non_finite(number).as_bytes());
            out.push(b'"');
        }
        AnyValue::Bytes(bytes) => {
            out.push(b'"');
            write_base64(bytes, out, context);
            out.push(b'"');
        }
        AnyValue::Array(array) => {
            write_array(&array, level, out, context).map_err(|error| error.in_field("array_value"))?;
        }
        AnyValue::KeyValueList(list) => {
            write_object(&list, level, out, context).map_err(|error| error.in_field("kvlist_value"))?;
        }
    }
    Ok(())
}

fn write_array(
    array: &ArrayValue<'_>,
    level: u32,
    out: &mut Vec<u8>,
    context: &mut Context,
) -> Result<(), DecodeError> {
    out.push(b'[');
    for (index, element) in array.values.iter().enumerate() {
        if context.is_cut_at(out.len()) {
            break;
        }
        let element = element?;
        if index > 0 {
            out.push(b',');
        }
        write_value(element, level + 1, out, context).map_err(|error| error.in_element("values", index))?;
    }
    out.push(b']');
    Ok(())
}

fn write_object(
    list: &KeyValueList<'_>,
    level: u32,
    out: &mut Vec<u8>,
    context: &mut Context,
) -> Result<(), DecodeError> {
    out.push(b'{');
    let outer_members = context.members.len();
    for (index, member) in list.values.iter().enumerate() {
        if context.is_cut_at(out.len()) {
            break;
        }
        let member = member?;
        if index > 0 {
            out.push(b',');
        }
        let start = out.len();
        write_string(member.key, out, context);
        let key_end = out.len();
        out.push(b':');
        write_value(member.value, level + 1, out, context)
            .map_err(|error| error.in_field("value").in_element("values", index))?;
        let end = out.len();
        context.members.push(Member { start, key_end, end });
    }
    drop_duplicates(outer_members, out, context);
    context.members.truncate(outer_members);
    out.push(b'}');
    Ok(())
}

/// Keeps only the last of the members with the same key; the remaining members are moved together.
fn drop_duplicates(outer_members: usize, out: &mut Vec<u8>, context: &mut Context) {
    let Context {
        members, duplicates, ..
    } = context;
    let members = members.get(outer_members..).unwrap_or_default();
    let key = |index: usize| {
        let member = members.get(index)?;
        out.get(member.start..member.key_end)
    };
    if !duplicates.find(members.len(), |index| key(index).unwrap_or_default()) {
        return;
    }
    let Some(first) = members.first() else { return };
    let mut end = first.start;
    for (index, member) in members.iter().enumerate() {
        if duplicates.comes_again(index) {
            continue;
        }
        if end > first.start {
            if let Some(comma) = out.get_mut(end) {
                *comma = b',';
            }
            end += 1;
        }
        // A kept member moves towards the start or not at all.
        out.copy_within(member.start..member.end, end);
        end += member.end - member.start;
    }
    out.truncate(end);
}

/// Writes a text in quotes, escaping what JSON must escape (RFC 8259, section 7).
fn write_string(text: Text<'_>, out: &mut Vec<u8>, context: &mut Context) {
    out.push(b'"');
    let text = context.repaired(text);
    let mut rest: &[u8] = &text;
    while let Some(plain) = rest.iter().position(|&byte| needs_escape(byte)) {
        let (before, from) = rest.split_at(plain);
        out.extend_from_slice(before);
        if let Some((&byte, after)) = from.split_first() {
            write_escape(byte, out);
            rest = after;
        }
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[inline]
fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => {
            let [high, low] = [byte >> 4, byte & 0x0f].map(|digit| HEX[usize::from(digit)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
