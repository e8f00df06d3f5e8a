//! A profile of the AWS tools' shared files, `~/.aws/config` and `~/.aws/credentials`.

use std::collections::HashMap;
use std::path::PathBuf;

use object_store::aws::AwsCredential;

use super::settings::Environment;

/// Keys of profiles whose credentials have to be fetched in ways that are not built in.
const UNSUPPORTED: [&str; 5] = [
    "role_arn",
    "sso_session",
    "sso_start_url",
    "credential_process",
    "login_session",
];

/// What a profile says that is of use here.
pub(super) struct Profile {
    /// Its name.
    pub(super) name: String,
    /// `region`.
    pub(super) region: Option<String>,
    /// Its keys, if it holds any.
    pub(super) credential: Option<AwsCredential>,
    /// Without keys: the setting that says how they are fetched, which we cannot.
    pub(super) unsupported: Option<&'static str>,
}

impl Profile {
    /// Reads the profile that `AWS_PROFILE` names, else `default`. `None` if neither file has it or
    /// can be read.
    pub(super) fn read(environment: Environment<'_>) -> Option<Self> {
        let name = environment("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        let [config, credentials] = files(environment);
        let read = |path: Option<PathBuf>| {
            path.and_then(|path| std::fs::read_to_string(path).ok())
                .unwrap_or_default()
        };
        Self::parse(&name, &read(config), &read(credentials))
    }

    fn parse(name: &str, config: &str, credentials: &str) -> Option<Self> {
        let heading = match name {
            "default" => name.to_owned(),
            _ => format!("profile {name}"),
        };
        let mut values = section(config, &heading);
        if values.is_none() && name == "default" {
            values = section(config, "profile default");
        }
        // The credentials file goes before the configuration file.
        let values = match (values, section(credentials, name)) {
            (Some(mut values), Some(more)) => {
                values.extend(more);
                values
            }
            (values, more) => values.or(more)?,
        };
        let value = |key: &str| values.get(key).cloned();
        let credential = value("aws_access_key_id")
            .zip(value("aws_secret_access_key"))
            .map(|(key_id, secret_key)| AwsCredential {
                key_id,
                secret_key,
                token: value("aws_session_token"),
            });
        let unsupported = UNSUPPORTED
            .into_iter()
            .find(|key| credential.is_none() && values.contains_key(*key));
        Some(Self {
            name: name.to_owned(),
            region: value("region"),
            credential,
            unsupported,
        })
    }
}

/// The configuration file and the credentials file.
fn files(environment: Environment<'_>) -> [Option<PathBuf>; 2] {
    let home = environment("HOME").or_else(|| environment("USERPROFILE"));
    [
        ("AWS_CONFIG_FILE", "config"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
    ]
    .map(|(variable, name)| {
        environment(variable).map(PathBuf::from).or_else(|| {
            let home = PathBuf::from(home.as_ref()?);
            Some(home.join(".aws").join(name))
        })
    })
}

/// The `key = value` lines under `[heading]`; indented lines belong to nested settings.
fn section(text: &str, heading: &str) -> Option<HashMap<String, String>> {
    let mut values = None;
    let mut inside = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(found) = trimmed
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
            .map(|(found, _)| found)
        {
            inside = found.split_whitespace().eq(heading.split_whitespace());
            if inside {
                values.get_or_insert_with(HashMap::new);
            }
        } else if inside
            && !line.starts_with([' ', '\t', '#', ';'])
            && let Some((key, value)) = trimmed.split_once('=')
            && let Some(values) = &mut values
        {
            let value = value.split(" #").next().unwrap_or(value);
            values.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\
[default]
region = eu-west-1
s3 =
  region = nested
# a comment
[profile dev]
region=eu-west-2
aws_access_key_id = from-config
[profile sso]
sso_session = corp
";
    const CREDENTIALS: &str = "\
[default]
aws_access_key_id = AKID
aws_secret_access_key = se/cr=et
[dev]
aws_access_key_id = dev
aws_secret_access_key = secret
aws_session_token = token
";

    #[test]
    fn a_profile_is_merged_from_both_files() {
        let default = Profile::parse("default", CONFIG, CREDENTIALS).expect("there");
        assert_eq!(default.region.as_deref(), Some("eu-west-1"));
        let credential = default.credential.expect("keys");
        assert_eq!(
            (credential.key_id.as_str(), credential.secret_key.as_str()),
            ("AKID", "se/cr=et")
        );
        assert_eq!(credential.token, None);

        let dev = Profile::parse("dev", CONFIG, CREDENTIALS).expect("there");
        assert_eq!(dev.region.as_deref(), Some("eu-west-2"));
        let credential = dev.credential.expect("keys");
        assert_eq!(credential.key_id, "dev");
        assert_eq!(credential.token.as_deref(), Some("token"));
        assert!(Profile::parse("prod", CONFIG, CREDENTIALS).is_none());
    }

    #[test]
    fn a_profile_that_we_cannot_use_says_why() {
        let sso = Profile::parse("sso", CONFIG, CREDENTIALS).expect("there");
        assert!(sso.credential.is_none());
        assert_eq!(sso.unsupported, Some("sso_session"));
    }

    #[test]
    fn files_are_where_the_environment_says() {
        let environment = |name: &str| match name {
            "HOME" => Some("/home/otel".to_owned()),
            "AWS_SHARED_CREDENTIALS_FILE" => Some("/run/keys".to_owned()),
            _ => None,
        };
        assert_eq!(
            files(&environment),
            [
                Some(PathBuf::from("/home/otel/.aws/config")),
                Some(PathBuf::from("/run/keys"))
            ]
        );
    }
}
