//! The probe's own addresses and networks, and its way out.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

/// Addresses of this machine.
#[must_use]
pub fn addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .collect()
}

/// Networks that this machine is in: those of interfaces that are up, without loopback.
#[must_use]
pub fn networks() -> Vec<Ipv4Net> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    interfaces
        .filter(|interface| {
            use nix::net::if_::InterfaceFlags as Flags;
            interface.flags.contains(Flags::IFF_UP)
                && !interface.flags.contains(Flags::IFF_LOOPBACK)
        })
        .filter_map(|interface| {
            let address = interface.address?.as_sockaddr_in()?.ip();
            let mask = interface.netmask?.as_sockaddr_in()?.ip();
            Ipv4Net::with_netmask(address, mask).ok()
        })
        .collect()
}

/// The default gateway, from `/proc/net/route`.
#[must_use]
pub fn gateway() -> Option<IpAddr> {
    parse_gateway(&std::fs::read_to_string("/proc/net/route").ok()?)
}

pub(crate) fn parse_gateway(table: &str) -> Option<IpAddr> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (destination, gateway) = (fields.get(1)?, fields.get(2)?);
        if *destination != "00000000" {
            return None;
        }
        // The kernel prints the address as it lies in memory.
        let number = u32::from_str_radix(gateway, 16).ok()?;
        (number != 0).then(|| IpAddr::V4(Ipv4Addr::from(number.to_ne_bytes())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_gateway_is_read_from_the_kernels_table() {
        let table = "Iface\tDestination\tGateway \tFlags\n\
                     eth0\t0000A8C0\t00000000\t0001\n\
                     eth0\t00000000\t0100A8C0\t0003\n";
        assert_eq!(parse_gateway(table), Some("192.168.0.1".parse().unwrap()));
        assert_eq!(parse_gateway("Iface\n"), None);
    }
}
