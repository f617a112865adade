//! What a pretend device answers: a switch of some interfaces, all from its address and the time.

use std::net::Ipv4Addr;

use farwatch_shared::oid::Oid;

/// All rows of a device, sorted; the same for every device, only their values differ.
#[derive(Debug)]
pub(crate) struct Mib {
    rows: Vec<(Oid, Cell)>,
}

/// What stands in a row.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    /// The same for every device.
    Fixed(u8, Vec<u8>),
    /// Hundredths of a second since the device started.
    Uptime,
    /// `name-` and the device's number.
    Name(&'static str),
    /// Six octets of its own, and the interface.
    Mac(u8),
    /// A counter of so many bits, on this interface, growing by about so much a second.
    Counter {
        /// Its BER tag.
        tag: u8,
        /// Which interface.
        port: u32,
        /// Units a second.
        per_s: u32,
    },
}

/// A device at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Device {
    /// Whose.
    pub(crate) address: Ipv4Addr,
    /// Milliseconds since the responder started.
    pub(crate) ms: u64,
}

const INTEGER: u8 = 0x02;
const TEXT: u8 = 0x04;
const OID: u8 = 0x06;
const COUNTER32: u8 = 0x41;
const GAUGE32: u8 = 0x42;
const TICKS: u8 = 0x43;
const COUNTER64: u8 = 0x46;

impl Mib {
    /// A switch with so many interfaces.
    pub(crate) fn switch(interfaces: u32) -> Self {
        let mut mib = Self { rows: Vec::new() };
        mib.system(interfaces);
        for port in 1..=interfaces {
            mib.interface(port);
        }
        mib.rows.sort_by(|a, b| a.0.cmp(&b.0));
        mib
    }

    /// The place of a row, or of the first one after it.
    pub(crate) fn find(&self, oid: &Oid) -> Result<usize, usize> {
        self.rows.binary_search_by(|(row, _)| row.cmp(oid))
    }

    /// The row at a place.
    pub(crate) fn row(&self, place: usize) -> Option<&(Oid, Cell)> {
        self.rows.get(place)
    }

    fn put(&mut self, arcs: &[u32], cell: Cell) {
        self.rows.push((Oid::of(arcs), cell));
    }

    fn system(&mut self, interfaces: u32) {
        let text = |text: &str| Cell::Fixed(TEXT, text.as_bytes().to_vec());
        let number = |tag, n| Cell::Fixed(tag, signed(n));
        let enterprise = Oid::of(&[1, 3, 6, 1, 4, 1, 32473, 1, 7]);
        let rows: [(&[u32], Cell); 13] = [
            (&[1, 1, 0], text("A switch that is played for a bench")),
            (&[1, 2, 0], Cell::Fixed(OID, enterprise.as_ber().to_vec())),
            (&[1, 3, 0], Cell::Uptime),
            (&[1, 4, 0], text("noc@example.net")),
            (&[1, 5, 0], Cell::Name("switch")),
            (&[1, 6, 0], text("Row 4, rack 2")),
            (&[1, 7, 0], number(INTEGER, 2)),
            (&[2, 1, 0], number(INTEGER, interfaces.into())),
            (&[17, 1, 1, 0], Cell::Mac(0)),
            (&[31, 1, 5, 0], number(TICKS, 4_200)),
            (&[47, 1, 1, 1, 1, 5, 1], number(INTEGER, 3)),
            (&[47, 1, 1, 1, 1, 11, 1], Cell::Name("SN")),
            (&[47, 1, 1, 1, 1, 13, 1], text("Played 24")),
        ];
        for (arcs, cell) in rows {
            self.put(&[&[1, 3, 6, 1, 2, 1], arcs].concat(), cell);
        }
    }

    fn interface(&mut self, port: u32) {
        let name = format!("ge-0/0/{port}");
        let text = |text: &str| Cell::Fixed(TEXT, text.as_bytes().to_vec());
        let number = |tag, n| Cell::Fixed(tag, signed(n));
        let counter = |tag, per_s| Cell::Counter { tag, port, per_s };
        let low = u8::try_from(port % 251).expect("less than 251");
        let rows = [
            (1, number(INTEGER, port.into())),
            (2, text(&name)),
            (3, number(INTEGER, 6)),
            (4, number(INTEGER, 1_500)),
            (5, number(GAUGE32, 1_000_000_000)),
            (6, Cell::Mac(low)),
            (7, number(INTEGER, 1)),
            (8, number(INTEGER, 1)),
            (9, number(TICKS, 0)),
            (10, counter(COUNTER32, 900_000)),
            (11, counter(COUNTER32, 1_400)),
            (13, counter(COUNTER32, 0)),
            (14, counter(COUNTER32, 0)),
            (16, counter(COUNTER32, 400_000)),
            (17, counter(COUNTER32, 1_100)),
            (19, counter(COUNTER32, 1)),
            (20, counter(COUNTER32, 0)),
        ];
        for (column, cell) in rows {
            self.put(&[1, 3, 6, 1, 2, 1, 2, 2, 1, column, port], cell);
        }
        let extended = [
            (1, text(&name)),
            (6, counter(COUNTER64, 900_000)),
            (7, counter(COUNTER64, 1_400)),
            (10, counter(COUNTER64, 400_000)),
            (11, counter(COUNTER64, 1_100)),
            (15, number(GAUGE32, 1_000)),
            (18, text("")),
            (19, number(TICKS, 0)),
        ];
        for (column, cell) in extended {
            self.put(&[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, column, port], cell);
        }
    }
}

impl Cell {
    /// Appends tag, length and value as this device has it now.
    pub(crate) fn write(&self, device: Device, out: &mut Vec<u8>) {
        match self {
            Self::Fixed(tag, octets) => tlv(*tag, octets, out),
            Self::Uptime => tlv(TICKS, &signed(8_640_000 + device.ms / 10), out),
            Self::Name(name) => {
                let number = u32::from(device.address) & 0xff_ffff;
                tlv(TEXT, format!("{name}-{number:05}").as_bytes(), out);
            }
            Self::Mac(port) => {
                let [_, b, c, d] = device.address.octets();
                tlv(TEXT, &[0x02, 0x5a, b, c, d, *port], out);
            }
            Self::Counter { tag, port, per_s } => {
                // Every port and device has a pace and a beginning of its own; nothing need be remembered.
                let own = u64::from(u32::from(device.address).wrapping_mul(0x9e37_79b9) ^ *port);
                let grown = u64::from(*per_s) * device.ms / 1_000;
                let n = own % 65_521 + grown + grown * (own % 97) / 256;
                let n = if *tag == COUNTER32 {
                    n & 0xffff_ffff
                } else {
                    n
                };
                tlv(*tag, &signed(n), out);
            }
        }
    }
}

/// The fewest octets that hold a number that is not negative.
fn signed(n: u64) -> Vec<u8> {
    let octets = n.to_be_bytes();
    let spare = octets
        .iter()
        .take_while(|octet| **octet == 0)
        .count()
        .min(7);
    let mut out = Vec::with_capacity(9);
    if octets[spare] >= 0x80 {
        out.push(0);
    }
    out.extend(&octets[spare..]);
    out
}

/// Appends tag, length and content.
pub(crate) fn tlv(tag: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    length(content.len(), out);
    out.extend(content);
}

/// Appends a length of BER.
pub(crate) fn length(n: usize, out: &mut Vec<u8>) {
    let low = |n: usize| u8::try_from(n & 0xff).expect("one octet");
    match n {
        0..0x80 => out.push(low(n)),
        0x80..0x100 => out.extend([0x81, low(n)]),
        _ => out.extend([0x82, low(n >> 8), low(n)]),
    }
}
