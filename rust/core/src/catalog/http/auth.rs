//! Authentication of requests.

use aws_credential_types::Credentials;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Request, StatusCode};

use super::oauth2::OAuth2;
use super::sigv4::Signer;
use crate::config::Secret;
use crate::error::{Error, ErrorKind, Result};

/// A way to authenticate.
#[derive(Debug)]
pub(super) enum Auth {
    /// None, or by configured headers.
    None,
    /// `catalog.token`.
    Token(Secret),
    /// `catalog.oauth2`.
    OAuth2(Box<OAuth2>),
    /// `catalog.sigv4`.
    SigV4(Box<Signer>),
}

/// The credentials that an attempt was sent with.
#[derive(Debug, Clone)]
pub(super) enum Stamp {
    /// Credentials that never change.
    Fixed,
    /// The token with this number.
    Token(u64),
    /// These credentials. Their `Debug` output holds no secret.
    Signed(Credentials),
}

impl Auth {
    /// Adds our credentials to a request that is otherwise complete.
    ///
    /// # Errors
    /// `Catalog` when no credentials are available at present.
    pub(super) async fn authorize(&self, request: &mut Request) -> Result<Stamp> {
        match self {
            Auth::None => Ok(Stamp::Fixed),
            Auth::Token(token) => {
                bear(request, token)?;
                Ok(Stamp::Fixed)
            }
            Auth::OAuth2(oauth2) => {
                let (token, number) = oauth2.token().await?;
                bear(request, &token)?;
                Ok(Stamp::Token(number))
            }
            Auth::SigV4(signer) => signer.sign(request).await.map(Stamp::Signed),
        }
    }

    /// After an error response: whether the same request may succeed now, with other credentials or another
    /// signing time.
    pub(super) async fn renew(&self, stamp: &Stamp, status: StatusCode, headers: &HeaderMap) -> bool {
        match (self, stamp) {
            // Iceberg's own status 419 means expired credentials.
            (Auth::OAuth2(oauth2), Stamp::Token(number)) if matches!(status.as_u16(), 401 | 419) => {
                oauth2.discard(*number).await;
                true
            }
            (Auth::SigV4(signer), Stamp::Signed(used)) => signer.renew(used, status, headers).await,
            _ => false,
        }
    }

    /// The configuration keys that credentials come from, for messages.
    pub(super) fn keys(&self) -> &'static str {
        match self {
            Auth::None => "catalog.token, catalog.oauth2 or catalog.headers",
            Auth::Token(_) => "catalog.token",
            Auth::OAuth2(_) => "catalog.oauth2",
            Auth::SigV4(_) => {
                "the AWS credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE or the machine's role) and catalog.sigv4.region"
            }
        }
    }

    /// The secret that was obtained at runtime, if there is one.
    pub(super) fn current_secret(&self) -> Option<Secret> {
        match self {
            Auth::OAuth2(oauth2) => oauth2.current(),
            _ => None,
        }
    }
}

fn bear(request: &mut Request, token: &Secret) -> Result<()> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| {
        Error::new(
            ErrorKind::Catalog,
            "the token holds characters that no header can carry",
        )
    })?;
    value.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, value);
    Ok(())
}
