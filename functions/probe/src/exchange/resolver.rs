//! Names to addresses that may be connected to.

use std::{io, net::SocketAddr};

use super::egress::{Egress, Refused};

/// Why a name has no address to connect to.
#[derive(Debug)]
pub(super) enum ResolveError {
    /// The system's resolver found none.
    Dns(io::Error),
    /// One of its addresses may not be connected to.
    Blocked(Refused),
}

/// Resolves a name with the system's resolver. Refuses the name if one of its addresses is refused. The caller connects to
/// the addresses that are judged here and asks for the name no second time.
pub(super) async fn resolve(name: &str, port: u16, egress: &Egress) -> Result<Vec<SocketAddr>, ResolveError> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name, port)).await.map_err(ResolveError::Dns)?.collect();
    judged(addresses, egress).map_err(ResolveError::Blocked)
}

/// The very addresses, if each may be connected to: a name that leads elsewhere when it is asked again gains nothing.
pub(super) fn judged(addresses: Vec<SocketAddr>, egress: &Egress) -> Result<Vec<SocketAddr>, Refused> {
    addresses.iter().try_for_each(|address| egress.check(*address))?;
    Ok(addresses)
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
        assert_eq!(judged(public.clone(), &egress), Ok(public));
        for hidden in ["127.0.0.1:443", "169.254.169.254:443", "[::ffff:10.0.0.1]:443"] {
            assert!(judged(addresses(&["1.1.1.1:443", hidden]), &egress).is_err(), "{hidden}");
        }
    }
}
