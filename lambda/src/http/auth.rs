//! An optional bearer token, for functions whose URL has no IAM authorisation.

use otlp2iceberg::config::Secret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The access rule for senders.
#[derive(Debug, Clone, Default)]
pub struct Auth {
    token: Option<Secret>,
}

impl Auth {
    /// Everyone has access when there is no token: AWS authorised the caller.
    #[must_use]
    pub fn new(token: Option<Secret>) -> Self {
        Self { token }
    }

    /// Whether clients must send a token.
    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether a request with this `authorization` header is allowed. The running time reveals nothing about
    /// the token: complete hashes are compared.
    pub(super) fn allows(&self, authorization: Option<&str>) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let given = authorization
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map_or("", |(_, given)| given.trim());
        let (given, wanted) = (Sha256::digest(given), Sha256::digest(token.expose()));
        given.as_slice().ct_eq(wanted.as_slice()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_is_let_in() {
        let auth = Auth::new(Some(Secret::new("t0ken")));
        for (header, allowed) in [
            (Some("Bearer t0ken"), true),
            (Some("bearer  t0ken"), true),
            (Some("Bearer t0ke"), false),
            (Some("Bearer t0kenn"), false),
            (Some("Basic t0ken"), false),
            (Some("t0ken"), false),
            (Some("Bearer "), false),
            (None, false),
        ] {
            assert_eq!(auth.allows(header), allowed, "{header:?}");
        }
        assert!(Auth::default().allows(None));
        assert!(!format!("{auth:?}").contains("t0ken"));
    }
}
