//! A pool: many integers that are alike, in whichever form is smallest.
//!
//! Forms that are text (variable-length integers) go to one buffer, which the owner may compress as a whole; forms that
//! are already packed (pco) go to another. A decoder reads a pool only with the count it already knows.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec, PagingSpec};

use super::bytes::{Reader, len, put, unzigzag, zigzag};
use crate::wire::DecodeError;

/// The most integers that one pool may hold: 8 MiB as a batch holds them in memory.
pub const POOL_LIMIT: usize = 512 * 1024;

/// All values are one.
const CONSTANT: u8 = 0;
/// Each value.
const PLAIN: u8 = 1;
/// Each value's difference from the one before.
const DELTA: u8 = 2;
/// pco, in the packed buffer.
const PACKED: u8 = 3;
/// One value, and those that differ with the distances between them.
const SPARSE: u8 = 4;

/// Level 8 gains under 1 % and costs two to seven times as much.
const PCO_LEVEL: usize = 4;
/// Below this many values pco's table of bins costs more than it saves.
const PCO_LEAST: usize = 24;
/// The format of pco that is written and read; its header is not repeated in each pool.
const PCO_FORMAT: [u8; 2] = [4, 1];

/// Two buffers that pools are written to.
#[derive(Debug, Default)]
pub struct Buffers {
    /// Variable-length integers; worth compressing.
    pub text: Vec<u8>,
    /// Already packed.
    pub packed: Vec<u8>,
}

/// Where pools are read from, each from the front.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// [`Buffers::text`].
    pub text: &'a [u8],
    /// [`Buffers::packed`].
    pub packed: &'a [u8],
}

/// How hard to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// The smallest form.
    Smallest,
    /// One number a value at least, so that nothing grows much when it is read.
    Plain,
}

/// Appends `values`; nothing at all when there are none. The reader has to know how many they are.
pub fn encode(values: &[i64], effort: Effort, out: &mut Buffers) {
    let Some(&first) = values.first() else {
        return;
    };
    if effort == Effort::Plain {
        out.text.push(PLAIN);
        write_plain(values, &mut out.text);
        return;
    }
    let usual = majority(values);
    let mut sizes = Sizes::default();
    let mut before = 0_i64;
    for &value in values {
        sizes.plain += len(zigzag(value));
        sizes.delta += len(zigzag(value.wrapping_sub(before)));
        sizes.unusual += usize::from(value != usual);
        before = value;
    }
    if sizes.unusual == 0 {
        out.text.push(CONSTANT);
        put(zigzag(first), &mut out.text);
        return;
    }
    if sizes.unusual <= values.len() / 8 {
        out.text.push(SPARSE);
        write_sparse(values, usual, sizes.unusual, &mut out.text);
        return;
    }
    let by_delta = sizes.delta + sizes.delta / 16 < sizes.plain;
    let start = out.text.len();
    out.text.push(if by_delta { DELTA } else { PLAIN });
    if by_delta {
        write_delta(values, &mut out.text);
    } else {
        write_plain(values, &mut out.text);
    }
    if values.len() < PCO_LEAST || values.len() > POOL_LIMIT {
        return;
    }
    let text = zstd_len(&out.text[start..]);
    let before = out.packed.len();
    if text > values.len() / 4
        && pack(values, by_delta, &mut out.packed).is_some()
        && out.packed.len() - before < text
    {
        out.text.truncate(start);
        out.text.push(PACKED);
    } else {
        out.packed.truncate(before);
    }
}

/// Reads `n` values and appends them to `out`.
///
/// # Errors
/// [`DecodeError`]; `out` may have grown by fewer than `n`.
pub fn decode(n: usize, from: &mut Sources<'_>, out: &mut Vec<i64>) -> Result<(), DecodeError> {
    if n == 0 {
        return Ok(());
    }
    if n > POOL_LIMIT {
        return Err(DecodeError::Inconsistent("a pool of too many values"));
    }
    let mut text = Reader(from.text);
    match text.byte()? {
        CONSTANT => {
            let value = text.int()?;
            out.resize(out.len() + n, value);
        }
        PLAIN => {
            enough(n, text)?;
            out.reserve(n);
            for _ in 0..n {
                out.push(text.int()?);
            }
        }
        DELTA => {
            enough(n, text)?;
            out.reserve(n);
            let mut value = 0_i64;
            for _ in 0..n {
                value = value.wrapping_add(text.int()?);
                out.push(value);
            }
        }
        SPARSE => {
            let usual = text.int()?;
            let unusual = text.count(2)?;
            let start = out.len();
            out.resize(start + n, usual);
            let mut at = 0_usize;
            for _ in 0..unusual {
                let step: usize = text.narrow()?;
                at = at.saturating_add(step);
                *out.get_mut(start.saturating_add(at)).ok_or(OUTSIDE)? = text.int()?;
                at += 1;
            }
        }
        PACKED => from.packed = unpack(n, from.packed, out)?,
        _ => return Err(DecodeError::Inconsistent("a pool of an unknown form")),
    }
    from.text = text.0;
    Ok(())
}

const OUTSIDE: DecodeError = DecodeError::Inconsistent("a place outside its pool");

#[derive(Default)]
struct Sizes {
    plain: usize,
    delta: usize,
    unusual: usize,
}

fn enough(n: usize, text: Reader<'_>) -> Result<(), DecodeError> {
    if text.0.len() < n {
        Err(DecodeError::Inconsistent(
            "more is claimed than could follow",
        ))
    } else {
        Ok(())
    }
}

/// The value that more than half of them have, if there is one (Boyer and Moore's vote).
fn majority(values: &[i64]) -> i64 {
    let (mut candidate, mut votes) = (0, 0_usize);
    for &value in values {
        if votes == 0 {
            candidate = value;
            votes = 1;
        } else if value == candidate {
            votes += 1;
        } else {
            votes -= 1;
        }
    }
    candidate
}

fn write_plain(values: &[i64], out: &mut Vec<u8>) {
    for &value in values {
        put(zigzag(value), out);
    }
}

fn write_delta(values: &[i64], out: &mut Vec<u8>) {
    let mut before = 0_i64;
    for &value in values {
        put(zigzag(value.wrapping_sub(before)), out);
        before = value;
    }
}

fn write_sparse(values: &[i64], usual: i64, unusual: usize, out: &mut Vec<u8>) {
    put(zigzag(usual), out);
    put(unusual as u64, out);
    let mut next = 0;
    for (at, &value) in values.iter().enumerate() {
        if value != usual {
            put((at - next) as u64, out);
            put(zigzag(value), out);
            next = at + 1;
        }
    }
}

/// Appends `values` as one pco chunk of one page; `None` when pco refuses them.
fn pack(values: &[i64], by_delta: bool, out: &mut Vec<u8>) -> Option<()> {
    let config = ChunkConfig::default()
        .with_compression_level(PCO_LEVEL)
        .with_mode_spec(ModeSpec::Classic)
        .with_delta_spec(if by_delta {
            DeltaSpec::TryConsecutive(1)
        } else {
            DeltaSpec::NoOp
        })
        .with_paging_spec(PagingSpec::Exact(vec![values.len()]));
    let start = out.len();
    let mut chunk = FileCompressor::default()
        .chunk_compressor::<i64>(values, &config)
        .ok()?;
    chunk.write_meta(&mut *out).ok()?;
    chunk.write_page(0, &mut *out).ok()?;
    is_simple(&out[start..]).then_some(())
}

/// Only pco's classic mode, with or without differences, is ours. The others reserve what the bytes claim (a dictionary
/// or a window of up to 128 MiB), so they are refused by the first byte: mode in its lower half, delta in its upper.
fn is_simple(packed: &[u8]) -> bool {
    packed
        .first()
        .is_some_and(|first| first & 0x0f == 0 && first >> 4 <= 1)
}

fn unpack<'a>(n: usize, packed: &'a [u8], out: &mut Vec<i64>) -> Result<&'a [u8], DecodeError> {
    if !is_simple(packed) {
        return Err(DecodeError::Inconsistent(
            "packed in a form that is not ours",
        ));
    }
    let start = out.len();
    out.resize(start + n, 0);
    // pco checks what it reads; should a case have slipped its authors, one batch is refused and the process goes on.
    let rest = catch_unwind(AssertUnwindSafe(|| {
        let (mut chunk, rest) = PCO.chunk_decompressor::<i64, _>(packed).ok()?;
        let mut page = chunk.page_decompressor(rest, n).ok()?;
        let progress = page.read(&mut out[start..]).ok()?;
        (progress.n_processed == n && progress.finished).then(|| page.into_src())
    }))
    .unwrap_or_else(|_| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        None
    });
    rest.ok_or(DecodeError::Inflate)
}

/// How often pco's decoder panicked on what it was given, since the start of this process.
#[must_use]
pub fn decoder_panics_total() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

static PANICS: AtomicU64 = AtomicU64::new(0);

static PCO: LazyLock<FileDecompressor> = LazyLock::new(|| {
    FileDecompressor::new(PCO_FORMAT.as_slice())
        .expect("the header is a constant that a test holds equal to pco's own")
        .0
});

/// Level of zstd, for pools' text and for whole bodies.
const ZSTD_LEVEL: i32 = 3;

thread_local! {
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> =
        RefCell::new(zstd::bulk::Compressor::new(ZSTD_LEVEL).ok());
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> =
        RefCell::new(zstd::bulk::Decompressor::new().ok());
}

/// `bytes` by zstd; `None` when it refuses.
#[must_use]
pub fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|compressor| compressor.as_mut()?.compress(bytes).ok())
}

/// Back from [`compress`], if that is exactly `len` bytes; reserves `len`.
#[must_use]
pub fn decompress(bytes: &[u8], len: usize) -> Option<Vec<u8>> {
    let inflated = DECOMPRESSOR
        .with_borrow_mut(|decompressor| decompressor.as_mut()?.decompress(bytes, len).ok())?;
    (inflated.len() == len).then_some(inflated)
}

fn zstd_len(bytes: &[u8]) -> usize {
    // Frame, block and table headers are shared with the other pools, hence not counted against this one.
    compress(bytes).map_or(bytes.len(), |packed| {
        packed.len().saturating_sub(12).min(bytes.len())
    })
}

/// One value as [`Buffers::text`] holds it; for headers beside pools.
pub fn put_int(value: i64, out: &mut Vec<u8>) {
    put(zigzag(value), out);
}

/// Reads what [`put_int`] wrote.
///
/// # Errors
/// [`DecodeError`] when there is none.
pub fn take_int(from: &mut Sources<'_>) -> Result<i64, DecodeError> {
    let mut text = Reader(from.text);
    let value = text.uint().map(unzigzag)?;
    from.text = text.0;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(values: &[i64]) -> (usize, u8) {
        let mut out = Buffers::default();
        encode(values, Effort::Smallest, &mut out);
        let mut from = Sources {
            text: &out.text,
            packed: &out.packed,
        };
        let mut back = Vec::new();
        decode(values.len(), &mut from, &mut back).unwrap();
        assert_eq!(back, values);
        assert!(from.text.is_empty() && from.packed.is_empty());
        let mut plain = Buffers::default();
        encode(values, Effort::Plain, &mut plain);
        let mut back = Vec::new();
        let mut from = Sources {
            text: &plain.text,
            packed: &plain.packed,
        };
        decode(values.len(), &mut from, &mut back).unwrap();
        assert_eq!(back, values);
        (
            out.text.len() + out.packed.len(),
            out.text.first().copied().unwrap_or(u8::MAX),
        )
    }

    #[test]
    fn each_form_is_chosen_where_it_is_smallest() {
        assert_eq!(round_trip(&[7; 1000]), (2, CONSTANT));
        let mut few = vec![0; 1000];
        few[17] = 5;
        few[999] = -3;
        assert_eq!(round_trip(&few).1, SPARSE);
        assert_eq!(round_trip(&[1, -2, 3]).1, PLAIN);
        assert_eq!(round_trip(&[1_000_000, 1_000_001, 1_000_003]).1, DELTA);
        let noise: Vec<i64> = (0..1000_u64)
            .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40).cast_signed())
            .collect();
        let (bytes, form) = round_trip(&noise);
        assert_eq!(form, PACKED);
        assert!(bytes < 3_100, "24 random bits are three bytes: {bytes}");
        assert_eq!(round_trip(&[]).0, 0);
    }

    #[test]
    fn extremes_survive_every_form() {
        let edge = [i64::MIN, i64::MAX, 0, -1, 1];
        round_trip(&edge);
        let many: Vec<i64> = (0..200).map(|i| edge[i % edge.len()]).collect();
        round_trip(&many);
        let mut sparse = vec![i64::MIN; 100];
        sparse[0] = i64::MAX;
        round_trip(&sparse);
    }

    #[test]
    fn the_header_left_out_is_the_one_that_pco_writes() {
        let header = FileCompressor::default().write_header(Vec::new()).unwrap();
        assert_eq!(header, PCO_FORMAT);
    }

    #[test]
    fn forms_of_pco_that_reserve_what_they_claim_are_refused() {
        let values: Vec<i64> = (0..300).map(|i| i * i % 77).collect();
        for (mode, delta) in [
            (ModeSpec::TryDict, DeltaSpec::NoOp),
            (ModeSpec::Classic, DeltaSpec::TryLookback),
        ] {
            let config = ChunkConfig::default()
                .with_mode_spec(mode)
                .with_delta_spec(delta);
            let mut chunk = FileCompressor::default()
                .chunk_compressor::<i64>(&values, &config)
                .unwrap();
            let mut packed = chunk.write_meta(Vec::new()).unwrap();
            chunk.write_page(0, &mut packed).unwrap();
            assert!(unpack(300, &packed, &mut Vec::new()).is_err());
        }
    }
}
