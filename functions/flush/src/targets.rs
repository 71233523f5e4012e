//! The dictionary of targets: a URL (and monitor) for each small number in `probes`.

use std::collections::{BTreeSet, HashMap};

use shared::{
    Record,
    database::{DatabaseError, causes, is_about_data},
};
use tokio_postgres::{
    Client, Error,
    types::{ToSql, Type},
};

use crate::batch::Observation;

/// The ids learned so far. Targets are never deleted, so what was learned stays true.
#[derive(Default)]
pub(crate) struct Targets {
    ids: HashMap<String, i32>,
}

impl Targets {
    /// The id of each observation's target, in the order of the observations, or why the database refuses that target.
    /// Asks the database only for targets not met before, and writes only those that it does not have either.
    pub(crate) async fn ids(
        &mut self,
        client: &Client,
        observations: &[Observation],
    ) -> Result<Vec<Result<i32, String>>, DatabaseError> {
        let names: Vec<String> = observations.iter().map(|observation| name(&observation.record)).collect();
        let mut refused = HashMap::new();
        self.learn(client, include_str!("select_targets.sql"), &names, &mut refused).await?;
        self.learn(client, include_str!("insert_targets.sql"), &names, &mut refused).await?;
        // What another instance was inserting at the same time: the insert waited for it and skipped it.
        self.learn(client, include_str!("select_targets.sql"), &names, &mut refused).await?;
        let id = |name| match (self.ids.get(name), refused.get(name)) {
            (Some(id), _) => Ok(Ok(*id)),
            (None, Some(reason)) => Ok(Err(reason.clone())),
            (None, None) => Err(DatabaseError::Unexpected("a target that was just inserted is not there".to_owned())),
        };
        names.iter().map(id).collect()
    }

    /// Runs a statement over the names that are not known yet; where the database refuses one of them, over each by
    /// itself, to find out which.
    async fn learn(
        &mut self,
        client: &Client,
        statement: &str,
        names: &[String],
        refused: &mut HashMap<String, String>,
    ) -> Result<(), DatabaseError> {
        let unknown = |name: &&String| !self.ids.contains_key(*name) && !refused.contains_key(*name);
        // In their order, so that two instances that insert the same ones wait for each other and do not deadlock.
        let unknown: Vec<&String> = names.iter().filter(unknown).collect::<BTreeSet<_>>().into_iter().collect();
        match self.query(client, statement, &unknown).await {
            Err(error) if is_about_data(&error) => {
                for name in unknown {
                    match self.query(client, statement, &[name]).await {
                        Err(error) if is_about_data(&error) => {
                            refused.insert(name.clone(), causes(&error));
                        }
                        result => result?,
                    }
                }
            }
            result => result?,
        }
        Ok(())
    }

    async fn query(&mut self, client: &Client, statement: &str, names: &[&String]) -> Result<(), Error> {
        if names.is_empty() {
            return Ok(());
        }
        let (urls, monitors): (Vec<_>, Vec<_>) = names.iter().filter_map(|name| name.split_once('\0')).unzip();
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&urls, Type::TEXT_ARRAY), (&monitors, Type::TEXT_ARRAY)];
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
