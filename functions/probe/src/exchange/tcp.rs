//! A TCP connection to the first address that answers (RFC 8305, "Happy Eyeballs").

use std::{collections::VecDeque, io, net::SocketAddr, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::{net::TcpStream, time::sleep};

/// How long an attempt goes on alone before the next address is tried as well (RFC 8305, section 5).
const NEXT_ATTEMPT: Duration = Duration::from_millis(250);

/// Connects to one of the addresses: to each in turn, a quarter of a second apart or as soon as one fails. The first
/// connection wins and the other attempts end.
///
/// # Errors
/// Every address failed; the error is that of the last one.
pub(super) async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = interleaved(addresses);
    let mut attempts = FuturesUnordered::new();
    let mut error = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    loop {
        if let Some(address) = waiting.pop_front() {
            attempts.push(TcpStream::connect(address));
        }
        if attempts.is_empty() {
            return Err(error);
        }
        let next = async {
            match waiting.is_empty() {
                true => std::future::pending().await,
                false => sleep(NEXT_ATTEMPT).await,
            }
        };
        tokio::select! {
            Some(connected) = attempts.next() => match connected {
                Ok(stream) => {
                    // The request is written at once and not held back for more.
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(failed) => error = failed,
            },
            () = next => {}
        }
    }
}

/// The addresses with their families in turn, in the order in which the resolver prefers them (RFC 8305, section 4).
fn interleaved(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let is_first_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == is_first_v6);
    let mut ordered = VecDeque::with_capacity(one.len() + other.len());
    while !(one.is_empty() && other.is_empty()) {
        ordered.extend(one.pop_front());
        ordered.extend(other.pop_front());
    }
    ordered
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn address_families_take_turns_in_the_order_of_the_resolver() {
        let resolved = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        assert_eq!(interleaved(resolved), addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
    }

    #[tokio::test]
    async fn connection_falls_back_to_the_next_address() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (open, closed) = (listener.local_addr().unwrap(), TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let refusing = closed.local_addr().unwrap();
        drop(closed);

        assert_eq!(connect(vec![refusing, open]).await.unwrap().peer_addr().unwrap(), open);
        assert_eq!(connect(vec![refusing]).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert!(connect(Vec::new()).await.is_err());
    }
}
