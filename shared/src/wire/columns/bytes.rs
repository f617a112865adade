//! Variable-length integers and a reader that never runs over its end.

use crate::wire::DecodeError;

/// What is said of bytes that end too early.
const SHORT: DecodeError = DecodeError::Inconsistent("ends too early");

/// Appends seven bits a byte, lowest first.
pub fn put(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// How many bytes [`put`] takes.
#[must_use]
pub const fn len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Small absolute values become small numbers.
#[must_use]
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Back from [`zigzag`].
#[must_use]
pub const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Reads from the front of bytes; each read fails with [`DecodeError`] when they do not hold it.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(
    /// What is left.
    pub &'a [u8],
);

impl<'a> Reader<'a> {
    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.0.split_first().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*first)
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(SHORT)?;
        self.0 = rest;
        Ok(head)
    }

    /// What [`put`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn uint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        let mut shift = 0;
        for (used, &byte) in self.0.iter().enumerate() {
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                self.0 = &self.0[used + 1..];
                return Ok(value);
            }
            shift += 7;
            if shift > 63 {
                break;
            }
        }
        Err(DecodeError::Inconsistent("a number has no end"))
    }

    /// What [`put`] wrote of a [`zigzag`].
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn int(&mut self) -> Result<i64, DecodeError> {
        self.uint().map(unzigzag)
    }

    /// What [`put`] wrote, if it fits.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn narrow<T: TryFrom<u64>>(&mut self) -> Result<T, DecodeError> {
        T::try_from(self.uint()?)
            .map_err(|_| DecodeError::Inconsistent("a number is out of its range"))
    }

    /// A count of things that take at least `least` bytes each, so that a lie costs nothing.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn count(&mut self, least: usize) -> Result<usize, DecodeError> {
        let count: usize = self.narrow()?;
        if count > self.0.len() / least {
            Err(DecodeError::Inconsistent(
                "more is claimed than could follow",
            ))
        } else {
            Ok(count)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_read_back() {
        for shift in 0..64 {
            for value in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put(value, &mut out);
                assert_eq!(out.len(), len(value));
                assert_eq!(Reader(&out).uint().unwrap(), value);
                assert_eq!(zigzag(unzigzag(value)), value);
            }
        }
        for bad in [&[0x80][..], &[0xff; 10], &[]] {
            assert!(Reader(bad).uint().is_err());
        }
    }
}
