//! Echo requests and what comes back (RFC 792).

use std::net::Ipv4Addr;

/// What makes a reply ours: random, and new for every request.
pub(super) const TOKEN_OCTETS: usize = 16;
/// As long as what `ping` sends: some devices drop what looks odd.
pub(super) const ECHO_OCTETS: usize = 64;

const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
/// How we name "time to live exceeded" among the codes of "unreachable".
pub(super) const CODE_TIME_EXCEEDED: u8 = 255;

#[derive(Debug, Clone, Copy)]
pub(super) struct Echo {
    pub(super) identifier: u16,
    pub(super) seq: u16,
    pub(super) token: [u8; TOKEN_OCTETS],
}

/// An ICMP message that may concern us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    Echo {
        seq: u16,
        payload: &'a [u8],
    },
    /// An error about an echo request of ours.
    Error {
        /// Whom we had asked.
        about: Ipv4Addr,
        seq: u16,
        code: u8,
    },
}

impl Echo {
    pub(super) fn write(&self) -> [u8; ECHO_OCTETS] {
        let mut octets = [0; ECHO_OCTETS];
        octets[0] = ECHO_REQUEST;
        octets[4..6].copy_from_slice(&self.identifier.to_be_bytes());
        octets[6..8].copy_from_slice(&self.seq.to_be_bytes());
        octets[8..8 + TOKEN_OCTETS].copy_from_slice(&self.token);
        let sum = checksum(&octets);
        octets[2..4].copy_from_slice(&sum.to_be_bytes());
        octets
    }
}

/// Takes the IPv4 header off what a raw socket gives.
pub(super) fn without_ip_header(octets: &[u8]) -> Option<&[u8]> {
    let header = usize::from(octets.first()? & 0x0f) * 4;
    (octets[0] >> 4 == 4 && header >= 20).then(|| octets.get(header..))?
}

/// Reads an ICMP message. Only what answers the `identifier` is told.
pub(super) fn read(icmp: &[u8], identifier: u16) -> Option<Reply<'_>> {
    let (header, body) = icmp.split_first_chunk::<8>()?;
    match header[0] {
        ECHO_REPLY if header[1] == 0 && header[4..6] == identifier.to_be_bytes() => {
            Some(Reply::Echo {
                seq: u16::from_be_bytes([header[6], header[7]]),
                payload: body,
            })
        }
        kind @ (UNREACHABLE | TIME_EXCEEDED) => {
            let quoted = without_ip_header(body)?.first_chunk::<8>()?;
            if quoted[0] != ECHO_REQUEST || quoted[4..6] != identifier.to_be_bytes() {
                return None;
            }
            let about = Ipv4Addr::from(*body.get(16..20)?.first_chunk::<4>()?);
            let seq = u16::from_be_bytes([quoted[6], quoted[7]]);
            let code = if kind == TIME_EXCEEDED {
                CODE_TIME_EXCEEDED
            } else {
                header[1]
            };
            Some(Reply::Error { about, seq, code })
        }
        _ => None,
    }
}

/// RFC 1071, over whole words.
fn checksum(octets: &[u8; ECHO_OCTETS]) -> u16 {
    let (words, _) = octets.as_chunks::<2>();
    let mut sum: u32 = words
        .iter()
        .map(|&word| u32::from(u16::from_be_bytes(word)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded to 16 bits above")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO: Echo = Echo {
        identifier: 0xbeef,
        seq: 7,
        token: [0xa5; TOKEN_OCTETS],
    };

    /// What a router sends about a request of ours, as a raw socket sees it.
    fn error(kind: u8, code: u8) -> Vec<u8> {
        let mut octets = vec![kind, code, 0, 0, 0, 0, 0, 0];
        octets.extend([
            0x45, 0, 0, 84, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 192, 0, 2, 9,
        ]);
        octets.extend(&ECHO.write()[..8]);
        octets
    }

    #[test]
    fn a_reply_carries_back_what_was_sent() {
        let mut octets = ECHO.write();
        octets[0] = ECHO_REPLY;
        let reply = read(&octets, 0xbeef).unwrap();
        let Reply::Echo { seq: 7, payload } = reply else {
            panic!("{reply:?}")
        };
        assert!(payload.starts_with(&ECHO.token));
        assert_eq!(read(&octets, 0xbeee), None, "another's");
        assert_eq!(
            read(&ECHO.write(), 0xbeef),
            None,
            "our own request, seen on loopback"
        );
    }

    #[test]
    fn the_checksum_sums_to_nothing() {
        let (words, _) = ECHO
            .write()
            .as_chunks::<2>()
            .0
            .iter()
            .fold((0_u32, ()), |(sum, ()), &word| {
                (sum + u32::from(u16::from_be_bytes(word)), ())
            });
        assert_eq!((words & 0xffff) + (words >> 16), 0xffff);
    }

    #[test]
    fn an_error_is_told_with_whom_it_is_about() {
        let about = Ipv4Addr::new(192, 0, 2, 9);
        assert_eq!(
            read(&error(UNREACHABLE, 1), 0xbeef),
            Some(Reply::Error {
                about,
                seq: 7,
                code: 1
            })
        );
        let exceeded = Reply::Error {
            about,
            seq: 7,
            code: CODE_TIME_EXCEEDED,
        };
        assert_eq!(read(&error(TIME_EXCEEDED, 0), 0xbeef), Some(exceeded));
        assert_eq!(read(&error(UNREACHABLE, 1), 1), None);
    }
}
