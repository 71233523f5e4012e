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
    ids: HashMap<String, HashMap<String, Id>>,
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

    /// The id of each name, in their order, or why the database refuses that name. Asks the database only for names not
    /// met before, and writes only those that it does not have either.
    pub(crate) async fn ids(
        &mut self,
        client: &Client,
        names: &[Name<'_>],
    ) -> Result<Vec<Result<Id, String>>, DatabaseError> {
        let known = self.known(names);
        if known.len() == names.len() {
            return Ok(known);
        }
        let mut refused = BTreeMap::new();
        self.learn(client, self.select, names, &mut refused).await?;
        self.learn(client, self.insert, names, &mut refused).await?;
        // What another instance was inserting at the same time: the insert waited for it and skipped it.
        self.learn(client, self.select, names, &mut refused).await?;
        let id = |name: &Name<'_>| match (self.get(*name), refused.get(name)) {
            (Some(id), _) => Ok(Ok(id)),
            (None, Some(reason)) => Ok(Err(String::clone(reason))),
            (None, None) => Err(DatabaseError::Unexpected(format!("{name:?} was just inserted and is not there"))),
        };
        names.iter().map(id).collect()
    }

    /// The ids of the names up to the first unknown one. A name that comes several times in a row is looked up once.
    fn known(&self, names: &[Name<'_>]) -> Vec<Result<Id, String>> {
        let mut last: Option<(Name<'_>, Id)> = None;
        let mut known = Vec::with_capacity(names.len());
        for &name in names {
            let id = match last {
                Some((before, id)) if before == name => id,
                _ => match self.get(name) {
                    Some(id) => id,
                    None => break,
                },
            };
            last = Some((name, id));
            known.push(Ok(id));
        }
        known
    }

    fn get(&self, (first, second): Name<'_>) -> Option<Id> {
        self.ids.get(first)?.get(second).copied()
    }

    /// Runs a statement over the names that are not known yet; where the database refuses one of them, over each by
    /// itself, to find out which.
    async fn learn<'name>(
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
            ids.insert(row.try_get(2)?, row.try_get(0)?);
        }
        Ok(())
    }
}
