//! The whole pipeline on one machine, of real parts: Postgres, Apache Kafka and `cargo lambda watch` as child
//! processes, and the two AWS services that have no local form, the schedule and the Kafka event source.
//!
//! `cargo local` (in `local/`) runs it for people, the tests (in `pipeline/`) use the same parts.

pub mod authority;
pub mod event_source;
pub mod front;
pub mod functions;
pub mod instance;
pub mod kafka;
pub mod lock;
pub mod pgbouncer;
pub mod postgres;
pub mod progress;
pub mod proxy;
pub mod rebuild;
pub mod repair;
pub mod schedule;
pub mod service;
pub mod stack;
pub mod storm;
pub mod tools;
pub mod website;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

/// Ports that systems give to nobody who connects: one of those might be taken before a server that takes its time to start
/// listens there.
const UNUSED_PORTS: std::ops::Range<u16> = 10_240..32_768;

/// The root of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// A port of 127.0.0.1 that nobody listens on at the moment.
///
/// # Errors
/// The system has none left.
pub fn free_port() -> std::io::Result<u16> {
    free_ports().map(|[port]| port)
}

/// Several of them, which are different.
///
/// # Errors
/// The system has not so many left.
pub fn free_ports<const COUNT: usize>() -> std::io::Result<[u16; COUNT]> {
    let mut ports = [0; COUNT];
    let mut held = Vec::with_capacity(COUNT);
    for port in &mut ports {
        let listener = (0..1_000)
            .find_map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, fastrand::u16(UNUSED_PORTS))).ok())
            .ok_or(std::io::ErrorKind::AddrInUse)?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// The loopback address that `cargo lambda invoke` calls when it is not told another, `::1`, or 127.0.0.1 on a machine
/// without IPv6; with `port`, or a free one where that is taken.
///
/// # Errors
/// The system has no port left.
pub fn invoke_address(port: u16) -> std::io::Result<SocketAddr> {
    let ip = match TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => IpAddr::from(Ipv6Addr::LOCALHOST),
        Err(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
    };
    let listener = TcpListener::bind((ip, port)).or_else(|_| TcpListener::bind((ip, 0)))?;
    listener.local_addr()
}
