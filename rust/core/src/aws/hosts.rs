//! The host names of AWS's services.

/// The domains of AWS's regions.
const DOMAINS: [&str; 3] = ["amazonaws.com", "amazonaws.com.cn", "amazonaws.eu"];

/// The labels of which each host of S3 has one. Other hosts of these domains may be a user's own service.
const S3_LABELS: [&str; 3] = ["s3", "s3-fips", "s3-accelerate"];

/// The domain of AWS's endpoints in a region.
pub(crate) fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else if region.starts_with("eusc-") {
        "amazonaws.eu"
    } else {
        "amazonaws.com"
    }
}

/// Whether a URL's host is S3 of AWS, such as an interface endpoint of a VPC.
pub(crate) fn is_s3_host(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or_default();
    let labels = DOMAINS
        .iter()
        .find_map(|domain| host.strip_suffix(*domain)?.strip_suffix('.'));
    labels.is_some_and(|labels| labels.split('.').any(|label| S3_LABELS.contains(&label)))
}

/// Which hosts the environment asks for, of those that AWS has for a service in a region.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hosts {
    /// Those whose cryptography is validated by FIPS 140.
    pub(crate) fips: bool,
    /// Those that also have an IPv6 address.
    pub(crate) dual_stack: bool,
}

impl Hosts {
    /// `AWS_USE_FIPS_ENDPOINT` and `AWS_USE_DUALSTACK_ENDPOINT`.
    pub(crate) fn new(environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let is_true = |name| environment(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        Self {
            fips: is_true("AWS_USE_FIPS_ENDPOINT"),
            dual_stack: is_true("AWS_USE_DUALSTACK_ENDPOINT"),
        }
    }

    /// The host of S3 in a region.
    pub(crate) fn s3(self, region: &str) -> String {
        let service = if self.fips { "s3-fips" } else { "s3" };
        let dual_stack = if self.dual_stack { ".dualstack" } else { "" };
        format!("{service}{dual_stack}.{region}.{}", domain(region))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_s3_are_told_from_a_user_s_own() {
        for (url, expected) in [
            ("https://s3.eu-west-1.amazonaws.com", true),
            ("https://bucket.vpce-1a-2b.s3.eu-west-1.vpce.amazonaws.com/", true),
            ("https://s3-fips.dualstack.us-east-1.amazonaws.com:443", true),
            ("https://s3.cn-north-1.amazonaws.com.cn", true),
            ("https://s3.eusc-de-east-1.amazonaws.eu", true),
            ("http://ec2-1-2-3-4.eu-west-1.compute.amazonaws.com:9000", false),
            ("http://s3-minio-12.eu-west-1.elb.amazonaws.com", false),
            ("https://s3.eu-west-1.amazonaws.com.example", false),
            ("https://example/s3.amazonaws.com", false),
            ("https://storage.googleapis.com", false),
            ("http://minio:9000", false),
        ] {
            assert_eq!(is_s3_host(url), expected, "{url}");
        }
    }
}
