//! How many denials of one address have a record of their own: strangers can cause them as often
//! as they like, and are not to fill a disk. Addresses of one network of IPv6 count as one, as they
//! do for wrong tokens.

use crate::net::origin::origin;
use std::collections::HashMap;
use std::net::IpAddr;

/// Records a second for one address: a person who mistypes has each of them on record.
const PER_ADDRESS: u64 = 10;

/// Addresses that are counted one by one in a second; those beyond share a count.
const ADDRESSES: usize = 1024;

/// The denials of the second that runs.
#[derive(Debug, Default)]
pub(crate) struct Denials {
    by_address: HashMap<IpAddr, u64>,
    others: u64,
}

impl Denials {
    /// Counts one; says whether it has a record of its own.
    pub(crate) fn count(&mut self, address: IpAddr) -> bool {
        let address = origin(address);
        let is_known = self.by_address.contains_key(&address);
        if !is_known && self.by_address.len() >= ADDRESSES {
            self.others += 1;
            return false;
        }
        let count = self.by_address.entry(address).or_default();
        *count += 1;
        *count <= PER_ADDRESS
    }

    /// Ends the second: how many had no record, by address.
    pub(crate) fn end_second(&mut self) -> Vec<(Option<IpAddr>, u64)> {
        let others = std::mem::take(&mut self.others);
        let counts = std::mem::take(&mut self.by_address);
        let more = counts
            .into_iter()
            .filter(|(_, count)| *count > PER_ADDRESS)
            .map(|(address, count)| (Some(address), count - PER_ADDRESS));
        more.chain((others > 0).then_some((None, others))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn ten_a_second_of_an_address_have_records_and_the_others_a_count() {
        let mut denials = Denials::default();
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mapped = IpAddr::from(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        let told = (0..25).filter(|n| denials.count(if n % 2 == 0 { one } else { mapped }));
        assert_eq!(told.count(), 10);
        assert!(denials.count(other));
        assert_eq!(denials.end_second(), [(Some(one), 15)]);
        assert!(denials.count(one));
        assert_eq!(denials.end_second(), []);
        // An address of IPv6 is the network that one household or machine has.
        let of_one_network =
            (0..25_u16).filter(|n| denials.count([0x2001, 0xdb8, 0, 0, 0, 0, 0, *n].into()));
        assert_eq!(of_one_network.count(), 10);
        let network = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0]);
        assert_eq!(denials.end_second(), [(Some(network), 15)]);
        let many = (0..2000_u32).map(|n| IpAddr::from(n.to_be_bytes()));
        assert_eq!(
            many.filter(|address| denials.count(*address)).count(),
            ADDRESSES
        );
        assert_eq!(denials.end_second(), [(None, 976)]);
    }
}
