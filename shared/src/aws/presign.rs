//! Requests that are signed and never sent: the signature shows who asks, for some minutes, and stands in for a password
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>).

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::{Credentials, provider::ProvideCredentials as _};
use aws_sdk_secretsmanager::error::DisplayErrorContext;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4::SigningParams,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// For how long a signature counts: the most that RDS and MSK take.
pub const VALID_FOR: Duration = Duration::from_secs(900);

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum PresignError {
    /// There is nobody to sign for.
    #[error("there are no credentials of AWS: {0}")]
    Credentials(String),
    /// There is no region to sign for.
    #[error("AWS_REGION is not set: expected the region of the service")]
    Region,
    /// The request is none.
    #[error("cannot sign: {0}")]
    Sign(String),
}

/// Who signs, and where.
#[derive(Debug, Clone)]
pub struct Signer {
    /// Of the role of the function.
    pub credentials: Credentials,
    /// Such as `eu-west-1`.
    pub region: String,
}

impl Signer {
    /// Who this process is to AWS.
    ///
    /// # Errors
    /// There are no credentials, or there is no region.
    pub async fn from_sdk(sdk: &SdkConfig) -> Result<Self, PresignError> {
        let region = sdk.region().ok_or(PresignError::Region)?.to_string();
        let provider = sdk.credentials_provider().ok_or_else(|| PresignError::Credentials("no provider".to_owned()))?;
        let credentials = provider.provide_credentials().await;
        let credentials =
            credentials.map_err(|error| PresignError::Credentials(DisplayErrorContext(error).to_string()))?;
        Ok(Self { credentials, region })
    }

    /// `url` with the signature of `service` in its query, made at `now` and good for [`VALID_FOR`].
    ///
    /// # Errors
    /// The URL is none.
    pub fn presign(&self, service: &str, url: &str, now: SystemTime) -> Result<String, PresignError> {
        let problem = |error: &dyn std::fmt::Display| PresignError::Sign(error.to_string());
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(VALID_FOR);
        let identity = self.credentials.clone().into();
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(now)
            .settings(settings)
            .build()
            .map_err(|error| problem(&error))?;
        let request = SignableRequest::new("GET", url, std::iter::empty(), SignableBody::empty());
        let signed = sign(request.map_err(|error| problem(&error))?, &parameters.into());
        let (instructions, _) = signed.map_err(|error| problem(&error))?.into_parts();
        let encode = |(name, value): &(&str, std::borrow::Cow<'_, str>)| format!("&{name}={}", percent_encoded(value));
        Ok(format!("{url}{}", instructions.params().iter().map(encode).collect::<String>()))
    }
}

/// What stays as it is where signatures are reckoned (RFC 3986, 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A value as it stands in a URL that is signed.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}
