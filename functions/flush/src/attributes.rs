//! Attributes of targets that records carry and rows do not: URL, settings, certificate.
//!
//! The transaction that stores the rows stores their attributes, too. A rejected record therefore changes no attribute, and a
//! stored record has set all of its attributes. A repeated delivery stores the same attributes again.

use futures::join;
use shared::{Micros, record::Outcome, timestamp};
use tokio_postgres::{Client, Error};

use crate::{
    certificates::Certificates,
    row::Row,
    settings::Settings,
    urls::{self, UrlError, Urls},
};

/// The attributes that this connection has read or written.
#[derive(Default)]
pub(crate) struct Attributes {
    urls: Urls,
    settings: Settings,
    certificates: Certificates,
    /// Whether another instance has changed URLs of the batch's monitors before it could end.
    are_contended: bool,
}

impl Attributes {
    /// Returns the attributes of these rows alone.
    pub(crate) fn only<'rows, 'record: 'rows>(&self, rows: impl IntoIterator<Item = &'rows Row<'record>>) -> Self {
        let mut attributes = Self { urls: self.urls.known(), are_contended: self.are_contended, ..Self::default() };
        attributes.see(rows);
        attributes
    }

    /// Reads the stored URLs of monitors that are not cached yet.
    pub(crate) async fn learn(&mut self, client: &Client, rows: &[Row<'_>]) -> Result<(), Error> {
        self.urls.learn(client, rows).await
    }

    /// Notes that another instance has changed URLs. The next attempt reads them under their lock, so it cannot lose again.
    pub(crate) fn urls_changed(&mut self) {
        self.urls = Urls::default();
        self.are_contended = true;
    }

    /// Whether the next attempt has to use [`store_under_lock`](Self::store_under_lock).
    pub(crate) fn are_contended(&self) -> bool {
        self.are_contended
    }

    /// Drops everything that is cached.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Collects the attributes of rows, which must be in the order of time. A missed slot has none: its URL only names a new
    /// monitor. A record that is dated ahead has only its URL.
    pub(crate) fn see<'rows, 'record: 'rows>(&mut self, rows: impl IntoIterator<Item = &'rows Row<'record>>) {
        let now = Micros::from(timestamp::now());
        for row in rows {
            self.urls.see(row);
            if row.observation.record.outcome() != Outcome::Missed && is_plausible(row, now) {
                self.settings.see(row);
                self.certificates.see(row);
            }
        }
    }

    /// Stores new attributes at the end of the transaction of the rows. All statements are sent together. Those of the URLs come
    /// last, because they wait for other batches.
    pub(crate) async fn store(&self, client: &Client) -> Result<(), UrlError> {
        let (certificates, settings, urls) =
            join!(self.certificates.store(client), self.settings.store(client), self.urls.store(client));
        certificates.and(settings)?;
        urls
    }

    /// Stores the attributes of a batch that lost to another instance: reads the URLs while it holds their lock. Every batch takes
    /// this lock after those of hours, rows, settings and certificates, so batches do not deadlock.
    pub(crate) async fn store_under_lock<'rows, 'record: 'rows>(
        &self,
        client: &Client,
        rows: impl Iterator<Item = &'rows Row<'record>> + Clone,
    ) -> Result<(), UrlError> {
        let (certificates, settings, locked) =
            join!(self.certificates.store(client), self.settings.store(client), urls::lock(client));
        certificates.and(settings)?;
        locked?;
        let mut urls = Urls::default();
        urls.learn(client, rows.clone()).await?;
        rows.for_each(|row| urls.see(row));
        urls.store(client).await
    }

    /// Notes that the transaction is committed.
    pub(crate) fn stored(&mut self) {
        self.are_contended = false;
        self.urls.stored();
        self.settings.stored();
        self.certificates.stored();
    }
}

/// Whether the clock that dated a record can be right: a record may be late, but not more than minutes ahead.
fn is_plausible(row: &Row<'_>, now: Micros) -> bool {
    row.key.probed_at <= now.latest_plausible()
}
