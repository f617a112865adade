//! One valid input, changed: flipped, cut, stretched, spliced, with lengths that lie. The same seed, the same bytes.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// One of `examples` (not empty), changed a little and cut to `longest`. One in thirty-two comes as it is.
#[must_use]
pub fn mutated(seed: u64, examples: &[Vec<u8>], longest: usize) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut bytes = pick(examples, &mut random).clone();
    let changes = match random.random_range(0..32_u32) {
        0 => 0,
        1..=20 => 1,
        21..=26 => 2,
        _ => random.random_range(3..12),
    };
    for _ in 0..changes {
        change(&mut bytes, examples, &mut random);
        if bytes.len() > 2 * longest {
            break;
        }
    }
    bytes.truncate(longest);
    bytes
}

fn change(bytes: &mut Vec<u8>, examples: &[Vec<u8>], random: &mut StdRng) {
    if bytes.is_empty() {
        bytes.push(random.random());
        return;
    }
    let at = random.random_range(0..bytes.len());
    match random.random_range(0..13_u32) {
        0 => bytes[at] ^= 1 << random.random_range(0..8),
        1 => bytes[at] = random.random(),
        2 => bytes[at] = MARKS[random.random_range(0..MARKS.len())],
        3 => bytes[at] = bytes[at].wrapping_add([1, 255, 2, 254][random.random_range(0..4)]),
        4 => bytes.truncate(at),
        5 => bytes.insert(at, random.random()),
        6 => drop(bytes.drain(at..end(bytes, at, random))),
        // A length or a number of another size than the reader thinks.
        7 => {
            let number = number(random);
            let until = (at + number.len()).min(bytes.len());
            bytes.splice(at..until, number);
        }
        8 => drop(bytes.splice(at..at, number(random))),
        9 => {
            let other = pick(examples, random);
            if !other.is_empty() {
                let from = random.random_range(0..other.len());
                let until = end(other, from, random);
                let replaced = end(bytes, at, random);
                bytes.splice(at..replaced, other[from..until].iter().copied());
            }
        }
        10 => {
            let again = bytes[at..end(bytes, at, random)].to_vec();
            let times = match random.random_range(0..32_u32) {
                0 => random.random_range(1..4_096),
                1..=4 => random.random_range(1..64),
                _ => 1,
            };
            let most = (1 << 20) / again.len().max(1);
            bytes.splice(at..at, again.repeat(times.min(most.max(1))));
        }
        11 => {
            let word = WORDS[random.random_range(0..WORDS.len())];
            let until = end(bytes, at, random);
            let until = if random.random() { at } else { until };
            bytes.splice(at..until, word.iter().copied());
        }
        _ => {
            let until = end(bytes, at, random);
            let byte = MARKS[random.random_range(0..MARKS.len())];
            bytes[at..until].fill(byte);
        }
    }
}

fn pick<'a>(examples: &'a [Vec<u8>], random: &mut StdRng) -> &'a Vec<u8> {
    &examples[random.random_range(0..examples.len())]
}

/// Most slices are short.
fn end(bytes: &[u8], at: usize, random: &mut StdRng) -> usize {
    let most = if random.random_range(0..4_u32) == 0 {
        bytes.len() - at
    } else {
        16.min(bytes.len() - at)
    };
    at + random.random_range(0..=most)
}

/// A number on the edge of its type, as one of our formats writes it.
fn number(random: &mut StdRng) -> Vec<u8> {
    let edge = EDGES[random.random_range(0..EDGES.len())];
    let value = match random.random_range(0..4_u32) {
        0 => edge.wrapping_add(1),
        1 => edge.wrapping_sub(1),
        _ => edge,
    };
    let big = value.to_be_bytes();
    match random.random_range(0..9_u32) {
        0 => big[6..].to_vec(),
        1 => big[4..].to_vec(),
        2 => big.to_vec(),
        3 => value.to_le_bytes()[..4].to_vec(),
        // bincode: a mark, then the number
        4 => [&[251], &value.to_le_bytes()[..2]].concat(),
        5 => [&[252], &value.to_le_bytes()[..4]].concat(),
        6 => [&[253][..], &value.to_le_bytes()].concat(),
        // seven bits a byte
        7 => {
            let mut out = Vec::new();
            crate::wire::columns::bytes::put(value, &mut out);
            out
        }
        // a length in BER
        _ => {
            let octets = random.random_range(0..=8);
            let mark = 0x80 | u8::try_from(octets).unwrap_or(0);
            [&[mark], &big[8 - octets..]].concat()
        }
    }
}

const EDGES: [u64; 19] = [
    0,
    1,
    0x7f,
    0xff,
    250,
    0x7fff,
    0xffff,
    64 * 1024,
    68 * 1024,
    512 * 1024,
    1 << 20,
    8 << 20,
    (1 << 31) - 1,
    u32::MAX as u64,
    1 << 32,
    1 << 53,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Bytes that mean something to one format or another.
const MARKS: [u8; 24] = [
    0, 1, 2, 3, 4, 5, 6, 0x0a, 0x20, 0x22, 0x2c, 0x30, 0x5c, 0x7b, 0x7f, 0x80, 0x81, 0x82, 0x84,
    0xa2, 0xfb, 0xfc, 0xfd, 0xff,
];

/// Pieces that mean something to one format or another.
const WORDS: [&[u8]; 32] = [
    b"-1",
    b"0",
    b"-9223372036854775808",
    b"9223372036854775807",
    b"18446744073709551616",
    b"1e999",
    b"-0.0",
    b"NaN",
    b"null",
    b"true",
    b"\"\"",
    b"\\ud800",
    b"\\u0000",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":",
    b"2026-11-23T08:00:00Z",
    b"-009999-01-02T00:00:00Z",
    b"+262143-12-31T23:59:59Z",
    b"0.0.0.0/0",
    b"::/0",
    b"255.255.255.255",
    b"\xf0\x9f\x92\xa9",
    "\u{202e}\u{200b}".as_bytes(),
    b"\xff\xfe\x00",
    b" \t\r\n ",
    b"%00%ff%C3",
    b"&from=0&to=1",
    b"4294967295.4294967295",
    b"\x05\x00",
    b"\x30\x80\x00\x00",
    b"\x06\x0a\x2b\x8f\xff\xff\xff\x7f\x8f\xff\xff\xff",
    b"\x28\xb5\x2f\xfd",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_input_and_others_give_others() {
        let examples = [b"an example of some length".to_vec(), vec![0; 300]];
        let all: std::collections::BTreeSet<Vec<u8>> = (0..1_000)
            .map(|seed| {
                let bytes = mutated(seed, &examples, 512);
                assert_eq!(bytes, mutated(seed, &examples, 512));
                assert!(bytes.len() <= 512);
                bytes
            })
            .collect();
        assert!(all.len() > 800, "{} different inputs", all.len());
        assert!(all.contains(&examples[0]), "now and then nothing changes");
    }
}
