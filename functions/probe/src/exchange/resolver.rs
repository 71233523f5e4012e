//! Names to addresses that may be connected to.

use std::{net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{clock::Clock, egress::Egress};

/// The system's resolver, timed. It refuses a name as soon as one of its addresses is refused, and hands on the addresses
/// that it has judged, so that nothing else is connected to.
pub(super) struct Resolver {
    pub(super) clock: Arc<Clock>,
    pub(super) egress: Arc<Egress>,
    pub(super) port: u16,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (clock, egress, port) = (Arc::clone(&self.clock), Arc::clone(&self.egress), self.port);
        Box::pin(async move {
            clock.resolving();
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), port)).await?.collect();
            clock.resolved();
            addresses.iter().try_for_each(|address| egress.check(*address))?;
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}
