//! Names of partition fields that a manifest cannot have.

use iceberg::spec::PartitionSpec;

/// The name of a partition field that Avro does not allow, such as `ctx.tenant` or `svc-bucket`.
///
/// A manifest has the partition fields' names as names of Avro fields. Java replaces characters that Avro
/// does not allow (`ctx_x2Etenant`). iceberg-rust 0.10.1 does not: other engines refuse the manifests that it
/// writes, and it reads null for these fields of the others' manifests.
/// Sources: Avro 1.12 specification, "Names"; <https://github.com/apache/iceberg-rust/issues/2535>
pub(crate) fn name_not_in_avro(spec: &PartitionSpec) -> Option<&str> {
    let mut names = spec.fields().iter().map(|field| field.name.as_str());
    names.find(|name| !is_avro_name(name))
}

fn is_avro_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next();
    first.is_some_and(|byte| byte == b'_' || byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_letters_digits_and_underscores_are_allowed() {
        for name in ["a", "_", "Timestamp_hour", "a2"] {
            assert!(is_avro_name(name), "{name}");
        }
        for name in ["", "2a", "ctx.tenant", "svc-bucket", "größe", "a b"] {
            assert!(!is_avro_name(name), "{name}");
        }
    }
}
