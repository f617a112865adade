//! What comes back to an echo request, with or without its IP header.

use farwatch_shared::fuzz::Target;

use super::packet::{CODE_TIME_EXCEEDED, Echo, Reply, TOKEN_OCTETS, read, without_ip_header};

/// ICMP.
pub const TARGETS: &[Target] = &[Target::new("icmp", icmp, examples).longest(1_500)];

const IDENTIFIER: u16 = 0xbeef;

fn examples() -> Vec<Vec<u8>> {
    let echo = Echo {
        identifier: IDENTIFIER,
        seq: 7,
        token: [0xa5; TOKEN_OCTETS],
    }
    .write();
    let mut reply = echo.to_vec();
    reply[0] = 0;
    let header = [
        0x45, 0, 0, 84, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 192, 0, 2, 9,
    ];
    let error = |kind| {
        let head = [kind, 1, 0, 0, 0, 0, 0, 0];
        [&head[..], &header, &echo[..8]].concat()
    };
    let with_header = [&header[..], &reply].concat();
    vec![reply, error(3), error(11), with_header]
}

fn icmp(octets: &[u8]) -> bool {
    let bare = read(octets, IDENTIFIER);
    if let Some(Reply::Echo { payload, .. }) = &bare {
        assert_eq!(payload.len(), octets.len() - 8);
    }
    if let Some(Reply::Error { code, .. }) = &bare {
        assert!(octets[0] == 3 || *code == CODE_TIME_EXCEEDED);
    }
    bare.is_some() || without_ip_header(octets).is_some_and(|icmp| read(icmp, IDENTIFIER).is_some())
}
