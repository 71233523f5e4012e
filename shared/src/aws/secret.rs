//! Secrets of AWS Secrets Manager, read when they are needed: what was rotated is found, and nothing secret lies in the
//! configuration of a function.

use aws_config::Region;
use aws_sdk_secretsmanager::{Client, config::Builder};
use serde_json::Value;

use crate::causes::causes;

/// Why a secret cannot be used. Names the variable that leads to it, and nothing of what is in it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the secret of {variable} ({arn}) {reason}")]
pub struct SecretError {
    /// The variable that names the secret.
    pub variable: &'static str,
    /// The secret.
    pub arn: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A secret that a variable names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The variable, for messages.
    pub variable: &'static str,
    /// Its ARN.
    pub arn: String,
}

impl Secret {
    /// The text of the secret, as it is now.
    ///
    /// # Errors
    /// It cannot be read, or is not a text.
    pub async fn read(&self) -> Result<String, SecretError> {
        let mut settings = Builder::from(&super::sdk().await);
        // arn:aws:secretsmanager:REGION:…
        if let Some(region) = self.arn.split(':').nth(3).filter(|region| !region.is_empty()) {
            settings.set_region(Some(Region::new(region.to_owned())));
        }
        let client = Client::from_conf(settings.build());
        let answer = client.get_secret_value().secret_id(&self.arn).send().await;
        let answer = answer.map_err(|error| self.error(format!("cannot be read: {}", causes(&error))))?;
        answer.secret_string.ok_or_else(|| self.error("has no text".to_owned()))
    }

    /// The secret as an object of texts (numbers count as such), as RDS and the Kafka triggers of Lambda have it.
    ///
    /// # Errors
    /// It cannot be read, or is not such an object.
    pub async fn read_fields(&self) -> Result<Fields, SecretError> {
        self.fields(&self.read().await?)
    }

    /// Certificates: PEM as it is, or in the field `certificate`, as the Kafka triggers of Lambda have it.
    ///
    /// # Errors
    /// It cannot be read, or has no certificate.
    pub async fn read_certificates(&self) -> Result<String, SecretError> {
        let text = self.read().await?;
        let text = if text.trim_start().starts_with('{') { self.fields(&text)?.take("certificate")? } else { text };
        if text.contains("-----BEGIN CERTIFICATE-----") {
            return Ok(text);
        }
        Err(self.error("has no certificate: expected PEM, as it is or in the field \"certificate\"".to_owned()))
    }

    /// Takes a text apart that [`Secret::read`] returned.
    ///
    /// # Errors
    /// It is not an object.
    pub fn fields(&self, text: &str) -> Result<Fields, SecretError> {
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(Fields { secret: self.clone(), fields }),
            _ => Err(self.error("is not a JSON object".to_owned())),
        }
    }

    /// An error about this secret.
    #[must_use]
    pub fn error(&self, reason: String) -> SecretError {
        SecretError { variable: self.variable, arn: self.arn.clone(), reason }
    }
}

/// The fields of a secret.
pub struct Fields {
    secret: Secret,
    fields: serde_json::Map<String, Value>,
}

impl Fields {
    /// The value of a field that has to be there.
    ///
    /// # Errors
    /// It is not, or is empty.
    pub fn take(&mut self, name: &str) -> Result<String, SecretError> {
        self.optional(name).ok_or_else(|| self.secret.error(format!("has no field {name:?}")))
    }

    /// The value of a field that may be missing.
    pub fn optional(&mut self, name: &str) -> Option<String> {
        match self.fields.remove(name)? {
            Value::String(text) if !text.is_empty() => Some(text),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_variable_and_nothing_of_the_secret() {
        let secret = Secret { variable: "WM_DB_SECRET_ARN", arn: "arn:aws:secretsmanager:r:a:secret:s".to_owned() };

        let error = secret.fields("hunter2").err().unwrap().to_string();
        assert_eq!(error, "the secret of WM_DB_SECRET_ARN (arn:aws:secretsmanager:r:a:secret:s) is not a JSON object");
        let mut fields = secret.fields(r#"{"username": "u", "port": 5432, "password": ""}"#).unwrap();
        assert_eq!((fields.take("username").unwrap(), fields.optional("port")), ("u".to_owned(), Some("5432".into())));
        assert!(fields.take("password").unwrap_err().to_string().contains("has no field \"password\""));
    }
}
