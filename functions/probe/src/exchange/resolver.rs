//! Names to addresses that may be connected to.

use std::{net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{
    clock::Clock,
    egress::{Egress, Refused},
};

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
            Ok(judged(addresses, &egress)?)
        })
    }
}

/// The very addresses, if each may be connected to: a name that leads elsewhere when it is asked again gains nothing.
fn judged(addresses: Vec<SocketAddr>, egress: &Egress) -> Result<Addrs, Refused> {
    addresses.iter().try_for_each(|address| egress.check(*address))?;
    Ok(Box::new(addresses.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_name_is_refused_for_any_of_its_addresses_and_nothing_else_is_handed_on() {
        let egress = Egress::new(false, None);
        let public = addresses(&["1.1.1.1:443", "[2606:4700::1111]:443"]);
        assert_eq!(judged(public.clone(), &egress).ok().unwrap().collect::<Vec<_>>(), public);
        for hidden in ["127.0.0.1:443", "169.254.169.254:443", "[::ffff:10.0.0.1]:443"] {
            assert!(judged(addresses(&["1.1.1.1:443", hidden]), &egress).is_err(), "{hidden}");
        }
    }
}
