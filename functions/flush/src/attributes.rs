//! What records say of their targets and what does not stand in every row: URL, settings, certificate.
//!
//! It is stored by the transaction that stores the rows, so a record that is rejected says nothing, and one that is stored
//! has said all of it. A record delivered again says it again, which changes nothing.

use futures::join;
use shared::{Micros, record::Outcome, timestamp};
use tokio_postgres::{Client, Error};

use crate::{
    certificates::Certificates,
    row::Row,
    settings::Settings,
    urls::{self, UrlError, Urls},
};

/// What was said, as far as this connection has seen.
#[derive(Default)]
pub(crate) struct Attributes {
    urls: Urls,
    settings: Settings,
    certificates: Certificates,
    /// Whether another instance has changed URLs of the batch's monitors before it could end.
    are_contended: bool,
}

impl Attributes {
    /// What these rows say, and nothing else.
    pub(crate) fn only<'rows, 'record: 'rows>(&self, rows: impl IntoIterator<Item = &'rows Row<'record>>) -> Self {
        let mut attributes = Self { urls: self.urls.known(), are_contended: self.are_contended, ..Self::default() };
        attributes.see(rows);
        attributes
    }

    /// Learns the URLs that are stored, as far as they are not known.
    pub(crate) async fn learn(&mut self, client: &Client, rows: &[Row<'_>]) -> Result<(), Error> {
        self.urls.learn(client, rows).await
    }

    /// Another instance has changed URLs: this batch looks at them under their lock now, and so loses no second time.
    pub(crate) fn urls_changed(&mut self) {
        self.urls = Urls::default();
        self.are_contended = true;
    }

    /// Whether this is to be stored by [`store_under_lock`](Self::store_under_lock).
    pub(crate) fn are_contended(&self) -> bool {
        self.are_contended
    }

    /// What is known is not true any more.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Looks at what rows say, which are in the order of time. A slot that was missed says nothing: its URL only names a new
    /// monitor. A record that a clock dated that is wrong by far says its URL at most.
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

    /// Stores what is not known to be stored, at the end of the transaction of the rows. All of it is sent together, that of
    /// the URLs last: it waits for other batches.
    pub(crate) async fn store(&self, client: &Client) -> Result<(), UrlError> {
        let (certificates, settings, urls) =
            join!(self.certificates.store(client), self.settings.store(client), self.urls.store(client));
        certificates.and(settings)?;
        urls
    }

    /// The same for a batch of `rows` that lost to another instance: it learns the URLs when it holds their lock. The lock comes
    /// after those of hours, rows, settings and certificates, as for every other batch, so that they do not deadlock.
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

    /// The transaction is committed.
    pub(crate) fn stored(&mut self) {
        self.are_contended = false;
        self.urls.stored();
        self.settings.stored();
        self.certificates.stored();
    }
}

/// Whether a record may be of the time that it says: a late one may, one of the future may not.
fn is_plausible(row: &Row<'_>, now: Micros) -> bool {
    row.key.probed_at <= now.latest_plausible()
}
