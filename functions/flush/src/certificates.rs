//! The certificates that targets show, kept apart from the probes: they change once in months and outlive the rows.

use std::collections::{BTreeMap, HashMap};

use shared::Micros;
use tokio_postgres::{
    Client, Error,
    types::{ToSql, Type},
};

use crate::row::Row;

/// What each target showed last, as far as this connection has seen.
#[derive(Default)]
pub(crate) struct Certificates {
    expires_at: HashMap<i32, Micros>,
}

impl Certificates {
    /// Stores the certificates of these rows that are not the ones their targets showed before.
    pub(crate) async fn store(&mut self, client: &Client, rows: &[Row<'_>]) -> Result<(), Error> {
        // One of each, the one seen last, in an order in which two instances do not deadlock.
        let mut changed = BTreeMap::new();
        for row in rows {
            let Some(expires_at) = row.observation.record.certificate_expires_at.map(Micros::from) else { continue };
            if self.expires_at.insert(row.key.target_id, expires_at) != Some(expires_at) {
                changed.insert((row.key.target_id, expires_at), row.key.probed_at);
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        let (keys, seen): (Vec<_>, Vec<_>) = changed.into_iter().unzip();
        let (targets, expiries): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&targets, Type::INT4_ARRAY), (&expiries, Type::TIMESTAMPTZ_ARRAY), (&seen, Type::TIMESTAMPTZ_ARRAY)];
        client.execute_typed(include_str!("insert_certificates.sql"), &parameters).await.map(drop)
    }
}
