//! The dictionaries: a small number in `probes` for each target, and for each location.

use std::collections::{BTreeMap, HashMap};

use shared::{
    database::{DatabaseError, causes, is_about_data},
    record::Record,
};
use tokio_postgres::{
    Client, Error,
    types::{FromSqlOwned, ToSql, Type},
};

/// Names to look up, each with the second column of a new entry.
pub(crate) type Names<'name> = BTreeMap<&'name str, &'name str>;
/// The names that the database refuses, each with the reason.
pub(crate) type Refused<'name> = BTreeMap<&'name str, String>;

/// The ids learned so far. Nothing is ever deleted from a dictionary, so what was learned stays true.
pub(crate) struct Dictionary<Id> {
    select: &'static str,
    insert: &'static str,
    ids: HashMap<String, Id>,
}

/// The targets: monitors by their ids, and for records without one, URLs.
pub(crate) struct Targets {
    pub(crate) monitors: Dictionary<i32>,
    pub(crate) urls: Dictionary<i32>,
}

impl Default for Targets {
    fn default() -> Self {
        Self {
            monitors: Dictionary::new(include_str!("select_monitors.sql"), include_str!("insert_monitors.sql")),
            urls: Dictionary::new(include_str!("select_urls.sql"), include_str!("insert_urls.sql")),
        }
    }
}

impl Targets {
    /// Returns the cached id of a record's target.
    pub(crate) fn get(&self, record: &Record) -> Option<i32> {
        match monitor(record) {
            Some(monitor) => self.monitors.get(monitor),
            None => self.urls.get(&record.url),
        }
    }
}

/// The monitor that names the target of a record; none where its URL does.
pub(crate) fn monitor(record: &Record) -> Option<&str> {
    record.monitor.as_deref().filter(|monitor| !monitor.is_empty())
}

/// The locations, by their names.
pub(crate) fn locations() -> Dictionary<i16> {
    Dictionary::new(include_str!("select_locations.sql"), include_str!("insert_locations.sql"))
}

impl<Id: FromSqlOwned + Copy> Dictionary<Id> {
    fn new(select: &'static str, insert: &'static str) -> Self {
        Self { select, insert, ids: HashMap::new() }
    }

    /// Learns the ids of names not met before. Asks the database for them, and writes only those that it does not have.
    /// Returns the names that it refuses; all others are known from here on.
    pub(crate) async fn learn<'name>(
        &mut self,
        client: &Client,
        names: &Names<'name>,
    ) -> Result<Refused<'name>, DatabaseError> {
        let mut refused = Refused::new();
        self.ask(client, self.select, names, &mut refused).await?;
        self.ask(client, self.insert, names, &mut refused).await?;
        // What another instance was inserting at the same time: the insert waited for it and skipped it.
        self.ask(client, self.select, names, &mut refused).await?;
        match names.keys().find(|name| self.get(name).is_none() && !refused.contains_key(*name)) {
            Some(name) => Err(DatabaseError::Unexpected(format!("{name:?} was just inserted and is not there"))),
            None => Ok(refused),
        }
    }

    /// Returns the cached id of a name.
    pub(crate) fn get(&self, name: &str) -> Option<Id> {
        self.ids.get(name).copied()
    }

    /// Runs a statement over the names that are not known yet; where the database refuses one of them, over each by
    /// itself, to find out which.
    async fn ask<'name>(
        &mut self,
        client: &Client,
        statement: &str,
        names: &Names<'name>,
        refused: &mut Refused<'name>,
    ) -> Result<(), DatabaseError> {
        // In their order, so that two instances that insert the same ones wait for each other and do not deadlock.
        let unknown = |name: &str| self.get(name).is_none() && !refused.contains_key(name);
        let unknown: Vec<_> =
            names.iter().filter(|(name, _)| unknown(name)).map(|(name, with)| (*name, *with)).collect();
        match self.query(client, statement, &unknown).await {
            Err(error) if is_about_data(&error) => {
                for name in unknown {
                    match self.query(client, statement, &[name]).await {
                        Err(error) if is_about_data(&error) => {
                            refused.insert(name.0, causes(&error));
                        }
                        result => result?,
                    }
                }
            }
            result => result?,
        }
        Ok(())
    }

    async fn query(&mut self, client: &Client, statement: &str, names: &[(&str, &str)]) -> Result<(), Error> {
        if names.is_empty() {
            return Ok(());
        }
        let (names, with): (Vec<_>, Vec<_>) = names.iter().copied().unzip();
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&names, Type::TEXT_ARRAY), (&with, Type::TEXT_ARRAY)];
        for row in client.query_typed(statement, &parameters).await? {
            self.ids.insert(row.try_get(1)?, row.try_get(0)?);
        }
        Ok(())
    }
}
