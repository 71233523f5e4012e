//! What two or more of the functions need, and nothing else: the [`Record`] that travels from probe over Kafka to
//! flush, the reading of the environment, (feature `aws`) secrets and signatures, and (feature `postgres`) the database
//! connection and its schema.
//!
//! Data flows one way: probe → Kafka → flush → Postgres → stats. The functions depend on this crate and never on
//! each other.

#[cfg(feature = "aws")]
pub mod aws;
pub mod causes;
#[cfg(feature = "postgres")]
pub mod database;
pub mod env;
pub mod history;
pub mod micros;
#[cfg(feature = "postgres")]
pub mod migrations;
pub mod millis;
pub mod outcome;
pub mod record;
pub mod timestamp;
pub mod timing;

pub use micros::{Micros, Span};
pub use millis::Millis;
pub use record::Record;
