//! Parses notifications of created objects, in all their envelopes.
//!
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>

use otlp2iceberg::calendar::day_of_date;
use otlp2iceberg::storage::{NO_VERSION, ObjectVersion};
use serde_json::Value;

use super::Notified;

/// The greatest number of nested envelopes; SNS inside SQS has two.
const WRAPPINGS_MAX: u32 = 4;

/// The objects that a notification names; none for other bucket events.
///
/// # Errors
/// Why it is not such a notification.
pub(super) fn parse(event: &Value) -> Result<Vec<Notified>, String> {
    let mut objects = Vec::new();
    unwrap(event, WRAPPINGS_MAX, &mut objects)?;
    Ok(objects)
}

/// The same for a notification in the text of a message.
///
/// # Errors
/// Why it is not such a notification.
pub(super) fn parse_text(text: &str) -> Result<Vec<Notified>, String> {
    let mut objects = Vec::new();
    unwrap_text(text, WRAPPINGS_MAX, &mut objects)?;
    Ok(objects)
}

/// The objects of a list, in their current versions.
///
/// # Errors
/// The defect of the list.
pub(super) fn parse_list(objects: &Value) -> Result<Vec<Notified>, String> {
    const ACCEPTED: &str = "objects must be a list of texts, each s3://bucket/key";
    let listed = objects.as_array().ok_or(ACCEPTED)?.iter().map(|location| {
        let path = location.as_str().and_then(|text| text.strip_prefix("s3://"));
        let (bucket, key) = path.and_then(|path| path.split_once('/')).ok_or(ACCEPTED)?;
        if bucket.is_empty() || key.is_empty() {
            return Err(ACCEPTED.to_owned());
        }
        Ok(Notified {
            object: ObjectVersion {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                etag: None,
                version: None,
            },
            created_unix_nano: 0,
        })
    });
    listed.collect()
}

fn unwrap_text(text: &str, wrappings: u32, objects: &mut Vec<Notified>) -> Result<(), String> {
    let value =
        serde_json::from_str(text).map_err(|cause| format!("the message is no notification: {cause}"))?;
    unwrap(&value, wrappings, objects)
}

fn unwrap(event: &Value, wrappings: u32, objects: &mut Vec<Notified>) -> Result<(), String> {
    let Some(wrappings) = wrappings.checked_sub(1) else {
        return Err("the notification is wrapped too often".into());
    };
    if event["Type"] == "Notification"
        && let Some(message) = event["Message"].as_str()
    {
        return unwrap_text(message, wrappings, objects);
    }
    if let Some(records) = event["Records"].as_array() {
        for record in records {
            if let Some(message) = record["Sns"]["Message"].as_str() {
                unwrap_text(message, wrappings, objects)?;
            } else if record["eventSource"] == "aws:s3" {
                objects.extend(of_s3(record)?);
            } else {
                return Err("a record of the event is neither S3's nor SNS's".into());
            }
        }
        return Ok(());
    }
    if event["source"] == "aws.s3" {
        objects.extend(of_event_bridge(event)?);
        return Ok(());
    }
    // S3 sends it once, when the notification is configured.
    if event["Event"] == "s3:TestEvent" {
        return Ok(());
    }
    Err("the message is no notification of S3".into())
}

fn of_s3(record: &Value) -> Result<Option<Notified>, String> {
    let name = record["eventName"].as_str().unwrap_or("");
    if !name.trim_start_matches("s3:").starts_with("ObjectCreated:") {
        return Ok(None);
    }
    let (bucket, object) = (&record["s3"]["bucket"], &record["s3"]["object"]);
    let key = text(&object["key"]).ok_or("a record of S3 names no key")?;
    // Form-encoded: spaces are plus signs.
    let key = decoded(&key).ok_or_else(|| format!("the key {key:?} is not URL-encoded UTF-8"))?;
    if is_folder(object, &key) {
        return Ok(None);
    }
    Ok(Some(Notified {
        object: ObjectVersion {
            bucket: text(&bucket["name"]).ok_or("a record of S3 names no bucket")?,
            key,
            etag: text(&object["eTag"]),
            version: version(&object["versionId"]),
        },
        created_unix_nano: text(&record["eventTime"]).map_or(0, |time| unix_nano(&time)),
    }))
}

fn of_event_bridge(event: &Value) -> Result<Option<Notified>, String> {
    if event["detail-type"] != "Object Created" {
        return Ok(None);
    }
    let (bucket, object) = (&event["detail"]["bucket"], &event["detail"]["object"]);
    // Unchanged: EventBridge's keys are not encoded.
    let key = text(&object["key"]).ok_or("the event of EventBridge names no key")?;
    if is_folder(object, &key) {
        return Ok(None);
    }
    Ok(Some(Notified {
        object: ObjectVersion {
            bucket: text(&bucket["name"]).ok_or("the event of EventBridge names no bucket")?,
            key,
            etag: text(&object["etag"]),
            version: version(&object["version-id"]),
        },
        created_unix_nano: text(&event["time"]).map_or(0, |time| unix_nano(&time)),
    }))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The version of an object. If versioning is suspended, all objects of a bucket have the version `null`,
/// which is overwritten like an object without versions.
fn version(value: &Value) -> Option<String> {
    text(value).filter(|version| version != NO_VERSION)
}

/// Whether the object is a folder: the console's "Create folder" creates an empty object.
fn is_folder(object: &Value, key: &str) -> bool {
    key.ends_with('/') && object["size"].as_u64().unwrap_or(0) == 0
}

fn decoded(key: &str) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut decoded = Vec::with_capacity(key.len());
    let mut bytes = key.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

/// Parses `2026-01-02T03:04:05.678Z`, which is always in UTC here; 0 for anything else.
fn unix_nano(time: &str) -> u64 {
    parse_time(time).unwrap_or(0)
}

fn parse_time(time: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| time.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || !time.ends_with('Z') {
        return None;
    }
    let fraction = time.get(19..time.len() - 1)?.trim_start_matches('.');
    let nanos: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let seconds = day_of_date(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    fn s3_event(key: &str) -> Value {
        json!({"Records": [{
            "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventTime": "2024-02-29T12:00:00.250Z",
            "s3": {"bucket": {"name": "raw"}, "object": {"key": key, "size": 7, "eTag": "abc", "versionId": "v1"}},
        }]})
    }

    fn notified(key: &str) -> Notified {
        Notified {
            object: ObjectVersion {
                bucket: "raw".into(),
                key: key.into(),
                etag: Some("abc".into()),
                version: Some("v1".into()),
            },
            created_unix_nano: 1_709_208_000_250_000_000,
        }
    }

    #[test]
    fn every_wrapping_gives_the_same_object() {
        let plain = s3_event("a/logs_1.binpb");
        let sns = json!({"Type": "Notification", "Message": plain.to_string()});
        let sns_record =
            json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": plain.to_string()}}]});
        let bridge = json!({
            "source": "aws.s3", "detail-type": "Object Created", "time": "2024-02-29T12:00:00.25Z",
            "detail": {"bucket": {"name": "raw"}, "object": {"key": "a/logs_1.binpb", "etag": "abc", "version-id": "v1"}},
        });
        for event in [plain, sns, sns_record, bridge] {
            assert_eq!(parse(&event).unwrap(), [notified("a/logs_1.binpb")], "{event}");
            assert_eq!(
                parse_text(&event.to_string()).unwrap(),
                [notified("a/logs_1.binpb")]
            );
        }
    }

    #[test]
    fn a_list_names_objects_as_they_are() {
        let listed = parse_list(&json!(["s3://raw/a+b/é%20.parquet"])).unwrap();
        assert_eq!(listed[0].object.key, "a+b/é%20.parquet");
        assert_eq!((listed[0].object.etag.as_ref(), listed.len()), (None, 1));
        for list in [
            json!("s3://b/k"),
            json!(["b/k"]),
            json!([7]),
            json!(["s3://b"]),
            json!(["s3:///k"]),
        ] {
            assert!(
                parse_list(&list).unwrap_err().contains("s3://bucket/key"),
                "{list}"
            );
        }
    }

    #[test]
    fn keys_with_spaces_plus_signs_and_unicode() {
        for (encoded, key) in [
            ("a+b/c%2Bd", "a b/c+d"),
            ("%C3%A9/%E6%97%A5", "é/日"),
            ("100%25/x%3Dy", "100%/x=y"),
        ] {
            assert_eq!(parse(&s3_event(encoded)).unwrap(), [notified(key)]);
        }
        for broken in ["%", "%4", "%zz", "%ff"] {
            assert!(parse(&s3_event(broken)).is_err(), "{broken}");
        }
        let bridge = json!({"source": "aws.s3", "detail-type": "Object Created",
            "detail": {"bucket": {"name": "raw"}, "object": {"key": "a+b%20c"}}});
        assert_eq!(parse(&bridge).unwrap()[0].object.key, "a+b%20c");
    }

    #[test]
    fn a_folder_of_the_console_is_nothing_to_do_and_what_has_bytes_is() {
        let mut record = s3_event("logs%2F");
        record["Records"][0]["s3"]["object"]["size"] = json!(0);
        let mut bridge = json!({"source": "aws.s3", "detail-type": "Object Created",
            "detail": {"bucket": {"name": "raw"}, "object": {"key": "logs/"}}});
        assert_eq!(parse(&record).unwrap(), []);
        assert_eq!(parse(&bridge).unwrap(), []);
        bridge["detail"]["object"]["size"] = json!(7);
        assert_eq!(parse(&bridge).unwrap()[0].object.key, "logs/");
        assert_eq!(parse(&s3_event("logs/")).unwrap(), [notified("logs/")]);
    }

    #[test]
    fn where_versioning_is_suspended_there_is_no_version() {
        let mut record = s3_event("a");
        record["Records"][0]["s3"]["object"]["versionId"] = json!("null");
        let bridge = json!({"source": "aws.s3", "detail-type": "Object Created",
            "detail": {"bucket": {"name": "raw"}, "object": {"key": "a", "etag": "abc", "version-id": "null"}}});
        for event in [record, bridge] {
            let notified = &parse(&event).unwrap()[0];
            assert_eq!(
                (notified.object.version.as_deref(), notified.name().as_str()),
                (None, "raw/a@abc")
            );
        }
    }

    #[test]
    fn other_events_name_nothing_and_other_things_are_errors() {
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "raw"});
        let removed = json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectRemoved:Delete"}]});
        let deleted = json!({"source": "aws.s3", "detail-type": "Object Deleted", "detail": {}});
        for event in [test, removed, deleted, json!({"Records": []})] {
            assert_eq!(parse(&event).unwrap(), [], "{event}");
        }
        let wrapped = (0..6).fold(
            s3_event("a"),
            |inner, _| json!({"Type": "Notification", "Message": inner.to_string()}),
        );
        for event in [
            json!({}),
            json!([1]),
            json!({"Records": [{}]}),
            json!("text"),
            wrapped,
        ] {
            assert!(parse(&event).is_err(), "{event}");
        }
        assert!(parse_text("no json").is_err());
    }

    #[test]
    fn a_time_that_cannot_be_read_is_none() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-02T00:00:01.5Z", 86_401_500_000_000),
            ("2000-03-01T00:00:00.000Z", 951_868_800_000_000_000),
            ("yesterday", 0),
            ("2024-13-01T00:00:00Z", 0),
            ("2024-01-01T00:00:00+01:00", 0),
            ("", 0),
        ] {
            assert_eq!(unix_nano(text), nanos, "{text}");
        }
    }
}
