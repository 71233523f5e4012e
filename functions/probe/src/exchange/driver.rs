//! Runs a connection within the task of its exchange: no task is spawned, so none outlives the exchange.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
};

use futures::{FutureExt as _, future::select};

/// The future of a connection, which reads and writes while its request is awaited.
pub(super) struct Driver(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Driver {
    pub(super) fn new(connection: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Some(Box::pin(connection)))
    }

    /// Runs `work` along with the connection, and no longer than that.
    pub(super) fn join(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(connection) = self.0.take() {
            self.0 = Some(Box::pin(select(connection, Box::pin(work)).map(drop)));
        }
    }

    /// Awaits `work`, which needs the connection to make progress. A connection that ends leaves its error to `work`.
    pub(super) async fn drive<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            loop {
                if let Poll::Ready(done) = work.as_mut().poll(context) {
                    return Poll::Ready(done);
                }
                let Some(connection) = &mut self.0 else { return Poll::Pending };
                if connection.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.0 = None;
            }
        })
        .await
    }

    /// Lets a connection without further use say goodbye, without waiting for it.
    pub(super) fn finish(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.now_or_never();
        }
    }
}
