//! Where probe may connect to: the public internet. Whoever writes a URL must not thereby reach what only this function
//! can reach, such as the credentials of its role. Judged are addresses, after resolution and on every hop, never names:
//! a name that resolves to something else the second time, or a redirect, gets no further than a URL does.
//!
//! The ranges are those that IANA registers as special (RFC 6890 and its registries), and the forms in which an IPv6
//! address holds an IPv4 address, which is then judged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{Ipv4Net, Ipv6Net};

/// An address that is not connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {what}, which is not probed{remedy}")]
pub struct Refused {
    address: IpAddr,
    what: &'static str,
    remedy: &'static str,
}

/// What may be connected to.
#[derive(Debug, Clone, Default)]
pub struct Egress {
    /// `WM_ALLOW_PRIVATE_TARGETS`.
    allow_private: bool,
    /// The runtime API of Lambda, through which one could answer in the function's place.
    runtime_api: Option<SocketAddr>,
}

const V4: [(Ipv4Net, &str); 15] = [
    (v4(0, 0, 0, 0, 8), "this network"),
    (v4(10, 0, 0, 0, 8), "a private address"),
    (v4(100, 64, 0, 0, 10), "an address of carrier-grade NAT"),
    (v4(127, 0, 0, 0, 8), "a loopback address"),
    (v4(169, 254, 0, 0, 16), LINK_LOCAL),
    (v4(172, 16, 0, 0, 12), "a private address"),
    (v4(192, 0, 0, 0, 24), "an address of protocol assignments"),
    (v4(192, 0, 2, 0, 24), "a documentation address"),
    (v4(192, 88, 99, 0, 24), "a 6to4 relay"),
    (v4(192, 168, 0, 0, 16), "a private address"),
    (v4(198, 18, 0, 0, 15), "a benchmarking address"),
    (v4(198, 51, 100, 0, 24), "a documentation address"),
    (v4(203, 0, 113, 0, 24), "a documentation address"),
    (v4(224, 0, 0, 0, 4), "a multicast address"),
    (v4(240, 0, 0, 0, 4), "a reserved address"),
];

const V6: [(Ipv6Net, &str); 13] = [
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), "the unspecified address"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "a loopback address"),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "an address of local NAT64"),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "a discard address"),
    // Teredo is among these.
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "an address of protocol assignments"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "a documentation address"),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "a 6to4 address"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "a documentation address"),
    (v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16), "an address of segment routing"),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "a private address"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), LINK_LOCAL),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "a site-local address"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "a multicast address"),
];

/// Where clouds keep their metadata and credentials outside the link-local range: AWS over IPv6 (instances, pods), Google
/// over IPv6, Alibaba, Oracle.
const METADATA_V6: [Ipv6Net; 2] = [v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32), v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0], 32)];
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
/// Nothing but metadata and credentials of the cloud is to be found there.
const LINK_LOCAL: &str = "a link-local address";

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(parts: [u16; 8], length: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = parts;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length)
}

impl Egress {
    /// What may be connected to, with `allow_private` also what is private. Link-local addresses, where clouds keep their
    /// metadata and credentials, and the runtime API of Lambda (`AWS_LAMBDA_RUNTIME_API`) are refused in any case.
    #[must_use]
    pub fn new(allow_private: bool, runtime_api: Option<&str>) -> Self {
        // The local emulator has a path behind it.
        let runtime_api = runtime_api.and_then(|api| {
            let address = api.split('/').next()?;
            // By a name, it is on this machine.
            let of_port = || Some(SocketAddr::from((Ipv4Addr::LOCALHOST, address.rsplit_once(':')?.1.parse().ok()?)));
            address.parse().ok().or_else(of_port)
        });
        Self { allow_private, runtime_api }
    }

    /// Whether to connect to an address.
    ///
    /// # Errors
    /// What the address is.
    pub fn check(&self, address: SocketAddr) -> Result<(), Refused> {
        let ip = canonical(address.ip());
        let refuse = |what, remedy| Err(Refused { address: address.ip(), what, remedy });
        let is_here = |api: IpAddr| is_local(ip) || canonical(api) == ip;
        if self.runtime_api.is_some_and(|api| api.port() == address.port() && is_here(api.ip())) {
            return refuse("the runtime API of Lambda", "");
        }
        match special(ip) {
            None => Ok(()),
            Some(what) if what == LINK_LOCAL || is_metadata(ip) => refuse(what, ""),
            Some(_) if self.allow_private => Ok(()),
            Some(what) => refuse(what, "; WM_ALLOW_PRIVATE_TARGETS=true permits it"),
        }
    }
}

/// The range of special addresses that an address lies in.
fn special(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => V4.iter().find(|(range, _)| range.contains(&ip)).map(|(_, what)| *what),
        IpAddr::V6(ip) => V6.iter().find(|(range, _)| range.contains(&ip)).map(|(_, what)| *what),
    }
}

/// Whether a cloud has its metadata there, or a tunnel leads to where it has.
fn is_metadata(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => METADATA_V4.contains(&ip),
        IpAddr::V6(ip) => {
            let of_v4 = |ip| special(IpAddr::V4(ip)) == Some(LINK_LOCAL) || METADATA_V4.contains(&ip);
            METADATA_V6.iter().any(|range| range.contains(&ip)) || tunnelled(ip).is_some_and(of_v4)
        }
    }
}

/// The IPv4 address that a tunnel or a translator of one's own leads to: 6to4 (RFC 3056), Teredo (RFC 4380), NAT64 with the
/// local prefix (RFC 8215).
fn tunnelled(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, .., high, low] = ip.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b) {
        (0x2002, _) => Some(v4(b, c)),
        (0x2001, 0) => Some(v4(!high, !low)),
        (0x64, 0xff9b) => Some(v4(high, low)),
        _ => None,
    }
}

/// Loopback, and the unspecified address, which systems take for it.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified()
}

/// The IPv4 address that an IPv6 address holds: mapped and compatible (RFC 4291), translated (RFC 2765), NAT64 (RFC
/// 6052); or else the address itself.
fn canonical(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let [prefix @ .., high, low] = v6.segments();
    let holds_v4 = match prefix {
        [0, 0, 0, 0, 0, 0] => v6 != Ipv6Addr::LOCALHOST && v6 != Ipv6Addr::UNSPECIFIED,
        [0, 0, 0, 0, 0, 0xffff] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] => true,
        _ => false,
    };
    let [[a, b], [c, d]] = [high, low].map(u16::to_be_bytes);
    if holds_v4 { IpAddr::from([a, b, c, d]) } else { ip }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(egress: &Egress, ip: &str) -> Result<(), Refused> {
        egress.check(SocketAddr::new(ip.parse().unwrap(), 443))
    }

    #[test]
    fn the_public_internet_is_probed_and_nothing_else() {
        let egress = Egress::new(false, None);
        for public in [
            "1.1.1.1",
            "172.15.255.255",
            "172.32.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "169.253.255.255",
            "223.255.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "2606:4700::1111",
            "2a00::1",
            "2001:4860:4860::8888",
        ] {
            assert_eq!(check(&egress, public), Ok(()), "{public}");
        }
        for special in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "64:ff9b:1::1",
            "100::1",
            "2001:2::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fe90::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            // Forms that hold an IPv4 address.
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001:0:1:2:3:4:80ff:fffe",
            "::ffff:0:127.0.0.1",
        ] {
            assert!(check(&egress, special).is_err(), "{special}");
        }
        // Such forms of a public address are public.
        for public in ["::ffff:1.1.1.1", "64:ff9b::1.1.1.1"] {
            assert_eq!(check(&egress, public), Ok(()), "{public}");
        }
    }

    #[test]
    fn private_targets_can_be_permitted_but_not_metadata_nor_the_runtime_api() {
        let egress = Egress::new(true, Some("127.0.0.1:9001/probe"));
        for permitted in ["10.0.0.1", "127.0.0.1", "192.168.0.1", "fd12::1", "::1"] {
            assert_eq!(check(&egress, permitted), Ok(()), "{permitted}");
        }
        for refused in ["169.254.169.254", "169.254.170.2", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254"] {
            assert!(check(&egress, refused).is_err(), "{refused}");
        }
        // Metadata of other clouds and of pods, and tunnels that lead to it.
        for refused in [
            "fd00:ec2::23",
            "fd20:ce::254",
            "100.100.100.200",
            "192.0.0.192",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2001:0:4136:e378:8000:63bf:5601:5601",
        ] {
            assert!(check(&egress, refused).is_err(), "{refused}");
        }
        for local in ["127.0.0.1:9001", "127.1.2.3:9001", "0.0.0.0:9001", "[::1]:9001", "[::ffff:127.0.0.1]:9001"] {
            let error = egress.check(local.parse().unwrap()).unwrap_err().to_string();
            assert!(error.contains("runtime API"), "{error}");
        }
        for (api, address) in [("10.0.0.5:9001", "10.0.0.5:9001"), ("localhost:9001", "127.0.0.1:9001")] {
            let error = Egress::new(true, Some(api)).check(address.parse().unwrap()).unwrap_err().to_string();
            assert!(error.contains("runtime API"), "{error}");
        }
    }

    #[test]
    fn a_refusal_says_what_the_address_is_and_how_to_permit_it() {
        let error = check(&Egress::new(false, None), "10.1.2.3").unwrap_err().to_string();
        assert_eq!(
            error,
            "10.1.2.3 is a private address, which is not probed; WM_ALLOW_PRIVATE_TARGETS=true permits it"
        );
    }
}
