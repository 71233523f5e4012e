//! The dictionaries: a small number in `probes` for each target, and for each location.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use shared::database::{DatabaseError, causes, is_about_data};
use tokio_postgres::{
    Client, Error,
    types::{FromSqlOwned, ToSql, Type},
};

/// What stands in a dictionary: URL and monitor of a target; name and nothing of a location.
pub(crate) type Name<'name> = (&'name str, &'name str);

/// The ids learned so far. Nothing is ever deleted from a dictionary, so what was learned stays true.
pub(crate) struct Dictionary<Id> {
    select: &'static str,
    insert: &'static str,
    /// By the first part of the name, then by the second: so looking one up copies neither.
    ids: HashMap<String, Vec<(String, Id)>>,
}

/// The targets: URL and monitor.
pub(crate) fn targets() -> Dictionary<i32> {
    Dictionary::new(include_str!("select_targets.sql"), include_str!("insert_targets.sql"))
}

/// The locations: name and nothing.
pub(crate) fn locations() -> Dictionary<i16> {
    Dictionary::new(include_str!("select_locations.sql"), include_str!("insert_locations.sql"))
}

impl<Id: FromSqlOwned + Copy> Dictionary<Id> {
    fn new(select: &'static str, insert: &'static str) -> Self {
        Self { select, insert, ids: HashMap::new() }
    }

    /// Learns the ids of names not met before. Asks the database for them, and writes only those that it does not have.
    /// Returns the names that it refuses, each with the reason; all others are known from here on.
    pub(crate) async fn learn<'name>(
        &mut self,
        client: &Client,
        names: &[Name<'name>],
    ) -> Result<BTreeMap<Name<'name>, String>, DatabaseError> {
        let mut refused = BTreeMap::new();
        self.ask(client, self.select, names, &mut refused).await?;
        self.ask(client, self.insert, names, &mut refused).await?;
        // What another instance was inserting at the same time: the insert waited for it and skipped it.
        self.ask(client, self.select, names, &mut refused).await?;
        match names.iter().find(|name| self.get(**name).is_none() && !refused.contains_key(*name)) {
            Some(name) => Err(DatabaseError::Unexpected(format!("{name:?} was just inserted and is not there"))),
            None => Ok(refused),
        }
    }

    /// The id of a name, if that is known.
    pub(crate) fn get(&self, (first, second): Name<'_>) -> Option<Id> {
        self.ids.get(first)?.iter().find(|(name, _)| name == second).map(|(_, id)| *id)
    }

    /// Runs a statement over the names that are not known yet; where the database refuses one of them, over each by
    /// itself, to find out which.
    async fn ask<'name>(
        &mut self,
        client: &Client,
        statement: &str,
        names: &[Name<'name>],
        refused: &mut BTreeMap<Name<'name>, String>,
    ) -> Result<(), DatabaseError> {
        let unknown = |name: &&Name<'name>| self.get(**name).is_none() && !refused.contains_key(*name);
        // In their order, so that two instances that insert the same ones wait for each other and do not deadlock.
        let unknown: Vec<_> = names.iter().filter(unknown).copied().collect::<BTreeSet<_>>().into_iter().collect();
        match self.query(client, statement, &unknown).await {
            Err(error) if is_about_data(&error) => {
                for name in unknown {
                    match self.query(client, statement, &[name]).await {
                        Err(error) if is_about_data(&error) => {
                            refused.insert(name, causes(&error));
                        }
                        result => result?,
                    }
                }
            }
            result => result?,
        }
        Ok(())
    }

    async fn query(&mut self, client: &Client, statement: &str, names: &[Name<'_>]) -> Result<(), Error> {
        if names.is_empty() {
            return Ok(());
        }
        let (firsts, seconds): (Vec<_>, Vec<_>) = names.iter().copied().unzip();
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&firsts, Type::TEXT_ARRAY), (&seconds, Type::TEXT_ARRAY)];
        for row in client.query_typed(statement, &parameters).await? {
            let ids = self.ids.entry(row.try_get(1)?).or_default();
            let second = row.try_get(2)?;
            if !ids.iter().any(|(name, _)| *name == second) {
                ids.push((second, row.try_get(0)?));
            }
        }
        Ok(())
    }
}
