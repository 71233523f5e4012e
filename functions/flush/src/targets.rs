//! The dictionary of targets: a URL (and monitor) for each small number in `probes`.

use std::collections::{BTreeSet, HashMap};

use shared::{Record, database::DatabaseError};
use tokio_postgres::{Client, types::Type};

use crate::batch::Observation;

/// The ids learned so far. Targets are never deleted, so what was learned stays true.
#[derive(Default)]
pub(crate) struct Targets {
    ids: HashMap<String, i32>,
}

impl Targets {
    /// The id of each observation's target, in the order of the observations. Asks the database only for targets not
    /// met before, and writes only those that it does not have either.
    pub(crate) async fn ids(
        &mut self,
        client: &Client,
        observations: &[Observation],
    ) -> Result<Vec<i32>, DatabaseError> {
        let names: Vec<String> = observations.iter().map(|observation| name(&observation.record)).collect();
        self.learn(client, include_str!("select_targets.sql"), &names).await?;
        self.learn(client, include_str!("insert_targets.sql"), &names).await?;
        // What another instance was inserting at the same time: the insert waited for it and skipped it.
        self.learn(client, include_str!("select_targets.sql"), &names).await?;
        let known = |name: &String| self.ids.get(name).copied();
        names
            .iter()
            .map(known)
            .collect::<Option<_>>()
            .ok_or_else(|| DatabaseError::Unexpected("a target that was just inserted is not there".to_owned()))
    }

    /// Runs a statement over the names that are not known yet, in their order, so that two instances that insert the
    /// same ones wait for each other and do not deadlock.
    async fn learn(&mut self, client: &Client, statement: &str, names: &[String]) -> Result<(), DatabaseError> {
        let unknown: BTreeSet<_> = names.iter().filter(|name| !self.ids.contains_key(*name)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let (urls, monitors): (Vec<_>, Vec<_>) = unknown.iter().filter_map(|name| name.split_once('\0')).unzip();
        let parameters =
            [(&urls as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT_ARRAY), (&monitors, Type::TEXT_ARRAY)];
        for row in client.query_typed(statement, &parameters).await? {
            let (url, monitor): (&str, &str) = (row.try_get(1)?, row.try_get(2)?);
            self.ids.insert(format!("{url}\0{monitor}"), row.try_get(0)?);
        }
        Ok(())
    }
}

/// URL and monitor as one key; neither can contain the NUL between them.
fn name(record: &Record) -> String {
    format!("{}\0{}", record.url, record.monitor.as_deref().unwrap_or_default())
}
