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
    /// Those that are to be stored, each with when it was seen last, in an order in which two instances do not deadlock.
    changed: BTreeMap<(i32, Micros), Micros>,
}

impl Certificates {
    /// Looks at the certificate of a row.
    pub(crate) fn see(&mut self, row: &Row<'_>) {
        let Some(expires_at) = row.observation.record.certificate_expires_at.map(Micros::from) else { return };
        let target = row.key.target_id;
        if self.expires_at.get(&target) != Some(&expires_at) {
            self.expires_at.insert(target, expires_at);
            let seen = self.changed.entry((target, expires_at)).or_insert(row.key.probed_at);
            *seen = row.key.probed_at.max(*seen);
        }
    }

    /// Stores the certificates that are not the ones their targets showed before.
    pub(crate) async fn store(&self, client: &Client) -> Result<(), Error> {
        if self.changed.is_empty() {
            return Ok(());
        }
        let (keys, seen): (Vec<_>, Vec<_>) = self.changed.iter().map(|(key, seen)| (*key, *seen)).unzip();
        let (targets, expiries): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&targets, Type::INT4_ARRAY), (&expiries, Type::TIMESTAMPTZ_ARRAY), (&seen, Type::TIMESTAMPTZ_ARRAY)];
        client.execute_typed(include_str!("insert_certificates.sql"), &parameters).await.map(drop)
    }

    /// What was to be stored is.
    pub(crate) fn stored(&mut self) {
        self.changed.clear();
    }
}
