//! How long a packet takes: delays between hosts that need no table, and the regions in which hosts stand.
//!
//! A delay is a function of the seed and the pair, so that a hundred thousand peers cost no memory. Near hosts draw theirs from a range.
//! Far hosts stand on a map: a region of the world, a place within it, and the way from there into the network. That is the shape which
//! fits the Internet best according to Dabek, Cox, Kaashoek and Morris (*Vivaldi*, SIGCOMM 2004): two dimensions and a *height*, against
//! the round trips between 1740 name servers that were measured with King (Gummadi, Saroiu, Gribble, IMW 2002), whose median is near 160 ms. Here
//! they are 58 ms for the nearest tenth of all pairs, 157 ms at the median, 302 ms for the farthest tenth, 169 ms on average.

use std::time::Duration;

use crate::PeerIndex;

/// One-way delays, the same in both directions.
#[derive(Clone, Copy, Debug)]
pub enum Latency {
    /// Each pair of hosts draws its own delay from this range.
    Range {
        /// The nearest pair.
        least: Duration,
        /// The farthest pair.
        most: Duration,
        /// Added to each message, uniformly from zero.
        jitter: Duration,
    },
    /// A map of the world, see the module's text.
    WideArea {
        /// Added to each message, uniformly from zero.
        jitter: Duration,
    },
}

/// Groups of hosts that stand together: racks of a [`Latency::Range`], parts of the world otherwise.
pub const REGIONS: usize = 8;

/// A part of the world: where it stands on the map, in microseconds of one-way delay, and its share of all hosts in percent.
struct Region {
    east: i64,
    north: i64,
    share: u64,
}

const fn region(east: i64, north: i64, share: u64) -> Region {
    Region { east, north, share }
}

/// The map is cut open in the Indian Ocean and stretched so that distances are one-way delays between the usual places of data centres: some 40 ms
/// across the Atlantic, 35 ms across North America, 70 ms from California to Japan, 120 ms from Europe to Australia.
/// Shares are a guess at where peers stand.
const MAP: [Region; REGIONS] = [
    region(0, 0, 24),            // western and central Europe
    region(-40_000, -2_000, 22), // eastern North America
    region(-75_000, 0, 14),      // western North America
    region(75_000, -35_000, 16), // eastern Asia
    region(-55_000, -55_000, 7), // South America
    region(50_000, -35_000, 8),  // southern Asia
    region(95_000, -75_000, 4),  // Oceania
    region(15_000, -60_000, 5),  // Africa
];

/// Half the width of a region: places within it are spread evenly over a square.
const SPREAD: i64 = 14_000;

/// The way into the network takes at least this long.
const NEAR: i64 = 500;
/// And up to this much longer, seldom: the cube of an even draw, a quarter of this on average.
const FAR: i64 = 28_000;

impl Latency {
    /// One machine or one rack: 50 to 300 µs, a guess from loopback and switched Ethernet.
    pub const RACK: Latency = Latency::Range {
        least: Duration::from_micros(50),
        most: Duration::from_micros(300),
        jitter: Duration::from_micros(50),
    };

    /// The open Internet.
    pub const INTERNET: Latency = Latency::WideArea {
        jitter: Duration::from_millis(5),
    };

    /// The most that is added to a message.
    pub(crate) fn jitter(&self) -> Duration {
        match self {
            Latency::Range { jitter, .. } | Latency::WideArea { jitter } => *jitter,
        }
    }

    /// The delay of a pair without jitter.
    pub(crate) fn delay(&self, seed: u64, a: PeerIndex, b: PeerIndex) -> Duration {
        match *self {
            Latency::Range { least, most, .. } => {
                let (low, high) = (a.0.min(b.0) as u64, a.0.max(b.0) as u64);
                let share = mix(seed ^ mix(low << 32 | high)) >> 32;
                let spread = most.saturating_sub(least).as_nanos() as u64;
                least + Duration::from_nanos(((u128::from(share) * u128::from(spread)) >> 32) as u64)
            }
            Latency::WideArea { .. } => Place::of(seed, a).delay(&Place::of(seed, b)),
        }
    }
}

/// Where a host stands, in microseconds.
struct Place {
    east: i64,
    north: i64,
    height: i64,
}

impl Place {
    fn of(seed: u64, peer: PeerIndex) -> Place {
        let draw = mix(seed ^ mix(peer.0 as u64));
        let region = &MAP[region_of(seed, peer)];
        let within = |bits: u64| (bits & 0xffff) as i64 * 2 * SPREAD / 0xffff - SPREAD;
        let far = (draw >> 32 & 0xffff) as i64;
        Place {
            east: region.east + within(draw),
            north: region.north + within(draw >> 16),
            height: NEAR + ((far * far / 0xffff * far / 0xffff) * FAR / 0xffff),
        }
    }

    fn delay(&self, other: &Place) -> Duration {
        let (east, north) = (self.east - other.east, self.north - other.north);
        let across = ((east * east + north * north) as u64).isqrt();
        Duration::from_micros(across + (self.height + other.height) as u64)
    }
}

/// The region of a host.
pub(crate) fn region_of(seed: u64, peer: PeerIndex) -> usize {
    let mut percent = ((mix(seed.rotate_left(32) ^ mix(peer.0 as u64)) >> 32) * 100) >> 32;
    for (index, region) in MAP.iter().enumerate() {
        if percent < region.share {
            return index;
        }
        percent -= region.share;
    }
    0
}

/// Spreads a number over all numbers (the finish of splitmix64: Steele, Lea, Flood 2014).
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trips(latency: Latency) -> Vec<u64> {
        let pairs = (0..200).flat_map(|a| (0..a).map(move |b| (PeerIndex(a), PeerIndex(b))));
        let mut all: Vec<u64> = pairs
            .map(|(a, b)| 2 * latency.delay(9, a, b).as_micros() as u64)
            .collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn both_directions_of_a_pair_take_equally_long() {
        for latency in [Latency::RACK, Latency::INTERNET] {
            for n in 1..50 {
                let (a, b) = (PeerIndex(0), PeerIndex(n));
                assert_eq!(latency.delay(9, a, b), latency.delay(9, b, a));
            }
        }
    }

    #[test]
    fn a_rack_fills_its_range() {
        let all = round_trips(Latency::RACK);
        assert!(all[0] < 110 && all[0] >= 100, "{}", all[0]);
        assert!(all[all.len() - 1] > 590 && all[all.len() - 1] <= 600);
    }

    #[test]
    fn the_wide_area_is_spread_as_king_measured_it() {
        let all = round_trips(Latency::INTERNET);
        let at = |percent: usize| all[all.len() * percent / 100] / 1000;
        let mean = all.iter().sum::<u64>() / all.len() as u64 / 1000;
        assert!((130..190).contains(&at(50)), "median {} ms", at(50));
        assert!((150..210).contains(&mean), "mean {mean} ms");
        assert!(
            (40..80).contains(&at(10)) && (260..340).contains(&at(90)),
            "{} to {} ms",
            at(10),
            at(90)
        );
    }

    #[test]
    fn every_region_has_its_share() {
        let mut counts = [0; REGIONS];
        for n in 0..10_000 {
            counts[region_of(3, PeerIndex(n))] += 1;
        }
        for (region, count) in MAP.iter().zip(counts) {
            let expected = region.share as i64 * 100;
            assert!((count - expected).abs() < 150, "{count} hosts where {expected} belong");
        }
    }
}
