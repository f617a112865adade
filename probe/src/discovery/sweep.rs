//! Which addresses are asked, in which order; resumable. No I/O.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

use crate::config::site::Scope;

/// Where a round is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// Print of the ranges that the round sweeps: with others it is another round.
    pub ranges: u64,
    /// Addresses done.
    pub done: u64,
    /// When the round began, ms since 1970.
    pub started_ms: i64,
    /// When the last whole round ended, ms since 1970; 0 = never.
    pub finished_ms: i64,
}

/// The addresses of one round, nearest /24 first.
#[derive(Clone, Debug)]
pub struct Sweep {
    scope: Scope,
    blocks: Vec<Ipv4Net>,
    block: usize,
    within: u64,
    /// Addresses given so far, those that may not be asked included.
    taken: u64,
    total: u64,
    print: u64,
}

impl Sweep {
    /// All addresses of a scope, as seen from `own`.
    #[must_use]
    pub fn new(scope: &Scope, own: &[IpAddr]) -> Self {
        let mut blocks: Vec<Ipv4Net> = scope
            .to_sweep()
            .iter()
            .flat_map(|net| {
                net.subnets(net.prefix_len().max(24))
                    .expect("a prefix that is no shorter than the net's own")
            })
            .collect();
        let own: Vec<u32> = own
            .iter()
            .filter_map(|address| match address {
                IpAddr::V4(v4) => Some(u32::from(*v4)),
                IpAddr::V6(_) => None,
            })
            .collect();
        let distance = |net: &Ipv4Net| {
            let at = u32::from(net.network()) >> 8;
            own.iter()
                .map(|own| (own >> 8).abs_diff(at))
                .min()
                .unwrap_or(0)
        };
        blocks.sort_by_key(|net| (distance(net), net.network()));
        let mut hasher = DefaultHasher::new();
        blocks.hash(&mut hasher);
        Self {
            scope: scope.clone(),
            total: blocks.iter().map(size).sum(),
            blocks,
            block: 0,
            within: 0,
            taken: 0,
            print: hasher.finish(),
        }
    }

    /// Goes to where a round was, if it was a round of the same ranges.
    pub fn resume(&mut self, place: &Place) -> bool {
        if place.ranges != self.print || place.done >= self.total {
            return false;
        }
        let mut left = place.done;
        self.taken = left;
        self.block = 0;
        while let Some(block) = self.blocks.get(self.block)
            && left >= size(block)
        {
            left -= size(block);
            self.block += 1;
        }
        self.within = left;
        true
    }

    /// Print of the ranges.
    #[must_use]
    pub const fn print(&self) -> u64 {
        self.print
    }

    /// Addresses of the round.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Addresses given so far.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// The block being swept; empty at the end.
    #[must_use]
    pub fn range(&self) -> String {
        self.blocks
            .get(self.block)
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    /// Up to `count` more addresses that may be asked.
    pub fn take(&mut self, count: usize) -> Vec<Ipv4Addr> {
        let mut out = Vec::with_capacity(count);
        while out.len() < count
            && let Some(block) = self.blocks.get(self.block)
        {
            let first = u32::from(block.network());
            let address = u32::try_from(self.within)
                .ok()
                .and_then(|within| first.checked_add(within))
                .map(Ipv4Addr::from);
            let last = self.within + 1 == size(block);
            let ends = block.prefix_len() <= 24
                && !block.network().is_loopback()
                && (self.within == 0 || last);
            if let Some(address) = address
                && !ends
                && self.scope.allows(IpAddr::V4(address))
            {
                out.push(address);
            }
            self.taken += 1;
            self.within += 1;
            if last {
                self.block += 1;
                self.within = 0;
            }
        }
        out
    }

    /// Whether all were given.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.block >= self.blocks.len()
    }
}

fn size(net: &Ipv4Net) -> u64 {
    1 << (32 - u32::from(net.prefix_len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(ranges: &[&str], exclude: &[&str]) -> Scope {
        let nets = |texts: &[&str]| texts.iter().map(|net| net.parse().unwrap()).collect();
        Scope {
            ranges: nets(ranges),
            exclude: nets(exclude),
            only: Vec::new(),
            allow_loopback: true,
        }
    }

    #[test]
    fn the_nearest_24_comes_first_and_every_address_once() {
        let scope = scope(
            &["10.0.0.0/22", "10.0.2.0/24", "10.9.0.0/30"],
            &["10.0.2.7/32", "10.0.1.0/24"],
        );
        let mut sweep = Sweep::new(&scope, &["10.0.2.99".parse().unwrap()]);
        let all = sweep.take(100_000);
        assert_eq!(all[0], Ipv4Addr::new(10, 0, 2, 1));
        assert!(sweep.is_over());
        assert_eq!(sweep.taken(), sweep.total());
        let mut unique = all.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), all.len());
        assert_eq!(all.len(), 254 * 3 - 1 + 4);
        assert!(!all.contains(&Ipv4Addr::new(10, 0, 2, 7)));
    }

    #[test]
    fn a_round_goes_on_where_it_was() {
        let scope = scope(&["127.0.10.0/23"], &[]);
        let mut whole = Sweep::new(&scope, &[]);
        let first = whole.take(300);
        let place = Place {
            ranges: whole.print(),
            done: whole.taken(),
            ..Place::default()
        };
        let mut again = Sweep::new(&scope, &[]);
        assert!(again.resume(&place));
        assert_eq!(again.take(1), whole.take(1));
        assert!(!first.contains(&again.take(1)[0]));
        let mut other = Sweep::new(&self::scope(&["127.0.11.0/24"], &[]), &[]);
        assert!(!other.resume(&place), "other ranges are another round");
    }
}
