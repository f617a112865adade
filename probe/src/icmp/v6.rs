//! Single pings over IPv6, by `surge-ping`.

use std::{
    io,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use surge_ping::{Config, ICMP, IcmpPacket, PingIdentifier, PingSequence, SurgeError};
use tokio::time::Instant;

use super::PingOutcome;

pub(super) struct Client(surge_ping::Client);

/// "Echo reply" of version 6 (RFC 4443 §4.2).
const ECHO_REPLY: u8 = 129;

impl Client {
    pub(super) fn open() -> io::Result<Self> {
        surge_ping::Client::new(&Config::builder().kind(ICMP::V6).build()).map(Self)
    }

    /// An ICMP error is no answer, though the library gives it as one: then it is asked again while there is time.
    pub(super) async fn ping(&self, address: Ipv6Addr, timeout: Duration) -> PingOutcome {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return PingOutcome::Timeout;
            }
            let mut pinger = self
                .0
                .pinger(IpAddr::V6(address), PingIdentifier(rand::random()))
                .await;
            let seq = PingSequence(rand::random());
            match pinger
                .timeout(left)
                .ping(seq, &rand::random::<[u8; 32]>())
                .await
            {
                Ok((IcmpPacket::V6(reply), rtt)) if reply.get_icmpv6_type().0 == ECHO_REPLY => {
                    return PingOutcome::Reply { rtt };
                }
                Ok(_) => tokio::time::sleep_until(deadline.min(Instant::now() + AGAIN)).await,
                Err(SurgeError::IOError(error)) => {
                    return PingOutcome::NotSent {
                        errno: error.raw_os_error().unwrap_or_default(),
                    };
                }
                Err(SurgeError::IdenticalRequests { .. }) => {} // another number, then
                Err(_) => return PingOutcome::Timeout,
            }
        }
    }
}

/// After an error, so that a chatty router does not make us send without end.
const AGAIN: Duration = Duration::from_millis(200);
