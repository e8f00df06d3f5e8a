//! `storage`: access to files.

use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use super::secret::{Secret, section, without_line_break};
use super::{bucket, header};

/// `storage`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// Settings for `s3://` and `s3a://` locations.
    #[serde(deserialize_with = "section")]
    pub s3: S3Config,
}

/// `storage.s3`. Settings that are not set come from the catalog, then from the AWS provider chain.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Config {
    /// The bucket's region, such as `eu-west-1`.
    pub region: Option<String>,
    /// Base URL of an S3-compatible service, such as `http://minio:9000`. Default: AWS in `region`.
    pub endpoint: Option<String>,
    /// Whether the bucket name is in the URL's path (true) or in its host name (false). Default: true with an
    /// endpoint or a bucket name with dots, else false.
    pub path_style: Option<bool>,
    /// With `secret_access_key`: static credentials, which take precedence.
    #[serde(deserialize_with = "without_line_break")]
    pub access_key_id: Option<String>,
    /// The secret of `access_key_id`.
    pub secret_access_key: Option<Secret>,
    /// The token of temporary credentials.
    pub session_token: Option<Secret>,
    /// Not a configuration key: S3 itself sets the limits. For tests with small files.
    #[serde(skip)]
    pub uploads: UploadSizes,
    /// Not a configuration key. For tests with short times.
    #[serde(skip)]
    pub times: RequestTimes,
}

/// Limits for uploads in parts.
#[derive(Debug, Clone, Copy)]
pub struct UploadSizes {
    /// A file up to this many bytes is uploaded in one request. 16 MiB.
    pub single_put_bytes_max: usize,
    /// Bytes of each of the first 1,000 parts. 8 MiB; S3 accepts at most 10,000 parts of at least 5 MiB.
    pub part_bytes: usize,
}

impl Default for UploadSizes {
    fn default() -> Self {
        Self {
            single_put_bytes_max: 16 << 20,
            part_bytes: 8 << 20,
        }
    }
}

/// How long requests to S3 may take.
#[derive(Debug, Clone, Copy)]
pub struct RequestTimes {
    /// Until an answer begins, except to a request that uploads. 30 s.
    pub answer: Duration,
    /// With all that is sent and received. 60 s: 16 MiB at 2.3 Mbit/s.
    pub whole: Duration,
}

impl Default for RequestTimes {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(30),
            whole: Duration::from_secs(60),
        }
    }
}

/// Adds the problems of `storage`, each with its key.
pub(super) fn problems(storage: &StorageConfig, problems: &mut Vec<String>) {
    let s3 = &storage.s3;
    let text_keys = [("region", &s3.region), ("access_key_id", &s3.access_key_id)];
    for (key, value) in text_keys {
        if value.as_ref().is_some_and(|value| value.trim().is_empty()) {
            problems.push(format!(
                "storage.s3.{key}: must not be empty; give a value or leave it out"
            ));
        }
    }
    if let Some(region) = s3.region.as_deref().filter(|region| !region.trim().is_empty())
        && !bucket::is_name(region)
    {
        problems.push(format!(
            "storage.s3.region: {region:?} is no region; give one such as eu-west-1"
        ));
    }
    // Both are sent in headers; the secret key signs and is not sent.
    if let Some(access_key_id) = &s3.access_key_id {
        header::problem(problems, "storage.s3.access_key_id", access_key_id);
    }
    if let Some(session_token) = &s3.session_token {
        header::problem(problems, "storage.s3.session_token", session_token.expose());
    }
    let secret_keys = [
        ("secret_access_key", &s3.secret_access_key),
        ("session_token", &s3.session_token),
    ];
    for (key, value) in secret_keys {
        if value.as_ref().is_some_and(Secret::is_empty) {
            problems.push(format!(
                "storage.s3.{key}: must not be empty; give a value or leave it out"
            ));
        }
    }
    match (&s3.access_key_id, &s3.secret_access_key) {
        (Some(_), None) => problems
            .push("storage.s3.secret_access_key: is needed with storage.s3.access_key_id".into()),
        (None, Some(_)) => problems
            .push("storage.s3.access_key_id: is needed with storage.s3.secret_access_key".into()),
        (None, None) if s3.session_token.is_some() => problems.push(
            "storage.s3.session_token: is of use only with storage.s3.access_key_id and storage.s3.secret_access_key"
                .into(),
        ),
        _ => {}
    }
    if let Some(endpoint) = &s3.endpoint
        && !is_base_url(endpoint)
    {
        // Not repeated: the problem may be a password in it.
        problems.push(
            "storage.s3.endpoint: is no URL of a service; give http://<host>:<port> or https://<host>, without user or password"
                .into(),
        );
    }
}

fn is_base_url(endpoint: &str) -> bool {
    let host = endpoint
        .strip_prefix("http://")
        .or_else(|| endpoint.strip_prefix("https://"));
    host.is_some_and(|host| {
        !host.trim_end_matches('/').is_empty()
            && !host.starts_with('/')
            && !host.contains(['@', '?', '#', ' '])
            && Url::parse(endpoint).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn every_problem_names_its_key() {
        for (json, key) in [
            (r#"{"access_key_id": "a"}"#, "storage.s3.secret_access_key:"),
            (r#"{"secret_access_key": "a"}"#, "storage.s3.access_key_id:"),
            (r#"{"session_token": "a"}"#, "storage.s3.session_token:"),
            (r#"{"region": ""}"#, "storage.s3.region:"),
            (r#"{"endpoint": "minio:9000"}"#, "storage.s3.endpoint:"),
            (r#"{"endpoint": "https://"}"#, "storage.s3.endpoint:"),
            (r#"{"endpoint": "http://k:s@minio"}"#, "storage.s3.endpoint:"),
            (r#"{"endpoint": "http://minio:99999"}"#, "storage.s3.endpoint:"),
            (r#"{"region": "eu west"}"#, "storage.s3.region:"),
            (
                r#"{"access_key_id": "a\nb", "secret_access_key": "a"}"#,
                "storage.s3.access_key_id:",
            ),
            (
                r#"{"access_key_id": "a", "secret_access_key": "a", "session_token": "a\u0000"}"#,
                "storage.s3.session_token:",
            ),
        ] {
            let json = format!(r#"{{"storage": {{"s3": {json}}}}}"#);
            let error = Config::from_json(json.as_bytes()).expect_err("invalid");
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn keys_from_files_end_with_a_line_break() {
        let json = br#"{"storage": {"s3": {"access_key_id": "a\n", "secret_access_key": "b\r\n", "session_token": "c\n"}}}"#;
        let s3 = Config::from_json(json).expect("valid").storage.s3;
        assert_eq!(s3.access_key_id.as_deref(), Some("a"));
        assert_eq!(s3.secret_access_key.expect("given").expose(), "b");
        assert_eq!(s3.session_token.expect("given").expose(), "c");
    }

    #[test]
    fn secrets_do_not_show_in_debug() {
        let json = br#"{"storage": {"s3": {"access_key_id": "a", "secret_access_key": "hush", "session_token": "hush"}}}"#;
        let config = Config::from_json(json).expect("valid");
        assert!(!format!("{config:?}").contains("hush"));
    }
}
